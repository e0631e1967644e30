"""A write that is refused: the documented error, and not a bit of the store changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arrays import FloatArray, Vectors
from ...contract import equal, refuses
from ...errors import (
    DimensionMismatch,
    DuplicateIds,
    HoldfastError,
    InvalidInput,
    NotFinite,
    WrongSpace,
    ZeroVector,
)
from .bench import Bench, Pair
from .compare import snapshot

# Two rows that replace stored ones, then two new ones: what is wrong comes in the last row.
_IDS = ["row 1", "row 2", "new 1", "new 2"]


def check_rejected_numbers(bench: Bench) -> None:
    """NaN, infinity, and zeros under cosine."""
    pair, rows = bench.pair(10), -bench.rows(4)
    for value, label in ((np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "-infinity")):
        bad = rows.copy()
        bad[3, 1] = value
        _refused(bench, pair, label, NotFinite, _upsert(pair, _IDS, bad))
    if bench.space.metric == "cosine":
        bad = rows.copy()
        bad[3] = 0.0
        _refused(bench, pair, "zeros", ZeroVector, _upsert(pair, _IDS, bad))


def check_rejected_shapes(bench: Bench) -> None:
    """Rows of another length, one flat row, and what is no array of numbers."""
    pair, rows = bench.pair(10), -bench.rows(4)
    longer = np.concatenate([rows, rows], axis=1)
    for bad in (longer, rows[:, :-1], rows[0], rows[None]):
        action = _upsert(pair, _IDS, bad)
        _refused(bench, pair, f"shape {bad.shape}", DimensionMismatch, action)
    text: Any = [["a"] * bench.space.dim] * 4
    _refused(bench, pair, "text as vectors", InvalidInput, _upsert(pair, _IDS, text))


def check_rejected_space(bench: Bench) -> None:
    """Vectors of another space, though of the same length."""
    pair = bench.pair(10)
    bad = Vectors(bench.other, -bench.rows(4))
    _refused(bench, pair, "vectors of another space", WrongSpace, _upsert(pair, _IDS, bad))


def check_rejected_ids(bench: Bench) -> None:
    """One id twice, an empty one, one that is no string, and one string for many."""
    pair, rows = bench.pair(10), -bench.rows(4)
    twice = ["row 1", "row 2", "new 1", "row 1"]
    _refused(bench, pair, "an id twice", DuplicateIds, _upsert(pair, twice, rows))
    bad: Any
    for bad, label in (
        (["row 1", "row 2", "new 1", ""], "an empty id"),
        (["row 1", "row 2", "new 1", 7], "a number as id"),
        (["row 1", "row 2", "new 1", None], "None as id"),
        ("rows", "one string as ids"),
    ):
        _refused(bench, pair, label, InvalidInput, _upsert(pair, bad, rows))


def check_rejected_counts(bench: Bench) -> None:
    """More or fewer vectors, payloads or revisions than ids."""
    pair, rows = bench.pair(10), -bench.rows(4)
    for label, ids, vectors, payloads, revisions in (
        ("fewer vectors", _IDS, rows[:3], None, None),
        ("fewer ids", _IDS[:3], rows, None, None),
        ("fewer payloads", _IDS, rows, [{}] * 3, None),
        ("more payloads", _IDS, rows, [{}] * 5, None),
        ("fewer revisions", _IDS, rows, None, [9] * 3),
        ("more revisions", _IDS, rows, None, [9] * 5),
    ):
        action = _upsert(pair, ids, vectors, payloads, revisions)
        _refused(bench, pair, label, InvalidInput, action)


def check_rejected_payloads(bench: Bench) -> None:
    """Payloads that are no JSON objects, revisions that are no integers from 0."""
    pair, rows = bench.pair(10), -bench.rows(4)
    bad: Any
    for bad in ({"a", "b"}, object(), float("nan")):
        payloads = [{}, {}, {}, {"field": bad}]
        label = f"{type(bad).__name__} {bad} in a payload"
        _refused(bench, pair, label, InvalidInput, _upsert(pair, _IDS, rows, payloads))
    for bad in ([9, 9, 9, -1], [9, 9, 9, 1.5], ["9"] * 4):
        action = _upsert(pair, _IDS, rows, None, bad)
        _refused(bench, pair, f"revisions {bad}", InvalidInput, action)


def _upsert(
    pair: Pair, ids: list[str], vectors: Any, payloads: Any = None, revisions: Any = None
) -> Callable[[], None]:
    return lambda: pair.store.upsert(ids, vectors, payloads, revisions)


def _refused(
    bench: Bench, pair: Pair, label: str, kind: type[HoldfastError], action: Callable[[], None]
) -> None:
    before = snapshot(pair.store)
    refuses(f"upsert of {label}", kind, action)
    equal(f"rows after a refused upsert of {label}", snapshot(pair.store), before)
    pair.same(f"after a refused upsert of {label}")
    queries: FloatArray = bench.rows(4)
    pair.agree(f"after a refused upsert of {label}", queries, 12)
