"""How often a row that asks finds one of its own, of which it may have several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..arrays import FloatArray, IntArray, about_mean, squared_norms
from ..space import Metric
from .moments import Float64Array

_BLOCK = 512  # asking rows scored at once, at most
_CELLS = 16_000_000  # scores held at once: 64 MB, and what callers make of them
_TIE = np.float32(1e-6)  # of the lengths: equal columns may differ in their last bits


def tables(
    asking: FloatArray, stored: FloatArray, metric: Metric
) -> Iterator[tuple[slice, FloatArray]]:
    """Scores of some asking rows with all stored ones, up to a constant of each asking row.

    Args:
        asking: (q, d) rows; unit ones where the metric is cosine.
        stored: (n, d) rows, likewise.
        metric: How they are compared; higher is better.
    Yields:
        Which asking rows, and their (b, n) fresh float32 scores.
    """
    shift = None
    if metric == "euclidean":
        asking, stored = about_mean(asking, stored)
        shift = 0.5 * squared_norms(stored)
    step = min(_BLOCK, max(1, _CELLS // max(len(stored), 1)))
    for start in range(0, len(asking), step):
        part = slice(start, min(start + step, len(asking)))
        table = asking[part] @ stored.T
        if shift is not None:
            table -= shift
        yield part, table


def found(
    asking: FloatArray,
    stored: FloatArray,
    right: Sequence[IntArray],
    depths: Sequence[int],
    metric: Metric = "cosine",
) -> Float64Array:
    """(q, depths) whether one of the right rows is among the first k, for each k.

    Rows tied with the best right one are taken to be in random order, and a query earns the
    share of orders in which it finds. A map to one point earns what chance does.

    Args:
        asking: (q, d) rows; unit ones where the metric is cosine.
        stored: (n, d) rows, likewise.
        right: For each asking row the rows of `stored` that are right, one or more.
        depths: The cutoffs k.
        metric: How rows are compared.
    """
    out = np.empty((len(asking), len(depths)))
    slack = _slack(asking, stored, right, metric)
    for part, table in tables(asking, stored, metric):
        own = right[part]
        starts = np.cumsum([0, *map(len, own[:-1])])
        rows = np.repeat(np.arange(len(own)), [len(places) for places in own])
        scores = table[rows, np.concatenate(own)]
        best = np.maximum.reduceat(scores, starts)[:, None]
        near = slack[part, None]
        better = (table > best + near).sum(axis=1)
        tied = (np.abs(table - best) <= near).sum(axis=1)
        good = np.add.reduceat((scores >= (best - near)[rows, 0]).astype(np.int64), starts)
        for column, k in enumerate(depths):
            out[part, column] = _chance(tied, good, np.clip(k - better, 0, tied))
    return out


def _chance(tied: IntArray, good: IntArray, places: IntArray) -> Float64Array:
    """(b,) chance that of `tied` rows in random order a good one is in the first places."""
    missed = np.ones(len(tied))
    for i in range(int(good.max(initial=0))):
        some = i < good
        left = np.maximum(tied - places - i, 0) / np.maximum(tied - i, 1)
        missed = np.where(some, missed * left, missed)
    return 1.0 - missed


def _slack(
    asking: FloatArray, stored: FloatArray, right: Sequence[IntArray], metric: Metric
) -> FloatArray:
    """(q,) largest difference of scores that is rounding, by the lengths of the rows."""
    if metric == "euclidean":
        asking, stored = about_mean(asking, stored)
    squares = squared_norms(stored)
    own = np.array([squares[places].max() for places in right], dtype=np.float32)
    # Root by root: the product of two squares may be beyond what float32 holds.
    slack: FloatArray = np.sqrt(squared_norms(asking)) * np.sqrt(own)
    if metric == "euclidean":
        slack += 0.5 * own
    return _TIE * slack
