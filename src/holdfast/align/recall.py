"""How often a query finds one of its own rows, where it may have several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import IntArray, Vectors
from .moments import Float64Array

_BLOCK = 512


def found(
    asking: Vectors, stored: Vectors, right: Sequence[IntArray], depths: Sequence[int]
) -> Float64Array:
    """(q, depths) whether one of the right rows is among the first k, for each k.

    Rows tied with the best right one are taken to be in random order, so that a map to one
    point earns what chance does.

    Args:
        asking: (q, d) unit rows.
        stored: (n, d) unit rows.
        right: For each query the rows of `stored` that are right, one or more.
        depths: The cutoffs k.
    """
    out = np.empty((len(asking), len(depths)))
    for start in range(0, len(asking), _BLOCK):
        table = asking.array[start : start + _BLOCK] @ stored.array.T
        for i, scores in enumerate(table):
            own = scores[right[start + i]]
            best = own.max()
            better, tied = np.sum(scores > best), np.sum(scores == best)
            share = np.sum(own == best) / tied
            out[start + i] = np.clip((np.asarray(depths) - better) * share, 0.0, 1.0)
    return out
