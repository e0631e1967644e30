"""Vectors and ids: the only place where shape, dtype, NaN, norm and duplicates are checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import (
    DimensionMismatch,
    DuplicateIds,
    InvalidInput,
    NotFinite,
    WrongSpace,
    ZeroVector,
)
from .space import Space

FloatArray: TypeAlias = npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int64]
IdArray: TypeAlias = npt.NDArray[np.object_]

# Rows this close to length one are left as they are, so that a stored unit row read back
# and stored again keeps its bits; summing thousands of squares in float32 is off by 1e-6 itself.
_UNIT_TOLERANCE = 4e-6

# Shorter rows lose digits when their float32 squares are summed: no direction worth keeping.
_SHORTEST_SQUARE = 1e-34

# Squared lengths further from one are no rounding: a model answered them, and nobody scaled them.
_NO_ROUNDING = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """Rows that know their space.

    Args:
        space: The space all rows live in.
        array: (n, d) float32, C order. Unit rows where the metric is cosine.
        checked: Whether `as_vectors` has seen to that; only it says so.
    Example:
        >>> len(as_vectors([[3.0, 4.0]], Space("a", 2), "demo"))
        1
    """

    space: Space
    array: FloatArray
    checked: bool = field(default=False, repr=False, kw_only=True)

    def __len__(self) -> int:
        return len(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.array, dtype=dtype, copy=copy)

    def take(self, rows: Any) -> Vectors:
        """The given rows, as numpy indexes them."""
        array = np.ascontiguousarray(self.array[rows])
        return Vectors(self.space, array, checked=self.checked)


VectorsLike: TypeAlias = Vectors | npt.NDArray[Any] | Sequence[Sequence[float]]


def squared_norms(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(n,) squared lengths of (n, d) rows; einsum, since norm(axis=1) is 5 times slower."""
    out: npt.NDArray[Any] = np.einsum("ij,ij->i", array, array)
    return out


def about_mean(queries: FloatArray, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Both less the mean of the rows, which leaves distances as they are.

    Squares of near rows far from the origin differ in no correct digit.
    """
    if not len(rows):
        return queries, rows
    mean = rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    return queries - mean, rows - mean


def unit_rows(array: FloatArray) -> FloatArray:
    """Rows scaled to length one; rows that already are keep their bits. Zero rows stay zero."""
    scale = _unit_scale(squared_norms(array))
    return array if scale is None else array * scale[:, None]


def scale_to_unit(array: FloatArray) -> FloatArray:
    """As `unit_rows`, but in place: for fresh rows that nobody else holds.

    Returns:
        (n,) squared lengths before, for `check_squares`.
    """
    squares = quiet_squares(array)
    scale = _unit_scale(squares)
    if scale is not None:
        with np.errstate(invalid="ignore"):  # infinity times nothing: refused by its square
            array *= scale[:, None]
    return squares


def _unit_scale(squares: FloatArray) -> FloatArray | None:
    """(n,) factors to length one; None where no row needs any."""
    off = (np.abs(squares - 1.0) > _UNIT_TOLERANCE) & (squares > 0.0)
    if not off.any():
        return None
    scale = np.ones(len(squares), dtype=np.float32)
    scale[off] = 1.0 / np.sqrt(squares[off])
    return scale


def as_vectors(values: VectorsLike, space: Space, owner: str) -> Vectors:
    """Check rows and bring them into the form every store and aligner expects.

    Never writes to the caller's array. A `Vectors` of the same space passes as it is, unless
    somebody made it of rows that this function has not seen.

    Args:
        values: (n, d) numbers, or `Vectors`.
        space: The space they must live in.
        owner: Who asks, for the message.
    Raises:
        WrongSpace: `values` are `Vectors` of another space.
        DimensionMismatch: Not two-dimensional, or rows of another length.
        NotFinite: NaN or infinity.
        ZeroVector: A row of length zero (below 1e-17) where the metric is cosine.
        InvalidInput: Not numbers.
    """
    if isinstance(values, Vectors):
        if values.space != space:
            raise WrongSpace(
                owner,
                f"vectors of {space}",
                f"vectors of {values.space}",
                "Encode with the right model, or pass a Bridge between the two.",
            )
        if values.checked:
            return values
        if _in_form(values.array, space):
            return Vectors(space, values.array, checked=True)
        values = values.array
    array = _as_floats(values, owner)
    if array.ndim != 2 or array.shape[1] != space.dim:
        raise DimensionMismatch(
            owner,
            f"(n, {space.dim}) vectors of {space.name}",
            f"shape {array.shape}",
            "Each row is one item. Did another model make these vectors?",
        )
    squares = quiet_squares(array)
    check_squares(squares, space, owner)
    scale = _unit_scale(squares) if space.metric == "cosine" else None
    return Vectors(space, array if scale is None else array * scale[:, None], checked=True)


def _in_form(array: Any, space: Space) -> bool:
    """Whether rows are as `as_vectors` makes them; their lengths need not be so exact."""
    if not isinstance(array, np.ndarray) or array.dtype != np.float32:
        return False
    if array.ndim != 2 or array.shape[1] != space.dim:
        return False
    squares = quiet_squares(array)
    if space.metric != "cosine":
        return bool(np.isfinite(squares).all())
    return bool((np.abs(squares - 1.0) < _NO_ROUNDING).all())  # NaN is not less


def _as_floats(values: Any, owner: str) -> FloatArray:
    try:
        raw = np.asarray(values)
        if raw.dtype.kind in "cUSmM":  # numpy would drop the imaginary part, or read the text
            raise TypeError(f"of {raw.dtype}")
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity: NotFinite
            return np.ascontiguousarray(raw, dtype=np.float32)
    except (TypeError, ValueError) as cause:
        why = _uneven(values) or f"{type(values).__name__}: {cause}"
        raise InvalidInput(owner, "an (n, d) array of numbers", why) from cause


def _uneven(values: Any) -> str:
    """Which row is not as long as the first one; empty where all are."""
    rows = list(values) if isinstance(values, Sequence) else []
    lengths = [len(row) if isinstance(row, Sequence | np.ndarray) else 1 for row in rows]
    other = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
    if other is None:
        return ""
    return f"{lengths[0]} in row 0 and {lengths[other]} in row {other}"


def draws(seed: int, owner: str) -> np.random.Generator:
    """What is drawn by chance, the same again from the same seed.

    Args:
        seed: An integer from 0.
        owner: Who asks, for the message.
    Raises:
        InvalidInput: No seed.
    """
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as cause:
        raise InvalidInput(owner, "a seed that is an integer from 0", repr(seed)) from cause


def quiet_squares(array: FloatArray) -> FloatArray:
    """(n,) squared lengths of rows that may hold NaN or infinity, without a warning."""
    with np.errstate(over="ignore", invalid="ignore"):
        return squared_norms(array)


def check_squares(squares: FloatArray, space: Space, owner: str) -> None:
    """Refuse rows that are not finite, or have no direction where the space needs one.

    Args:
        squares: (n,) squared lengths of the rows.
        space: The space they must live in.
        owner: Who asks, for the message.
    Raises:
        NotFinite: NaN or infinity.
        ZeroVector: A row of length zero (below 1e-17) where the metric is cosine.
    """
    # A row sum is finite exactly when the row is, short of overflow, which is as bad.
    bad = np.flatnonzero(~np.isfinite(squares))
    if len(bad):
        raise NotFinite(
            owner,
            "finite numbers",
            f"NaN or infinity in row {bad[0]} ({len(bad)} of {len(squares)} rows)",
            "Look at what the encoder answered for these items; a length above 1e19 counts as"
            " infinite.",
        )
    if space.metric == "cosine":
        zero = np.flatnonzero(squares < _SHORTEST_SQUARE)
        if len(zero):
            length = np.sqrt(squares[zero[0]])
            raise ZeroVector(
                owner,
                "vectors with a direction, since the metric is cosine",
                f"length {length:.3g} in row {zero[0]} ({len(zero)} of {len(squares)} rows)",
                "Leave these items out, or look at what the encoder answered for them.",
            )


def ids_given(ids: Sequence[str], owner: str) -> list[str]:
    """The ids of one call; one string would pass for the list of its letters.

    Raises:
        InvalidInput: A string, or ids that are none: the number 3 is not the row "3", and must
            not pass for a row that is absent.
    """
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        got = "one string" if isinstance(ids, str) else f"one {type(ids).__name__}"
        raise InvalidInput(owner, "a sequence of ids", got, "Put it in a list.")
    names = list(ids)
    if not set(map(type, names)) <= {str}:
        for value in names:
            if not isinstance(value, str):
                raise InvalidInput(owner, "ids that are strings", repr(value), "Use str(id).")
    return names


def check_ids(ids: Sequence[str], owner: str, count: int | None = None) -> list[str]:
    """Check that ids are non-empty strings, distinct, and as many as there are rows.

    Args:
        ids: The ids of one call.
        owner: Who asks, for the message.
        count: How many there must be.
    Raises:
        DuplicateIds: One id twice.
        InvalidInput: Not strings, empty, not Unicode, or a wrong number of them.
    """
    checked = ids_given(ids, owner)
    if count is not None and len(checked) != count:
        raise InvalidInput(owner, f"{count} ids, one per row", str(len(checked)))
    if "" in checked:
        raise InvalidInput(owner, "ids that are not empty", repr(""), "Give each row an id.")
    try:
        "".join(checked).encode()
    except UnicodeEncodeError as cause:  # half of a surrogate pair
        bad = ascii(cause.object[cause.start])
        raise InvalidInput(
            owner, "ids that can be written as UTF-8", bad, "Decode them properly."
        ) from cause
    if len(set(checked)) != len(checked):
        seen: set[str] = set()
        twice = next(i for i in checked if i in seen or seen.add(i))  # type: ignore[func-returns-value]
        raise DuplicateIds(
            owner, "each id once in a call", f"{twice!r} twice", "Keep the row you mean."
        )
    return checked


def id_array(ids: Sequence[str]) -> IdArray:
    """Ids as a one-dimensional object array, ready for fancy indexing."""
    out = np.empty(len(ids), dtype=object)
    out[:] = ids
    return out
