"""Scenarios: what is trained on when, from which start, and what the teacher is.

A scenario is a list of tasks over one data set, whatever the head and the loss. A task leaves
one model, which then is the deployed one. Labels are vertices of the interface, and a growing
interface numbers classes in the order in which they come, so learned heads are served as well.

    retrain         from the start, on more and more classes            CoReS, BCT, OCA
    incremental     on, with new classes and a memory of old ones       CL2R
    asynchronous    the same, but now and then a model trained
                    elsewhere takes over                                IAM-CL2R
    more_data       from the start, on more items of the same classes
    architectures   from the start, on the same items, by other models
    finer_labels    from the start, on the same items under finer names

Needs numpy only.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ..arrays import IntArray
from ..errors import InvalidInput
from .batches import generator
from .interface import Interface, Side
from .memory import Memory, Names

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


def retrain(
    classes: npt.ArrayLike, interface: Interface, steps: Steps, teacher: Teacher = "deployed"
) -> Scenario:
    """Each model is trained afresh on all items of all classes up to now.

    Args:
        classes: (N,) name of the class of every item.
        interface: To be filled from the front.
        steps: New classes of each task.
        teacher: Of every task but the first; "none" for CoReS.
    Source: Biondi et al. 2023 (CoReS), Shen et al. 2020 (BCT). Departs from them: nothing.
    Example:
        >>> found = retrain(["a", "b", "a", "c"], Interface("x", capacity=8), [["a"], ["b", "c"]])
        >>> [task.items.tolist() for task in found.tasks]
        [[0, 2], [0, 1, 2, 3]]
    """
    names, tables = _names(classes), _tables(interface, steps, "front")
    tasks = []
    for t, table in enumerate(tables):
        labels = _labels(names, table)
        tasks.append(
            Task(
                str(t + 1),
                np.flatnonzero(labels >= 0),
                labels,
                table,
                tuple(steps[t]),
                teacher=teacher if t else "none",
            )
        )
    return Scenario(names, tuple(tasks))


def incremental(
    classes: npt.ArrayLike,
    interface: Interface,
    steps: Steps,
    memory: Memory,
    teacher: Teacher = "deployed",
) -> Scenario:
    """One model goes on with new classes, and a memory of the old ones.

    Args:
        classes: (N,) name of the class of every item.
        interface: To be filled from the front.
        steps: New classes of each task.
        memory: As it is before the first task.
        teacher: Of every task but the first.
    Source: Biondi et al. 2023 (CL2R). Departs from it: nothing.
    """
    return asynchronous(classes, interface, steps, memory, (), teacher, "front")


def asynchronous(
    classes: npt.ArrayLike,
    interface: Interface,
    steps: Steps,
    memory: Memory,
    replaced: Collection[int],
    teacher: Teacher = "deployed",
    side: Side = "back",
) -> Scenario:
    """As `incremental`; at some tasks a model trained elsewhere takes over from the deployed.

    Both sides agree on the interface only. The published method takes the downloaded model
    for the teacher then, which ties the new model to what serves by nothing but the figure.
    The deployed model is at hand, for it serves, and so is what the gallery stores.

    Args:
        classes: (N,) name of the class of every item.
        interface: With the classes of the other side, or empty.
        steps: New classes of each task.
        memory: As it is before the first task.
        replaced: Numbers of the tasks, from 0, at which a downloaded model takes over.
        teacher: Of every task; "downloaded" means so where there is one and the deployed
            model elsewhere. A first task has the downloaded one or none.
        side: From where the classes fill the interface; growing ones have a front only.
    Source: Biondi et al. 2024 (IAM-CL2R; 10 + 6 x 15 classes, replaced at 0, 2, 4). Departs
        from it: the teacher is a choice, and by default the deployed model.
    """
    if not set(replaced) <= set(range(len(steps))):
        raise InvalidInput("asynchronous", f"tasks from 0 to {len(steps) - 1}", str(replaced))
    names, tables = _names(classes), _tables(interface, steps, side)
    tasks = []
    for t, table in enumerate(tables):
        start: Start = "downloaded" if t in replaced else "deployed" if t else "fresh"
        tasks.append(
            Task(
                str(t + 1),
                np.flatnonzero(np.isin(names, list(steps[t]))),
                _labels(names, table),
                table,
                tuple(steps[t]),
                start,
                _teacher(teacher, start, first=t == 0),
                remembers=True,
            )
        )
    return Scenario(names, tuple(tasks), memory)


def _teacher(wanted: Teacher, start: Start, first: bool) -> Teacher:
    if wanted == "none":
        return "none"
    if first:
        return "downloaded" if start == "downloaded" else "none"
    return "deployed" if wanted == "downloaded" and start != "downloaded" else wanted


def more_data(
    classes: npt.ArrayLike,
    interface: Interface,
    shares: Sequence[float],
    teacher: Teacher = "deployed",
    start: Start = "fresh",
    seed: int = 0,
) -> Scenario:
    """Each model sees more items of the same classes; earlier items stay.

    Args:
        classes: (N,) name of the class of every item.
        interface: To be filled from the front with all of them.
        shares: Of each class, rising, in (0, 1].
        teacher: Of every task but the first.
        start: Of every task but the first.
        seed: Decides which items come first.
    """
    if not all(0.0 < a < b <= 1.0 for a, b in zip((1e-12, *shares), shares, strict=False)):
        raise InvalidInput("more_data", "rising shares in (0, 1]", str(shares))
    names = _names(classes)
    known = list(dict.fromkeys(names.tolist()))
    table = interface.filled(known)
    labels = _labels(names, table)
    order = generator(seed).permutation(len(names))
    ranks = _share_ranks(labels, order)
    return Scenario(
        names,
        tuple(
            Task(
                str(t + 1),
                np.flatnonzero(ranks < share),
                labels,
                table,
                () if t else tuple(known),
                start if t else "fresh",
                teacher if t else "none",
            )
            for t, share in enumerate(shares)
        ),
    )


def architectures(
    classes: npt.ArrayLike,
    interface: Interface,
    models: Sequence[str],
    teacher: Teacher = "deployed",
) -> Scenario:
    """Different models are trained afresh on the same items, one after another.

    Args:
        classes: (N,) name of the class of every item.
        interface: To be filled from the front with all of them.
        models: Their names, which `Task.model` passes on to whoever builds them.
        teacher: Of every task but the first.
    """
    names = _names(classes)
    known = tuple(dict.fromkeys(names.tolist()))
    table = interface.filled(known)
    labels = _labels(names, table)
    return Scenario(
        names,
        tuple(
            Task(
                f"{t + 1}-{model}",
                np.arange(len(names)),
                labels,
                table,
                () if t else known,
                teacher=teacher if t else "none",
                model=model,
            )
            for t, model in enumerate(models)
        ),
    )


def finer_labels(
    classes: npt.ArrayLike,
    interface: Interface,
    coarser: Sequence[Mapping[str, str]],
    teacher: Teacher = "deployed",
) -> Scenario:
    """The same items under finer and finer names; the last task has the names as given.

    A coarse class keeps its vertex when finer ones come; a name that stays is one class.

    Args:
        classes: (N,) finest name of every item.
        interface: To be filled from the front.
        coarser: For each task but the last, finest name -> coarser name.
        teacher: Of every task but the first.
    """
    names = _names(classes)
    tasks: list[Task] = []
    for t in range(len(coarser) + 1):
        seen = _renamed(names, coarser[t]) if t < len(coarser) else names
        known = tuple(dict.fromkeys(seen.tolist()))
        new = tuple(name for name in known if name not in interface)
        interface = interface.filled(new)
        tasks.append(
            Task(
                str(t + 1),
                np.arange(len(names)),
                interface.vertices_of(seen.tolist()),
                interface,
                new,
                teacher=teacher if t else "none",
            )
        )
    return Scenario(names, tuple(tasks))


def _names(classes: npt.ArrayLike) -> Names:
    names = np.asarray(classes)
    if names.ndim != 1 or names.dtype.kind != "U" or not len(names):
        raise InvalidInput("a scenario", "(N,) names of classes", f"{names.dtype} {names.shape}")
    return names


def _tables(interface: Interface, steps: Steps, side: Side) -> list[Interface]:
    tables: list[Interface] = []
    for new in steps:
        known = [name for name in new if any(name in step for step in steps[: len(tables)])]
        if known or not new:
            raise InvalidInput("a scenario", "new classes in every step", f"{list(new)[:5]}")
        interface = interface.filled(new, side)
        tables.append(interface)
    return tables


def _labels(names: Names, table: Interface) -> IntArray:
    """(N,) vertices of items; -1 where the table lacks the class."""
    found, inverse = np.unique(names, return_inverse=True)
    vertices = [table.places.get(name, -1) for name in found.tolist()]
    return np.array(vertices, dtype=np.int64)[inverse]


def _renamed(names: Names, coarse: Mapping[str, str]) -> Names:
    missing = sorted(set(names.tolist()) - set(coarse))
    if missing:
        raise InvalidInput("finer_labels", "a coarser name of every class", f"none of {missing[0]}")
    found, inverse = np.unique(names, return_inverse=True)
    return np.array([coarse[name] for name in found.tolist()])[inverse]


def _share_ranks(labels: IntArray, order: IntArray) -> npt.NDArray[np.float64]:
    """(N,) place of each item within its class, in the drawn order, as a share in [0, 1)."""
    drawn = order[np.argsort(labels[order], kind="stable")]
    _, sizes = np.unique(labels, return_counts=True)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    ranks = np.empty(len(labels))
    ranks[drawn] = (np.arange(len(labels)) - starts) / np.repeat(sizes, sizes)
    return ranks
