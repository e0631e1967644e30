"""Most searched first: what past searches found is what readers look at.

A log is a sample of what is going to be asked, and a short one says little of it. So items
ask too, and together count as much as 256 past searches: what many items lie close to is found by
many searches nobody has made yet. A long log drowns them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...arrays import IntArray
from ...errors import InvalidInput

Floats = npt.NDArray[np.float64]

DEPTH = 100  # hits of a past search that count
ITEMS = 256.0  # searches that all items together stand for


def most_searched(found: IntArray, weights: npt.ArrayLike, count: int) -> Floats:
    """How often, and how high, each item stands in the answers to past searches.

    A hit at place i, from 1, counts 1 / log2(i + 1), as in nDCG.

    Args:
        found: (q, k) places of items, best first; -1 where a search found no more.
        weights: (q,) how often each was searched.
        count: Number n of items.
    Returns:
        (n,) scores; 0 for what was never found.
    Raises:
        InvalidInput: Another number of weights than of searches, or a negative one.
    Example:
        >>> most_searched(np.array([[2, 0], [2, -1]]), [1.0, 3.0], 3).round(3).tolist()
        [0.631, 0.0, 4.0]
    """
    times = as_weights(weights, len(found))
    discounts = 1.0 / np.log2(np.arange(2, found.shape[1] + 2))
    filled = found >= 0
    worth = (times[:, None] * discounts)[filled]
    scores: Floats = np.bincount(found[filled], weights=worth, minlength=count).astype(np.float64)
    return scores


def without_self(found: IntArray, asking: IntArray) -> IntArray:
    """Hits of items that asked, less the items themselves.

    Args:
        found: (q, k) places of items, best first; -1 where there are no more.
        asking: (q,) the place of the item that asked.
    Returns:
        (q, k - 1) places; the last one falls away where an item did not find itself.
    Example:
        >>> without_self(np.array([[4, 7, 9], [7, 4, 9]]), np.array([7, 7])).tolist()
        [[4, 9], [4, 9]]
    """
    own = found == asking[:, None]
    kept = np.argsort(own, axis=1, kind="stable")[:, :-1]
    return np.take_along_axis(found, kept, axis=1)


def as_weights(weights: npt.ArrayLike, queries: int) -> Floats:
    """(q,) checked numbers of searches.

    Raises:
        InvalidInput: Another number of them, negative ones or not finite ones.
    """
    times = np.asarray(weights, dtype=np.float64)
    if times.shape != (queries,) or not ((times >= 0.0) & np.isfinite(times)).all():
        raise InvalidInput("weights", f"{queries} numbers from 0", f"shape {times.shape}")
    return times
