"""UniBCT: the influence loss with old prototypes that the new model has tidied up."""

from __future__ import annotations

from ...errors import InvalidInput
from ..tensors import Tensor, as_labels, as_rows, same_dim, torch, unit
from .base import Batch
from .influence import Influence
from .prototypes import class_numbers

_SOLVED = 4096  # items of a class up to which its whole graph is held at once: 64 MB
_ENOUGH = 1e-6  # of all weights together, which add up to one


def refined_prototypes(
    new: object,
    old: object,
    labels: object,
    classes: int,
    temperature: float = 0.05,
    spread: float = 0.9,
) -> Tensor:
    """Class means of old vectors after they have passed along a graph of new ones.

    Per class, with E the softmax over the other items of the cosines of new vectors, the old
    vectors v become (1 - spread) (I - spread E)^-1 v: outliers, which no new vector is close
    to, lose their weight. The mean needs one solve a class, for the weights of its items; of a
    large class it is done in rounds, without its graph in memory.

    Args:
        new: (n, d_new) vectors of the new model.
        old: (n, d_old) of the old one, the same items.
        labels: (n,) class numbers.
        classes: Number of classes.
        temperature: Of the softmax.
        spread: How much of each vector comes from others, in [0, 1).
    Returns:
        (classes, d_old); zero rows for classes without items.
    Raises:
        InvalidInput: A temperature of 0, or a spread outside [0, 1).
    """
    if not temperature > 0.0 or not 0.0 <= spread < 1.0:
        raise InvalidInput(
            "refined_prototypes", "temperature > 0, spread in [0, 1)", f"{temperature}, {spread}"
        )
    after, before = unit(as_rows(new, "UniBCT")), unit(as_rows(old, "UniBCT"))
    numbers = class_numbers(labels, after, classes)
    out = before.new_zeros(classes, before.shape[1])
    for number in numbers.unique().tolist():
        mine = numbers == number
        weights = _weights(after[mine], temperature, spread).to(before)
        out[number] = weights @ before[mine]
    return out


def _weights(rows: Tensor, temperature: float, spread: float) -> Tensor:
    """(m,) how much each item of a class counts in its prototype; they add up to one."""
    count = len(rows)
    even = rows.new_full((count,), 1.0 / count)
    if count == 1:
        return even
    if count > _SOLVED:
        return _in_rounds(rows, even, temperature, spread)
    system = torch.eye(count).to(rows) - spread * _graph(rows, 0, count, temperature)
    return (1.0 - spread) * torch.linalg.solve(system.T, even)


def _in_rounds(rows: Tensor, even: Tensor, temperature: float, spread: float) -> Tensor:
    """The same with a part of E in memory: w <- (1 - spread) even + spread E^T w contracts."""
    size = max(_SOLVED**2 // len(rows), 1)
    weights, left = even, 2.0
    while left > _ENOUGH:
        made = (1.0 - spread) * even
        for start in range(0, len(rows), size):
            part = weights[start : start + size]
            made += spread * (part @ _graph(rows, start, size, temperature))
        change = float((made - weights).abs().sum())
        left = min(spread * left, change * spread / (1.0 - spread))  # two bounds of the error
        weights = made
    return weights


def _graph(rows: Tensor, start: int, size: int, temperature: float) -> Tensor:
    """(size, m) rows of E from a start on: what items take from the others of their class."""
    part = rows[start : start + size]
    logits = part @ rows.T / temperature
    mine = torch.arange(len(part), device=rows.device)
    logits[mine, start + mine] = -torch.inf
    return logits.softmax(1)


class UniBCT(Influence):
    """`Influence` that waits, and whose rows are refined while the model is trained.

    Args:
        rows: (classes, d_old) means of the old vectors: `class_means`.
        scale: Factor of the cosines; None scores vectors as they are.
        warm_up: Share of the training without this loss.
    Raises:
        InvalidInput: warm_up outside [0, 1].
    Attributes:
        refine_at: Shares of the training at which to call `refine`.
    Source: Zhang et al. 2022 (UniBCT; temperature 0.05, spread 0.9, warm-up of 10 epochs and
        refinement at epochs 10 and 20). Departs from it: shares of the training instead of
        epochs; an item alone in its class keeps its old vector.
    """

    refine_at = (1.0 / 3.0, 2.0 / 3.0)

    def __init__(
        self, rows: object, scale: float | None = None, warm_up: float = 1.0 / 3.0
    ) -> None:
        super().__init__(rows, scale=scale)
        if not 0.0 <= warm_up <= 1.0:
            raise InvalidInput("UniBCT", "warm_up in [0, 1]", repr(warm_up))
        self.warm_up = warm_up

    def value(self, batch: Batch) -> Tensor:
        """Zero while warming up, then the influence."""
        return batch.nothing() if batch.progress < self.warm_up else super().value(batch)

    def refine(self, new: object, old: object, labels: object) -> None:
        """Put refined prototypes into the rows; classes without items keep theirs.

        Args:
            new: (n, d_new) vectors of the model in training.
            old: (n, d_old) of the old one, the same items.
            labels: (n,) class numbers; items of classes that have no row are left out.
        """
        after, before = as_rows(new, "UniBCT"), as_rows(old, "UniBCT")
        numbers = as_labels(labels, len(after), "UniBCT").to(after.device)
        same_dim(before, self.rows, "UniBCT")
        inside = numbers < len(self.rows)
        after, before, numbers = after[inside], before[inside], numbers[inside]
        made = refined_prototypes(after, before, numbers, len(self.rows)).to(self.rows)
        made = unit(made) if self.scale else made
        there = torch.zeros_like(self.known)
        there[numbers.to(there.device)] = True
        self.rows = torch.where(there[:, None], made, self.rows)
