"""Interpolation against the usual formula, its identities, mixed scores and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.align.spherical import ALPHAS, OFFSETS, SLOPES, Interpolation, slerp
from holdfast.arrays import as_vectors
from holdfast.errors import InvalidInput, WrongSpace
from holdfast.space import Space

OLD = Space("old", 12)


def queries(count=40, seed=0, dim=12):
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(count, dim))
    return as_vectors(u, OLD, "test"), as_vectors(u + rng.normal(size=u.shape), OLD, "test")


def angle(a, b):
    """Between rows; accurate at both ends."""
    a, b = (np.asarray(x, dtype=np.float64) for x in (a, b))
    a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return 2 * np.arctan2(np.linalg.norm(a - b, axis=-1), np.linalg.norm(a + b, axis=-1))


def usual(u, v, alpha):
    """The formula with the division."""
    t = angle(u, v)[:, None]
    return (np.sin((1 - alpha) * t) * u + np.sin(alpha * t) * v) / np.sin(t)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_slerp_is_the_usual_formula_of_unit_length_at_the_share_of_the_angle(alpha):
    u, v = queries()
    joined = Interpolation(alpha).between(u, v)
    assert joined.space is OLD
    np.testing.assert_allclose(joined.array, usual(u.array, v.array, alpha), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(joined.array, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(angle(u, joined), alpha * angle(u, v), atol=1e-6)
    np.testing.assert_allclose(angle(joined, v), (1 - alpha) * angle(u, v), atol=1e-6)


@pytest.mark.parametrize("rule", ["slerp", "nlerp"])
def test_the_ends_are_the_two_queries(rule):
    u, v = queries()
    np.testing.assert_allclose(Interpolation(0.0, rule).between(u, v).array, u.array, atol=1e-6)
    np.testing.assert_allclose(Interpolation(1.0, rule).between(u, v).array, v.array, atol=1e-6)


def test_a_weighted_sum_with_the_right_weight_points_where_slerp_does():
    u, v = queries()
    t = angle(u, v)
    for alpha in ALPHAS[1:-1]:
        weight = np.sin(alpha * t) / (np.sin((1 - alpha) * t) + np.sin(alpha * t))
        on_sphere = Interpolation(alpha).between(u, v).array
        for i, beta in enumerate(weight):
            pair = u.take([i]), v.take([i])
            summed = Interpolation(float(beta), "nlerp").between(*pair).array
            np.testing.assert_allclose(summed[0], on_sphere[i], atol=2e-6)


def test_nlerp_ranks_as_mixed_scores_do():
    u, v = queries()
    stored = queries(200, seed=1)[0].array.astype(np.float64)
    for beta in (0.2, 0.5, 0.9):
        joined = Interpolation(beta, "nlerp").between(u, v).array
        scores = (1 - beta) * (u.array @ stored.T) + beta * (v.array @ stored.T)
        for row, mixed in zip(joined @ stored.T, scores, strict=True):
            assert np.argsort(-row)[:10].tolist() == np.argsort(-mixed)[:10].tolist()


def test_adaptive_weights_are_the_sigmoid_of_how_far_the_models_agree():
    u, v = queries()
    joined = Interpolation(rule="adaptive", offset=-1.5, slope=3.0).between(u, v).array
    for a, b, got in zip(u.array, v.array, joined, strict=True):
        beta = 1 / (1 + np.exp(-(-1.5 + 3.0 * float(a @ b))))
        expected = (1 - beta) * a + beta * b
        np.testing.assert_allclose(got, expected / np.linalg.norm(expected), atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.floats(0.0, 1.0),
    st.sampled_from([0.0, 1e-12, 1e-8, 1e-6, 1e-4, 0.1, 1.5, 3.1]),
    st.booleans(),
)
def test_at_small_angles_and_near_antipodes_nothing_is_lost(seed, alpha, apart, opposite):
    rng = np.random.default_rng(seed)
    u, w = np.linalg.qr(rng.normal(size=(7, 2)))[0].T
    v = np.cos(apart) * u + np.sin(apart) * w
    if opposite:
        v, apart = -v, np.pi - apart
    joined = slerp(u[None], v[None], alpha)
    assert np.linalg.norm(joined) == pytest.approx(1.0, abs=1e-9)
    assert angle(u, joined[0]) == pytest.approx(alpha * apart, abs=2e-7)
    assert angle(joined[0], v) == pytest.approx((1 - alpha) * apart, abs=2e-7)


@pytest.mark.parametrize("rule", ["slerp", "nlerp", "adaptive"])
def test_opposite_and_equal_queries_have_an_answer(rule):
    u, _ = queries()
    opposite = as_vectors(-u.array, OLD, "test")
    joined = Interpolation(0.5, rule).between(u, opposite).array
    assert np.isfinite(joined).all()
    if rule != "slerp":
        np.testing.assert_allclose(joined, u.array, atol=1e-6)
    same = Interpolation(0.3, rule).between(u, u).array
    np.testing.assert_allclose(same, u.array, atol=1e-6)


def support(noise_old, noise_new, count=300):
    """Queries of two models about stored rows, with noise of their own."""
    rng = np.random.default_rng(5)
    stored = rng.normal(size=(500, 12))
    own = rng.permutation(500)[:count]
    pair = [stored[own] + n * rng.normal(size=(count, 12)) for n in (noise_old, noise_new)]
    return *(as_vectors(x, OLD, "test") for x in (*pair, stored)), own


def brute(u, v, stored, own, rule, setting):
    found = 0
    for a, b, right in zip(u.array, v.array, own, strict=True):
        pair = as_vectors(a[None], OLD, "t"), as_vectors(b[None], OLD, "t")
        found += np.argmax(stored.array @ setting.between(*pair).array[0]) == right
    return found / len(own)


@pytest.mark.parametrize("rule", ["slerp", "nlerp"])
def test_the_share_is_the_best_of_the_grid_on_support_pairs(rule):
    data = support(0.6, 0.6)
    fitted = Interpolation.fit(*data, rule)
    scores = [brute(*data, rule, Interpolation(alpha, rule)) for alpha in ALPHAS]
    assert fitted.alpha == ALPHAS[int(np.argmax(scores))]
    assert fitted.score == pytest.approx(max(scores))
    assert 0.3 <= fitted.alpha <= 0.7  # two models equally good: the middle
    assert max(scores) > scores[0] + 0.1
    assert max(scores) > scores[-1] + 0.1


def test_the_adaptive_setting_is_the_best_of_its_grid():
    data = support(0.5, 0.8)
    fitted = Interpolation.fit(*data, "adaptive")
    grid = [Interpolation(0.0, "adaptive", o, s) for o in OFFSETS for s in SLOPES]
    assert fitted.score == pytest.approx(max(brute(*data, "adaptive", one) for one in grid))
    assert brute(*data, "adaptive", fitted) == pytest.approx(fitted.score)


def test_the_better_model_is_followed():
    assert Interpolation.fit(*support(0.1, 1.5)).alpha <= 0.2
    assert Interpolation.fit(*support(1.5, 0.1)).alpha >= 0.8


def test_what_earns_nothing_keeps_the_old_query():
    u, _ = queries()
    own = np.arange(40)
    fitted = Interpolation.fit(u, u, u, own)  # both say the same: all shares are as good
    assert (fitted.alpha, fitted.score) == (0.0, 1.0)
    far = as_vectors(-u.array, OLD, "test")
    none = Interpolation.fit(far, far, u, own)
    assert (none.alpha, none.score) == (0.0, 0.0)


def test_unusable_questions_are_refused():
    u, v = queries()
    other = as_vectors(np.eye(12), Space("new", 12), "test")
    dot = as_vectors(np.eye(12), Space("dot", 12, "dot"), "test")
    with pytest.raises(WrongSpace, match="vectors of old"):
        Interpolation().between(u, other)
    with pytest.raises(WrongSpace, match="metric is cosine"):
        Interpolation().between(dot, dot)
    with pytest.raises(InvalidInput, match="40 and 3"):
        Interpolation().between(u, v.take(slice(3)))
    with pytest.raises(InvalidInput, match="alpha from 0 to 1"):
        Interpolation(1.1)
    with pytest.raises(InvalidInput, match="slerp, nlerp or adaptive"):
        Interpolation(rule="squad")
    for own in (np.arange(3), np.full(40, 40), np.full(40, -1), np.zeros(40)):
        with pytest.raises(InvalidInput, match="the row, below 40"):
            Interpolation.fit(u, v, u, own)
    for depths in ((), (0,), (1, -1)):
        with pytest.raises(InvalidInput, match="depths from 1"):
            Interpolation.fit(u, v, u, np.arange(40), depths=depths)
