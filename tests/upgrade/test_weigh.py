"""The range of the weight of old scores, among sampled items."""

import numpy as np
import pytest

from holdfast.arrays import as_vectors
from holdfast.space import Space
from holdfast.upgrade.foresight.unseen import Known
from holdfast.upgrade.foresight.weigh import STEPS, weighed


def known(old_noise, new_noise, queries=120, paired=True, answered=None):
    """Items seen by two models with independent noise; query i is answered by item i."""
    rng = np.random.default_rng(0)
    items, dim = 200, 16
    truth = rng.normal(size=(items, dim))
    relevant = np.zeros((queries, items), dtype=bool)
    relevant[np.arange(queries), np.arange(queries)] = True
    rows = np.arange(items) if answered is None else np.arange(queries - answered, items)

    def seen(name, noise, table):
        return as_vectors(table + noise * rng.normal(size=table.shape), Space(name, dim), "test")

    asking = truth[:queries]
    return Known(
        seen("old", old_noise, asking),
        seen("new", new_noise, asking),
        seen("old", old_noise, truth),
        rows,
        seen("new", new_noise, truth[rows]),
        relevant,
        paired,
    )


def by_hand(table, weight):
    """Reciprocal ranks, query by query."""
    found = []
    for query in range(len(table.relevant)):
        old, new = table.old[query][table.rows], table.new[query]
        mixed = (1 - weight) * (new - new.mean()) / new.std() + weight * (
            old - old.mean()
        ) / old.std()
        found.append(1 / (1 + (mixed > mixed[query]).sum()))
    return np.mean(found)


def test_two_models_alike_share_the_weight():
    table = known(1.0, 1.0)
    (found,) = weighed(table)
    means = np.array([by_hand(table, w) for w in STEPS])
    assert found.value == pytest.approx(STEPS[means.argmax()])
    assert found.low == pytest.approx(STEPS[means >= means.max() - 0.01].min())
    assert 0.2 < found.value < 0.8
    assert means.max() > max(means[0], means[-1]) + 0.02
    assert f"take {found.value:g}" in found.note


def test_a_much_weaker_old_model_is_given_nothing():
    (found,) = weighed(known(4.0, 0.5))
    assert found.low == 0.0
    assert "take 0" in found.note


def test_nothing_is_said_where_nothing_can_be():
    assert weighed(known(1.0, 1.0, paired=False)) == []
    assert weighed(known(1.0, 1.0, answered=10)) == []
