"""Higher-order compatibility (HOC): a contrast of new vectors with old ones, item by item.

A fixed classifier fixes the means of classes; this fixes what goes beyond them. With o_i and
n_i the unit vectors of item i by the old and the new model, and mu the sharpness,

    published    mean_i  -mu <o_i, n_i> + log( c_i + sum_{y_j != y_i} exp(mu <o_i, n_j>) )
    masked       mean_i  -mu <o_i, n_i> + log( exp(mu <o_i, n_i>) + sum_{y_j != y_i} ... )

where c_i counts the items of the class of i in the batch, itself included.
"""

from __future__ import annotations

from ...errors import InvalidInput
from ..tensors import Tensor, functional, same_dim, torch, unit
from .base import Batch, Loss


class HigherOrder(Loss):
    """Cross-entropy and the contrast, mixed: mix CE + (1 - mix) contrast.

    Args:
        mix: Share of the cross-entropy, in [0, 1].
        sharpness: The mu of the contrast.
        masked: Leave other items of the class out of the logarithm and put the item itself
            in, as InfoNCE has it. Otherwise as published: similarities within the class are
            multiplied by zero there, so that each counts as exp(0).
        symmetric: The mean of both directions, old to new and new to old.
        memory_only: Contrast items of the episodic memory only; the old model has nothing
            reliable to say of classes that it never saw.
    Raises:
        InvalidInput: mix outside [0, 1], or a sharpness of 0.
    Source: Biondi et al. 2024 (CVPR, equations 3 and 4; mix 0.1, sharpness 10). Departs from
        it: nothing by default; the three flags are ours.
    """

    def __init__(
        self,
        mix: float = 0.1,
        sharpness: float = 10.0,
        masked: bool = False,
        symmetric: bool = False,
        memory_only: bool = False,
    ) -> None:
        super().__init__()
        if not 0.0 <= mix <= 1.0 or not sharpness > 0.0:
            raise InvalidInput("HigherOrder", "mix in [0, 1], sharpness > 0", f"{mix}, {sharpness}")
        self.mix, self.sharpness = mix, sharpness
        self.masked, self.symmetric, self.memory_only = masked, symmetric, memory_only
        needs = {"labels", "old"} | ({"logits"} if mix else set())
        self.needs = frozenset(needs | ({"memory"} if memory_only else set()))

    def value(self, batch: Batch) -> Tensor:
        """The mixture over the batch."""
        labels, new = batch.labels, batch.compared
        old: Tensor = batch.old
        same_dim(new, old, "HigherOrder")
        memory = batch.memory
        if self.memory_only and memory is not None:
            old, new, labels = (rows[memory] for rows in (old, new, labels))
        value = self.contrast(old, new, labels) if len(labels) else batch.nothing()
        if not self.mix:
            return value
        return self.mix * functional.cross_entropy(batch.logits, batch.labels) + (
            (1.0 - self.mix) * value
        )

    def contrast(self, old: Tensor, new: Tensor, labels: Tensor) -> Tensor:
        """The contrast alone.

        Args:
            old: (n, d) anchors.
            new: (n, d) candidates, the same items.
            labels: (n,) class numbers.
        """
        logits = self.sharpness * (unit(old) @ unit(new).T)
        alike = labels[:, None] == labels[None, :]
        value = self._term(logits, alike)
        return 0.5 * (value + self._term(logits.T, alike)) if self.symmetric else value

    def _term(self, logits: Tensor, alike: Tensor) -> Tensor:
        if self.masked:
            itself = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
            counted = logits.masked_fill(alike & ~itself, -torch.inf)
        else:
            counted = logits.masked_fill(alike, 0.0)
        return (counted.logsumexp(1) - logits.diagonal()).mean()
