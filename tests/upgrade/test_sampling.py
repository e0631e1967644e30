"""Which documents are sampled."""

import numpy as np
import pytest

from holdfast.store.topk import best
from holdfast.upgrade.foresight.forecast import Forecaster, Measure, at_random
from holdfast.upgrade.foresight.mixture import zscore
from holdfast.upgrade.foresight.sampling import ANSWERS, PLAYS, RANDOM, first_sample, gather, worths
from holdfast.upgrade.foresight.unseen import LEAST, Unseen
from tests.upgrade.worlds import World

CLEAR, NOISY = (0.02, 0.02), (0.12, 0.12)


def answers(queries=20, each=2, count=1_000, seed=0):
    random = np.random.default_rng(seed)
    relevant = np.zeros((queries, count), dtype=bool)
    for row in relevant:
        row[random.choice(count, each, replace=False)] = True
    return relevant


@pytest.fixture(scope="module")
def world():
    return World(NOISY, CLEAR, queries=60, count=800)


@pytest.fixture(scope="module")
def measure(world):
    return Measure(world.judge, "R@10")


def test_first_some_answers_and_some_at_random():
    relevant = answers(queries=60, each=10)
    judged = relevant.any(axis=0)
    rows = first_sample(relevant, 400)
    assert len(rows) == round(ANSWERS * 400) + round(RANDOM * 400)
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == first_sample(relevant, 400).tolist()
    assert rows.tolist() != first_sample(relevant, 400, seed=1).tolist()
    drawn = [first_sample(relevant, 400, seed) for seed in range(300)]
    often = np.mean([np.isin(np.arange(1_000), rows) for rows in drawn], axis=0)
    # Of 1,000 documents 60 are drawn as answers; of the 940 others 100 at random.
    by_chance = 100 / 940
    taken = 60 / judged.sum()
    assert often[~judged].mean() == pytest.approx(by_chance, abs=0.005)
    assert often[judged].mean() == pytest.approx(taken + (1 - taken) * by_chance, abs=0.005)
    assert often[~judged].std() < 1.3 * np.sqrt(by_chance * (1 - by_chance) / 300)  # all alike


def test_enough_to_fit_a_map_and_never_more_than_the_budget_or_the_gallery():
    relevant = answers(count=50)
    assert first_sample(relevant, 400).tolist() == list(range(50))
    for budget in (1, 7, 49):
        assert len(first_sample(relevant, budget)) <= budget
    assert len(first_sample(answers(), 80)) == LEAST


def test_what_a_removal_changes_by_hand(world, measure):
    """Worth is the variance over plays of the metric's loss where a document ranks nowhere."""
    known = world.known(first_sample(world.relevant, 150))
    told, unseen = worths(known, measure, seed=3), Unseen(known)
    lost = np.zeros((PLAYS, *known.relevant.shape))
    for play in range(PLAYS):
        table = unseen.draw(np.random.default_rng([3, play]))
        places = best(table, 10)[0]
        value = world.judge(places)
        for query in range(len(table)):
            for document in places[query]:
                without = table[query : query + 1].copy()
                without[0, document] = -np.inf
                found = world.relevant[query, best(without, 10)[0][0]].sum()
                lost[play, query, document] = value[query] - found / world.relevant[query].sum()
    np.testing.assert_allclose(told, lost.var(axis=0).sum(axis=0), atol=1e-9)


class Reader:
    """Reads documents, of which some are gone, and remembers what it was asked."""

    def __init__(self, world, gone=()):
        self.world, self.gone, self.asked = world, gone, []

    def __call__(self, rows):
        self.asked.append(rows)
        return self.world.known(np.setdiff1d(rows, self.gone))


def test_what_is_read_grows_to_the_budget_and_no_further(world, measure):
    first, gone = first_sample(world.relevant, 200), np.arange(0, 800, 5)
    reader = Reader(world, gone)
    known = gather(reader, first, 200, measure)
    sizes = [len(rows) for rows in reader.asked]
    assert reader.asked[0].tolist() == first.tolist()
    assert sizes == sorted(sizes)
    assert sizes[-1] == 200
    for before, after in zip(reader.asked, reader.asked[1:], strict=False):
        assert (np.diff(after) > 0).all()
        assert np.isin(before, after).all()
    told = [np.setdiff1d(rows, gone).tolist() for rows in reader.asked]
    assert known.rows.tolist() == told[-1]
    assert [rows.tolist() for rows in known.rounds] == told[1:-1]  # after each round but the last
    whole = Reader(world)
    told = gather(whole, np.arange(800), 800, measure)
    assert len(told.rows) == 800
    assert told.rounds == ()
    assert len(whole.asked) == 1  # nothing is left to choose


def test_what_is_chosen_tells_more_than_as_many_at_random_and_is_right_on_average():
    errors = {"chosen": [], "random": []}
    for seed in range(6):
        world = World(NOISY, (0.05, 0.05), queries=60, count=800, seed=seed)
        measure, truth = Measure(world.judge, "R@10"), world.judge(best(world.new, 10)[0])
        chosen = gather(world.known, first_sample(world.relevant, 120), 120, measure)
        drawn = np.sort(np.random.default_rng(seed).permutation(800)[:120])
        for name, known in (("chosen", chosen), ("random", world.known(drawn))):
            forecaster = Forecaster(known, measure, draws=6)
            told = forecaster.curve(zscore, at_random(800), shares=(0.0, 1.0)).values[:, 1]
            errors[name].append(told.mean(axis=0) - truth)
    missed = {name: np.sqrt(np.mean(np.square(found))) for name, found in errors.items()}
    assert missed["chosen"] < 0.65 * missed["random"]
    # Rivals are drawn a little too high here; with as many at random it is 0.06.
    assert abs(np.mean(errors["chosen"])) < 0.02
