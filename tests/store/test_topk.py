"""The best rows, block by block."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.store import topk


def slow(queries, rows, k, metric):
    """Scores of every row in float64, sorted."""
    a, b = queries.astype(np.float64), rows.astype(np.float64)
    if metric == "euclidean":
        table = -np.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2))
    else:
        table = (a[:, None, :] * b[None, :, :]).sum(axis=2)
    order = np.argsort(-table, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(table, order, axis=1)


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("order", ["any", "best last", "best first"])
@pytest.mark.parametrize("k", [1, 7, 60])
def test_blocks_give_what_sorting_all_scores_gives(monkeypatch, metric, order, k):
    monkeypatch.setattr(topk, "_QUERIES", 5)
    monkeypatch.setattr(topk, "_CELLS", 500)
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((13, 6)).astype(np.float32)
    rows = rng.standard_normal((1_003, 6)).astype(np.float32)
    if order != "any":
        first = topk.scores(queries[:1], rows, metric)[0]
        rows = rows[np.argsort(first if order == "best last" else -first)]
    places, values = topk.top(queries, rows, k, metric)
    wanted, truth = slow(queries, rows, k, metric)
    assert np.array_equal(places, wanted)
    np.testing.assert_allclose(values, truth, rtol=1e-5, atol=1e-5)


def test_fewer_rows_than_k_and_none():
    queries = np.eye(3, dtype=np.float32)
    places, values = topk.top(queries, np.eye(3, dtype=np.float32)[:2], 5, "dot")
    assert values.tolist() == [[1, 0], [1, 0], [0, 0]]
    assert places[:2].tolist() == [[0, 1], [1, 0]]
    assert topk.top(queries, queries[:0], 5, "dot")[0].shape == (3, 0)
    assert topk.top(queries[:0], queries, 2, "dot")[0].shape == (0, 2)


def test_equal_scores_are_taken_once_each(monkeypatch):
    monkeypatch.setattr(topk, "_CELLS", 4)
    places, values = topk.top(np.ones((1, 1), np.float32), np.ones((50, 1), np.float32), 9, "dot")
    assert len(set(places[0].tolist())) == 9
    assert values.tolist() == [[1.0] * 9]
