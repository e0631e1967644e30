"""Comparisons: the paired rule, and what few queries may not show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import InvalidInput
from holdfast.measure.comparison import compare
from holdfast.measure.interval import paired_difference

RNG = np.random.default_rng(0)
HARD = RNG.random(200)  # queries differ much more than the systems do


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=40))
def test_the_difference_is_the_paired_one_and_the_means_are_the_means(pairs):
    before, after = map(list, zip(*pairs, strict=True))
    got = compare(before, after, resamples=50)
    want = paired_difference(before, after, resamples=50)
    assert (got.difference.value, got.difference.low, got.difference.high) == pytest.approx(
        (want.value, want.low, want.high), abs=1e-12
    )
    assert (got.before, got.after) == pytest.approx((np.mean(before), np.mean(after)))


def test_a_small_steady_rise_is_shown_although_queries_differ_widely():
    after = HARD + 0.02 + 0.01 * RNG.standard_normal(200)
    assert compare(HARD, after).outcome == "better"
    assert compare(after, HARD).outcome == "worse"
    assert compare(HARD, after, higher_is_better=False).outcome == "worse"
    assert compare(after, HARD, higher_is_better=False).outcome == "better"


def test_noise_shows_no_difference_and_equal_values_have_no_width():
    noise = compare(HARD, HARD + RNG.standard_normal(200) * 0.1)
    assert noise.outcome == "no difference shown"
    same = compare(HARD, HARD)
    assert (same.difference.low, same.difference.high, same.outcome) == (
        0.0, 0.0, "no difference shown"
    )  # fmt: skip


def test_few_queries_show_nothing():
    assert compare([0.1] * 19, [0.9] * 19).outcome == "no difference shown"
    assert compare([0.1] * 20, [0.9] * 20).outcome == "better"
    # 200 queries of which one is asked all the time are as good as one.
    weights = np.append([1e6], np.ones(199))
    got = compare(HARD, HARD + 0.1, weights)
    assert got.effective == pytest.approx(1.0, abs=0.01)
    assert got.outcome == "no difference shown"
    assert "too few" in got.finding("R@1", "new/old").note


def test_weights_give_the_weighted_mean_and_equal_ones_the_plain_interval():
    weights = RNG.random(200)
    after = HARD**2
    got = compare(HARD, after, weights)
    assert got.difference.value == pytest.approx(np.average(after - HARD, weights=weights))
    plain, even = compare(HARD, after), compare(HARD, after, np.full(200, 3.0))
    assert (even.difference.low, even.difference.high) == pytest.approx(
        (plain.difference.low, plain.difference.high)
    )


def test_repeating_a_query_is_like_doubling_its_weight():
    weights = RNG.integers(1, 4, 200)
    got = compare(HARD, HARD**2, weights)
    rows = np.repeat(np.arange(200), weights)
    assert got.after == pytest.approx((HARD**2)[rows].mean())


def test_a_verdict_is_pass_fail_or_info():
    better, worse = (compare(HARD, HARD + d) for d in (0.1, -0.1))
    assert better.finding("nDCG@10", "new/new").verdict == "pass"
    found = worse.finding("nDCG@10", "bridged/old", "lang=de", "test")
    assert (found.verdict, found.metric, found.slice) == ("fail", "change of nDCG@10", "lang=de")
    assert found.note.startswith("test; worse: ")
    assert found.value == pytest.approx(-0.1)
    assert compare(HARD, HARD).finding("AP", "new/new").verdict == "info"


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InvalidInput, match="2 queries on both sides"):
        compare([1.0, 2.0], [1.0])
    for weights in ([1.0], [-1.0, 2.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]):
        with pytest.raises(InvalidInput, match="weights"):
            compare([1.0, 2.0], [1.0, 2.0], weights)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_what_a_draw_may_miss_altogether_is_not_shown(weighted, lost):
    """(1 - lost / q)^q is 5 to 37 % of the draws: those without any loss reach zero."""
    for queries in range(30, 200, 7):
        before, after = np.ones(queries), np.ones(queries)
        after[:lost] = 0.0
        weights = np.linspace(1.0, 1.5, queries) if weighted else None
        for found, end in (
            (compare(before, after, weights), "high"),
            (compare(after, before, weights), "low"),
        ):
            assert getattr(found.difference, end) == 0.0
            assert found.outcome == "no difference shown"


def test_values_that_differ_in_their_last_bit_are_equal():
    assert 0.1 + 0.2 != 0.3
    found = compare([0.1 + 0.2] * 30, [0.3] * 30)
    assert (found.outcome, found.difference.value) == ("no difference shown", 0.0)
    assert paired_difference([0.3] * 30, [0.1 + 0.2] * 30).high == 0.0
