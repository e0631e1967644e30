"""Feature distillation: items of the memory keep the direction they had."""

from __future__ import annotations

import math

from ...errors import InvalidInput
from ..tensors import Tensor, cosines, mean_where, same_dim, torch
from .base import Batch, Loss


class FeatureDistillation(Loss):
    """Mean of 1 - cos(new, old) over the items of the episodic memory.

    Over the memory only: the old model has nothing reliable to say of new classes.

    Args:
        memory_only: False counts every item, and needs no `memory`.
    Source: Biondi et al. 2023 (CL2R, "local stationarity"). Departs from it: nothing.
    See also: `distillation_weight`.
    """

    def __init__(self, memory_only: bool = True) -> None:
        super().__init__()
        self.memory_only = memory_only
        self.needs = frozenset({"old", "memory"} if memory_only else {"old"})

    def value(self, batch: Batch) -> Tensor:
        """Mean over the rows that count."""
        same_dim(batch.compared, batch.old, "FeatureDistillation")
        apart = 1.0 - cosines(batch.compared, batch.old)
        counted = batch.memory if self.memory_only else torch.ones_like(apart, dtype=torch.bool)
        return mean_where(apart, counted)


def distillation_weight(new_classes: int, old_classes: int, base: float = 5.0) -> float:
    """The weight of the loss in one task: base sqrt(new / old classes).

    Raises:
        InvalidInput: new_classes below 0, or old_classes below 1.
    Source: Biondi et al. 2023 (CL2R). Departs from it: nothing.
    Example:
        >>> distillation_weight(10, 40)
        2.5
    """
    if new_classes < 0 or old_classes < 1:
        raise InvalidInput(
            "distillation_weight", "new classes from 0, old from 1", f"{new_classes}, {old_classes}"
        )
    return base * math.sqrt(new_classes / old_classes)
