"""Flips along a curve: identities, and a query that comes and goes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import InvalidInput
from holdfast.measure.flip_curve import flip_curve
from holdfast.measure.flips import flips


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 6), st.integers(1, 15), st.integers(0, 10_000))
def test_all_rates_equal_slow_counts_and_add_up_to_the_change(points, queries, seed):
    random = np.random.default_rng(seed)
    shares = [0.0, *np.sort(random.random(points - 2) * 0.98 + 0.01), 1.0]
    if min(np.diff(shares)) <= 0:
        return
    table = random.random((points, queries)) < 0.5
    got = flip_curve(shares, table, resamples=20)
    success = table.mean(axis=1)
    for i in range(1, points):
        against_first = flips(table[0], table[i], resamples=20)
        against_last = flips(table[i - 1], table[i], resamples=20)
        assert got.negative.each[i - 1] == against_first.negative
        assert got.positive.each[i - 1] == against_first.positive
        assert got.step_negative.each[i - 1] == against_last.negative
        assert got.step_positive.each[i - 1] == against_last.positive
        net = got.positive.each[i - 1].value - got.negative.each[i - 1].value
        assert net == pytest.approx(success[i] - success[0])
        net = got.step_positive.each[i - 1].value - got.step_negative.each[i - 1].value
        assert net == pytest.approx(success[i] - success[i - 1])
    rates = [0.0, *(one.value for one in got.negative.each)]
    assert got.negative.mean.value == pytest.approx(np.trapezoid(rates, shares))
    assert got.negative.highest.value == pytest.approx(max(rates[1:]))
    assert got.negative.last == got.negative.each[-1]
    steps = [one.value for one in got.step_negative.each]
    assert got.step_negative.mean.value == pytest.approx(np.mean(steps))
    lost = [q for q in range(queries) if table[0, q] and not table[1:, q].all()]
    assert got.ever.value == pytest.approx(len(lost) / queries)
    assert got.ever.value >= got.negative.highest.value - 1e-12


def test_queries_that_come_and_go_are_seen_by_steps_only():
    # Two queries take turns: Success@k is flat, yet in each step one is lost.
    table = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]])
    got = flip_curve([0, 0.25, 0.5, 0.75, 1], table, resamples=50)
    assert np.ptp(table.mean(axis=1)) == 0
    assert [one.value for one in got.step_negative.each] == [0.5] * 4
    assert got.negative.last.value == 0.0
    assert got.negative.highest.value == 0.5
    assert got.ever.value == 0.5


def test_a_curve_that_only_rises_has_no_negative_flips():
    table = np.arange(5)[:, None] >= np.array([0, 1, 2, 3, 4])
    got = flip_curve(np.linspace(0, 1, 5), table, "mean", resamples=50)
    assert got.negative.mean.value == got.step_negative.highest.value == got.ever.value == 0.0
    assert got.positive.last.value == pytest.approx(0.8)
    assert got.positive.mean.value == pytest.approx(np.mean([0, 0.2, 0.4, 0.6, 0.8]))


def test_findings_name_the_rule_and_the_cut():
    found = flip_curve([0, 1], [[1, 0, 1], [0, 1, 1]], resamples=50).findings(10)
    assert [f.metric for f in found][:3] == [
        "NFR@10, mean by trapezoid", "NFR@10, highest", "NFR@10, last"
    ]  # fmt: skip
    assert (len(found), found[-1].metric, found[-1].value) == (13, "ever lost@10", 1 / 3)


def test_other_than_successes_at_shares_from_0_to_1_is_refused():
    with pytest.raises(InvalidInput, match="from 0 to 1"):
        flip_curve([0, 0.5], [[1], [1]])
    with pytest.raises(InvalidInput, match="flip"):
        flip_curve([0, 1], [[0.5], [1]])
    with pytest.raises(InvalidInput, match="flip_curve"):
        flip_curve([0, 1], [1, 0])
