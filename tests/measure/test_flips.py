"""Flips: the identity with Success@k, and planted cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import InvalidInput
from holdfast.hits import Hits
from holdfast.measure.flips import flips
from holdfast.measure.judgements import Judgements
from holdfast.measure.ranking import parse


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_rates_equal_a_slow_count_and_their_difference_is_the_change(pairs):
    before, after = zip(*pairs, strict=True)
    got = flips(before, after, resamples=20)
    lost = [i for i, (b, a) in enumerate(pairs) if b and not a]
    won = [i for i, (b, a) in enumerate(pairs) if a and not b]
    assert (got.lost.tolist(), got.won.tolist()) == (lost, won)
    assert got.negative.value == pytest.approx(len(lost) / len(pairs))
    assert got.positive.value == pytest.approx(len(won) / len(pairs))
    change = np.mean(after) - np.mean(before)
    assert got.positive.value - got.negative.value == pytest.approx(change, abs=1e-12)
    assert got.change.value == pytest.approx(change, abs=1e-12)


def random_hits(random, queries, k):
    order = np.argsort(random.random((queries, 20)), axis=1)[:, :k]
    names = np.array([f"d{i}" for i in range(20)], dtype=object)
    return Hits(names[order], np.zeros((queries, k), dtype=np.float32))


def test_at_k_the_change_is_that_of_success():
    random = np.random.default_rng(0)
    judgements = Judgements.from_dict(
        {
            f"q{i}": {f"d{d}": g for g, d in enumerate(random.integers(0, 20, 3))} | {"d7": 1}
            for i in range(50)
        }
    )
    before, after = random_hits(random, 50, 8), random_hits(random, 50, 8)
    for k in (1, 3, 8):
        old = parse(f"Success@{k}").per_query(before, judgements)
        new = parse(f"Success@{k}").per_query(after, judgements)
        got = flips(old, new, resamples=200)
        assert got.positive.value - got.negative.value == pytest.approx(new.mean() - old.mean())
        assert all(old[i] == 1 and new[i] == 0 for i in got.lost)
        assert all(old[i] == 0 and new[i] == 1 for i in got.won)
    same = flips(old, old, resamples=20)
    assert (same.negative.value, same.positive.value, same.change.high) == (0.0, 0.0, 0.0)
    # None of 50 queries flipped: Wilson's upper end for 0 of 50.
    assert same.negative.high == same.positive.high == pytest.approx(0.0713, abs=1e-4)


def test_findings_carry_the_rates():
    found = flips([1, 1, 0, 0], [0, 1, 1, 0], resamples=50).findings(10, "new/old")
    negative, positive, inconsistency = found
    assert (negative.metric, negative.cell, negative.value, negative.n) == (
        "NFR@10", "new/old", 0.25, 4
    )  # fmt: skip
    assert (positive.metric, positive.value) == ("PFR@10", 0.25)
    assert (inconsistency.metric, inconsistency.value) == ("NFI@10", 0.5)  # one of two failures
    assert len(flips([1, 0], [1, 1], resamples=50).findings(1, "new/new")) == 2


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_the_ratios_equal_slow_counts_and_exist_where_they_can(pairs):
    before, after = (np.array(side) for side in zip(*pairs, strict=True))
    got = flips(before, after, resamples=20)
    lost, fails = (before & ~after).mean(), (~after).mean()
    if not fails:
        assert (got.inconsistency, got.relative) == (None, None)
        return
    assert got.inconsistency.value == pytest.approx(lost / fails)
    if before.any():
        assert got.relative.value == pytest.approx(lost / (before.mean() * fails))
    else:
        assert got.relative is None


def test_independent_systems_have_a_relative_rate_of_one():
    random = np.random.default_rng(0)
    before, after = random.random((2, 20_000)) < [[0.6], [0.7]]
    assert flips(before, after, resamples=50).relative.value == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize(
    ("before", "after"), [([], []), ([1, 0], [1]), ([0.5, 1], [1, 1]), ([[1]], [[1]])]
)
def test_other_than_successes_is_refused(before, after):
    with pytest.raises(InvalidInput, match="flips"):
        flips(before, after)
