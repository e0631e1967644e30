"""A task, and a scenario of them in the order of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from ...arrays import IntArray
from ...errors import InvalidInput
from ..interface import Interface
from ..memory import Memory, Names

Start = Literal["fresh", "deployed", "downloaded"]
Teacher = Literal["none", "deployed", "downloaded", "stored"]
Steps = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """What one model is trained on.

    Args:
        name: For people and file names; unique in its scenario.
        items: (n,) places in the data set, without those of the memory.
        labels: (N,) vertex of every item of the data set; -1 for what is not known yet.
        interface: With the classes up to now.
        classes: Those that are new.
        start: "fresh", the "deployed" model goes on, or a "downloaded" one takes over.
        teacher: Whose vectors are the old ones: "none", the "deployed" model's, those of the
            "downloaded" model as it came, or what the gallery has "stored".
        remembers: Whether batches are half memory, and the memory takes items in afterwards.
        model: Which model is to be built, where there are several.
    Raises:
        InvalidInput: An unknown start or teacher, a teacher that is not there, or no items of known
            classes.
    """

    name: str
    items: IntArray
    labels: IntArray
    interface: Interface
    classes: tuple[str, ...]
    start: Start = "fresh"
    teacher: Teacher = "none"
    remembers: bool = False
    model: str = ""

    def __post_init__(self) -> None:
        who = f"Task {self.name!r}"
        if self.start not in get_args(Start) or self.teacher not in get_args(Teacher):
            raise InvalidInput(
                who,
                f"start in {get_args(Start)}, teacher in {get_args(Teacher)}",
                f"{self.start!r} and {self.teacher!r}",
            )
        if self.teacher == "downloaded" and self.start != "downloaded":
            raise InvalidInput(who, "a downloaded model to be the teacher", f"start {self.start!r}")
        if not len(self.items) or bool((self.labels[self.items] < 0).any()):
            raise InvalidInput(who, "items whose classes are known", f"{len(self.items)} items")


@dataclass(frozen=True, slots=True, eq=False)
class Scenario:
    """Tasks in the order of time.

    Args:
        classes: (N,) name of the class of every item of the data set.
        tasks: At least one.
        memory: As it is before the first task; None where nothing is remembered.
    Raises:
        InvalidInput: A name twice, a first task that needs a deployed model, or no memory
            for tasks that remember.
    """

    classes: Names
    tasks: tuple[Task, ...]
    memory: Memory | None = field(default=None)

    def __post_init__(self) -> None:
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) != len(names):
            raise InvalidInput("Scenario", "tasks of different names", str(names)[:120])
        first = self.tasks[0]
        if first.start == "deployed" or first.teacher in {"deployed", "stored"}:
            raise InvalidInput(
                "Scenario", "a first task that needs no deployed model", f"start {first.start!r}"
            )
        if self.memory is None and any(task.remembers for task in self.tasks):
            raise InvalidInput("Scenario", "a memory", "none", "Give Memory(per_class=20).")
