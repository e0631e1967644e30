"""Different models are trained afresh on the same items."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..interface import Interface
from .tables import labels_of, names_of
from .task import Scenario, Task, Teacher


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
    names = names_of(classes)
    known = tuple(dict.fromkeys(names.tolist()))
    table = interface.filled(known)
    labels = labels_of(names, table)
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
