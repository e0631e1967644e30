"""A planted rotation is found without pairs in clustered rows, and what cannot be found is told."""

from __future__ import annotations

from functools import cache
from itertools import permutations

import numpy as np
import pytest

from holdfast.align.procrustes import Procrustes
from holdfast.align.unpaired import _as_procrustes, _matching, _mutual, fit_unpaired
from holdfast.errors import InvalidInput, NotEnoughPairs, NotFinite

QUICK = {"clusters": 12, "runs": 3, "restarts": 2, "rounds": 15}


def clouds(source=16, target=16, count=800, noise=0.05, seed=0):
    """Rows around 12 centres, and the same turned, with noise."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(12, source)) * np.geomspace(1.0, 0.3, source)
    which = rng.choice(12, count, p=rng.dirichlet(np.full(12, 4.0)))
    X = centres[which] + rng.normal(size=(count, source)) * np.geomspace(0.2, 0.1, source)
    turn = np.linalg.svd(rng.normal(size=(source, target)), full_matrices=False)
    turn = turn[0] @ turn[2]
    Y = X @ turn + noise * rng.normal(size=(count, target))
    return X + 0.5, Y - 1.0, turn


@cache
def shuffled(source=16, target=16, factor=1):
    """What is found when the targets come in another order."""
    X, Y, _ = clouds(source, target)
    return fit_unpaired(X, np.random.default_rng(2).permutation(factor * Y), **QUICK)


def found(aligner, X, Y):
    """Share of mapped rows whose nearest row is their own."""
    mapped = aligner.transform(X).astype(np.float64)
    table = mapped @ Y.T - 0.5 * np.sum(Y**2, axis=1)
    return np.mean(table.argmax(axis=1) == np.arange(len(X)))


@pytest.mark.parametrize(("source", "target"), [(16, 16), (14, 18), (18, 14)])
def test_a_planted_rotation_is_found_among_shuffled_rows(source, target):
    X, Y, turn = clouds(source, target)
    result = shuffled(source, target)
    weight = result.aligner.weight_.astype(np.float64) / result.aligner.scale_
    if source <= target:
        assert np.sum(weight * turn) / source > 0.99  # the mean cosine of the axes
    paired = found(Procrustes().fit(X, Y), X, Y)
    assert found(result.aligner, X, Y) > 0.95 * paired
    assert result.mutual > 0.5
    assert result.matching > 0.6


def test_rows_of_which_none_is_in_both_lead_to_the_same_rotation():
    X, Y, _ = clouds(count=2000)
    result = fit_unpaired(X[:1000], Y[1000:], **QUICK, tries=2)
    assert found(result.aligner, X, Y) > 0.7  # a wrong one leads to one row in fifty
    assert result.mutual > 0.2


def test_lengths_follow_those_of_the_target():
    X, _, _ = clouds()
    one, two = shuffled(), shuffled(factor=5)
    assert two.aligner.scale_ == pytest.approx(5 * one.aligner.scale_, rel=1e-5)
    np.testing.assert_allclose(two.aligner.transform(X), 5 * one.aligner.transform(X), atol=0.1)


@pytest.mark.parametrize(("source", "target"), [(24, 24), (20, 28), (28, 20)])
def test_lengths_are_taken_along_the_directions_that_both_spaces_have(source, target):
    rng = np.random.default_rng(0)
    # What only one of the two has is long.
    spread = np.where(np.arange(28) < 20, 1.0, 5.0)
    X, Y = (spread[:d] * rng.normal(size=(n, d)) for n, d in ((3000, source), (2000, target)))
    turn = np.eye(source, target)
    rows, targets = (X + 1000.0).astype(np.float32), (3.0 * Y - 1000.0).astype(np.float32)
    scale = _as_procrustes(rows, targets, turn).scale_
    assert scale == pytest.approx(3.0, rel=0.05)  # two samples of one cloud


def test_clouds_without_relation_are_told_by_the_share_of_mutual_neighbours():
    X, _, _ = clouds()
    Y = np.random.default_rng(3).normal(size=(800, 16))
    result = fit_unpaired(X, Y, **QUICK, tries=2)
    assert result.mutual < 0.4
    assert found(result.aligner, X, Y) < 0.02


def test_the_same_seed_finds_the_same_map():
    X, Y, _ = clouds(count=400)
    few = {**QUICK, "clusters": 8}
    first, second = (fit_unpaired(X, Y[::-1], **few, tries=1) for _ in range(2))
    assert first.aligner.weight_.tobytes() == second.aligner.weight_.tobytes()
    other = fit_unpaired(X, Y[::-1], **few, tries=1, seed=9)
    assert first.aligner.weight_.tobytes() != other.aligner.weight_.tobytes()


def test_centres_are_matched_as_by_trying_every_order():
    rng = np.random.default_rng(4)
    a = rng.normal(size=(6, 5))
    a = (a / np.linalg.norm(a, axis=1, keepdims=True)).astype(np.float32)
    b = (a + 0.1 * rng.normal(size=a.shape)).astype(np.float32)[rng.permutation(6)]
    _, _, matched = _matching(a, b, 20, np.random.default_rng(0))
    gram = a.astype(np.float64) @ a.T

    def agreement(rows):
        return np.sum(gram * (rows.astype(np.float64) @ rows.T))

    best = max(agreement(b[list(order)]) for order in permutations(range(6)))
    assert agreement(matched) == pytest.approx(best)


def test_mutual_neighbours_are_those_of_a_loop():
    rng = np.random.default_rng(5)
    x, y = (rng.normal(size=(n, 4)).astype(np.float32) for n in (30, 20))
    here, there, share = _mutual(x, y, np.eye(4))
    table = x @ y.T
    expected = [
        (i, j)
        for i in range(30)
        for j in range(20)
        if table[i, j] == table[i].max() and table[i, j] == table[:, j].max()
    ]
    assert list(zip(here.tolist(), there.tolist(), strict=True)) == expected
    assert share == len(expected) / 20


def test_unusable_rows_are_refused():
    X, Y, _ = clouds(count=300)
    with pytest.raises(NotEnoughPairs, match="200 different rows of each space, got 300 and 199"):
        fit_unpaired(X, Y[:199])
    with pytest.raises(NotEnoughPairs, match="got 3 and 300"):
        fit_unpaired(np.repeat(X[:3], 100, axis=0), Y)  # copies make no cluster
    with pytest.raises(NotEnoughPairs, match="at least 400 different rows"):
        fit_unpaired(X, Y, clusters=40)
    with pytest.raises(InvalidInput, match="numbers from 1"):
        fit_unpaired(X, Y, rounds=0)
    with pytest.raises(InvalidInput, match="three clusters"):
        fit_unpaired(X, Y, clusters=2)
    with pytest.raises(NotFinite):
        fit_unpaired(np.full_like(X, np.nan), Y)
