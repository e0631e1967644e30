"""Factors of coordinates against one regression for each, alone and after other maps."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from holdfast.align.bridge import Bridge
from holdfast.align.diagonal import Diagonal
from holdfast.align.linear import Ridge
from holdfast.align.low_rank import LowRank
from holdfast.align.orthogonal import Orthogonal
from holdfast.align.procrustes import Procrustes
from holdfast.arrays import as_vectors
from holdfast.errors import DimensionMismatch, InvalidInput
from holdfast.space import Space


def pairs(source=6, target=9, count=300, seed=0, noise=0.5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, source)) + 0.5
    Y = X @ rng.normal(size=(source, target)) * np.geomspace(0.1, 3.0, target) - 1.0
    return X.astype(np.float32), (Y + noise * rng.normal(size=Y.shape)).astype(np.float32)


AFTER = {"procrustes": Procrustes, "ridge": Ridge, "low_rank": LowRank, "orthogonal": Orthogonal}


@pytest.mark.parametrize("after", AFTER)
def test_each_coordinate_is_a_regression_of_its_own_on_what_came_before(after):
    X, Y = pairs()
    fitted, before = Diagonal(after=after).fit(X, Y), AFTER[after]().fit(X, Y)
    mapped = before.transform(X).astype(np.float64)
    for j in range(9):
        line = LinearRegression().fit(mapped[:, [j]], Y[:, j].astype(np.float64))
        assert fitted.scales_[j] == pytest.approx(line.coef_[0], abs=1e-4)
        expected = line.predict(mapped[:, [j]])
        np.testing.assert_allclose(fitted.transform(X)[:, j], expected, atol=1e-4)


def test_alone_it_is_a_regression_of_each_coordinate_on_itself():
    X, Y = pairs(6, 6)
    fitted = Diagonal(after="nothing").fit(X, Y)
    for j in range(6):
        line = LinearRegression().fit(X[:, [j]].astype(np.float64), Y[:, j].astype(np.float64))
        expected = line.predict(X[:, [j]])
        np.testing.assert_allclose(fitted.transform(X)[:, j], expected, atol=1e-5)
    assert np.count_nonzero(fitted.weight_) == 6


def test_lengths_that_differ_by_coordinate_are_found_where_a_rotation_misses_them():
    rng = np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    X = rng.normal(size=(2000, 8)).astype(np.float32)
    lengths = np.linspace(1.0, 2.0, 8)
    Y = X @ turn * lengths + 0.1 * rng.normal(size=(2000, 8))
    plain, scaled = Procrustes().fit(X, Y), Diagonal().fit(X, Y)
    np.testing.assert_allclose(scaled.scales_, lengths, rtol=0.05)
    assert np.mean((scaled.transform(X) - Y) ** 2) < 0.3 * np.mean((plain.transform(X) - Y) ** 2)


def test_a_coordinate_without_any_spread_keeps_its_length():
    X, Y = pairs(6, 6)
    X[:, 2] = 1.0
    fitted = Diagonal(after="nothing").fit(X, Y)
    assert fitted.scales_[2] == 1.0
    np.testing.assert_allclose(fitted.transform(X)[:, 2], Y[:, 2].mean(), atol=1e-5)


@pytest.mark.parametrize("after", AFTER)
def test_a_coordinate_in_which_rounding_alone_differs_keeps_its_length(after):
    """Rows along one line, of which all coordinates of the target but one say nothing."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        side = np.repeat([1.0, -1.0], 20)
        X = (side[:, None] * rng.normal(size=7)).astype(np.float32)
        Y = np.tile(rng.normal(size=(20, 5)), (2, 1))  # alike on both sides of the line
        Y[:, 0] += 0.7 * side
        fitted = Diagonal(after=after).fit(X, Y)
        np.testing.assert_array_equal(fitted.scales_[1:], 1.0)
        np.testing.assert_allclose(
            fitted.transform(X)[:, 0], Y[:, 0].mean() + 0.7 * side, atol=1e-5
        )


def test_unusable_questions_are_refused():
    with pytest.raises(DimensionMismatch, match=r"of one dimension.*6 and 9.*after='procrustes'"):
        Diagonal(after="nothing").fit(*pairs())
    with pytest.raises(InvalidInput, match=r"after as one of nothing, procrustes.*got 'mlp'"):
        Diagonal(after="mlp").fit(*pairs())


def test_a_bridge_is_saved_with_its_argument(tmp_path):
    X, Y = pairs()
    rows, targets = as_vectors(X, Space("a", 6), "test"), as_vectors(Y, Space("b", 9), "test")
    bridge = Bridge.fit(Diagonal(after="low_rank"), rows, targets)
    bridge.save(tmp_path / "b")
    again = Bridge.load(tmp_path / "b")
    assert again.aligner.after == "low_rank"
    assert again.transform(rows).array.tobytes() == bridge.transform(rows).array.tobytes()
