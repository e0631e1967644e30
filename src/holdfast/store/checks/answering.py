"""What a search answers: scores, order, ties, padding, recall, and what it refuses."""

from __future__ import annotations

from functools import partial

import numpy as np

from ...arrays import Vectors, as_vectors
from ...contract import broken, equal, refuses
from ...errors import (
    DimensionMismatch,
    InvalidInput,
    MissingIds,
    NotFinite,
    WrongSpace,
    ZeroVector,
)
from ..base import VectorStore
from ..memory import MemoryStore
from .bench import Bench, Pair, names
from .compare import form_problem, hits_problem, snapshot


def check_scores(bench: Bench) -> None:
    """Ids, order and score values are those of the exact store."""
    pair = bench.pair(200)
    queries = np.concatenate([bench.rows(25, seed=1), bench.rows(200)[:5]])
    for k in (1, 10):
        pair.agree(f"for {k}", queries, k)


def check_scaled_queries(bench: Bench) -> None:
    """The length of a query counts as the metric says: not at all under cosine."""
    pair = bench.pair(100)
    queries = bench.rows(8, seed=1)
    for scale in (0.01, 7.0):
        pair.agree(f"for queries times {scale}", (scale * queries).astype(np.float32), 10)


def check_near_rows(bench: Bench) -> None:
    """A long row finds itself with its true score; nothing is lost to cancellation."""
    pair = bench.pair()
    rows = 20.0 * bench.rows(60)
    pair.upsert(names(60), rows)
    pair.agree("for stored rows", rows, 3)
    pair.agree("for one stored row", rows[:1], 3)


def check_ties(bench: Bench) -> None:
    """Of rows that tie at the cut any may be left out, but the row of hits is full."""
    pair = bench.pair()
    rows = np.repeat(bench.rows(10), 6, axis=0)
    pair.upsert(names(60), rows)
    for k in range(1, 14):
        pair.agree(f"among ties for {k}", bench.rows(10, seed=1), k)


def check_more_than_there_is(bench: Bench) -> None:
    """With k beyond the rows all rows come once, then padding."""
    pair = bench.pair(7)
    for k in (7, 8, 50):
        pair.agree(f"for {k} of 7", bench.rows(5, seed=1), k)


def check_empty_store(bench: Bench) -> None:
    """A store without rows answers everything, with nothing."""
    _is_empty(bench, bench.fresh())
    pair = bench.pair(5)
    pair.delete(names(5))
    _is_empty(bench, pair.store)


def _is_empty(bench: Bench, store: VectorStore) -> None:
    equal("len and visible of an empty store", (len(store), store.visible), (0, 0))
    Pair(store, MemoryStore(bench.space)).agree("in an empty store", bench.rows(3), 4)
    page = store.scan()
    equal("scan of an empty store", (list(page.rows.ids), page.after), ([], None))
    refuses("get from an empty store", MissingIds, lambda: store.get(["row 0"]))
    equal("revisions in an empty store", store.revisions(["row 0"]).tolist(), [-1])
    store.delete(["row 0"])
    store.hide(["row 0"])
    store.unhide(["row 0"])
    store.tend()
    equal("len of an empty store", len(store), 0)


def check_number_of_queries(bench: Bench) -> None:
    """One query alone is answered as among many; no query at all gets no hits."""
    pair = bench.pair(120)
    queries = bench.rows(70, seed=1)
    pair.agree("for many queries", queries, 10)
    for i in range(0, 70, 10):
        pair.agree("for one query", queries[i : i + 1], 10)
    problem = form_problem(pair.store.search(queries[:0], 10), 0, 10)
    if problem:
        raise broken("search for no query", "hits of shape (0, 10)", problem)


def check_kinds_of_queries(bench: Bench) -> None:
    """Lists, float64, strided, read-only arrays and `Vectors` are all queries."""
    pair = bench.pair(80)
    rows = bench.rows(6, seed=1)
    fixed = rows.copy()
    fixed.setflags(write=False)
    kinds = {
        "as a list": rows.tolist(),
        "as float64": rows.astype(np.float64),
        "in Fortran order": np.asfortranarray(rows),
        "read-only": fixed,
        "as Vectors": as_vectors(rows, bench.space, "the contract"),
    }
    wide = np.zeros((6, 2 * bench.space.dim), dtype=np.float32)
    wide[:, ::2] = rows
    kinds["strided"] = wide[:, ::2]
    truth = pair.oracle.search(rows, 81)
    for kind, queries in kinds.items():
        problem = hits_problem(pair.store.search(queries, 5), truth, 5, bench.limits)
        if problem:
            raise broken(f"search for queries {kind}", "the hits of the exact store", problem)


def check_rejected_queries(bench: Bench) -> None:
    """Queries that cannot be answered are refused by the right error."""
    pair = bench.pair(10)
    store, good = pair.store, bench.rows(2, seed=1)
    before = snapshot(store)
    bad = good.copy()
    bad[1, 0] = np.nan
    refuses("search for NaN", NotFinite, lambda: store.search(bad, 3))
    refuses("search for short rows", DimensionMismatch, lambda: store.search(good[:, :-1], 3))
    refuses("search for one flat row", DimensionMismatch, lambda: store.search(good[0], 3))
    stranger = Vectors(bench.other, good)
    refuses("search for vectors of another space", WrongSpace, lambda: store.search(stranger, 3))
    if bench.space.metric == "cosine":
        refuses("search for zeros", ZeroVector, lambda: store.search(np.zeros_like(good), 3))
    for k in (0, -1):
        refuses(f"search for k = {k}", InvalidInput, partial(store.search, good, k))
    equal("rows after refused queries", snapshot(store), before)
    pair.agree("after refused queries", good, 3)
