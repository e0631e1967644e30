"""What the old model tells of a forecast, by what it makes of the sample and of everything."""

import numpy as np
import pytest

from holdfast.store.topk import best
from holdfast.upgrade.foresight.anchor import anchor, by_ratio, trust
from holdfast.upgrade.foresight.rounds import Rounds

PLAYS = 8


@pytest.fixture(scope="module")
def told(world):
    """What is known when nine of ten answers were read, and a few other documents."""
    random = np.random.default_rng(2)
    answers = np.flatnonzero(world.relevant.any(axis=0))
    others = np.setdiff1d(np.arange(world.relevant.shape[1]), answers)
    some = random.permutation(answers)[: round(0.9 * len(answers))]
    rest = random.permutation(others)[:60]
    return world.known(np.sort(np.concatenate([some, rest])))


def odds(value):
    return np.log(value / (1.0 - value))


def recalls(table, rows, relevant, k):
    """The mean of R@k among some documents, query by query, place by place."""
    found = []
    for query, scores in enumerate(table):
        first = sorted(range(len(rows)), key=lambda i: -scores[i])[:k]
        answers = relevant[query].sum()
        found.append(sum(relevant[query, rows[i]] for i in first) / answers)
    return float(np.mean(found))


def played(rounds, judge, k, lower=0.0):
    plays = (rounds.draw(p, np.random.default_rng([3, p]), lower) for p in range(PLAYS))
    return float(np.mean([judge(best(table, k)[0]).mean() for table in plays]))


@pytest.mark.parametrize("k", [3, 10])
def test_what_the_sample_is_to_everything_for_the_old_model_it_is_for_the_new_one(world, known, k):
    everything = np.arange(world.relevant.shape[1])
    whole = recalls(known.old, everything, world.relevant, k)
    part = recalls(known.old[:, known.rows], known.rows, world.relevant, k)
    new = recalls(known.new, known.rows, world.relevant, k)
    told = by_ratio(known, world.judge, k)
    ratio = (whole / (1 - whole)) / (part / (1 - part))
    assert told / (1 - told) == pytest.approx(ratio * new / (1 - new), rel=1e-6)


def test_plays_come_to_lie_between_what_they_showed_and_what_the_old_model_tells(world, told):
    rounds = Rounds(told, world.judge, 3, seed=3)
    for unseen in rounds.fitted:
        unseen.lower -= 0.7  # so that the two differ by much
    before = [unseen.lower for unseen in rounds.fitted]
    plain, ratio = played(rounds, world.judge, 3), by_ratio(told, world.judge, 3)
    weight = trust(told)
    assert 0.3 < weight <= 0.5
    wanted = 1.0 / (1.0 + np.exp(-((1.0 - weight) * odds(plain) + weight * odds(ratio))))
    lower = anchor(rounds, told, world.judge, 3, seed=3)
    assert [unseen.lower for unseen in rounds.fitted] == pytest.approx([b + lower for b in before])
    assert wanted - plain > 0.015, "else nothing is tested"
    assert played(rounds, world.judge, 3) == pytest.approx(wanted, abs=0.3 * (wanted - plain))


def test_rivals_drawn_much_too_high_are_brought_nearer_to_the_truth(world, told):
    truth = world.judge(best(world.new, 3)[0]).mean()
    rounds = Rounds(told, world.judge, 3, seed=3)
    for unseen in rounds.fitted:
        unseen.lower = -1.5
    off = abs(played(rounds, world.judge, 3) - truth)
    assert anchor(rounds, told, world.judge, 3, seed=3) > 0.2
    assert abs(played(rounds, world.judge, 3) - truth) < 0.75 * off


def test_what_the_old_model_tells_counts_by_the_answers_that_were_read(world):
    answers = np.flatnonzero(world.relevant.any(axis=0))
    others = np.setdiff1d(np.arange(world.relevant.shape[1]), answers)[:60]
    for part in (0.0, 0.4, 0.7, 1.0):
        some = answers[: round(part * len(answers))]
        known = world.known(np.sort(np.concatenate([some, others])))
        read = world.relevant[:, some].sum() / world.relevant.sum()
        assert trust(known) == pytest.approx(max(0.0, read - 0.5))


def test_nothing_is_changed_where_few_answers_were_read(world, known):
    assert world.relevant[:, known.rows].sum() < 0.5 * world.relevant.sum()
    rounds = Rounds(known, world.judge, 3)
    before = [unseen.lower for unseen in rounds.fitted]
    assert anchor(rounds, known, world.judge, 3) == 0.0
    assert [unseen.lower for unseen in rounds.fitted] == before


def test_nothing_is_changed_where_all_was_read_or_means_have_no_odds(world, told):
    known = told
    whole = world.known(np.arange(world.relevant.shape[1]))
    assert anchor(Rounds(whole, world.judge, 3), whole, world.judge, 3) == 0.0
    rounds = Rounds(known, world.judge, 3)
    before = [unseen.lower for unseen in rounds.fitted]
    for value in (0.0, 1.0):
        flat = lambda places, value=value: np.full(len(places), value)  # noqa: E731
        assert by_ratio(known, flat, 3) is None
        assert anchor(rounds, known, flat, 3) == 0.0
    assert [unseen.lower for unseen in rounds.fitted] == before


def test_a_draw_lowered_in_passing_is_one_of_a_fit_that_is_lower(known, world):
    rounds = Rounds(known, world.judge, 3)
    passing = rounds.draw(1, np.random.default_rng(0), 0.7)
    for unseen in rounds.fitted:
        unseen.lower += 0.7
    np.testing.assert_array_equal(rounds.draw(1, np.random.default_rng(0)), passing)
