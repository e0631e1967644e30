"""Reduced-rank regression against numerical optimisation and brute force over ranks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.linear_model import Ridge as TheirRidge

from holdfast.align.bridge import Bridge
from holdfast.align.linear import Ridge
from holdfast.align.low_rank import LowRank
from holdfast.align.pairs import held_out_rows, rest_of
from holdfast.arrays import as_vectors
from holdfast.errors import InvalidInput, NotInvertible
from holdfast.space import Space


def pairs(rank, count=200, source=10, target=8, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, source)) + 0.5
    weight = rng.normal(size=(source, rank)) @ rng.normal(size=(rank, target))
    Y = X @ weight + noise * rng.normal(size=(count, target)) + 1.0
    return X.astype(np.float32), Y.astype(np.float32)


def test_the_full_rank_is_ridge():
    X, Y = pairs(8)
    full, ridge = LowRank(ranks=[99]).fit(X, Y), Ridge().fit(X, Y)
    assert full.rank_ == 8
    assert full.penalty_ == ridge.penalty_
    np.testing.assert_allclose(full.transform(X), ridge.transform(X), atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_a_planted_rank_is_found(rank):
    X, Y = pairs(rank, noise=0.05, count=400)
    fitted = LowRank(criterion="squared").fit(X, Y)
    # One direction of noise may win a hair on the held-out pairs; one too few loses a lot.
    assert rank <= fitted.rank_ <= rank + 1
    assert np.linalg.matrix_rank(fitted.weight_, tol=1e-4) == fitted.rank_
    errors = -LowRank(ranks=range(1, 9), criterion="squared").fit(X, Y).scores_
    assert errors[rank - 1] < 1.02 * errors.min()
    assert all(errors[: rank - 1] > 2 * errors.min())


def test_a_given_rank_is_the_best_one_under_the_penalty():
    X, Y = pairs(6, count=60, source=5, target=4, noise=1.0)
    fitted = LowRank(ranks=[2], grid=[0.3]).fit(X, Y)
    x, y = (a.astype(np.float64) - a.mean(axis=0, dtype=np.float64) for a in (X, Y))

    def loss_of(weight):
        return np.sum((x @ weight - y) ** 2) + fitted.penalty_ * np.sum(weight**2)

    def loss(flat):
        return loss_of(flat[:10].reshape(5, 2) @ flat[10:].reshape(2, 4))

    starts = np.random.default_rng(1).normal(size=(5, 18))
    best = min((minimize(loss, start) for start in starts), key=lambda found: found.fun)
    assert loss_of(fitted.weight_.astype(np.float64)) == pytest.approx(best.fun, rel=1e-6)
    np.testing.assert_allclose(
        fitted.weight_, best.x[:10].reshape(5, 2) @ best.x[10:].reshape(2, 4), atol=1e-3
    )


@pytest.mark.parametrize("criterion", ["cosine", "squared"])
def test_the_choice_is_that_of_brute_force(criterion):
    X, Y = pairs(3, count=80, noise=2.0)
    ours = LowRank(grid=[0.1], criterion=criterion, seed=2).fit(X, Y)
    held = held_out_rows(80, 0.2, 2, 4096, "test")
    x, y = (a[rest_of(80, held)].astype(np.float64) for a in (X, Y))
    centred = x - x.mean(axis=0)
    penalty = 0.1 * np.sum(centred**2) / X.shape[1]
    theirs = TheirRidge(alpha=penalty).fit(x, y)
    # Ridge is least squares on rows lengthened by the penalty: cut those, row by row.
    longer = np.vstack([centred, np.sqrt(penalty) * np.eye(X.shape[1])])
    _, _, right = np.linalg.svd(longer @ theirs.coef_.T, full_matrices=False)
    scores = []
    for rank in range(1, 9):
        weight = theirs.coef_.T @ right[:rank].T @ right[:rank]
        values = []
        for row, truth in zip(X[held] - x.mean(axis=0), Y[held].astype(np.float64), strict=True):
            got = row @ weight + y.mean(axis=0)
            if criterion == "squared":
                values.append(-np.sum((got - truth) ** 2))
            else:
                values.append(got @ truth / np.linalg.norm(got) / np.linalg.norm(truth))
        scores.append(np.mean(values))
    np.testing.assert_allclose(ours.scores_, scores, atol=1e-9)
    assert ours.ranks_.tolist() == list(range(1, 9))
    assert ours.rank_ == 1 + int(np.argmax(scores))


@pytest.mark.parametrize("seed", range(6))
def test_fewer_pairs_than_dimensions_leave_the_rank_to_no_rounding(seed):
    # 32 pairs are fitted on: from 31 directions on all ranks are one map and score the same.
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(40, 64))
    Y = X @ rng.normal(size=(64, 64)) + 0.1 * rng.normal(size=(40, 64))
    fitted = LowRank().fit(X, Y)
    scores = fitted.scores_
    assert np.ptp(scores[30:]) < 1e-9
    if scores[:30].max() < scores[30:].min() - 1e-9:
        assert fitted.rank_ == 64
        ridge = Ridge().fit(X, Y)
        np.testing.assert_allclose(fitted.transform(X), ridge.transform(X), atol=1e-5)
    else:
        assert fitted.rank_ == 1 + int(np.argmax(scores[:30]))


def test_a_planted_rank_is_found_among_equals():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 10))
    Y = X @ rng.normal(size=(10, 2)) @ rng.normal(size=(2, 8))  # from 2 on equal but for rounding
    assert [LowRank(seed=seed).fit(X, Y).rank_ for seed in range(5)] == [2] * 5


@pytest.mark.parametrize("ranks", [[], [0], [1.5], 3, ["2"]])
def test_unusable_ranks_are_refused(ranks):
    with pytest.raises(InvalidInput, match="ranks as integers from 1"):
        LowRank(ranks=ranks).fit(*pairs(2))


def test_a_bridge_of_low_rank_is_saved_and_has_no_way_back(tmp_path):
    X, Y = pairs(3)
    rows, targets = as_vectors(X, Space("a", 10), "test"), as_vectors(Y, Space("b", 8), "test")
    bridge = Bridge.fit(LowRank(ranks=[2, 3]), rows, targets)
    bridge.save(tmp_path / "b")
    again = Bridge.load(tmp_path / "b")
    assert again.transform(rows).array.tobytes() == bridge.transform(rows).array.tobytes()
    assert again.aligner.rank_ == bridge.aligner.rank_
    with pytest.raises(NotInvertible, match="leaves directions out"):
        again.inverse()
