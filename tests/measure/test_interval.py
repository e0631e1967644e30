"""Bootstrap intervals against the cases in which the answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from holdfast.errors import InvalidInput, NotFinite
from holdfast.measure import interval as module
from holdfast.measure.interval import (
    bootstrap,
    bootstrap_of,
    bootstrap_rows,
    paired_difference,
    rate,
    resampled_means,
)


@pytest.mark.parametrize(("successes", "n"), [(30, 200), (100, 200), (7, 50)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_for_successes_the_ends_are_binomial_quantiles(successes, n, level):
    # Drawing n of n zeros and ones with replacement is exactly Binomial(n, share) / n.
    values = np.repeat([1.0, 0.0], [successes, n - successes])
    got = bootstrap(values, level, resamples=20_000, seed=3)
    tail = (1 - level) / 2
    want = binom.ppf([tail, 1 - tail], n, successes / n) / n
    assert got.value == pytest.approx(successes / n, abs=1e-15)
    assert abs(got.low - want[0]) <= 1.01 / n
    assert abs(got.high - want[1]) <= 1.01 / n


def test_ninety_five_in_a_hundred_intervals_hold_the_truth():
    random = np.random.default_rng(0)
    covered = 0
    for trial in range(400):
        sample = (random.random(120) < 0.3).astype(float)
        interval = bootstrap(sample, resamples=400, seed=trial)
        covered += interval.low <= 0.3 <= interval.high
    assert 0.91 <= covered / 400 <= 0.98


def slow_means(rows, resamples, seed):
    random = np.random.default_rng(seed)
    drawn = random.integers(0, rows.shape[1], (resamples, rows.shape[1]))
    return np.array([[rows[m, d].mean() for m in range(len(rows))] for d in drawn])


def test_resampled_means_equal_a_slow_loop():
    rows = np.random.default_rng(1).random((3, 17))
    np.testing.assert_allclose(resampled_means(rows, 25, 9), slow_means(rows, 25, 9), atol=1e-14)


def test_blocks_change_nothing(monkeypatch):
    rows = np.random.default_rng(1).random((2, 11))
    whole = resampled_means(rows, 50, 4)
    monkeypatch.setattr(module, "_CELLS", 35)
    np.testing.assert_allclose(resampled_means(rows, 50, 4), whole, atol=1e-15)


def test_the_same_seed_gives_the_same_interval_and_another_does_not():
    values = np.random.default_rng(0).random(50)
    assert bootstrap(values, seed=1) == bootstrap(values, seed=1)
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)


@settings(max_examples=30, deadline=None)
@given(st.floats(-3, 3), st.integers(1, 40))
def test_equal_values_have_no_spread(value, n):
    got = bootstrap([value] * n, resamples=50)
    assert got.low == got.high == got.value == value


def test_a_paired_difference_sees_what_two_intervals_hide():
    random = np.random.default_rng(0)
    hard = random.random(200)  # queries differ much more than the two systems do
    before, after = hard, hard + 0.02 + 0.01 * random.standard_normal(200)
    got = paired_difference(before, after)
    assert got.value == pytest.approx((after - before).mean())
    assert 0.015 < got.low < got.high < 0.025
    assert bootstrap(before).high > bootstrap(after).low  # unpaired ones overlap
    assert paired_difference(before, before).low == paired_difference(before, before).high == 0.0


def test_rows_are_drawn_together():
    values = np.random.default_rng(2).random(30)
    first, second = bootstrap_rows([values, 1.0 - values])
    assert first.low == pytest.approx(1.0 - second.high)
    assert first.high == pytest.approx(1.0 - second.low)
    alone = bootstrap(values)
    assert (alone.low, alone.high) == pytest.approx((first.low, first.high), abs=1e-14)


def test_a_ratio_of_proportional_means_has_no_spread():
    values = 1.0 + np.random.default_rng(2).random(30)
    got = bootstrap_of(lambda means: means[:, 1] / means[:, 0], [values, 3.0 * values])
    assert (got.value, got.low, got.high) == pytest.approx((3.0, 3.0, 3.0))


def test_a_statistic_that_is_not_a_number_is_refused():
    with pytest.raises(InvalidInput, match="finite statistic"):
        bootstrap_of(lambda means: means[:, 0] * np.nan, [[1.0, 2.0]])


@pytest.mark.parametrize(
    ("values", "came"),
    [([], "none"), ([[1.0, 2.0]], r"shape \(1, 2\)"), (1.0, r"shape \(\)"), (["a"], "'a'")],
)
def test_other_than_one_number_per_query_is_refused(values, came):
    with pytest.raises(
        InvalidInput, match=f"bootstrap: expected a list of .*numbers, got .*{came}"
    ):
        bootstrap(values)


def test_what_is_wrong_is_named_by_its_value_and_its_place():
    with pytest.raises(InvalidInput, match=r"rate: expected .*, got 0\.5 at place 1"):
        rate([1, 0.5])
    with pytest.raises(InvalidInput, match=r"paired_difference: expected .*, got none"):
        paired_difference([], [])


def test_senseless_settings_are_refused():
    with pytest.raises(NotFinite):
        bootstrap([1.0, np.nan])
    with pytest.raises(InvalidInput, match="level"):
        bootstrap([1.0, 2.0], level=95)
    with pytest.raises(InvalidInput, match="resample"):
        bootstrap([1.0, 2.0], resamples=0)
    with pytest.raises(InvalidInput, match="2 queries on both sides"):
        paired_difference([1.0, 2.0], [1.0])


@pytest.mark.parametrize(("successes", "n"), [(0, 50), (50, 50), (3, 40), (120, 300), (0, 1)])
def test_a_rate_holds_exactly_the_shares_that_a_score_test_does_not_reject(successes, n):
    got = rate([True] * successes + [False] * (n - successes), level=0.9)
    z = norm.ppf(0.95)
    for end in (got.low, got.high):
        if 0.0 < end < 1.0:
            assert abs(successes / n - end) == pytest.approx(z * np.sqrt(end * (1 - end) / n))
    assert got.low <= got.value == successes / n <= got.high
    assert (got.low == 0.0) == (successes == 0)
    assert (got.high == 1.0) == (successes == n)
    assert got.high - got.low > 0.0


def test_a_rate_refuses_what_is_no_success():
    for bad in ([], [0.5], [[True]]):
        with pytest.raises(InvalidInput, match="rate"):
            rate(bad)
    with pytest.raises(InvalidInput, match="level"):
        rate([True], level=95)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"seed": -1}, "a seed that is an integer from 0"),
        ({"seed": "7"}, "a seed that is an integer from 0"),
        ({"level": "0.9"}, "a level between 0 and 1"),
        ({"level": None}, "a level between 0 and 1"),
        ({"resamples": "100"}, "at least 1 resample"),
        ({"resamples": 1.5}, "at least 1 resample"),
    ],
)
def test_arguments_of_another_kind_are_refused(wrong, expected):
    (value,) = wrong.values()
    with pytest.raises(InvalidInput) as told:
        bootstrap([0.1, 0.4, 0.3], **wrong)
    assert (told.value.expected, told.value.got) == (expected, repr(value))
