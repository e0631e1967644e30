"""Traffic: weights that add up, and what a weighted curve says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import InvalidInput
from holdfast.measure.comparison import compare
from holdfast.measure.curve import Curve
from holdfast.measure.traffic import effective_count, weighted, zipf


@given(st.integers(1, 300), st.floats(0, 3))
def test_zipf_adds_up_and_keeps_its_ratios(n, exponent):
    got = zipf(n, exponent)
    assert got.sum() == pytest.approx(1.0)
    ranks = np.arange(1, n + 1)
    np.testing.assert_allclose(got / got[0], (1.0 / ranks) ** exponent)


def test_draws_of_weighted_queries_spread_as_so_many_of_equal_weight():
    random = np.random.default_rng(3)
    table, weights = random.random((2, 9)), random.random(9)
    both = np.vstack([table, table[1] - table[0]])
    means, drawn = weighted(both, weights, 40_000, 5)
    np.testing.assert_allclose(means, np.average(both, axis=1, weights=weights))
    spread = np.average((both.T - means) ** 2, axis=0, weights=weights)
    assert 6.0 < effective_count(weights) < 7.0  # no whole number
    np.testing.assert_allclose(drawn.mean(axis=0), means, atol=0.01)
    np.testing.assert_allclose(drawn.var(axis=0), spread / effective_count(weights), rtol=0.03)
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], drawn[:, 2], atol=1e-12)  # paired


def test_a_draw_of_weighted_queries_is_a_mean_of_whole_answers():
    weights = np.array([3.0, 1.0, 1.0, 0.0])  # worth 25 / 11: two or three of them
    _, drawn = weighted(np.array([[1.0, 0.0, 0.0, 9.0]]), weights, 400, 1)
    assert np.unique(drawn.round(12)).tolist() == [0.0, 0.333333333333, 0.5, 0.666666666667, 1.0]


def test_nineteen_of_twenty_weighted_intervals_hold_the_truth():
    """Nine of ten of them did while the most popular query was drawn as any other."""
    random, weights = np.random.default_rng(1), zipf(100)
    held = 0
    for seed in range(500):
        values = random.choice([-1.0, -0.3, 0.0, 0.2, 0.4], 100)  # of mean -0.14
        got = compare(np.zeros(100), values, weights, resamples=300, seed=seed).difference
        held += got.low <= -0.14 <= got.high
    assert 0.93 <= held / 500 <= 0.98


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_the_unit_of_weights_does_not_matter(scale):
    values, weights = np.random.default_rng(2).random(40), zipf(40)
    want, got = (compare(values, values**2, w) for w in (weights, weights * scale))
    assert got.effective == pytest.approx(want.effective)
    assert (got.difference.low, got.difference.high) == pytest.approx(
        (want.difference.low, want.difference.high)
    )


def test_a_popular_query_decides_a_weighted_curve():
    shares = [0.0, 0.5, 1.0]
    # Query 0 gains at once, the other nine only at the end.
    table = np.zeros((3, 10))
    table[1, 0] = 1.0
    table[2] = 1.0
    plain = Curve.of("R@1", shares, table, resamples=50)
    popular = np.append([90.0], np.ones(9))
    by_traffic = Curve.of("R@1", shares, table, resamples=50, weights=popular)
    assert plain.area.value == pytest.approx(0.25 + 0.5 * 0.1)
    assert by_traffic.area.value == pytest.approx(0.25 + 0.5 * 90 / 99)
    assert by_traffic.gain.value == pytest.approx(by_traffic.area.value)
    assert (plain.by_traffic, by_traffic.by_traffic) == (False, True)
    assert "by traffic" in by_traffic.summary()[0].metric


def test_equal_weights_change_nothing_in_a_curve():
    table = np.random.default_rng(1).random((3, 40))
    one = Curve.of("AP", [0, 0.3, 1], table, resamples=100)
    two = Curve.of("AP", [0, 0.3, 1], table, resamples=100, weights=np.full(40, 7.0))
    assert two.area.value == pytest.approx(one.area.value)
    assert (two.area.low, two.gain.high) == pytest.approx((one.area.low, one.gain.high))


def test_effective_count_of_equal_weights_is_their_number():
    assert effective_count(np.full(17, 0.3)) == pytest.approx(17)
    assert effective_count(zipf(1000)) == pytest.approx(7.4855**2 / 1.6439, rel=1e-3)


@pytest.mark.parametrize(
    ("weights", "came"),
    [
        ([1.0, -2.0], "numbers from 0, got -2"),
        ([0.0, 0.0], "a finite sum above 0, got 0"),
        ([1.0, np.nan], "NaN"),
        (["often", "rarely"], "'often'"),
        ([], "none"),
    ],
)
def test_what_is_wrong_with_weights_is_said(weights, came):
    for ask in (effective_count, lambda w: compare([0.0, 1.0], [1.0, 1.0], w)):
        with pytest.raises(InvalidInput, match=f"weights: expected .*{came}"):
            ask(weights)
    with pytest.raises(InvalidInput, match="2 of them, one per query, got 3"):
        compare([0.0, 1.0], [1.0, 1.0], [1.0, 1.0, 1.0])


def test_senseless_weights_are_refused():
    for n, exponent in ((0, 1.0), (3, -1.0), (3, np.inf), (3, np.nan)):
        with pytest.raises(InvalidInput, match="zipf"):
            zipf(n, exponent)
