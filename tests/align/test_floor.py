"""The status quo against a slow loop over single questions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from holdfast.align.floor import Asked, Floor
from holdfast.align.procrustes import Procrustes
from holdfast.arrays import Vectors, as_vectors
from holdfast.errors import InvalidInput
from holdfast.space import Space


def pairs(metric="cosine", count=70):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(count, 6))
    Y = X @ rng.normal(size=(6, 8)) + rng.normal(size=(count, 8))
    return as_vectors(X, Space("a", 6, metric), "test"), as_vectors(
        Y, Space("b", 8, metric), "test"
    )


def slow(asking, stored, metric):
    """Scores, one by one."""
    out = np.empty((len(asking), len(stored)))
    for i, a in enumerate(np.asarray(asking, dtype=np.float64)):
        for j, s in enumerate(np.asarray(stored, dtype=np.float64)):
            if metric == "cosine":
                out[i, j] = a @ s / np.linalg.norm(a) / np.linalg.norm(s)
            else:
                out[i, j] = a @ s if metric == "dot" else -0.5 * np.sum((a - s) ** 2)
    return out


def slow_ndcg(table, right, alone):
    """The one of scikit-learn; a row that asks is left out of what it asks."""
    values = []
    for i, row in enumerate(table):
        truth = np.isin(np.arange(len(row)), right[i]).astype(float)
        keep = np.arange(len(row)) != i if alone else np.ones(len(row), dtype=bool)
        values.append(ndcg_score([truth[keep]], [row[keep]], k=10))
    return np.array(values)


@pytest.mark.parametrize("unit", [2.0**-24, 2.0**50])
@pytest.mark.parametrize("metric", ["dot", "euclidean"])
def test_the_unit_of_length_does_not_matter(metric, unit):
    X, Y = pairs(metric)
    scaled = Vectors(Y.space, Y.array * np.float32(unit))
    plain, other = Floor.agreement(X, Y, "query"), Floor.agreement(X, scaled, "query")
    np.testing.assert_array_equal(np.sort(other.gains, axis=1), np.sort(plain.gains, axis=1))
    np.testing.assert_array_equal(other.status_quo, plain.status_quo)


def test_a_model_that_tells_nothing_apart_has_no_say():
    X, Y = pairs()
    blank = Vectors(X.space, np.tile(X.array[0], (len(X), 1)))
    gains = Floor.agreement(blank, Y, "query").gains
    nearest = np.argsort(-(Y.array @ Y.array.T - 2.0 * np.eye(len(Y))), axis=1)[:, :10]
    np.testing.assert_array_equal(np.sort(gains, axis=1), np.sort(nearest, axis=1))


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("side", ["query", "gallery"])
def test_without_judgements_right_is_what_both_models_hold_nearest(monkeypatch, metric, side):
    monkeypatch.setattr("holdfast.align.recall._BLOCK", 32)
    X, Y = pairs(metric)
    tables = slow(X.array, X.array, metric), slow(Y.array, Y.array, metric)
    right = []
    for i in range(len(X)):
        both = sum((t[i] - t[i].mean()) / t[i].std() for t in tables)
        right.append([j for j in np.argsort(-both) if j != i][:10])
    floor = Floor.agreement(X, Y, side)
    assert [set(row.tolist()) for row in floor.gains] == [set(row) for row in right]
    old = tables[1] if side == "query" else tables[0]
    np.testing.assert_allclose(floor.status_quo, slow_ndcg(old, right, True), atol=1e-6)
    fitted = Procrustes().fit(X.array, Y.array)
    mapped = fitted.transform(X.array)
    asking, stored = (mapped, Y.array) if side == "query" else (Y.array, mapped)
    expected = slow_ndcg(slow(asking, stored, metric), right, True)
    np.testing.assert_allclose(floor.values(fitted), expected, atol=1e-6)


@pytest.mark.parametrize("side", ["query", "gallery"])
def test_with_judgements_right_are_the_known_answers(side):
    X, Y = pairs()
    rng = np.random.default_rng(2)
    ask = [as_vectors(rng.normal(size=(15, v.space.dim)), v.space, "test") for v in (X, Y)]
    answers = [rng.permutation(70)[: rng.integers(1, 14)].tolist() for _ in range(15)]
    floor = Floor.judged(X, Y, Asked(*ask, answers), side)
    old = 1 if side == "query" else 0
    table = slow(ask[old].array, (X, Y)[old].array, "cosine")
    np.testing.assert_allclose(floor.status_quo, slow_ndcg(table, answers, False), atol=1e-6)
    fitted = Procrustes().fit(X.array, Y.array)
    if side == "query":
        table = slow(fitted.transform(ask[0].array), Y.array, "cosine")
    else:
        table = slow(ask[1].array, fitted.transform(X.array), "cosine")
    np.testing.assert_allclose(floor.values(fitted), slow_ndcg(table, answers, False), atol=1e-6)
    assert 0.05 < floor.status_quo.mean() < 0.95


def test_few_rows_are_enough():
    X, Y = pairs(count=5)
    floor = Floor.agreement(X, Y, "query")
    assert [len(row) for row in floor.gains] == [4] * 5
    np.testing.assert_allclose(floor.status_quo, 1.0)  # all others are right, in any order


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ([["a"], ["b"]], "answers as positions among the pairs, got .*'a'"),
        ([[0.5], [1]], "answers as positions among the pairs, got .*0.5"),
        ([[0], [70]], "answers from 0 to 69"),
        ([[0], [-1]], "answers from 0 to 69"),
    ],
)
def test_answers_that_are_no_positions_are_refused(answers, message):
    """An id would fail elsewhere, and half a position would be another one."""
    X, Y = pairs()
    asked = Asked(X.take(slice(2)), Y.take(slice(2)), answers)
    with pytest.raises(InvalidInput, match=message):
        Floor.judged(X, Y, asked, "query")
