"""Logit difference inhibition (ELODI): stay within a slack of a reference's logits."""

from __future__ import annotations

from typing import get_args

from ...errors import InvalidInput
from ..tensors import Tensor, at_least_float32, functional
from .base import Batch, Loss
from .focal import Teacher


class LogitDifference(Loss):
    """mean_i mean_c max(0, |student_ic - reference_ic| - slack)^power.

    Args:
        slack: What is allowed; 0 to 0.2 beside an ensemble, whose logits are steadier.
        power: Of what is beyond.
        top: Only the classes of the reference's that many largest logits; all without it.
        reference: "old", or "other": the mean of an ensemble of new models.
    Raises:
        InvalidInput: Slack below 0, power or top below 1, or an unknown reference.
    Source: Zhao et al. 2022 (ELODI; slack 0.5, power 2). Departs from it: nothing.
    """

    def __init__(
        self,
        slack: float = 0.5,
        power: float = 2.0,
        top: int | None = None,
        reference: Teacher = "other",
    ) -> None:
        super().__init__()
        if slack < 0.0 or power < 1.0 or (top is not None and top < 1):
            raise InvalidInput(
                "LogitDifference", "slack from 0, power and top from 1", f"{slack}, {power}, {top}"
            )
        if reference not in get_args(Teacher):
            raise InvalidInput("LogitDifference", f"one of {get_args(Teacher)}", repr(reference))
        self.slack, self.power, self.top, self.field = slack, power, top, f"{reference}_logits"
        self.needs = frozenset({"logits", self.field})

    def value(self, batch: Batch) -> Tensor:
        """Mean over the batch."""
        reference = at_least_float32(getattr(batch, self.field))
        student = at_least_float32(batch.logits)
        if student.shape != reference.shape:
            raise InvalidInput(
                "LogitDifference", f"{reference.shape[1]} logits", str(student.shape[1])
            )
        if self.top is not None:
            chosen = reference.topk(min(self.top, reference.shape[1]), 1).indices
            student, reference = student.gather(1, chosen), reference.gather(1, chosen)
        beyond = functional.relu((student - reference).abs() - self.slack)
        return beyond.pow(self.power).mean()
