"""Forecasts against what is measured, in worlds where all is known and on real sets."""

from dataclasses import replace

import numpy as np
import pytest

from bench import judged
from holdfast.align.choose import choose
from holdfast.errors import ConfigError, InvalidInput
from holdfast.measure.interval import bootstrap
from holdfast.store.topk import best
from holdfast.upgrade.assess import _cells, decide
from holdfast.upgrade.foresight.forecast import (
    SHARES,
    Forecast,
    Forecaster,
    Measure,
    at_random,
    total_interval,
)
from holdfast.upgrade.foresight.mixture import (
    Learning,
    _folds,
    by_rank,
    compatible,
    fused,
    quantile,
    serving_of,
    zscore,
)
from holdfast.upgrade.foresight.sampling import first_sample, gather
from holdfast.upgrade.foresight.unseen import Known, Unseen
from tests.upgrade.worlds import World

CLEAR, NOISY = (0.02, 0.02), (0.12, 0.12)


def sampled(world, budget, seed=0):
    first = first_sample(world.relevant, budget, seed)
    return gather(world.known, first, budget, Measure(world.judge, "R@10"), seed)


@pytest.fixture(scope="module")
def world():
    return World(NOISY, CLEAR)


@pytest.fixture(scope="module")
def known(world):
    return sampled(world, 150)


def test_the_sample_keeps_its_true_scores_and_the_rest_is_drawn(world, known):
    unseen = Unseen(known)
    first, second = (unseen.draw(np.random.default_rng(seed)) for seed in (0, 1))
    np.testing.assert_allclose(first[:, known.rows], world.new[:, known.rows], atol=1e-6)
    assert (first[:, unseen.rest] != second[:, unseen.rest]).mean() > 0.99
    np.testing.assert_array_equal(first, unseen.draw(np.random.default_rng(0)))


def test_draws_have_the_moments_of_the_truth(world):
    unseen = Unseen(world.known(np.sort(np.random.default_rng(0).permutation(1_500)[:400])))
    drawn = np.stack([unseen.draw(np.random.default_rng(seed)) for seed in range(5)])
    there = np.zeros(world.relevant.shape, dtype=bool)
    there[:, unseen.rest] = True
    for which in (there & world.relevant, there & ~world.relevant):
        told, truth = drawn[:, which], world.new[which]
        assert told.mean() == pytest.approx(truth.mean(), abs=0.02)
        assert told.std() == pytest.approx(truth.std(), rel=0.1)


def test_with_everything_sampled_the_curve_is_the_measured_one(world):
    known = world.known(np.arange(len(world.relevant[0])))
    forecaster = Forecaster(known, Measure(world.judge, "R@10"), draws=2)
    curve = forecaster.curve(zscore, at_random(1_500))
    for share, table in ((0, world.old), (-1, world.new)):
        expected = world.judge(best(table, 10)[0])
        np.testing.assert_allclose(curve.values[:, share], np.stack([expected] * 2))
    assert curve.band[0] == pytest.approx((curve.means[0], curve.means[0]))  # nothing is forecast


def test_no_end_of_a_forecast_is_a_value_that_cannot_be(world, known):
    forecaster = Forecaster(known, Measure(world.judge, "R@10"), draws=3)
    forecaster.misfit = 1.0
    curve = forecaster.curve(zscore, at_random(1_500), shares=(0.0, 0.5, 1.0))
    for point, band in zip(curve.points[1:], curve.band[1:], strict=True):
        assert (point.low, point.high) == (0.0, 1.0)
        assert band == (0.0, 1.0)
    gap = curve.difference(np.zeros(len(world.relevant)))
    assert (gap.low < 0.0, gap.high) == (True, 1.0)
    assert gap.low == pytest.approx(gap.value - 1.0, abs=0.05)


def by_hand(old, new, moved, waiting):
    """Z-scores of the first 256 that moved, query by query."""
    table = np.empty_like(old)
    for row in range(len(old)):
        a, b = old[row, moved[:256]], new[row, moved[:256]]
        table[row] = (old[row] - a.mean()) / a.std() * b.std() + b.mean()
    table[:, moved] = new[:, moved]
    return table


def test_the_calibrated_serving_is_the_one_of_the_definition(world):
    known = world.known(np.arange(1_500))
    forecaster = Forecaster(known, Measure(world.judge, "R@10"), draws=1)
    curve = forecaster.curve(zscore, at_random(1_500), shares=(0.0, 0.3, 1.0))
    moves = np.random.default_rng(0).permutation(1_500)
    table = by_hand(world.old, world.new, moves[:450], moves[450:])
    np.testing.assert_allclose(
        curve.values[0, 1].mean(), world.judge(best(table, 10)[0]).mean(), atol=0.003
    )


class Tables:
    """What the simple servings read of a stage."""

    def __init__(self, old, new):
        self.old, self.new = np.float32(old), np.float32(new)


def test_simple_servings_by_hand():
    stage = Tables([[0.9, 0.8, 0.1, 0.2]], [[5.0, 1.0, 7.0, 2.0]])
    moved, waiting = np.array([2, 3]), np.array([0, 1])
    assert compatible(stage, moved, waiting).argsort()[0, ::-1].tolist() == [2, 3, 0, 1]
    assert by_rank(stage, moved, waiting).argsort()[0, ::-1].tolist() == [2, 0, 3, 1]
    same = Tables(stage.old, 2.0 * stage.old + 1.0)  # a change of scale is undone exactly
    for serving in (zscore, quantile):
        table = serving(same, moved, waiting)
        np.testing.assert_allclose(table, 2.0 * stage.old + 1.0, atol=1e-5)


def test_every_merge_of_a_plan_has_a_serving_but_the_cascade():
    assert serving_of("fused") is fused
    assert serving_of("calibrated", "quantile") is quantile
    assert serving_of("by_rank", "quantile") is by_rank
    with pytest.raises(ConfigError, match="merge among"):
        serving_of("cascade")


def test_a_planted_power_of_learning_is_carried_on():
    sizes = (10_000, 20_000, 32_000)
    missed = [2.0 * size**-0.25 for size in sizes]
    told = Learning.of(sizes, missed)
    assert told.at(32_000) == pytest.approx(missed[-1])
    assert told.power == pytest.approx(-0.2, abs=0.002)  # weakened by a fifth
    assert Learning.of((10, 20, 32), (0.5, 0.5, 0.5)).power < 0.0  # few pairs: the usual one


def test_an_interval_of_equal_plays_is_that_of_the_queries():
    values = np.random.default_rng(0).random(100)
    one = total_interval(np.stack([values] * 4))
    assert one.value == pytest.approx(values.mean())
    error = values.std() / 10.0
    assert one.high - one.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_too_small_a_sample_is_refused(world):
    with pytest.raises(InvalidInput, match="at least 50"):
        world.known(np.arange(20))
    good = world.known(np.arange(60))
    with pytest.raises(InvalidInput, match="same queries"):
        Known(
            good.old_queries,
            good.new_queries,
            good.old_docs,
            good.rows,
            good.new_docs,
            good.relevant.T,
        )


def test_a_sample_of_answers_alone_is_refused_and_one_other_pair_is_enough(world):
    known = world.known(np.arange(60))
    answers = known.relevant.copy()
    answers[:, :60] = True
    with pytest.raises(InvalidInput, match="got 60 that each answer every query"):
        replace(known, relevant=answers)
    answers[3, 5] = False
    unseen = Unseen(replace(known, relevant=answers))
    drawn = unseen.draw(np.random.default_rng(0))
    np.testing.assert_allclose(drawn[:, :60], world.new[:, :60], atol=1e-6)
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize("classes", [1, 2])
def test_queries_that_most_of_the_sample_answers_are_forecast(classes):
    """The last query of each class would have all its documents in one fold of the maps."""
    world = World(NOISY, CLEAR, queries=12, count=200)
    world.relevant = np.arange(12)[:, None] % classes == np.arange(200) % classes
    world.relevant[:6, 7] = False
    world.judge = lambda places: np.take_along_axis(world.relevant, places, axis=1).mean(axis=1)
    forecaster = Forecaster(world.known(np.arange(200)), Measure(world.judge, "P@10"), draws=1)
    curve = forecaster.curve(fused, at_random(200), shares=(0.0, 0.5, 1.0))
    for share, table in ((0, world.old), (-1, world.new)):
        np.testing.assert_allclose(curve.values[0, share], world.judge(best(table, 10)[0]))
    for seed in range(12):  # whichever queries share a fold
        folds, _ = _folds(replace(forecaster.known, relevant=np.roll(world.relevant, seed, axis=0)))
        assert np.bincount(folds).max() <= 120  # of 200


def assessed(world, budget=150, draws=4):
    known = sampled(world, budget)
    forecaster = Forecaster(known, Measure(world.judge, "R@10"), draws)
    curve = forecaster.curve(fused, at_random(1_500), shares=(0.0, 0.5, 1.0))
    bridge = choose(
        known.new_docs, known.old_docs.take(known.rows), side="query", floor=False
    ).bridge
    asked = bridge.transform(known.new_queries)
    bridged = world.judge(best(asked.array @ known.old_docs.array.T, 10)[0])
    return decide(world.judge(best(world.old, 10)[0]), bridged, curve), curve


def test_a_better_model_is_worth_an_upgrade():
    world = World(NOISY, CLEAR, queries=100)
    (verdict, reasons), curve = assessed(world)
    assert verdict == "upgrade"
    assert "new/new against old/old: +" in reasons[1]
    truth = world.judge(best(world.new, 10)[0]).mean()
    assert abs(curve.means[-1] - truth) < 0.05


def test_a_worse_model_is_not():
    (verdict, _), _ = assessed(World(CLEAR, NOISY, queries=100))
    assert verdict == "keep"


def test_a_bridge_where_the_new_model_understands_questions_but_not_documents():
    """The new model reads questions well and documents badly, as one that cuts long texts does.

    Over a bridge its questions meet the old model's good documents, and nothing is re-embedded.
    """
    (verdict, reasons), _ = assessed(World((0.02, 0.15), (0.1, 0.02), queries=100))
    assert verdict == "bridge"
    assert "bridged/old against old/old: +" in reasons[2]


def test_with_a_handful_of_queries_nothing_is_settled():
    (verdict, reasons), _ = assessed(World(NOISY, CLEAR, queries=12))
    assert verdict == "hold"
    assert "too few" in reasons[0]


@pytest.mark.parametrize(("count", "verdicts"), [(19, ["info"] * 4), (20, ["fail"] * 2)])
def test_no_share_is_judged_by_a_handful_of_queries(count, verdicts):
    old = np.linspace(0.1, 0.5, count)
    points = tuple(bootstrap(old - gap) for gap in (0.0, 0.1))
    curve = Forecast("R@10", "random", (0.0, 1.0), points, (), np.stack([old, old - 0.1])[None])
    assert [finding.verdict for finding in _cells(curve, old, old)][-len(verdicts) :] == verdicts


@pytest.mark.parametrize(
    ("bridged", "new", "worth", "verdict", "why"),
    [
        (0.0, 0.2, 0.01, "upgrade", "more than anything cheaper"),
        (0.0, 0.2, 0.3, "keep", "less than 0.3"),
        (0.1, 0.4, 0.2, "upgrade", "more than anything cheaper"),
        (0.1, 0.3, 0.3, "bridge", "brings less than 0.3 more"),
        (0.1, 0.1, 0.01, "bridge", "that re-embedding brings more is not shown"),
        (0.0, 0.0, 0.1, "keep", "less than 0.1"),
    ],
)
def test_a_gain_that_is_shown_but_not_worth_it_is_no_upgrade(bridged, new, worth, verdict, why):
    old = np.linspace(0.1, 0.5, 100)
    noise = np.random.default_rng(0).normal(0.0, 1e-3, (4, 2, 100))
    values = old + np.array([0.0, new])[None, :, None] + noise
    curve = Forecast("R@10", "random", (0.0, 1.0), (), (), values)
    told, reasons = decide(old, old + bridged, curve, worth)
    assert (told, why in reasons[0]) == (verdict, True)


def test_where_the_old_model_is_dead_what_is_not_worth_it_leaves_the_bridge():
    old = np.linspace(0.1, 0.5, 100)
    curve = Forecast("R@10", "random", (0.0, 1.0), (), (), np.stack([old, old + 0.2])[None])
    assert [decide(None, old, curve, worth)[0] for worth in (0.1, 0.3)] == ["upgrade", "bridge"]


def first_of(data, count):
    """The same set with fewer queries."""
    rows = np.arange(count)
    asked = {"old_queries": data.old_queries.take(rows), "new_queries": data.new_queries.take(rows)}
    return replace(data, gains=data.gains[rows], **asked)


@pytest.mark.skipif(not judged.present(), reason="the judged sets are not there")
@pytest.mark.parametrize(("swapped", "expected"), [(False, {"upgrade"}), (True, {"keep", "hold"})])
def test_verdicts_on_code_search(swapped, expected):
    data = judged.read("cosqa", "fit")
    data = first_of(data.swapped() if swapped else data, 75)
    relevant = data.gains > 0
    old = data.old_queries.array @ data.old_docs.array.T
    budget = len(data.ids) // 10

    def known_with(rows):
        docs = data.new_docs.take(rows)
        return Known(data.old_queries, data.new_queries, data.old_docs, rows, docs, relevant)

    known = gather(known_with, first_sample(relevant, budget), budget, Measure(data.ndcg))
    forecaster = Forecaster(known, Measure(data.ndcg), draws=2)
    curve = forecaster.curve(fused, at_random(len(data.ids)), shares=(0.0, 0.5, 1.0))
    truth = data.ndcg(best(data.new_queries.array @ data.new_docs.array.T, 10)[0])
    assert abs(curve.means[-1] - truth.mean()) < 0.05
    bridge = choose(
        known.new_docs, known.old_docs.take(known.rows), side="query", floor=False
    ).bridge
    asked = bridge.transform(known.new_queries)
    bridged = data.ndcg(best(asked.array @ data.old_docs.array.T, 10)[0])
    assert decide(data.ndcg(best(old, 10)[0]), bridged, curve)[0] in expected


def test_the_shares_of_a_curve():
    assert SHARES[0] == 0.0
    assert SHARES[-1] == 1.0
    assert len(SHARES) == 11
