"""The best rows for each query, exactly: a matrix product in blocks, and what it leaves on top.

A block of scores is still in the cache when it is compared with the worst hit so far, which few
scores beat after the first blocks. Sorting out the k best of whole rows of scores would take
half as long again as the product itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import FloatArray, IntArray, squared_norms
from ..space import Metric

_QUERIES = 512  # scored at once
_CELLS = 1 << 21  # scores in a block: 8 MB
_FEW = 4  # new hits for each place, above which sorting a block is quicker than picking them


def scores(queries: FloatArray, rows: FloatArray, metric: Metric) -> FloatArray:
    """(q, n) scores, higher is better: cosine of unit rows, product, or minus the distance."""
    if metric != "euclidean":
        products: FloatArray = queries @ rows.T
        return products
    # In float32 the difference of large squares leaves near rows without a correct digit.
    a, b = queries.astype(np.float64), rows.astype(np.float64)
    squares = squared_norms(a)[:, None] + squared_norms(b)[None, :] - 2.0 * (a @ b.T)
    negative: FloatArray = -np.sqrt(np.maximum(squares, 0.0)).astype(np.float32)
    return negative


def best(table: FloatArray, k: int) -> tuple[Any, FloatArray]:
    """(q, k) positions and scores of the k largest of each row, largest first."""
    width = min(k, table.shape[1])
    if width < table.shape[1]:
        part = np.argpartition(table, -width, axis=1)[:, -width:]
    else:
        part = np.broadcast_to(np.arange(width), table.shape)
    kept = np.take_along_axis(table, part, axis=1)
    order = np.argsort(-kept, axis=1, kind="stable")
    return np.take_along_axis(part, order, axis=1), np.take_along_axis(kept, order, axis=1)


def top(
    queries: FloatArray, rows: FloatArray, k: int, metric: Metric
) -> tuple[IntArray, FloatArray]:
    """(q, min(k, n)) positions and scores of the best rows, best first.

    Args:
        queries: (q, d).
        rows: (n, d).
        k: At least 1.
        metric: How they are compared.
    """
    width = min(k, len(rows))
    places = np.empty((len(queries), width), dtype=np.int64)
    values = np.empty((len(queries), width), dtype=np.float32)
    for start in range(0, len(queries) if width else 0, _QUERIES):
        block = queries[start : start + _QUERIES]
        step = max(_CELLS // len(block), width)
        held = best(scores(block, rows[:step], metric), width)
        for first in range(step, len(rows), step):
            table = scores(block, rows[first : first + step], metric)
            held = _improved(*held, table, first)
        places[start : start + _QUERIES], values[start : start + _QUERIES] = held
    return places, values


def _improved(
    places: IntArray, values: FloatArray, table: FloatArray, first: int
) -> tuple[IntArray, FloatArray]:
    """The k best of those held and a further block, whose columns count from `first`."""
    k, columns = values.shape[1], table.shape[1]
    better = np.flatnonzero((table > values[:, -1:]).ravel())
    if not len(better):
        return places, values
    queries, found = np.divmod(better, columns)
    counts = np.bincount(queries, minlength=len(table))
    most = int(counts.max())
    if most > _FEW * max(k, 16):
        found_here, fresh = best(table, k)
        wide_places = np.concatenate([places, found_here + first], axis=1)
        wide = np.concatenate([values, fresh], axis=1)
    else:
        rank = np.arange(len(better)) - np.repeat(np.cumsum(counts) - counts, counts)
        wide = np.full((len(table), k + most), -np.inf, dtype=np.float32)
        wide_places = np.zeros(wide.shape, dtype=np.int64)
        wide[:, :k], wide_places[:, :k] = values, places
        wide[queries, k + rank] = table.ravel()[better]
        wide_places[queries, k + rank] = first + found
    order, kept = best(wide, k)
    return np.take_along_axis(wide_places, order, axis=1), kept
