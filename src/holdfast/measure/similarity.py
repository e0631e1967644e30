"""Similarity of raw rows, block by block, for measures that look at every pair.

Rows come as models answer them. Models that were trained to be compatible are compared
with each other on purpose here, also where nobody could search so yet; hence arrays, not
`Vectors`, whose spaces would forbid it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, about_mean, quiet_squares, squared_norms, unit_rows
from ..errors import DimensionMismatch, InvalidInput, NotFinite
from ..space import METRICS, Metric

CELLS = 4_000_000  # similarities held at once: 16 MB
_ROUNDING = np.float32(1e-6)  # of the lengths behind a similarity
_LARGEST_SQUARE = 1e36  # sums of a few of them are still numbers in float32


def as_rows(values: npt.ArrayLike, who: str) -> FloatArray:
    """(n, d) float32 rows, finite.

    Raises:
        InvalidInput: Not numbers.
        DimensionMismatch: Not two-dimensional.
        NotFinite: NaN or infinity; or rows so long that their products would be, as a model
            makes them whose training went astray: every similarity would be the same.
    """
    try:
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity
            rows = np.ascontiguousarray(values, dtype=np.float32)
    except (TypeError, ValueError) as cause:
        raise InvalidInput(who, "(n, d) rows of numbers", str(cause)) from cause
    if rows.ndim != 2:
        raise DimensionMismatch(who, "(n, d) rows", f"shape {rows.shape}")
    squares = quiet_squares(rows)
    if not (squares < _LARGEST_SQUARE).all():
        raise NotFinite(who, "finite numbers", "NaN or infinity, or lengths above 1e18")
    return rows


def padded(
    queries: FloatArray, gallery: FloatArray, extends: bool, who: str
) -> tuple[FloatArray, FloatArray]:
    """Both sides in one dimension: the shorter rows get zeros at the end.

    Args:
        queries: (q, a) rows.
        gallery: (n, b) rows.
        extends: Whether the first coordinates of the longer rows are those of the shorter
            ones; only then may a and b differ.
        who: Who asks, for the message.
    Raises:
        DimensionMismatch: a and b differ, and `extends` is false.
    """
    short, long = sorted((queries.shape[1], gallery.shape[1]))
    if short == long:
        return queries, gallery
    if not extends:
        raise DimensionMismatch(
            who,
            "queries and gallery of one dimension",
            f"{queries.shape[1]} and {gallery.shape[1]}",
            "Pass extends=True where the first coordinates of one are the other's.",
        )
    wide = [np.pad(rows, ((0, 0), (0, long - rows.shape[1]))) for rows in (queries, gallery)]
    return wide[0], wide[1]


def blocks(
    queries: FloatArray, gallery: FloatArray, metric: Metric = "cosine"
) -> Iterator[tuple[slice, FloatArray]]:
    """Similarities of some queries with the whole gallery, higher is nearer.

    Args:
        queries: (q, d) rows.
        gallery: (n, d) rows.
        metric: The cosine, the inner product, or minus the squared Euclidean distance.
    Yields:
        Which queries, and their (b, n) float32 similarities. At most 16 MB of them at once,
        or one row where that is more.
    """
    if metric not in METRICS:
        raise InvalidInput("similarity", f"a metric among {', '.join(METRICS)}", repr(metric))
    if queries.shape[1] != gallery.shape[1]:
        raise DimensionMismatch(
            "similarity",
            f"gallery rows of {queries.shape[1]} numbers",
            f"{gallery.shape[1]}",
        )
    if metric == "cosine":
        queries, gallery = unit_rows(queries), unit_rows(gallery)
    squares = None
    if metric == "euclidean":
        queries, gallery = about_mean(queries, gallery)
        squares = squared_norms(gallery)
    step = max(1, CELLS // max(len(gallery), 1))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        scores = queries[rows] @ gallery.T
        if squares is not None:
            scores *= 2.0
            scores -= squares
            scores -= squared_norms(queries[rows])[:, None]
        yield rows, scores


def lengths(
    queries: FloatArray, gallery: FloatArray, metric: Metric = "cosine"
) -> tuple[FloatArray, FloatArray]:
    """(q,) and (n,) lengths of the rows as `blocks` compares them, for `slack`."""
    if metric == "cosine":
        return np.ones(len(queries), dtype=np.float32), np.ones(len(gallery), dtype=np.float32)
    if metric == "euclidean":
        queries, gallery = about_mean(queries, gallery)
    return np.sqrt(squared_norms(queries)), np.sqrt(squared_norms(gallery))


def slack(queries: FloatArray, gallery: FloatArray, metric: Metric = "cosine") -> FloatArray:
    """By how much similarities of rows of these lengths may differ by rounding alone.

    It is for each pair to say: beside one row that lies far out, no other difference is large.
    """
    behind = (queries + gallery) ** 2 if metric == "euclidean" else queries * gallery
    return _ROUNDING * behind
