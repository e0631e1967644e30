"""Which documents are sampled."""

import numpy as np

from holdfast.upgrade.sampling import FEW, MANY, choose_sample


def world(queries=20, answers=2, count=1_000, seed=0):
    random = np.random.default_rng(seed)
    relevant = np.zeros((queries, count), dtype=bool)
    for row in relevant:
        row[random.choice(count, answers, replace=False)] = True
    return relevant, random.normal(size=(queries, count)).astype(np.float32)


def test_all_answers_where_they_fit_and_the_rest_at_random():
    relevant, old = world()
    rows = choose_sample(relevant, old, 100)
    assert len(rows) == 100
    assert (np.diff(rows) > 0).all()
    assert np.isin(np.flatnonzero(relevant.any(axis=0)), rows).all()
    assert rows.tolist() == choose_sample(relevant, old, 100).tolist()
    assert rows.tolist() != choose_sample(relevant, old, 100, seed=1).tolist()


def test_a_random_part_remains_where_answers_do_not_fit():
    relevant, old = world(queries=60, answers=10)
    budget, judged = 100, relevant.any(axis=0)
    taken = np.mean([judged[choose_sample(relevant, old, budget, s)].mean() for s in range(20)])
    # MANY of the budget is random, of which some are answers by chance.
    expected = (1.0 - MANY) + MANY * judged.mean()
    assert abs(taken - expected) < 0.02
    assert FEW < MANY


def test_never_more_than_the_budget_or_the_gallery():
    relevant, old = world(count=50)
    assert len(choose_sample(relevant, old, 400)) == 50
    for budget in (1, 7, 49):
        assert len(choose_sample(relevant, old, budget)) <= budget
