"""Thresholds: planted maps of scores, and a slow reference for each rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import InvalidInput, NotFinite
from holdfast.measure.thresholds import thresholds


def scores(seed, queries=30, each=20, noise=0.05):
    random = np.random.default_rng(seed)
    relevant = random.random(queries * each) < 0.2
    old = random.normal(0.3 + 0.3 * relevant, 0.1)
    new = 2.0 * old - 0.5 + random.normal(0, noise, old.shape)
    return old, new, relevant, np.repeat(np.arange(queries), each)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.floats(-0.5, 1.2), min_size=1, max_size=6))
def test_as_many_pairs_are_accepted(seed, at):
    old, new, relevant, query = scores(seed)
    for match, pool in (("accepted", np.ones(len(old), bool)), ("false accepts", ~relevant)):
        for row in thresholds(old, new, at, relevant, match, query, resamples=5):
            assert (new[pool] >= row.new).sum() == (old[pool] >= row.old).sum()
            taken = old >= row.old
            assert row.accepted == pytest.approx(taken.mean())
            slow = np.mean(new[taken] >= row.new) if taken.any() else 1.0
            assert row.kept == pytest.approx(slow)


@pytest.mark.parametrize("match", ["accepted", "false accepts"])
def test_a_threshold_that_is_itself_a_score_accepts_as_many_pairs(match):
    """Its place between two new scores is the upper one, which rounding took above it."""
    random = np.random.default_rng(0)
    old, new = random.normal(size=600), 1e4 * random.normal(size=600)
    relevant = random.random(600) < 0.3
    pool = ~relevant if match == "false accepts" else np.ones(600, dtype=bool)
    for row in thresholds(old, new, old[pool], relevant, match, resamples=2):
        assert (new[pool] >= row.new).sum() == (old[pool] >= row.old).sum()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 0.8))
def test_precision_is_kept_with_as_many_pairs_as_possible(seed, cut):
    old, new, relevant, query = scores(seed, noise=0.3)
    row = thresholds(old, new, [cut], relevant, "precision", query, resamples=5)[0]
    if not (old >= cut).any():
        assert not (new >= row.new).any()
        return
    wanted = relevant[old >= cut].mean()
    reached = [s for s in new if relevant[new >= s].mean() >= wanted - 1e-12]
    if reached:
        assert row.new == min(reached)
    else:
        assert not (new >= row.new).any()


@pytest.mark.parametrize("match", ["accepted", "false accepts"])
def test_a_change_of_scale_is_followed_exactly_and_the_same_space_changes_nothing(match):
    old, _, relevant, query = scores(1)
    inside = np.quantile(old[~relevant], np.linspace(0.1, 0.9, 7)) + 1e-4
    for scale, shift in ((1.0, 0.0), (10.0, 0.0), (0.5, -3.0)):
        rows = thresholds(old, scale * old + shift, inside, relevant, match, query, resamples=50)
        for row in rows:
            want = scale * row.old + shift
            assert (row.new, row.low, row.high) == pytest.approx((want, want, want))
            assert row.kept == 1.0


def test_any_rising_map_keeps_every_accepted_pair():
    old, _, _, query = scores(2)
    rows = thresholds(old, np.exp(5 * old), [0.2, 0.4, 0.6], queries=query, resamples=50)
    assert [row.kept for row in rows] == [1.0, 1.0, 1.0]
    for row in rows:  # between the image of the last accepted score and of the first refused
        accepted, refused = old[old >= row.old].min(), old[old < row.old].max()
        assert np.exp(5 * refused) < row.new <= np.exp(5 * accepted)


def test_the_interval_holds_the_true_map_and_shrinks_with_more_queries():
    inside = 0
    for seed in range(60):
        old, new, _, query = scores(seed, queries=60, noise=0.0)
        shifted = new + np.random.default_rng(seed).normal(0, 0.02, 60)[query]
        row = thresholds(old, shifted, [0.45], queries=query, resamples=200)[0]
        # The truth of many more queries of the same kind.
        inside += row.low <= TRUE <= row.high
    assert inside >= 50
    wide, narrow = (
        thresholds(*scores(3, queries=n)[:2], [0.45], queries=scores(3, queries=n)[3])[0]
        for n in (15, 300)
    )
    assert (wide.n, narrow.n) == (15, 300)
    assert narrow.high - narrow.low < 0.5 * (wide.high - wide.low)


def truth():
    old, new, _, query = scores(99, queries=20_000, noise=0.0)
    shifted = new + np.random.default_rng(7).normal(0, 0.02, 20_000)[query]
    return thresholds(old, shifted, [0.45], queries=query, resamples=1)[0].new


TRUE = truth()


def test_pairs_of_one_query_are_drawn_together():
    random = np.random.default_rng(0)
    offset = np.repeat(random.normal(0, 0.3, 20), 50)  # the new model's scale moves by query
    old = random.normal(0.5, 0.1, 1000)
    together, alone = (
        thresholds(old, old + offset, [0.5], queries=q)[0]
        for q in (np.repeat(np.arange(20), 50), None)
    )
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_the_finding_says_what_stays():
    found = thresholds([0.1, 0.5, 0.9], [1.0, 5.0, 9.0], [0.6], resamples=9)[0].finding()
    assert found.metric == "threshold for 0.6 (accepted)"
    assert (found.value, found.verdict, found.cell) == (6.0, "info", "new/new")
    assert found.note == "accepts 33.3% of the pairs, 100.0% of them the same"


def test_a_threshold_that_accepts_nothing_or_all_still_does():
    nothing, everything = thresholds([0.1, 0.5], [7.0, 3.0], [0.9, 0.0], resamples=9)
    assert nothing.new > 7.0
    assert everything.new == 3.0


def test_a_score_equal_to_the_threshold_is_accepted():
    rows = thresholds([0.1, 0.5, 0.9], [3.0, 2.0, 1.0], [0.5, 0.9], resamples=9)
    assert [(row.new, row.accepted) for row in rows] == [(2.0, 2 / 3), (3.0, 1 / 3)]


def test_a_threshold_never_parts_pairs_of_one_score():
    # At 0.5 three are accepted, two of them relevant. On the new scale the two best would be
    # 2 of 2 and the three best 2 of 3, but the last two score the same.
    old, new = [0.9, 0.8, 0.5, 0.1], [0.9, 0.5, 0.3, 0.3]
    row = thresholds(old, new, [0.5], [1, 1, 0, 0], "precision", resamples=9)[0]
    assert row.new == 0.5


def test_what_cannot_be_matched_is_refused():
    with pytest.raises(InvalidInput, match="3 pairs"):
        thresholds([0.1, 0.2, 0.3], [0.1, 0.2], [0.2])
    with pytest.raises(InvalidInput, match="by precision"):
        thresholds([0.1, 0.2], [0.1, 0.2], [0.2], match="precision")
    with pytest.raises(InvalidInput, match="one kind only"):
        thresholds([0.1, 0.2], [0.1, 0.2], [0.2], [1, 1], "precision")
    with pytest.raises(InvalidInput, match="one of accepted"):
        thresholds([0.1, 0.2], [0.1, 0.2], [0.2], match="recall")
    with pytest.raises(NotFinite):
        thresholds([0.1, np.inf], [0.1, 0.2], [0.2])
    for at, came in (([], "none"), (0.2, "shape")):
        with pytest.raises(InvalidInput, match=f"thresholds: at: expected a list .* got {came}"):
            thresholds([0.1, 0.2], [0.1, 0.2], at)
    with pytest.raises(InvalidInput, match="draws"):
        thresholds([0.1], [0.1], [0.2], resamples=0)
