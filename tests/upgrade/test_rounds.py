"""Plays that take turns at what each round of reading left known."""

from dataclasses import replace

import numpy as np
import pytest

from holdfast.errors import InvalidInput
from holdfast.store.topk import best
from holdfast.upgrade.foresight.forecast import Forecaster, Measure, at_random
from holdfast.upgrade.foresight.mixture import zscore
from holdfast.upgrade.foresight.rehearse import rehearsed
from holdfast.upgrade.foresight.rounds import Rounds
from holdfast.upgrade.foresight.sampling import ROUNDS
from holdfast.upgrade.foresight.unseen import Unseen


def test_every_play_keeps_all_that_was_read_and_draws_the_rest_as_its_round_would(world, known):
    rounds = Rounds(known, world.judge, 10, seed=4)
    assert len(known.rounds) == ROUNDS - 1
    last, middle, first = known.rows, known.rounds[1], known.rounds[0]
    assert len(last) > len(middle) > len(first)
    unread = np.setdiff1d(np.arange(800), known.rows)
    for play, rows in enumerate((last, middle, last, first, last, middle)):
        table = rounds.draw(play, np.random.default_rng(play))
        np.testing.assert_allclose(table[:, known.rows], world.new[:, known.rows], atol=1e-6)
        alone = Unseen(world.known(rows))
        alone.lower = rehearsed(alone, world.judge, 10, 4)[0]
        expected = alone.draw(np.random.default_rng(play))
        np.testing.assert_allclose(table[:, unread], expected[:, unread], atol=1e-6)


def test_what_was_known_before_is_what_reading_so_far_makes_known(world, known):
    for rows in known.rounds:
        before, afresh = known.before(rows), world.known(rows)
        np.testing.assert_array_equal(before.rows, afresh.rows)
        np.testing.assert_array_equal(before.new, afresh.new)
        np.testing.assert_array_equal(before.old, afresh.old)
        assert before.rounds == ()
    with pytest.raises(InvalidInput, match="at least 50"):
        known.before(known.rows[:20])
    unread = np.setdiff1d(np.arange(800), known.rows)
    with pytest.raises(InvalidInput, match="same queries"):
        replace(known, rounds=(unread[:60],))


def test_a_curve_is_the_mean_over_rounds_of_what_each_would_say(world, known):
    """New/new by hand, play by play; share 0 is measured whatever the round."""
    measure = Measure(world.judge, "R@10")
    curve = Forecaster(known, measure, draws=4, seed=7).curve(
        zscore, at_random(800), shares=(0.0, 1.0)
    )
    told = []
    for play, rows in enumerate((known.rows, known.rounds[1], known.rows, known.rounds[0])):
        unseen = Unseen(known.before(rows))
        unseen.lower = rehearsed(unseen, world.judge, 10, 7)[0]
        table = unseen.draw(np.random.default_rng([7, play]))
        table[:, known.rows] = world.new[:, known.rows]
        told.append(world.judge(best(table, 10)[0]))
    np.testing.assert_allclose(curve.values[:, 1], told, atol=1e-9)
    assert curve.means[1] == pytest.approx(np.mean(told))
    assert curve.means[0] == pytest.approx(world.judge(best(world.old, 10)[0]).mean())


def test_where_all_was_read_at_once_there_is_one_round(world):
    rows = np.sort(np.random.default_rng(0).permutation(800)[:120])
    known = world.known(rows)
    rounds, alone = Rounds(known, world.judge, 10), Unseen(known)
    alone.lower = rehearsed(alone, world.judge, 10)[0]
    assert len(rounds.fitted) == 1
    for play in range(2):
        told, expected = (
            one(np.random.default_rng(play))
            for one in (lambda random, play=play: rounds.draw(play, random), alone.draw)
        )
        np.testing.assert_allclose(told, expected, atol=1e-6)
