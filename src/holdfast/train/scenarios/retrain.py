"""Each model is trained afresh, on all items of all classes up to now."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..interface import Interface
from .tables import labels_of, names_of, tables_of
from .task import Scenario, Steps, Task, Teacher


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
    names = names_of(classes)
    tables = tables_of(names, interface, steps, "front")
    tasks = []
    for t, table in enumerate(tables):
        labels = labels_of(names, table)
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
