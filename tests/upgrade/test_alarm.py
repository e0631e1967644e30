"""Alarms: fair bets, the stated rate of false alarms, and changes that are noticed."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.upgrade.watching.alarm import POWERS, SIZES, Alarm, AtMost, Ranks


def test_power_bets_are_fair_for_a_place_that_is_spread_evenly():
    places = (np.arange(200_000) + 0.5) / 200_000
    means = [(power * places ** (power - 1.0)).mean() for power in POWERS]
    assert means == pytest.approx([1.0] * len(POWERS), abs=0.25)  # the singular end is cut
    assert means[1:] == pytest.approx([1.0] * 3, abs=0.06)


def test_bets_on_a_bound_are_fair_at_the_bound_and_lose_below():
    test = AtMost(0.2)
    ends = np.array([test.bets(0.0), test.bets(1.0)])
    assert 0.8 * ends[0] + 0.2 * ends[1] == pytest.approx(np.ones(len(SIZES)))
    assert (0.9 * ends[0] + 0.1 * ends[1] < 1.0).all()
    assert (ends > 0.0).all()


def test_places_are_spread_evenly_whatever_the_values_are():
    rng = np.random.default_rng(0)
    for values in (rng.exponential(size=3000), rng.integers(0, 3, 3000).astype(float)):
        ranks = Ranks(1)
        places = np.sort([ranks.place(value) for value in values])
        assert np.abs(places - (np.arange(3000) + 0.5) / 3000).max() < 1.63 / np.sqrt(3000)


def test_a_place_counts_what_was_lower_before():
    ranks = Ranks()
    ranks.learn([1.0, 2.0, 3.0, 4.0])
    assert 2 / 5 < ranks.place(2.5) <= 3 / 5
    assert 0.0 < ranks.place(0.5) <= 1 / 6
    assert 6 / 7 < ranks.place(9.0) <= 1.0
    assert len(ranks) == 7


def test_the_sum_is_the_one_of_the_formula():
    alarm, total = Alarm(1e9), np.zeros(2)
    for bets in ([2.0, 0.5], [1.5, 1.0], [0.1, 3.0]):
        alarm.add(np.array(bets))
        total = (total + 1.0) * bets
    assert alarm.level == pytest.approx(total.mean())
    by_hand = [sum(np.prod(c[i:]) for i in range(3)) for c in ([2, 1.5, 0.1], [0.5, 1, 3])]
    assert alarm.level == pytest.approx(np.mean(by_hand))


@pytest.mark.parametrize("kind", ["ranks", "at most"])
def test_false_alarms_stay_below_what_is_stated(kind):
    rng, rang, runs, length = np.random.default_rng(3), 0, 300, 300
    threshold = length / 0.2  # at most one run in five
    for _ in range(runs):
        ranks, bound, alarm = Ranks(int(rng.integers(1e9))), AtMost(0.1), Alarm(threshold)
        for value in rng.normal(size=length):
            bets = ranks.bets(value) if kind == "ranks" else bound.bets(float(value < -1.2816))
            if alarm.add(bets):
                rang += 1
                break
    assert rang / runs < 0.2
    assert kind != "ranks" or rang > 0, "a test that never rings shows nothing"


@pytest.mark.parametrize("quiet", [0, 400, 4000])
def test_a_change_is_noticed_soon_however_long_nothing_happened(quiet):
    delays = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        ranks, alarm = Ranks(seed), Alarm(2 * 10_000 / 0.01)
        ranks.learn(rng.normal(size=100))
        for value in rng.normal(size=quiet):
            assert not alarm.add(ranks.bets(value))
        delay = next(n for n in range(1, 400) if alarm.add(ranks.bets(rng.normal() - 2.0)))
        delays.append(delay)
        assert 0 < alarm.since <= delay + 5, "it knows about when it began"
    assert np.median(delays) < 30
    assert max(delays) < 60


def test_a_bound_that_is_broken_is_noticed():
    rng, alarm, test = np.random.default_rng(0), Alarm(1e6), AtMost(0.02)
    for _ in range(3000):
        assert not alarm.add(test.bets(float(rng.random() < 0.01)))
    delay = next(n for n in range(1, 1000) if alarm.add(test.bets(float(rng.random() < 0.3))))
    assert delay < 30
    alarm.clear()
    assert (alarm.level, alarm.seen) == (0.0, 0)
