"""Policies against slow references, identities and their promises."""

from __future__ import annotations

import math

import numpy as np
import pytest

from holdfast.align.kernel import Kernel
from holdfast.arrays import as_vectors
from holdfast.errors import InvalidInput
from holdfast.space import Space
from holdfast.upgrade.priority.centers import Centers, ClassMeans
from holdfast.upgrade.priority.gain import expected_gain
from holdfast.upgrade.priority.searched import most_searched
from holdfast.upgrade.priority.slices import balanced, in_turn
from holdfast.upgrade.priority.uncertain import Uncertainty, remoteness

OLD, NEW = Space("old", 6), Space("new", 8)


def pair(count, noise=0.4, seed=0):
    """The same things in both spaces, as far as noise lets them be."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(count, 6))
    turn = np.linalg.qr(np.random.default_rng(7).normal(size=(8, 8)))[0][:6]
    new = hidden @ turn + noise * rng.normal(size=(count, 8))
    return as_vectors(hidden, OLD, "old"), as_vectors(new, NEW, "new")


# gain


def slow_gain(queries, weights, waiting, known, places):
    """Query by query, with loops."""

    def unit(rows):
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def mapped(fit, rows):
        old, new = (
            np.vstack([side.array[fit], asked.array])
            for side, asked in zip(known, queries, strict=True)
        )
        return unit(Kernel(single=True).fit(old, new).transform(rows))

    def spread(value, sample):
        return (value - sample.mean()) / sample.std()

    count = len(known[0])
    even, odd = np.arange(0, count, 2), np.arange(1, count, 2)
    guessed = np.empty_like(known[1].array)
    guessed[odd], guessed[even] = (
        mapped(even, known[0].array[odd]),
        mapped(odd, known[0].array[even]),
    )
    predicted = mapped(np.arange(count), waiting.array)
    seen, true = [], []
    for old, new in zip(queries[0].array, queries[1].array, strict=True):
        by_old, by_new, by_guess = known[0].array @ old, known[1].array @ new, guessed @ new
        for at in range(count):
            seen.append((spread(by_guess[at], by_guess), spread(by_old[at], by_old)))
            true.append(spread(by_new[at], by_new))
    seen, true = np.array(seen), np.array(true)
    parts = np.linalg.solve(seen.T @ seen, seen.T @ true)
    worth = np.zeros(len(waiting))
    for weight, old, new in zip(weights, queries[0].array, queries[1].array, strict=True):
        told = parts[0] * spread(predicted @ new, guessed @ new)
        told += (parts[1] + 0.5) * spread(waiting.array @ old, known[0].array @ old)
        for place, item in enumerate(np.argsort(-told)[:places], start=1):
            worth[item] += weight / math.log2(place + 1)
    return worth


def test_expected_gain_against_the_formula_with_loops():
    everything = pair(125)
    known = tuple(side.take(slice(0, 60)) for side in everything)
    waiting = everything[0].take(slice(60, 120))
    queries = tuple(side.take(slice(120, 125)) for side in everything)
    weights = [1.0, 0.0, 3.0, 2.0, 0.5]
    expected = slow_gain(queries, weights, waiting, known, 4)
    got = expected_gain(queries, weights, waiting, known, places=4)
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert 4 <= np.count_nonzero(got) <= 16


def test_gain_is_divided_by_cost_and_grows_with_traffic():
    everything = pair(100)
    known = tuple(side.take(slice(0, 50)) for side in everything)
    queries, waiting = tuple(side.take(slice(95, 100)) for side in everything), everything[0]
    plain = expected_gain(queries, np.ones(5), waiting, known)
    cost = np.linspace(1.0, 9.0, 100)
    np.testing.assert_allclose(
        expected_gain(queries, np.ones(5), waiting, known, cost), plain / cost
    )
    np.testing.assert_allclose(expected_gain(queries, np.full(5, 3.0), waiting, known), 3.0 * plain)


def test_the_best_by_the_new_model_are_expected_where_the_old_space_tells_all():
    everything = pair(700, noise=0.0)
    known = tuple(side.take(slice(0, 300)) for side in everything)
    waiting = tuple(side.take(slice(300, 690)) for side in everything)
    queries = tuple(side.take(slice(690, 691)) for side in everything)
    worth = expected_gain(queries, [1.0], waiting[0], known)
    true = queries[1].array @ waiting[1].array.T
    ten = set(np.argsort(-true[0])[:10].tolist())
    assert len(ten & set(np.argsort(-worth)[:10].tolist())) >= 8
    assert np.count_nonzero(worth) == 20
    assert worth.max() == 1.0


def test_the_old_score_alone_decides_where_no_map_can_be_learned():
    """The new model is noise: then items rank as they stand, by the old model."""
    rng = np.random.default_rng(5)
    old = as_vectors(rng.normal(size=(900, 6)), OLD, "old")
    new = as_vectors(rng.normal(size=(900, 8)), NEW, "new")
    known = old.take(slice(0, 400)), new.take(slice(0, 400))
    queries, waiting = (
        (old.take(slice(899, 900)), new.take(slice(899, 900))),
        old.take(slice(400, 800)),
    )
    worth = expected_gain(queries, [3.0], waiting, known)
    by_old = np.argsort(-(waiting.array @ queries[0].array[0]))[:20]
    assert len(set(by_old.tolist()) & set(np.flatnonzero(worth).tolist())) >= 12  # by chance 1
    assert worth.max() == 3.0


@pytest.mark.parametrize(
    ("known", "weights", "cost", "words"),
    [
        (7, [1.0] * 5, None, "8 known items"),
        (50, [1.0] * 4, None, "weights: expected 5 numbers"),
        (50, [1.0] * 4 + [-1.0], None, "weights: expected 5 numbers"),
        (50, [1.0] * 4 + [np.inf], None, "weights: expected 5 numbers"),
        (50, [1.0] * 5, [0.0] + [1.0] * 99, "cost: expected 100 numbers above 0"),
        (50, [1.0] * 5, [1.0], "cost: expected 100 numbers above 0"),
    ],
)
def test_what_cannot_be_is_refused(known, weights, cost, words):
    everything = pair(100)
    some = tuple(side.take(slice(0, known)) for side in everything)
    queries = tuple(side.take(slice(95, 100)) for side in everything)
    with pytest.raises(InvalidInput, match=words):
        expected_gain(queries, weights, everything[0], some, cost)


def test_searches_of_another_number_are_refused():
    with pytest.raises(InvalidInput, match="weights"):
        most_searched(np.zeros((2, 3), dtype=np.int64), [1.0], 4)


# uncertainty


def test_uncertainty_is_the_held_out_error_of_the_neighbours():
    old, new = pair(80, 0.5)
    uncertain = Uncertainty(old, new)
    for at in (0, 1, 33):
        half = slice(1 - at % 2, None, 2)
        aligner = Kernel(single=True).fit(old.array[half], new.array[half])
        error = ((aligner.transform(old.array[at : at + 1]) - new.array[at]) ** 2).sum()
        assert uncertain.errors[at] == pytest.approx(error, rel=1e-4)
    rows = pair(20, seed=9)[0].array
    width = 2.0 * ((old.array - old.array.mean(axis=0)) ** 2).sum(axis=1).mean()
    for row, got in zip(rows, uncertain(rows), strict=True):
        near = np.exp(-20.0 * ((old.array - row) ** 2).sum(axis=1) / width)
        assert got == pytest.approx((near @ uncertain.errors) / near.sum(), rel=1e-4)


def test_where_the_new_model_is_noisy_is_where_it_is_uncertain():
    rng = np.random.default_rng(1)
    hidden = rng.normal(size=(600, 6))
    loud = hidden[:, 0] > 0
    new = hidden @ rng.normal(size=(6, 8)) + np.where(loud, 3.0, 0.05)[:, None] * rng.normal(
        size=(600, 8)
    )
    old = as_vectors(hidden, Space("old", 6, "dot"), "old")
    shown = as_vectors(new, Space("new", 8, "dot"), "new")
    told = Uncertainty(old.take(slice(0, 300)), shown.take(slice(0, 300)))(old.array[300:])
    assert told[loud[300:]].mean() > 2.0 * told[~loud[300:]].mean()


def test_too_few_pairs_are_refused():
    old, new = pair(20)
    with pytest.raises(InvalidInput, match="8 pairs"):
        Uncertainty(old.take(slice(0, 7)), new.take(slice(0, 7)))
    with pytest.raises(InvalidInput, match="8 pairs"):
        Uncertainty(old, new.take(slice(0, 12)))


def test_remoteness_is_the_distance_to_the_nearest():
    old = pair(50)[0].array
    far = remoteness(old, old[:10])
    slow = [min(((row - other) ** 2).sum() for other in old[:10]) for row in old]
    np.testing.assert_allclose(far, slow, atol=1e-6)
    assert len(remoteness(old[:0], old)) == 0


# centres


def test_centers_end_where_every_mean_is_the_mean_of_its_own():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(5, 1, 4)) * 6.0 + rng.normal(size=(5, 40, 4)) * 0.3).reshape(-1, 4)
    rows = rows.astype(np.float32)
    centers = Centers(rows, 5, seed=0)
    table = ((rows[:, None] - centers.means[None]) ** 2).sum(axis=2)
    own = table.argmin(axis=1)
    for at in range(5):
        np.testing.assert_allclose(centers.means[at], rows[own == at].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(centers.distances(rows), table.min(axis=1), atol=1e-4)


def test_one_center_is_the_mean_and_as_many_as_rows_are_the_rows():
    rows = pair(30)[0].array
    one = Centers(rows, 1).distances(rows)
    np.testing.assert_allclose(one, ((rows - rows.mean(axis=0)) ** 2).sum(axis=1), atol=1e-5)
    np.testing.assert_allclose(Centers(rows, 30).distances(rows), 0.0, atol=1e-6)
    np.testing.assert_array_equal(Centers(rows).means, Centers(rows, 5).means)
    for count in (0, 31):
        with pytest.raises(InvalidInput, match="Centers"):
            Centers(rows, count)


def test_class_distances_are_to_the_mean_of_the_own_class():
    rows = pair(40)[0].array
    classes = ["a" if n % 3 else "b" for n in range(40)]
    slow = [
        (
            (rows[n] - rows[[m for m in range(40) if classes[m] == classes[n]]].mean(axis=0)) ** 2
        ).sum()
        for n in range(40)
    ]
    means = ClassMeans()
    for page in (slice(0, 1), slice(1, 17), slice(17, 40)):
        means.add(rows[page], classes[page])
    np.testing.assert_allclose(means.distances(rows, classes), slow, atol=1e-5)
    assert means.distances(rows[:2], ["a", "new"])[1] == np.inf


# slices


def test_slices_in_turn_begin_with_those_that_are_named_then_the_smallest():
    slices = ["de"] * 5 + ["fr"] * 2 + ["en"] * 9 + ["it"] * 3
    order = [slices[n] for n in np.argsort(-in_turn(slices, ["en", "nobody"]), kind="stable")]
    assert order == ["en"] * 9 + ["fr"] * 2 + ["it"] * 3 + ["de"] * 5


def test_balanced_slices_differ_by_one_until_they_end():
    slices = np.array(["a"] * 50 + ["b"] * 7 + ["c"] * 20)
    scores = balanced(slices.tolist(), seed=3)
    order = slices[np.argsort(-scores, kind="stable")]
    for moved in range(len(order)):
        counts = {name: (order[:moved] == name).sum() for name in "abc"}
        for name, size in (("a", 50), ("b", 7), ("c", 20)):
            assert counts[name] >= min(size, max(counts.values()) - 1)
    assert balanced(slices.tolist(), seed=3).tolist() == scores.tolist()
    assert balanced(slices.tolist(), seed=4).tolist() != scores.tolist()
