"""Curves: identities of area and gain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import InvalidInput
from holdfast.measure.curve import Curve, compare_areas, cuts, rule_weights
from holdfast.measure.interval import bootstrap, paired_difference

SHARES = [0.0, 0.1, 0.25, 0.5, 0.9, 1.0]


def curve(values, shares=SHARES, queries=20, spread=0.0, seed=0):
    noise = spread * np.random.default_rng(seed).standard_normal(queries)
    noise -= noise.mean()
    return Curve.of("R@10", shares, np.asarray(values)[:, None] + noise, resamples=200)


def test_a_constant_curve_has_its_own_value_as_area_and_no_gain():
    got = curve([0.3] * 6, spread=0.1)
    assert got.area.value == pytest.approx(0.3)
    assert got.gain is None


def test_a_straight_line_gains_half_whatever_the_points():
    got = curve([0.2 + 0.4 * s for s in SHARES], spread=0.1)
    assert got.area.value == pytest.approx(0.4)
    assert (got.gain.value, got.gain.low, got.gain.high) == pytest.approx((0.5, 0.5, 0.5))


def test_an_instant_switch_gains_all():
    got = curve([0.2, 0.6, 0.6], shares=[0.0, 1e-9, 1.0])
    assert got.gain.value == pytest.approx(1.0)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=9),
    st.integers(0, 1000),
)
def test_area_equals_numpy_and_the_bootstrap_of_per_query_areas(values, seed):
    random = np.random.default_rng(seed)
    steps = random.random(len(values) - 1) + 0.01
    shares = [0.0, *(np.cumsum(steps)[:-1] / steps.sum()), 1.0]
    table = np.asarray(values)[:, None] + random.random((len(values), 7))
    got = Curve.of("AP", shares, table, resamples=50)
    assert got.area.value == pytest.approx(np.trapezoid(table.mean(axis=1), shares))
    slow = bootstrap([np.trapezoid(column, shares) for column in table.T], resamples=50)
    assert (got.area.low, got.area.high) == pytest.approx((slow.low, slow.high))


def test_gain_equals_its_formula():
    values = [0.2, 0.35, 0.3, 0.5, 0.55, 0.6]
    got = curve(values)
    assert got.gain.value == pytest.approx((np.trapezoid(values, SHARES) - 0.2) / 0.4)


def test_lowest_falls_and_never_below():
    got = curve([0.3, 0.35, 0.28, 0.28, 0.6, 0.55])
    share, point = got.lowest
    assert (share, point.value) == (0.25, pytest.approx(0.28))
    assert got.falls == 2
    assert not got.never_below(0.3)
    assert got.never_below(0.3, tolerance=0.021)
    assert got.never_below(0.27)


def test_findings_name_the_cells():
    found = curve([0.3, 0.35, 0.4, 0.5, 0.6, 0.7]).findings()
    assert [f.cell for f in found] == [
        "old/old", "mixed@10%", "mixed@25%", "mixed@50%", "mixed@90%", "new/new"
    ]  # fmt: skip
    assert [f.value for f in found] == pytest.approx([0.3, 0.35, 0.4, 0.5, 0.6, 0.7])
    assert {(f.metric, f.n, f.verdict) for f in found} == {("R@10", 20, "info")}
    assert curve([0.1] * 6).findings(start="bridged/old")[0].cell == "bridged/old"


@pytest.mark.parametrize("values", [[0.1, 0.2, 0.3, 0.3, 0.5, 0.5], [0.3] * 6])
def test_json_round_trip(values):
    got = curve(values, spread=0.2)
    assert Curve.from_json(got.to_json()) == got


@pytest.mark.parametrize(
    "shares", [[0.0, 0.5], [0.0, 0.5, 0.5, 1.0], [0.1, 0.5, 1.0], [0.0, 0.5, 0.9], [1.0, 0.5, 0.0]]
)
def test_shares_must_rise_from_zero_to_one(shares):
    with pytest.raises(InvalidInput, match="from 0 to 1"):
        Curve.of("AP", shares, np.zeros((3, 4)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=25))
def test_the_two_rules_are_related_on_even_points(values):
    s, even = len(values), np.linspace(0, 1, len(values))
    mean, trapezoid = (float(rule_weights(r, even) @ values) for r in ("mean", "trapezoid"))
    assert mean == pytest.approx(np.mean(values))
    expected = (s * mean - (values[0] + values[-1]) / 2) / (s - 1)
    assert trapezoid == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rule", ["trapezoid", "mean"])
def test_a_constant_curve_keeps_its_value_under_both_rules(rule):
    got = Curve.of("AP", [0, 0.5, 1], np.full((3, 4), 0.3), resamples=20, rule=rule)
    assert (got.area.value, got.area.low, got.area.high) == pytest.approx((0.3, 0.3, 0.3))
    assert Curve.from_json(got.to_json()).rule == rule
    assert got.summary()[0].metric == f"area({rule}) of AP"
    assert len(got.summary()) == 1


def test_json_written_before_rules_were_kept_is_a_plain_trapezoid():
    data = curve([0.1, 0.2, 0.3, 0.3, 0.5, 0.6]).to_json()
    del data["by_traffic"], data["rule"]
    assert (Curve.from_json(data).rule, Curve.from_json(data).by_traffic) == ("trapezoid", False)


@given(st.integers(1, 5000), st.integers(2, 30))
def test_cuts_rise_from_nothing_to_all_and_suit_the_mean(n, points):
    if n < points - 1:
        with pytest.raises(InvalidInput, match="cuts"):
            cuts(n, points)
        return
    got = cuts(n, points)
    assert (got[0], got[-1], len(got)) == (0, n, points)
    assert got == [int(i * n / (points - 1) + 1e-9) for i in range(points)]
    if n >= 2 * points:
        assert rule_weights("mean", [c / n for c in got]) == pytest.approx([1 / points] * points)


@pytest.mark.parametrize("rows", [[0.5, 0.6], [[0.5], [0.6, 0.7]], [[], []]], ids=repr)
def test_other_than_a_row_of_the_same_queries_at_each_share_is_refused(rows):
    for ask in (
        lambda: Curve.of("AP", [0.0, 1.0], rows),
        lambda: compare_areas([0.0, 1.0], rows, rows),
    ):
        with pytest.raises(InvalidInput, match="number"):
            ask()


def test_the_mean_of_uneven_points_is_refused():
    with pytest.raises(InvalidInput, match="evenly spaced"):
        Curve.of("AP", [0.0, 0.9, 1.0], np.zeros((3, 4)), rule="mean")
    with pytest.raises(InvalidInput, match="a rule among trapezoid, mean"):
        Curve.of("AP", [0.0, 1.0], np.zeros((2, 4)), rule="simpson")


@pytest.mark.parametrize("rule", ["trapezoid", "mean"])
def test_areas_are_compared_query_by_query(rule):
    random = np.random.default_rng(4)
    shares = np.linspace(0, 1, 6)
    before = np.sort(random.random((6, 30)), axis=0)
    after = before + 0.1 * np.sin(np.pi * shares)[:, None] + 0.02 * random.standard_normal((6, 30))
    got = compare_areas(shares, before, after, rule)
    areas = [
        np.trapezoid(table, shares, axis=0) if rule == "trapezoid" else table.mean(axis=0)
        for table in (before, after)
    ]
    want = paired_difference(*areas)
    assert (got.difference.value, got.difference.low) == pytest.approx((want.value, want.low))
    assert got.outcome == "better"
    with pytest.raises(InvalidInput, match="from 0 to 1"):
        compare_areas(shares, before[1:], after[1:])


def test_means_that_differ_in_their_last_bit_are_no_fall():
    values = np.random.default_rng(0).random(300)
    rows = [np.random.default_rng(seed).permutation(values) for seed in range(12)]
    curve = Curve.of("AP", np.linspace(0.0, 1.0, 12).tolist(), rows)
    assert (np.diff(curve.values) < 0.0).any()  # they do differ
    assert curve.falls == 0
    assert curve.never_below(curve.values.max())
