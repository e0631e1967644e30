"""The same items under finer and finer names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from ...errors import InvalidInput
from ..interface import Interface
from ..memory import Names
from .tables import names_of
from .task import Scenario, Task, Teacher


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
    names = names_of(classes)
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


def _renamed(names: Names, coarse: Mapping[str, str]) -> Names:
    missing = sorted(set(names.tolist()) - set(coarse))
    if missing:
        raise InvalidInput("finer_labels", "a coarser name of every class", f"none of {missing[0]}")
    found, inverse = np.unique(names, return_inverse=True)
    return np.array([coarse[name] for name in found.tolist()])[inverse]
