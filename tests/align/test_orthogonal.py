"""Relaxed orthogonality against its two ends, numerical optimisation and its own bound."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from holdfast.align.linear import Ridge
from holdfast.align.orthogonal import STRENGTHS, Orthogonal, deviation
from holdfast.align.procrustes import Procrustes
from holdfast.errors import InvalidInput


def pairs(source=8, target=8, count=300, noise=0.3, stretch=0.2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, source)) * np.geomspace(1.0, stretch, source) + 0.5
    Y = X @ rng.normal(size=(source, target)) / np.sqrt(source)
    return X.astype(np.float32), (Y + noise * rng.normal(size=Y.shape)).astype(np.float32)


@pytest.mark.parametrize(("source", "target"), [(8, 8), (6, 9), (9, 6)])
def test_one_end_is_procrustes_and_the_other_least_squares(source, target):
    X, Y = pairs(source, target)
    rotation = Procrustes().fit(X, Y).weight_
    strong, weak = (Orthogonal(grid=[g]).fit(X, Y) for g in (1e9, 1e-9))
    np.testing.assert_allclose(strong.weight_, rotation, atol=1e-5)
    assert strong.deviation_ < 1e-5
    x, y = (a.astype(np.float64) - a.mean(axis=0, dtype=np.float64) for a in (X, Y))
    np.testing.assert_allclose(weak.weight_, np.linalg.lstsq(x, y, rcond=None)[0], atol=1e-4)


@pytest.mark.parametrize(("source", "target"), [(4, 4), (3, 5), (5, 3)])
def test_in_between_no_other_map_has_a_smaller_penalised_error(source, target):
    X, Y = pairs(source, target, count=60)
    fitted = Orthogonal(grid=[0.3]).fit(X, Y)
    rotation = Procrustes().fit(X, Y).weight_.astype(np.float64)
    x, y = (a.astype(np.float64) - a.mean(axis=0, dtype=np.float64) for a in (X, Y))

    def loss(flat):
        weight = flat.reshape(source, target)
        return np.sum((x @ weight - y) ** 2) + fitted.penalty_ * np.sum((weight - rotation) ** 2)

    best = minimize(loss, np.zeros(source * target))
    np.testing.assert_allclose(fitted.weight_, best.x.reshape(source, target), atol=1e-4)


@pytest.mark.parametrize("tolerance", [0.05, 0.5, 1.5])
def test_a_tolerance_is_kept_and_used_up(tolerance):
    X, Y = pairs()
    fitted = Orthogonal(tolerance=tolerance).fit(X, Y)
    weight = fitted.weight_.astype(np.float64)
    assert np.linalg.norm(weight.T @ weight - np.eye(8)) == pytest.approx(tolerance, rel=1e-4)
    assert fitted.deviation_ <= tolerance
    free = Orthogonal(grid=[1e-6]).fit(X, Y)
    assert free.deviation_ > 1.5  # the bounds above do bind


def test_a_tolerance_that_does_not_bind_gives_least_squares():
    X, Y = pairs()
    free, wide = Orthogonal(grid=[1e-6]).fit(X, Y), Orthogonal(tolerance=99.0).fit(X, Y)
    np.testing.assert_allclose(wide.weight_, free.weight_, atol=1e-6)


def test_the_error_falls_as_the_tolerance_grows():
    X, Y = pairs()
    errors = [
        np.mean((Orthogonal(tolerance=t).fit(X, Y).transform(X) - Y) ** 2)
        for t in (0.01, 0.3, 1, 9)
    ]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.9 * errors[0]


@pytest.mark.parametrize("stretch", [1.0, 2.0, 4.0])
def test_with_few_pairs_it_comes_close_to_the_better_end_and_may_pass_it(stretch):
    rng = np.random.default_rng(1)
    planted = np.linalg.qr(rng.normal(size=(40, 40)))[0] * np.geomspace(1.0, stretch, 40)
    X = rng.normal(size=(60, 40)).astype(np.float32)
    Y = X @ planted + 0.3 * rng.normal(size=(60, 40))
    other = rng.normal(size=(500, 40)).astype(np.float32)

    def error(aligner):
        return np.mean((aligner.fit(X, Y).transform(other) - other @ planted) ** 2)

    between = error(Orthogonal(criterion="squared"))
    ends = error(Procrustes()), error(Ridge(criterion="squared"))
    assert between < 1.01 * min(ends)
    assert stretch != 2.0 or between < 0.85 * min(ends)


def test_the_choice_is_the_best_of_the_grid_on_held_out_pairs():
    X, Y = pairs()
    fitted = Orthogonal().fit(X, Y)
    assert fitted.strengths_.tolist() == sorted(STRENGTHS, reverse=True)
    best = fitted.strengths_[np.argmax(fitted.scores_)]
    centred = X.astype(np.float64) - X.mean(axis=0, dtype=np.float64)
    assert fitted.penalty_ == pytest.approx(best * np.sum(centred**2) / 8)


@pytest.mark.parametrize(("source", "target"), [(5, 3), (3, 5)])
def test_the_deviation_is_of_the_smaller_side(source, target):
    weight = np.random.default_rng(0).normal(size=(source, target))
    sizes = np.linalg.svd(weight, compute_uv=False)
    assert deviation(weight) == pytest.approx(np.linalg.norm(sizes**2 - 1.0))


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan, np.inf])
def test_an_unusable_tolerance_is_refused(tolerance):
    with pytest.raises(InvalidInput, match="a tolerance above 0"):
        Orthogonal(tolerance=tolerance).fit(*pairs())
