"""Each model sees more items of the same classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...errors import InvalidInput
from ..batches import generator
from ..interface import Interface
from .tables import labels_of, names_of, ranks
from .task import Scenario, Start, Task, Teacher


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
    Raises:
        InvalidInput: Shares that do not rise in (0, 1].
    """
    if not all(0.0 < a < b <= 1.0 for a, b in zip((1e-12, *shares), shares, strict=False)):
        raise InvalidInput("more_data", "rising shares in (0, 1]", str(shares))
    names = names_of(classes)
    known = list(dict.fromkeys(names.tolist()))
    table = interface.filled(known)
    labels = labels_of(names, table)
    order = generator(seed).permutation(len(names))
    places, sizes = ranks(labels, order)
    return Scenario(
        names,
        tuple(
            Task(
                str(t + 1),
                np.flatnonzero(places / sizes < share),
                labels,
                table,
                () if t else tuple(known),
                start if t else "fresh",
                teacher if t else "none",
            )
            for t, share in enumerate(shares)
        ),
    )
