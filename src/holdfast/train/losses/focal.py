"""Focal distillation: above all where the teacher is right, answer as it does.

A negative flip is an item that the old model got right and the new one gets wrong. Distilling
the old model prevents them; weighting what it got right does so at a smaller price.
"""

from __future__ import annotations

from typing import Literal, get_args

from ...errors import InvalidInput
from ..tensors import Tensor, at_least_float32, functional, mean_where, torch
from .base import Batch, Loss

Distance = Literal["kl", "squared", "mean squared"]
Counted = Literal["all", "teacher right", "flipped", "student wrong"]
Teacher = Literal["old", "other"]


class FocalDistillation(Loss):
    """mean_i (base + focus [teacher right on i]) distance(student_i, teacher_i).

    The distance is tau^2 KL(softmax(teacher / tau) | softmax(student / tau)), or half the sum
    ("squared") or half the mean ("mean squared") of squared differences of logits.

    Args:
        distance: Which.
        base: Weight of every item.
        focus: Further weight of those that the teacher has right.
        temperature: The tau of the KL divergence.
        times_square: Whether the KL divergence is multiplied by tau^2, without which its
            gradient falls with tau.
        counted: Which items count: all, those the teacher has right, those that flipped to
            wrong, or those the student has wrong.
        classes: Compare the first that many logits of the student, where the teacher has no
            more; all without it.
        teacher: "old", or "other" for the independently trained model.
    Raises:
        InvalidInput: A temperature of 0, classes below 1, or an unknown word.
    Source: Yan et al. 2021 (PCT; base 1, focus 5, temperature 100). Departs from it: nothing.
    """

    def __init__(
        self,
        distance: Distance = "kl",
        base: float = 1.0,
        focus: float = 5.0,
        temperature: float = 100.0,
        times_square: bool = True,
        counted: Counted = "all",
        classes: int | None = None,
        teacher: Teacher = "old",
    ) -> None:
        super().__init__()
        for value, kind in ((distance, Distance), (counted, Counted), (teacher, Teacher)):
            if value not in get_args(kind):
                raise InvalidInput("FocalDistillation", f"one of {get_args(kind)}", repr(value))
        if not temperature > 0.0 or (classes is not None and classes < 1):
            raise InvalidInput(
                "FocalDistillation", "temperature > 0, classes from 1", f"{temperature}, {classes}"
            )
        self.distance, self.base, self.focus = distance, base, focus
        self.temperature, self.times_square = temperature, times_square
        self.counted, self.classes, self.field = counted, classes, f"{teacher}_logits"
        self.needs = frozenset({"labels", "logits", self.field})

    def value(self, batch: Batch) -> Tensor:
        """Mean over the items that count."""
        teacher = at_least_float32(getattr(batch, self.field))
        student = at_least_float32(batch.logits)
        right = teacher.argmax(1) == batch.labels
        wrong = student.detach().argmax(1) != batch.labels
        near = student if self.classes is None else student[:, : self.classes]
        if near.shape != teacher.shape:
            raise InvalidInput(
                "FocalDistillation",
                f"{teacher.shape[1]} logits, as the teacher has",
                str(near.shape[1]),
                "Give `classes`.",
            )
        values = (self.base + self.focus * right) * self.apart(near, teacher)
        masks = {
            "all": torch.ones_like(right),
            "teacher right": right,
            "flipped": right & wrong,
            "student wrong": wrong,
        }
        return mean_where(values, masks[self.counted])

    def apart(self, student: Tensor, teacher: Tensor) -> Tensor:
        """(n,) distances of paired logits."""
        if self.distance == "kl":
            tau = self.temperature
            expected = (teacher / tau).log_softmax(1)
            given = (student / tau).log_softmax(1)
            apart = functional.kl_div(given, expected, reduction="none", log_target=True).sum(1)
            return apart * tau**2 if self.times_square else apart
        squares = 0.5 * (student - teacher).square()
        return squares.sum(1) if self.distance == "squared" else squares.mean(1)
