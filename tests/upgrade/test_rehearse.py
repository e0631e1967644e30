"""Whether a sample is forecast right, and what is done about it."""

import numpy as np
import pytest

from holdfast.arrays import Vectors
from holdfast.space import Space
from holdfast.store.topk import best
from holdfast.upgrade.assess import decide
from holdfast.upgrade.foresight.forecast import MISFIT, Forecaster, Measure, at_random
from holdfast.upgrade.foresight.mixture import zscore
from holdfast.upgrade.foresight.rehearse import REPLAYS, posterior, rehearsed
from holdfast.upgrade.foresight.rivals import Rivals
from holdfast.upgrade.foresight.unseen import Known, Unseen

FIRST = 3  # places: among ten, all answers of a sample would be found


def test_a_replay_keeps_answers_and_draws_rivals_as_they_are(world, known):
    unseen = Unseen(known)
    drawn = np.stack([unseen.replay(np.random.default_rng(seed)) for seed in range(20)])
    truth = world.new[:, known.rows]
    answers = world.relevant[:, known.rows]
    for table in drawn:
        np.testing.assert_allclose(table[answers], truth[answers], atol=1e-6)
    told = drawn[:, ~answers]
    assert told.mean() == pytest.approx(truth[~answers].mean(), abs=0.01)
    assert told.std() == pytest.approx(truth[~answers].std(), rel=0.05)
    assert (np.abs(told - truth[~answers]) > 1e-6).mean() > 0.99


def test_lowered_draws_differ_by_what_rivals_share(known, world):
    """The same draw, lower by the size of the shared part of each level."""
    unseen = Unseen(known)
    plain, low = (unseen.replay(np.random.default_rng(0), lower) for lower in (0.0, 1.0))
    weights = np.random.default_rng(0).exponential(size=len(known.rows))
    here, answers = unseen._pairs.of(known.rows), world.relevant[:, known.rows]
    rivals = Rivals(here, ~answers, unseen._truth, weights)
    size = rivals._shared.size[rivals._steps.at(here.height)] * unseen._spread
    np.testing.assert_allclose((plain - low)[~answers], size[~answers], atol=1e-5)


def test_lowering_is_a_normal_posterior():
    """One unknown, usually 0.3 large, seen through a mean: solved on a grid."""
    random = np.random.default_rng(0)
    for gained, count in ((0.05, 300), (0.02, 50), (0.0, 20)):
        missed = 0.01 + 0.1 * random.normal(size=count)
        grid = np.linspace(-3.0, 3.0, 6_001)
        noise = missed.var() / count
        density = -0.5 * (grid / 0.3) ** 2 - 0.5 * (missed.mean() - gained * grid) ** 2 / noise
        density = np.exp(density - density.max())
        assert posterior(missed, gained) == pytest.approx(density @ grid / density.sum(), abs=1e-6)


def test_rivals_drawn_too_high_on_purpose_are_lowered(world, known, monkeypatch):
    """By no more than they are too high, and so that the sample comes out nearer to the truth."""
    draw, high = Rivals.draw, 0.6

    def higher(self, there, random, lower=0.0, heard=True):
        return draw(self, there, random, lower - high, heard)

    truth = world.judge(known.rows[best(known.new, FIRST)[0]]).mean()

    def missed(unseen, lower):
        seeds = ([3, replay] for replay in range(REPLAYS))
        tables = (unseen.replay(np.random.default_rng(one), lower) for one in seeds)
        values = [world.judge(known.rows[best(table, FIRST)[0]]).mean() for table in tables]
        return abs(np.mean(values) - truth)

    unseen = Unseen(known)
    plain = rehearsed(unseen, world.judge, FIRST, 3)[0]
    monkeypatch.setattr(Rivals, "draw", higher)
    found = rehearsed(unseen, world.judge, FIRST, 3)[0]
    assert plain + 0.15 * high < found < plain + 1.1 * high
    assert missed(unseen, found) < 0.85 * missed(unseen, 0.0)


def test_a_forecast_is_lowered_by_its_rehearsal_and_not_where_all_is_read(world, known):
    measure = Measure(world.judge, "R@10")
    forecaster = Forecaster(known, measure, draws=2, seed=5)
    assert forecaster._rounds.fitted[0].lower == rehearsed(Unseen(known), world.judge, 10, 5)[0]
    low, high = Forecaster(known, measure, draws=2), Forecaster(known, measure, draws=2)
    for one, lower in ((low, 1.0), (high, -1.0)):
        for unseen in one._rounds.fitted:
            unseen.lower = lower
    ends = [one.curve(zscore, at_random(800), shares=(0.0, 1.0)).means for one in (low, high)]
    assert ends[0][0] == ends[1][0]
    assert ends[0][1] > ends[1][1] + 0.01
    assert rehearsed(Unseen(world.known(np.arange(800))), world.judge, 10)[0] == 0.0


def test_a_forecast_that_misses_its_own_sample_settles_nothing(world, known):
    """Places by degrees, then by directions: rivals lie closer than any map can tell."""
    random = np.random.default_rng(0)
    turn = np.stack([180.0 * random.uniform(-1, 1, 700), 85.0 * random.uniform(-1, 1, 700)], axis=1)
    east, north = np.radians(turn.T)
    unit = np.stack(
        [np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1
    )
    old, new = (
        Vectors(Space(name, rows.shape[1], metric), rows.astype(np.float32))
        for name, metric, rows in (("degrees", "euclidean", turn), ("directions", "dot", unit))
    )
    asked, stored = np.arange(100), np.arange(100, 700)
    nearest = (unit[asked] @ unit[stored].T).argmax(axis=1)
    relevant = np.arange(600)[None] == nearest[:, None]

    def judge(places):
        return np.take_along_axis(relevant, places, axis=1).any(axis=1).astype(float)

    rows = np.unique(np.concatenate([nearest[:60], random.permutation(600)[:60]]))
    sides = old.take(asked), new.take(asked), old.take(stored)
    sample = Known(*sides, rows, new.take(stored).take(rows), relevant)
    forecaster = Forecaster(sample, Measure(judge, "Success@1", 1), draws=4)
    left = rehearsed(Unseen(sample), judge, 1)[1]
    assert forecaster.misfit == 1.0
    assert left > 0.15
    curve = forecaster.curve(zscore, at_random(600), shares=(0.0, 1.0))
    assert curve.points[-1].value < 0.5  # of what is 1 in truth
    assert curve.points[-1].low < 1.0 <= curve.points[-1].high
    now = judge(best(sample.old, 1)[0])
    assert 0.7 < now.mean() < 0.95
    assert decide(now, np.zeros(100), curve)[0] == "hold"
    assert Forecaster(known, Measure(world.judge, "R@10"), draws=2).misfit == MISFIT
