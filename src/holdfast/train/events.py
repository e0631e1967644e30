"""What a run tells those who listen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .model import Model
from .scenarios import Task

What = Literal["task", "step", "epoch", "checkpoint", "trained"]


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """Something that happened in a run.

    Args:
        what: "task" begins; a "step" or an "epoch" is done; a "checkpoint" is written; a
            model is "trained".
        task: Which one.
        number: Of the task, from 0.
        step: Steps of this task that are done.
        steps: Steps of this task.
        progress: Share of the whole run that is done, tasks counting alike, in [0, 1].
        values: "loss" and its terms, not weighted, and "rate": of the step, or the means over
            the epoch.
        model: In training or trained; look, do not touch.
    """

    what: What
    task: Task
    number: int
    step: int
    steps: int
    progress: float
    model: Model
    values: Mapping[str, float] = field(default_factory=dict)


Listener: TypeAlias = Callable[[Event], None]
