"""One model goes on with new classes and a memory of old ones; or another takes over."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from ...errors import InvalidInput
from ..interface import Interface, Side
from ..memory import Memory
from .tables import labels_of, names_of, tables_of
from .task import Scenario, Start, Steps, Task, Teacher


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
    Raises:
        InvalidInput: A replacement before a task that there is not.
    Source: Biondi et al. 2024 (IAM-CL2R; 10 + 6 x 15 classes, replaced at 0, 2, 4). Departs
        from it: the teacher is a choice, and by default the deployed model.
    """
    if not set(replaced) <= set(range(len(steps))):
        raise InvalidInput("asynchronous", f"tasks from 0 to {len(steps) - 1}", str(replaced))
    names = names_of(classes)
    tables = tables_of(names, interface, steps, side)
    tasks = []
    for t, table in enumerate(tables):
        start: Start = "downloaded" if t in replaced else "deployed" if t else "fresh"
        tasks.append(
            Task(
                str(t + 1),
                np.flatnonzero(np.isin(names, list(steps[t]))),
                labels_of(names, table),
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
