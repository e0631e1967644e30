"""AdvBCT: new vectors that cannot be told from old ones, within elastic bounds of a class."""

from __future__ import annotations

import math

from ...errors import InvalidInput
from ..tensors import (
    Tensor,
    as_rows,
    as_tensor,
    at_least_float32,
    functional,
    mean_where,
    nn,
    same_dim,
    torch,
    unit,
)
from .base import Batch, Loss
from .prototypes import known_classes, own_rows


def reversed_gradient(rows: Tensor, strength: float) -> Tensor:
    """The same rows, with a gradient multiplied by minus the strength."""
    return (1.0 + strength) * rows.detach() - strength * rows


class AdvBCT(Loss):
    """A game against a judge, and a bound on the distance from the old class centre.

        game     cross-entropy of a judge who tells unit new from unit old vectors, with the
                 gradient reversed on its way to the model; its weight 1 - progress
        bound    mean_i max(0, |f_i - centre_y| - radius_y),
                 radius_c = largest_c + sigmoid(w_c) (threshold - largest_c)

    The judge and w are trained: give `parameters()` of this loss to the optimiser.

    Args:
        centres: (classes, d_old) means of the old model's unit vectors: `class_means`.
        radii: (classes,) the largest distance of an old item from its centre: `class_radii`.
        known: (classes,) which classes have a bound; all without it.
        threshold: Towards which radii move; their mean over known classes without it.
        width: Of the judge's hidden layer.
    Raises:
        InvalidInput: Not one radius for each centre.
    Source: Pan et al. 2023 (AdvBCT). Departs from it: the weight of the game falls by the
        step rather than by the epoch; the threshold's default is ours; no loop over items.
    """

    needs = frozenset({"labels", "old"})
    centres: Tensor
    radii: Tensor
    known: Tensor

    def __init__(
        self,
        centres: object,
        radii: object,
        known: object | None = None,
        threshold: float | None = None,
        width: int = 100,
    ) -> None:
        super().__init__()
        rows = at_least_float32(as_rows(centres, "AdvBCT"))
        self.register_buffer("centres", rows)
        self.register_buffer("radii", as_tensor(radii, "AdvBCT").detach().to(rows))
        self.register_buffer("known", known_classes(known, rows, "AdvBCT"))
        if self.radii.shape != (len(rows),):
            raise InvalidInput("AdvBCT", f"{len(rows)} radii", str(tuple(self.radii.shape)))
        middle = float(mean_where(self.radii, self.known))
        self.threshold = middle if threshold is None else threshold
        self.elastic = nn.Parameter(rows.new_zeros(len(rows)))
        self.judge = nn.Sequential(nn.Linear(rows.shape[1], width), nn.ReLU(), nn.Linear(width, 2))
        self.judge.to(rows.dtype)

    def value(self, batch: Batch) -> Tensor:
        """The game, weighted, and the bound."""
        return (1.0 - batch.progress) * self.game(batch) + self.bound(batch)

    def game(self, batch: Batch) -> Tensor:
        """The first term, not weighted."""
        same_dim(batch.compared, batch.old, "AdvBCT")
        strength = 2.0 / (1.0 + math.exp(-10.0 * batch.progress)) - 1.0
        new = reversed_gradient(unit(batch.compared), strength)
        sides = torch.cat([new, unit(batch.old)]).to(self.elastic.dtype)
        truth = torch.zeros(len(sides), dtype=torch.long, device=sides.device)
        truth[: len(new)] = 1
        return functional.cross_entropy(self.judge(sides), truth)

    def bound(self, batch: Batch) -> Tensor:
        """The second term."""
        same_dim(batch.compared, self.centres, "AdvBCT")
        own, counted = own_rows(batch.labels, self.known)
        apart = (unit(batch.compared) - self.centres[own]).square().sum(1)
        distance = apart.clamp(min=1e-12).sqrt()  # the slope of the root is infinite at zero
        beyond = functional.relu(distance - self.bounds()[own])
        return mean_where(beyond, counted)

    def bounds(self) -> Tensor:
        """(classes,) the radii as they are now."""
        return self.radii + self.elastic.sigmoid() * (self.threshold - self.radii)
