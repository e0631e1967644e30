"""Ridge against scikit-learn's, its search against brute force, moments against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.linear_model import Ridge as TheirRidge

from holdfast.align.affine import BLOCK, apply
from holdfast.align.linear import GRID, Ridge
from holdfast.align.moments import Moments
from holdfast.align.pairs import held_out_rows, rest_of
from holdfast.errors import InvalidInput


def pairs(count=300, source=12, target=9, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, source)) * np.geomspace(1.0, 0.05, source) + 0.5
    Y = X @ rng.normal(size=(source, target)) + noise * rng.normal(size=(count, target)) - 1.0
    return X.astype(np.float32), Y.astype(np.float32)


@pytest.mark.parametrize("strength", [1e-6, 1e-2, 0.3, 10.0])
def test_the_map_is_that_of_scikit_learn_at_the_same_penalty(strength):
    X, Y = pairs()
    ours = Ridge(grid=[strength]).fit(X, Y)
    theirs = TheirRidge(alpha=ours.penalty_).fit(X.astype(np.float64), Y.astype(np.float64))
    np.testing.assert_allclose(ours.weight_, theirs.coef_.T, atol=1e-4)
    np.testing.assert_allclose(ours.bias_, theirs.intercept_, atol=1e-4)
    np.testing.assert_allclose(ours.transform(X), theirs.predict(X), atol=1e-4)


def test_strengths_are_relative_to_the_mean_eigenvalue():
    X, Y = pairs()
    centred = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    mean_eigenvalue = np.linalg.eigvalsh(centred.T @ centred).mean()
    assert Ridge(grid=[0.3]).fit(X, Y).penalty_ == pytest.approx(0.3 * mean_eigenvalue, rel=1e-9)


def test_the_map_does_not_depend_on_the_unit_of_length():
    X, Y = pairs()
    small, large = Ridge().fit(X, Y), Ridge().fit(64 * X, Y)
    np.testing.assert_allclose(small.transform(X), large.transform(64 * X), atol=1e-4)


def by_hand(predicted, truth, criterion):
    values = []
    for p, t in zip(predicted, truth.astype(np.float64), strict=True):
        if criterion == "squared":
            values.append(-((p - t) @ (p - t)))
        else:
            values.append(p @ t / np.sqrt((p @ p) * (t @ t)))
    return float(np.mean(values))


@pytest.mark.parametrize("criterion", ["cosine", "squared"])
@pytest.mark.parametrize("noise", [0.01, 3.0])
def test_the_choice_is_that_of_brute_force(criterion, noise):
    X, Y = pairs(count=60, noise=noise)
    ours = Ridge(criterion=criterion, seed=3).fit(X, Y)
    held = held_out_rows(60, 0.2, 3, 4096, "test")
    rest = rest_of(60, held)
    x = X[rest].astype(np.float64)
    centred = x - x.mean(axis=0)
    mean_eigenvalue = np.sum(centred**2) / X.shape[1]
    strengths = sorted(GRID, reverse=True)
    scores = []
    for strength in strengths:
        theirs = TheirRidge(alpha=strength * mean_eigenvalue).fit(x, Y[rest].astype(np.float64))
        scores.append(by_hand(theirs.predict(X[held].astype(np.float64)), Y[held], criterion))
    np.testing.assert_allclose(ours.strengths_, strengths)
    np.testing.assert_allclose(ours.scores_, scores, atol=1e-8)
    all_x = X.astype(np.float64)
    whole = np.sum((all_x - all_x.mean(axis=0)) ** 2) / X.shape[1]
    assert ours.penalty_ == pytest.approx(strengths[int(np.argmax(scores))] * whole, rel=1e-9)


def test_noise_asks_for_a_larger_penalty():
    quiet, loud = (Ridge(criterion="squared").fit(*pairs(60, noise=n)) for n in (0.001, 5.0))
    assert quiet.penalty_ < loud.penalty_ / 100


def test_an_affine_map_into_fewer_dimensions_is_found():
    X, _ = pairs()
    weight = np.random.default_rng(2).normal(size=(12, 4))
    fitted = Ridge().fit(X, X @ weight + 3.0)
    exact = LinearRegression().fit(X, X @ weight + 3.0)
    np.testing.assert_allclose(fitted.transform(X), exact.predict(X), atol=1e-4)


def test_a_source_without_spread_maps_to_the_mean():
    Y = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    fitted = Ridge().fit(np.ones((40, 5)), Y)
    np.testing.assert_allclose(fitted.transform(np.ones((1, 5)))[0], Y.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grid": []}, "grid of positive numbers"),
        ({"grid": [1.0, 0.0]}, "grid of positive numbers"),
        ({"grid": [np.nan]}, "grid of positive numbers"),
        ({"criterion": "taste"}, "'cosine' or 'squared'"),
        ({"held_out": 0.0}, "held_out between 0 and 1"),
        ({"held_out": 1.0}, "held_out between 0 and 1"),
    ],
)
def test_unusable_arguments_are_refused_when_fitted(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        Ridge(**arguments).fit(*pairs(20))


def test_moments_are_those_of_numpy_across_blocks():
    X, Y = pairs(count=9001)
    X += 100.0
    about = Moments.of(X, Y).centred()
    x, y = (a.astype(np.float64) - a.mean(axis=0, dtype=np.float64) for a in (X, Y))
    np.testing.assert_allclose(about.mean_x, X.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(about.xx, x.T @ x, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(about.xy, x.T @ y, rtol=1e-9, atol=1e-7)
    assert about.square_x == pytest.approx(np.sum(x**2), rel=1e-9)


def test_moments_without_a_part_are_those_of_the_rest():
    X, Y = pairs(count=500)
    held = held_out_rows(500, 0.3, 0, 4096, "test")
    rest = rest_of(500, held)
    total = Moments.of(X, Y)
    left = total.without(Moments.of(X[held], Y[held], total.shift)).centred()
    direct = Moments.of(X[rest], Y[rest]).centred()
    for name in ("mean_x", "mean_y", "xx", "xy", "square_x"):
        np.testing.assert_allclose(getattr(left, name), getattr(direct, name), atol=1e-8)


def test_rows_are_mapped_alike_on_both_sides_of_a_block():
    X, Y = pairs(count=BLOCK + 3)
    weight, bias = Y[:12].copy(), Y[0].copy()
    expected = X.astype(np.float64) @ weight + bias
    np.testing.assert_allclose(apply(X, weight, bias), expected, atol=1e-5)


def test_held_out_rows_are_distinct_bounded_and_drawn_by_the_seed():
    held = held_out_rows(100, 0.2, 0, 4096, "test")
    assert len(set(held.tolist())) == len(held) == 20
    assert sorted([*held, *rest_of(100, held)]) == list(range(100))
    assert len(held_out_rows(100, 0.2, 0, 7, "test")) == 7
    assert held_out_rows(2, 0.99, 0, 4096, "test").size == 1
    assert held.tolist() != held_out_rows(100, 0.2, 1, 4096, "test").tolist()


def test_penalties_that_tie_leave_no_choice_to_rounding():
    # On one line all cosines are 1 or -1, whatever the penalty: the strongest one is taken.
    rng = np.random.default_rng(0)
    picked = []
    for _ in range(10):
        along = rng.normal(size=50)
        X, Y = (np.outer(along, rng.normal(size=8)) for _ in range(2))
        ridge = Ridge().fit(X, Y)
        level = ridge.scores_ >= ridge.scores_.max() - 1e-14
        picked.append(ridge.penalty_ / Ridge(grid=[1.0]).fit(X, Y).penalty_)
        assert picked[-1] == pytest.approx(ridge.strengths_[np.argmax(level)])
    assert max(picked) > 1.0
