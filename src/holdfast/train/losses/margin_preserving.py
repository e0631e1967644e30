"""Margin-preserving training (MPT): old classes keep their margin when new ones join them."""

from __future__ import annotations

from functools import partial

from ...errors import InvalidInput
from ..tensors import Tensor, functional, torch
from .base import Batch, Loss
from .focal import Distance, FocalDistillation


class MarginPreserving(Loss):
    """CE(f + margin [class is new], y) + FD(f[old classes], f_old) + FD(f, f_other).

    The margin helps the logits of new classes in training only, so that old classes must
    beat them by as much; without it in use they do. FD is focal distillation.

    Args:
        old_classes: The first that many classes are old.
        margin: Added to logits of the others.
        distance: "kl" at temperature 5, not multiplied by its square, or "mean squared",
            which is weighted by 0.4.
        other: Whether there is a second teacher, a new model trained by itself.
    Raises:
        InvalidInput: old_classes below 1.
    Source: MPT (AAAI 2026, arXiv 2511.08322; margin 4, focus 5). Departs from it: the
        second teacher can be left out.
    """

    def __init__(
        self,
        old_classes: int,
        margin: float = 4.0,
        distance: Distance = "kl",
        other: bool = True,
    ) -> None:
        super().__init__()
        if old_classes < 1:
            raise InvalidInput("MarginPreserving", "old_classes from 1", str(old_classes))
        self.old_classes, self.margin = old_classes, margin
        self.weight = 1.0 if distance == "kl" else 0.4
        focal = partial(FocalDistillation, distance=distance, temperature=5.0, times_square=False)
        self.from_old = focal(classes=old_classes)
        self.from_other = focal(teacher="other") if other else None
        needs = {"labels", "logits", "old_logits"} | ({"other_logits"} if other else set())
        self.needs = frozenset(needs)

    def value(self, batch: Batch) -> Tensor:
        """The three terms."""
        logits: Tensor = batch.logits
        is_new = torch.arange(logits.shape[1], device=logits.device) >= self.old_classes
        shift = self.margin * is_new
        total = functional.cross_entropy(logits + shift, batch.labels)
        total = total + self.weight * self.from_old(batch)
        if self.from_other is not None:
            total = total + self.weight * self.from_other(batch)
        return total
