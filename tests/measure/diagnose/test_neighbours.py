"""Neighbour drift: identities, and Jaccard counted by sets."""

import numpy as np
import pytest

from holdfast.arrays import as_vectors
from holdfast.errors import InvalidInput
from holdfast.measure.diagnose.neighbours import drift
from holdfast.space import Space
from tests.measure.diagnose.worlds import world


def test_a_turn_moves_nothing():
    made = world(0)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(24, 24)))[0]
    turned = as_vectors(made.old.array @ turn, Space("turned", 24), "test")
    assert drift(made.old, turned).kept.value == 1.0


def test_kept_is_the_overlap_of_the_sets():
    made = world(1, items=80)
    lists = []
    for rows in (made.old.array, made.new.array):
        table = rows @ rows.T
        np.fill_diagonal(table, -np.inf)
        lists.append([set(row) for row in np.argsort(-table, axis=1)[:, :7].tolist()])
    wanted = [len(a & b) / len(a | b) for a, b in zip(*lists, strict=True)]
    found = drift(made.old, made.new, k=7)
    assert found.per_item == pytest.approx(wanted)
    assert found.finding().value == pytest.approx(np.mean(wanted))


def test_chance_is_what_random_lists_keep():
    rng = np.random.default_rng(0)
    a, b = (as_vectors(rng.normal(size=(300, 24)), Space(n, 24), "test") for n in "ab")
    found = drift(a, b)
    assert found.kept.value == pytest.approx(found.chance, abs=0.01)


def test_pairs_must_pair():
    made = world(0, items=50)
    with pytest.raises(InvalidInput):
        drift(made.old, made.new.take(slice(0, 9)))
