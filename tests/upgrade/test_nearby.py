"""What old scores tell of items close together, and what that does to a fused merge."""

import numpy as np
import pytest

from holdfast.arrays import as_vectors
from holdfast.space import Space
from holdfast.upgrade.search.fuse import Fusion
from holdfast.upgrade.search.fusion_rule import FusionRule
from holdfast.upgrade.search.nearby import EXACT, Nearby


def test_values_against_items_looked_at_one_by_one():
    rng = np.random.default_rng(0)
    old = rng.normal(size=(30, 29))
    new = 0.6 * old + 0.5 * rng.normal(size=old.shape)
    x, y = [], []
    for row, other in zip(old, new, strict=True):
        first = sorted(range(29), key=lambda i, row=row: -row[i])[:5]
        x += [row[i] - sum(row[j] for j in first) / 5 for i in first]
        y += [other[i] - sum(other[j] for j in first) / 5 for i in first]
    slope = np.polyfit(x, y, 1)[0]
    left = sum((b - slope * a) ** 2 for a, b in zip(x, y, strict=True)) / 150
    found = Nearby.of(old, new)
    assert found.variance == pytest.approx(sum(a * a for a in x) / 150)
    assert found.missed == pytest.approx(left / slope**2)
    told = found.variance / (found.variance + found.missed)
    for much, part in ((found.variance, 1.0), (10.0, 1.0), (found.variance / 16.0, 16.0**-told)):
        assert found.at(much) == pytest.approx(found.missed * part)


@pytest.mark.parametrize("columns", [1, 3, 40])
def test_what_one_score_says_of_itself_misses_nothing_and_of_its_opposite_all(columns):
    old = np.random.default_rng(0).normal(size=(40, columns))
    same, turned = Nearby.of(old, 2.0 * old), Nearby.of(old, -old)
    assert turned.missed == np.inf
    assert turned.at(0.1) == np.inf
    if columns > 1:
        assert same.missed == pytest.approx(0.0, abs=1e-12)
        assert same.at(np.array([1e-9]))[0] == pytest.approx(0.0, abs=1e-12)
    else:  # one alone has no neighbour
        assert same.missed == np.inf


def test_scores_that_are_all_equal_tell_nothing():
    assert Nearby.of(np.ones((9, 8)), np.random.default_rng(0).normal(size=(9, 8))).missed == np.inf


def test_the_weight_is_bounded_by_what_old_scores_miss():
    near = 2.0 + 1e-4 * np.arange(20)[None]
    missed = 0.3 + 8.0 / 160.0
    rule = FusionRule.of(0.3, 0.0, 160, Nearby(0.01, 0.09))
    variance = near[:, 10:].var()  # of the 20 best: ten of either side
    left = variance + 0.09 * (variance / 0.01) ** 0.1
    got = rule.crowded(near, near, 1e-6)
    assert 0.05 * missed / left > missed / 0.7
    assert got.weight[0, 0] == pytest.approx(0.05 * missed / left)
    lone = FusionRule.of(0.3, 0.0, 160, Nearby(0.01, np.inf)).crowded(near, near, 1e-6)
    assert lone.weight[0, 0] == pytest.approx(missed / 0.7)


def test_an_old_model_that_sees_only_the_class_does_not_rank_within_it():
    """As of pictures: whose 20 best lie close together, and are of one class, in no order."""
    rng, count = np.random.default_rng(0), 1_000
    kinds = rng.normal(size=(10, 8))[rng.integers(10, size=count)]
    own = 0.4 * rng.normal(size=(count, 16))
    asked = rng.permutation(count)[:100]

    def seen(rows, part):
        noise = 0.02 * rng.normal(size=(len(rows), 8))
        sides = np.hstack([kinds[rows], noise]), np.hstack([kinds[rows], own[rows] + part])
        names = Space("classes", 16), Space("items", 24)
        return [as_vectors(side, name, "t") for side, name in zip(sides, names, strict=True)]

    old, new = seen(np.arange(count), 0.0)
    queries = seen(asked, 0.1 * rng.normal(size=(100, 16)))
    order = rng.permutation(count)
    known, waits = order[:500], order[500:]
    fusion = Fusion(old.take(known), new.take(known))
    scales = fusion.scales(*queries)
    by_old, by_new = (q.array @ rows.array.T for q, rows in zip(queries, (old, new), strict=True))
    told = queries[1].array @ fusion.predict(old.array[waits]).array.T

    def found():
        rule = fusion.crowded(scales, by_old[:, known], by_old[:, waits])
        for _ in range(2):
            moved = fusion.moved(scales, by_old[:, known], by_new[:, known], rule=rule)
            waiting = fusion.waiting(scales, by_old[:, waits], told, rule)
            rule = rule.pressed(moved, waiting)
        table = np.empty(by_old.shape)
        table[:, known], table[:, waits] = moved, waiting
        best = np.argsort(-table, axis=1)[:, :10]
        return np.mean([place in row for place, row in zip(asked, best, strict=True)])

    heard = found()
    fusion.nearby = EXACT
    assert heard > found() + 0.1
