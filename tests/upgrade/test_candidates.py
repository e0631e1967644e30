"""Candidates of two sides, ranked anew."""

import tracemalloc

import numpy as np
import pytest

from holdfast.arrays import as_vectors
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.search.candidates import Candidates


@pytest.mark.parametrize("metric", ["dot", "euclidean"])
def test_many_candidates_of_many_queries_are_scored_piece_by_piece(metric):
    rng, names = np.random.default_rng(0), [f"i{i}" for i in range(800)]
    space = Space("old", 64, metric)
    rows, asked = rng.normal(size=(800, 64)), rng.normal(size=(256, 64))
    whole, waiting, moved = (MemoryStore(space) for _ in range(3))
    for store, part in ((whole, slice(800)), (waiting, slice(400)), (moved, slice(400, 800))):
        store.upsert(names[part], rows[part])
    queries = as_vectors(asked, space, "queries")
    sides = waiting.search(queries, 400), moved.search(queries, 400)
    found = Candidates.read(whole, (queries, queries), *sides)
    tracemalloc.start()
    try:
        hits = found.by_old_alone(20)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    exact = whole.search(queries, 20)
    assert (hits.ids == exact.ids).all()
    np.testing.assert_allclose(hits.scores, exact.scores, rtol=1e-4, atol=1e-4)
    gathered = 256 * 400 * 64 * 4  # bytes, were all of them copied at once
    assert most < gathered * (0.75 if metric == "dot" else 1.0)
