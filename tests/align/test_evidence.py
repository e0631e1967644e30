"""Measures against a loop, ties and chance by hand, intervals against their definition."""

from __future__ import annotations

import json

import numpy as np
import pytest

from holdfast.align.evidence import (
    MEASURES,
    Estimate,
    Evidence,
    bootstrap,
    figures,
    measure,
    naive,
)
from holdfast.arrays import Vectors, as_vectors
from holdfast.space import Space


def slow(mapped, truth, metric):
    def score(a, b):
        a, b = a.astype(np.float64), b.astype(np.float64)
        if metric == "cosine":
            return a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        return a @ b if metric == "dot" else -np.linalg.norm(a - b)

    rows = []
    for i in range(len(mapped)):
        cosine = mapped[i] @ truth[i] / np.linalg.norm(mapped[i]) / np.linalg.norm(truth[i])
        row = [float(cosine)]
        for asking, stored in ((mapped, truth), (truth, mapped)):
            own = score(asking[i], stored[i])
            better = sum(score(asking[i], s) > own for s in stored)
            row += [float(better < 1), float(better < 10)]
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_measures_are_those_of_a_slow_loop(metric):
    rng = np.random.default_rng(0)
    truth = as_vectors(rng.normal(size=(90, 6)), Space("t", 6, metric), "test")
    mapped = (truth.array + 0.6 * rng.normal(size=(90, 6))).astype(np.float32)
    got = measure(mapped, truth)
    np.testing.assert_allclose(got, slow(mapped, truth.array, metric), atol=1e-5)
    assert 0.1 < got[:, 1].mean() < 0.9  # hard enough to tell right from wrong


def test_blocks_do_not_change_the_measures(monkeypatch):
    rng = np.random.default_rng(1)
    truth = as_vectors(rng.normal(size=(100, 5)), Space("t", 5), "test")
    mapped = rng.normal(size=(100, 5)).astype(np.float32)
    whole = measure(mapped, truth)
    monkeypatch.setattr("holdfast.align.recall._BLOCK", 33)
    np.testing.assert_allclose(measure(mapped, truth), whole, atol=1e-6)


def test_a_perfect_map_earns_everything():
    truth = as_vectors(np.random.default_rng(2).normal(size=(40, 8)), Space("t", 8), "test")
    np.testing.assert_allclose(measure(truth.array, truth), 1.0, atol=1e-6)


def test_stored_rows_that_are_equal_share_the_find():
    truth = Vectors(Space("t", 3, "dot"), np.eye(3, dtype=np.float32)[[0, 0, 1, 2]])
    got = measure(truth.array, truth)
    assert got[:, 1].tolist() == [0.5, 0.5, 1.0, 1.0]
    assert got[:, 3].tolist() == [0.5, 0.5, 1.0, 1.0]


def test_a_map_to_one_point_finds_what_chance_does():
    truth = as_vectors(np.random.default_rng(3).normal(size=(200, 8)), Space("t", 8), "test")
    got = measure(np.tile(truth.array[0], (200, 1)), truth).mean(axis=0)
    np.testing.assert_allclose(got[3:], [1 / 200, 10 / 200], atol=1e-9)
    np.testing.assert_allclose(got[1:3], [1 / 200, 10 / 200], atol=1e-9)


def test_naive_maps_are_the_mean_and_the_numbers_as_they_are():
    X, Y = np.arange(12.0, dtype="f4").reshape(4, 3), np.arange(20.0, dtype="f4").reshape(4, 5)
    held, rest = np.array([1]), np.array([0, 2, 3])
    got = naive(X, Y, held, rest)
    assert got["mean"].tolist() == [Y[rest].mean(axis=0).tolist()]
    assert got["as is"].tolist() == [[3.0, 4.0, 5.0, 0.0, 0.0]]
    assert naive(Y, X, held, rest)["as is"].tolist() == [[5.0, 6.0, 7.0]]


def test_the_interval_is_that_of_the_normal_approximation():
    rows = np.random.default_rng(4).normal(2.0, 3.0, size=(4000, 1))
    got = bootstrap(rows, seed=0)[0]
    error = rows.std() / np.sqrt(len(rows))
    assert got.value == pytest.approx(rows.mean())
    assert got.low == pytest.approx(rows.mean() - 1.96 * error, abs=0.2 * error)
    assert got.high == pytest.approx(rows.mean() + 1.96 * error, abs=0.2 * error)


def test_the_interval_is_drawn_by_the_seed():
    rows = np.random.default_rng(5).normal(size=(50, 2))
    assert bootstrap(rows, seed=1) == bootstrap(rows, seed=1)
    assert bootstrap(rows, seed=1) != bootstrap(rows, seed=2)


def test_rows_that_hang_together_are_drawn_together():
    rows = np.random.default_rng(0).random((60, 2))
    groups = np.random.default_rng(1).permutation(np.repeat(np.arange(60), 4))
    plain, said = bootstrap(rows, 3), bootstrap(rows[groups], 3, groups)
    for a, b in zip(plain, said, strict=True):
        assert (b.value, b.low, b.high) == pytest.approx((a.value, a.low, a.high))


def test_evidence_survives_json_and_says_when_it_is_thin():
    rows = np.random.default_rng(6).uniform(size=(30, 5))
    found = figures(rows, seed=0)
    evidence = Evidence(99, 30, 20, found, {"mean": found})
    again = Evidence.from_json(json.loads(json.dumps(evidence.to_json())))
    assert again == evidence
    assert again["R@1"].value == pytest.approx(rows[:, MEASURES.index("R@1")].mean())
    assert (evidence.pairs_per_dimension, evidence.thin) == (4.95, True)
    assert not Evidence(100, 30, 20, found).thin


def test_evidence_reads_as_a_line():
    estimate = Estimate(0.5, 0.25, 0.75)
    assert str(Evidence(1, 1, 1, {"R@1": estimate})) == "R@1 0.500 [0.250, 0.750]"
