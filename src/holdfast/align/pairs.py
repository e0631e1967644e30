"""Paired rows: checked, and split into a part to fit on and a part held out."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from ..arrays import FloatArray, IntArray, Vectors, as_vectors, draws
from ..errors import DimensionMismatch, InvalidInput, NotEnoughPairs
from ..space import Space

MIN_PAIRS = 2  # below this there is no direction to learn


def as_rows(values: Any, owner: str, side: str = "source", dim: int | None = None) -> FloatArray:
    """Check an array and bring it to (n, d) float32; no copy where it already is.

    Args:
        values: (n, d) numbers; `Vectors` count as their array.
        owner: Who asks, for the message.
        side: "source" or "target", for the message.
        dim: Length every row must have, where it is known.
    Raises:
        DimensionMismatch: Not two-dimensional, without columns, or rows of another length.
        NotFinite: NaN or infinity.
        InvalidInput: Not real, dense numbers.
    """
    array = values.array if isinstance(values, Vectors) else _as_array(values, owner)
    if array.ndim != 2 or array.shape[1] == 0:
        raise DimensionMismatch(
            owner,
            f"(n, d) rows of the {side} space",
            f"shape {array.shape}",
            "Reshape your data: one row per item, at least one column.",
        )
    width = array.shape[1] if dim is None else dim
    space = Space(f"the {side} space", width, "euclidean", fingerprint="rows")
    return as_vectors(array, space, owner).array


def _as_array(values: Any, owner: str) -> Any:
    if hasattr(values, "toarray"):
        raise InvalidInput(owner, "a dense array", "a sparse one", "Call its .toarray() first.")
    try:
        array = np.asarray(values)
    except ValueError as cause:
        raise InvalidInput(owner, "rows of one length", str(cause)) from cause
    if array.dtype.kind == "c":
        raise InvalidInput(owner, "real numbers", f"{array.dtype}", "Complex data not supported.")
    return array


def as_pairs(X: Any, Y: Any, owner: str) -> tuple[FloatArray, FloatArray]:
    """Check two arrays whose rows belong together.

    Raises:
        InvalidInput: No targets, or another number of them than of sources.
        NotEnoughPairs: Fewer than two pairs.
    """
    if Y is None:
        raise InvalidInput(
            owner,
            "X and Y, the same items in both spaces",
            "no Y",
            "It requires y to be passed, but the target y is None.",
        )
    rows, targets = as_rows(X, owner, "source"), as_rows(Y, owner, "target")
    if len(rows) != len(targets):
        raise InvalidInput(
            owner,
            "as many rows in Y as in X",
            f"{len(rows)} in X and {len(targets)} in Y",
            "Row i of both must be the same item.",
        )
    if len(rows) < MIN_PAIRS:
        raise NotEnoughPairs(
            owner, f"at least {MIN_PAIRS} pairs", f"n_samples = {len(rows)}", "Give more pairs."
        )
    return rows, targets


def one_dimension(X: FloatArray, Y: FloatArray, owner: str, instead: str) -> None:
    """Refuse spaces of two dimensions, for maps that work coordinate by coordinate.

    Raises:
        DimensionMismatch: They differ.
    """
    if X.shape[1] != Y.shape[1]:
        raise DimensionMismatch(
            owner,
            "two spaces of one dimension, whose coordinates correspond",
            f"{X.shape[1]} and {Y.shape[1]}",
            f"Between dimensions, {instead} leads.",
        )


def held_out_rows(count: int, share: float, seed: int, most: int, owner: str) -> IntArray:
    """Positions held out: a random share, at least one, at most `most`; sorted.

    Args:
        count: Number of pairs, at least two.
        share: Between 0 and 1, both excluded.
        seed: Of the draw.
        most: More rows than this would sharpen no decision and cost time.
        owner: Who asks, for the message.
    Raises:
        InvalidInput: `share` is not between 0 and 1, or `seed` is none.
    Example:
        >>> held_out_rows(10, 0.2, 0, 100, "demo").tolist()
        [4, 6]
    """
    if not isinstance(share, Real) or not 0.0 < share < 1.0:
        raise InvalidInput(owner, "held_out between 0 and 1, both excluded", repr(share))
    size = min(max(1, round(share * count)), most, count - 1)
    return np.sort(draws(seed, owner).permutation(count)[:size]).astype(np.int64)


def rest_of(count: int, held: IntArray) -> IntArray:
    """The other positions, sorted."""
    mask = np.ones(count, dtype=bool)
    mask[held] = False
    return np.flatnonzero(mask).astype(np.int64)
