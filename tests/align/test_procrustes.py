"""Procrustes against the closed form of scipy, numerical optimisation and planted maps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import minimize

from holdfast.align.procrustes import Procrustes


def turn(source, target, seed=0):
    rng = np.random.default_rng(seed)
    left, _, right = np.linalg.svd(rng.normal(size=(source, target)), full_matrices=False)
    return left @ right


def noisy_pairs(source, target, count=80, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, source)) * np.linspace(0.5, 2.0, source) + 1.0
    Y = X @ rng.normal(size=(source, target)) + rng.normal(size=(count, target)) - 2.0
    return X.astype(np.float32), Y.astype(np.float32)


@pytest.mark.parametrize(("source", "target"), [(16, 16), (16, 24)])
def test_a_planted_rotation_is_recovered(source, target):
    X = np.random.default_rng(1).normal(size=(400, source)).astype(np.float32)
    rotation = turn(source, target)
    fitted = Procrustes().fit(X, X @ rotation + 0.25)
    np.testing.assert_allclose(fitted.weight_, rotation, atol=1e-6)
    np.testing.assert_allclose(fitted.bias_, 0.25, atol=1e-6)
    mapped = fitted.transform(X).astype(np.float64) - 0.25
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
    np.testing.assert_allclose(mapped @ mapped.T, unit @ unit.T, atol=2e-6)


def test_a_planted_rotation_into_fewer_dimensions_is_recovered_from_even_rows():
    # Rows spread evenly in all directions: only then do the pairs determine the map.
    X = np.vstack([np.eye(12), -np.eye(12)]).astype(np.float32)
    rotation = turn(12, 7)
    np.testing.assert_allclose(Procrustes().fit(X, X @ rotation).weight_, rotation, atol=1e-6)


@pytest.mark.parametrize(("source", "target"), [(9, 9), (9, 14), (14, 9)])
def test_what_few_pairs_leave_open_does_not_depend_on_how_the_svd_fills_it(
    monkeypatch, source, target
):
    X, Y = noisy_pairs(source, target, count=5)
    plain = Procrustes().fit(X, Y).weight_
    svd, rng, filled = np.linalg.svd, np.random.default_rng(2), []

    def another(matrix, full_matrices=True):
        left, sizes, right = svd(matrix, full_matrices=full_matrices)
        empty = int((sizes > 1e-12 * sizes[0]).sum())
        for rows in (left.T[empty:], right[empty:]):
            if matrix.shape == (source, target) and len(rows) > 1:
                rows[:] = np.linalg.qr(rng.normal(size=(len(rows), len(rows))))[0] @ rows
                filled.append(len(rows))
        return left, sizes, right

    monkeypatch.setattr(np.linalg, "svd", another)
    again = Procrustes().fit(X, Y).weight_
    assert len(filled) == 4
    np.testing.assert_allclose(again, plain, atol=2e-6)
    smaller = again @ again.T if source <= target else again.T @ again
    np.testing.assert_allclose(smaller, np.eye(9), atol=2e-6)


@pytest.mark.parametrize(("source", "target"), [(4, 4), (3, 5), (5, 3)])
def test_of_the_best_maps_the_one_nearest_to_the_identity_is_taken(source, target):
    X, Y = noisy_pairs(source, target, count=3)
    x, y = (a.astype(np.float64) - a.mean(axis=0) for a in (X, Y))
    fitted = Procrustes().fit(X, Y).weight_.astype(np.float64)
    # An independent way to the same: the limit of a pull to the identity that fades away.
    left, _, right = np.linalg.svd(x.T @ y + 1e-7 * np.eye(source, target), full_matrices=False)
    np.testing.assert_allclose(fitted, left @ right, atol=1e-5)
    assert np.vdot(x @ fitted, y) == pytest.approx(np.linalg.svd(x.T @ y)[1].sum(), rel=1e-6)


def test_directions_that_no_pair_tells_of_stay_what_they_are():
    X = np.random.default_rng(4).normal(size=(3, 8)).astype(np.float32)
    np.testing.assert_allclose(Procrustes().fit(X, X + 1.0).weight_, np.eye(8), atol=1e-6)
    same = np.full((4, 8), 0.5, dtype=np.float32)
    np.testing.assert_allclose(Procrustes().fit(same, same).weight_, np.eye(8), atol=1e-6)


def test_the_square_case_agrees_with_scipy():
    X, Y = noisy_pairs(10, 10)
    for center in (True, False):
        x = X - X.mean(axis=0) if center else X
        y = Y - Y.mean(axis=0) if center else Y
        expected, _ = orthogonal_procrustes(x.astype(np.float64), y.astype(np.float64))
        fitted = Procrustes(center=center).fit(X, Y)
        np.testing.assert_allclose(fitted.weight_, expected, atol=1e-5)


@pytest.mark.parametrize(("source", "target"), [(3, 5), (5, 3)])
def test_the_rectangular_cases_agree_with_numerical_optimisation(source, target):
    X, Y = noisy_pairs(source, target)
    x, y = (a.astype(np.float64) - a.mean(axis=0) for a in (X, Y))

    def nearest_turn(flat):
        left, _, right = np.linalg.svd(flat.reshape(source, target), full_matrices=False)
        return left @ right

    def loss(flat):
        mapped = x @ nearest_turn(flat)
        # Into more dimensions: the squared error. Into fewer: that of the way back.
        error = mapped - y if source <= target else x - y @ nearest_turn(flat).T
        return float(np.sum(error**2))

    fitted = Procrustes().fit(X, Y)
    starts = np.random.default_rng(3).normal(size=(6, source * target))
    best = min((minimize(loss, s, options={"maxiter": 500}) for s in starts), key=lambda r: r.fun)
    assert loss(fitted.weight_.astype(np.float64).ravel()) == pytest.approx(best.fun, rel=1e-5)
    np.testing.assert_allclose(fitted.weight_, nearest_turn(best.x), atol=2e-3)


@pytest.mark.parametrize(("source", "target"), [(6, 6), (4, 7), (7, 4)])
def test_scale_is_the_least_squares_factor(source, target):
    X, Y = noisy_pairs(source, target)
    plain, scaled = Procrustes().fit(X, Y), Procrustes(scale=True).fit(X, Y)
    x, y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    mapped = (x @ plain.weight_).ravel()
    factor, *_ = np.linalg.lstsq(mapped[:, None], y.ravel(), rcond=None)
    assert scaled.scale_ == pytest.approx(factor[0], rel=1e-4)
    np.testing.assert_allclose(scaled.weight_, scaled.scale_ * plain.weight_, rtol=1e-4, atol=1e-6)


def test_a_planted_scale_is_recovered_and_undone():
    X = np.random.default_rng(5).normal(size=(100, 6)).astype(np.float32)
    fitted = Procrustes(scale=True).fit(X, 3.0 * X @ turn(6, 9) + 1.0)
    assert fitted.scale_ == pytest.approx(3.0, rel=1e-6)
    np.testing.assert_allclose(fitted.inverse_transform(fitted.transform(X)), X, atol=1e-5)


@pytest.mark.parametrize(("source", "target"), [(6, 6), (4, 7), (7, 4)])
def test_the_way_back_is_the_fit_with_the_roles_exchanged(source, target):
    X, Y = noisy_pairs(source, target)
    back, exchanged = Procrustes().fit(X, Y).inverse(), Procrustes().fit(Y, X)
    np.testing.assert_allclose(back.weight_, exchanged.weight_, atol=1e-5)
    np.testing.assert_allclose(back.transform(Y), exchanged.transform(Y), atol=1e-4)


def test_the_way_back_of_the_way_back_is_the_map_itself():
    X, Y = noisy_pairs(5, 8)
    fitted = Procrustes().fit(X, Y)
    again = fitted.inverse().inverse()
    assert again.weight_.tobytes() == fitted.weight_.tobytes()
    np.testing.assert_allclose(again.bias_, fitted.bias_, atol=1e-6)


def test_into_fewer_dimensions_lost_directions_come_back_as_the_mean():
    X, Y = noisy_pairs(7, 3)
    fitted = Procrustes().fit(X, Y)
    back = fitted.inverse_transform(fitted.transform(X)).astype(np.float64)
    lost = np.linalg.svd(fitted.weight_.astype(np.float64))[0][:, 3:]
    np.testing.assert_allclose((back - X.mean(axis=0, dtype=np.float64)) @ lost, 0.0, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(0, 4))
def test_turning_and_moving_the_source_changes_nothing(seed, source, more):
    X, Y = noisy_pairs(source, source + more, count=60, seed=seed)
    moved = X @ turn(source, source, seed).astype(np.float32) + np.float32(0.5)
    plain, turned = Procrustes().fit(X, Y), Procrustes().fit(moved, Y)
    scale = float(np.abs(Y).max())
    np.testing.assert_allclose(
        plain.transform(X), turned.transform(moved), atol=2e-4 * max(1.0, scale)
    )


def test_rows_far_from_the_origin_keep_their_rotation():
    X = np.random.default_rng(6).normal(size=(9000, 8)).astype(np.float32)
    rotation = turn(8, 8)
    far = (X + np.float32(64.0)).astype(np.float64)
    fitted = Procrustes().fit(far, far @ rotation)
    np.testing.assert_allclose(fitted.weight_, rotation, atol=5e-6)
