"""Fusion: identities of its scores, and that it knows how good its predictions are."""

import numpy as np
import pytest

from holdfast.align.kernel import Kernel
from holdfast.align.linear import Ridge
from holdfast.align.procrustes import Procrustes
from holdfast.arrays import as_vectors
from holdfast.errors import InvalidInput
from holdfast.space import Space
from holdfast.upgrade.search.fuse import Fusion, fidelity
from holdfast.upgrade.search.fusion_rule import ALONE, LATE, OLD, PREDICTED, SURE, FusionRule

OLD_SPACE, NEW_SPACE = Space("old", 6), Space("new", 8)


def pairs(count, noise=0.0, seed=0, spaces=(OLD_SPACE, NEW_SPACE)):
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(count, 6))
    turn = np.linalg.qr(np.random.default_rng(7).normal(size=(8, 8)))[0][:6]
    new = hidden @ turn + noise * rng.normal(size=(count, 8))
    return as_vectors(hidden, spaces[0], "old"), as_vectors(new, spaces[1], "new")


def test_agreement_is_one_where_the_old_space_tells_all_and_falls_with_noise():
    agreements = [Fusion(*pairs(600, noise)).agreement for noise in (0.0, 0.5, 1.0, 5.0)]
    assert agreements[0] > 0.95
    assert agreements == sorted(agreements, reverse=True)
    assert agreements[-1] < 0.3


def test_the_weight_is_noise_over_signal():
    fusion = Fusion(*pairs(400, 0.7))
    r = fusion.agreement
    assert fusion.weight == pytest.approx((1.0 - r**2 + 8.0 / 400) / r**2)
    assert Fusion(*pairs(8, 9.0)).weight <= 49.0 + 1e-9


def test_scores_against_the_formula_written_out():
    old, new = pairs(40, 0.3)
    fusion = Fusion(old, new)
    asked = pairs(3, 0.3, seed=5)
    table = fusion.scales(*asked)
    # Every other row makes a half; each is predicted by the other's map.
    even, odd = slice(0, 40, 2), slice(1, 40, 2)
    predicted = np.empty_like(new.array)
    for seen, unseen in ((odd, even), (even, odd)):
        mapped = Kernel().fit(old.array[seen], new.array[seen]).transform(old.array[unseen])
        predicted[unseen] = mapped / np.linalg.norm(mapped, axis=1, keepdims=True)
    for i in range(3):
        known_old = old.array @ asked[0].array[i]
        known_new = new.array @ asked[1].array[i]
        known_predicted = predicted @ asked[1].array[i]

        def standard(value, sample):
            return (value - sample.mean()) / sample.std()

        blurred = min(1.0, 4.0 * (1.0 - fusion.agreement**2))
        assert 0.5 < blurred < 1.0
        moved = standard(0.4, known_new) + fusion.weight * standard(0.2, known_old)
        waiting = (
            (1.0 + blurred * (PREDICTED - 1.0)) * standard(0.3, known_predicted)
            + (blurred * OLD + fusion.weight) * standard(0.2, known_old)
            + blurred * LATE
        )
        got_moved = fusion.moved(table, np.full((3, 1), 0.2), np.full((3, 1), 0.4))
        got_waiting = fusion.waiting(table, np.full((3, 1), 0.2), np.full((3, 1), 0.3))
        assert got_moved[i, 0] == pytest.approx(moved, rel=1e-4)
        assert got_waiting[i, 0] == pytest.approx(waiting, rel=1e-4)


def test_rankings_do_not_depend_on_the_scale_of_a_product():
    spaces = Space("old", 6, "dot"), Space("new", 8, "dot")
    old, new = pairs(200, 0.3, spaces=spaces)
    asked = pairs(4, 0.3, seed=3, spaces=spaces)
    grown = as_vectors(10.0 * new.array, spaces[1], "new")
    asked_grown = as_vectors(10.0 * asked[1].array, spaces[1], "new")
    one, other = Fusion(old, new), Fusion(old, grown)
    assert one.agreement == pytest.approx(other.agreement, abs=1e-4)
    scores = np.linspace(-1, 1, 7)[None].repeat(4, axis=0)
    np.testing.assert_allclose(
        one.moved(one.scales(*asked), scores, scores),
        other.moved(other.scales(asked[0], asked_grown), scores, 100.0 * scores),
        atol=1e-3,
    )


def test_predicted_vectors_have_length_one_under_cosine():
    old, new = pairs(100, 0.2)
    lengths = np.linalg.norm(Fusion(old, new).predict(old.array).array, axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-5)


@pytest.mark.parametrize("count", [0, 7])
def test_too_few_pairs_are_refused(count):
    old, new = pairs(20)
    rows = np.arange(count)
    with pytest.raises(InvalidInput, match="at least 8 pairs"):
        Fusion(old.take(rows), new.take(rows))


def test_fidelity_is_one_where_a_rotation_joins_the_spaces_and_falls_with_noise():
    kept = [fidelity(Procrustes(), *pairs(600, noise)) for noise in (0.0, 0.5, 1.0, 5.0)]
    assert kept[0] == pytest.approx(1.0, abs=1e-3)
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] < 0.5


def test_fidelity_against_correlations_worked_out_one_by_one():
    old, new = pairs(40, 0.6)
    halves = slice(0, 40, 2), slice(1, 40, 2)
    bridged = np.empty_like(old.array)
    for seen, unseen in (halves, halves[::-1]):
        mapped = Ridge().fit(new.array[seen], old.array[seen]).transform(new.array[unseen])
        bridged[unseen] = mapped / np.linalg.norm(mapped, axis=1, keepdims=True)
    each = []
    for i in range(40):
        rest = np.arange(40) != i
        one, other = old.array[rest] @ bridged[i], old.array[rest] @ old.array[i]
        each.append(np.corrcoef(one, other)[0, 1])
    assert fidelity(Ridge(), old, new) == pytest.approx(np.mean(each), abs=1e-4)


def test_old_scores_are_heard_as_far_as_they_miss_less_than_predictions():
    old, new = pairs(300, 0.7)
    r = Fusion(old, new).agreement
    halfway = Fusion(old, new, fidelity=np.sqrt(1.0 - 0.5 * (1.0 - r**2)))
    assert halfway.heard == pytest.approx(0.25)
    assert halfway.weight == pytest.approx(0.25 * Fusion(old, new).weight)
    assert Fusion(old, new, fidelity=r).heard == pytest.approx(0.0)
    assert Fusion(old, new, fidelity=0.0).heard == 0.0
    assert Fusion(old, new).heard == 1.0


def test_what_is_not_heard_changes_no_score():
    old, new = pairs(200, 0.5)
    fusion = Fusion(old, new, fidelity=0.0)
    scales = fusion.scales(*pairs(4, 0.5, seed=3))
    some, other = np.zeros((4, 5)), np.linspace(-1, 1, 20).reshape(4, 5)
    for score in (fusion.moved, fusion.waiting):
        np.testing.assert_array_equal(score(scales, some, other), score(scales, other, other))
    mean, spread = scales.predicted
    got = fusion.waiting(scales, some, other)
    np.testing.assert_allclose(got, ALONE * (other - mean) / spread)


def test_where_nothing_is_predicted_the_old_score_weighs_the_same_however_poor_the_map():
    scores = np.array([[0.1, 0.4, 0.2]])
    for count, noise in ((12, 2.0), (600, 0.1)):
        fusion = Fusion(*pairs(count, noise))
        scales = fusion.scales(*pairs(1, noise, seed=3))
        alone = fusion.moved(scales, np.broadcast_to(scales.old[0], (1, 3)), scores, sure=True)
        np.testing.assert_allclose(alone, (scores - scales.new[0]) / scales.new[1])
        both = fusion.moved(scales, scores, scores, sure=True)
        np.testing.assert_allclose(both - alone, SURE * (scores - scales.old[0]) / scales.old[1])
    deaf = Fusion(*pairs(40, 0.5), fidelity=0.0)
    scales = deaf.scales(*pairs(1, 0.5, seed=3))
    apart = deaf.moved(scales, scores, scores, True) - deaf.moved(scales, 0 * scores, scores, True)
    assert not apart.any()


def test_the_old_score_weighs_what_competes():
    rng = np.random.default_rng(0)
    rule = FusionRule(0.6, 1.5)
    moved, waiting = rng.normal(size=(7, 30)), rng.normal(size=(7, 25))
    moved[2], waiting[3] = moved[2] + 99.0, waiting[3] + 99.0
    moved[4, 5:], waiting[4, 3:] = -np.inf, -np.inf  # eight candidates, three of which wait
    moved[5], waiting[6] = -np.inf, -np.inf
    got = rule.pressed(moved, waiting)
    assert (got.heard, rule.weight) == (0.6, 1.5)

    def weight(part):
        told = part / 1.5 + (1.0 - part) / (0.6 * SURE)  # by both kinds together
        return 1.0 / told

    for row in range(7):
        scored = [(s, False) for s in moved[row]] + [(s, True) for s in waiting[row]]
        best = sorted((s, w) for s, w in scored if np.isfinite(s))[-20:]
        part = sum(w for _, w in best) / len(best)
        assert got.weight[row, 0] == pytest.approx(weight(part))
    assert got.weight[[2, 6], 0] == pytest.approx(0.6 * SURE)
    assert got.weight[[3, 5], 0] == pytest.approx(1.5)
    assert got.weight[4, 0] == pytest.approx(weight(3 / 8))
    none = rule.pressed(np.full((1, 0), 0.0), np.full((1, 4), -np.inf))
    assert np.isfinite(none.weight).all()


def test_sure_scores_tell_the_less_the_smaller_the_sample():
    moved, waiting = np.array([[3.0, 2.0]]), np.array([[4.0, 1.0]])
    for size in (512, 8):
        rule = FusionRule.of(0.95, 0.0, size)
        usual, sure = (0.95 + 8.0 / size) / 0.05, SURE + 8.0 / size
        told = 1.0 / (1.0 + usual / sure)
        assert rule.pressed(moved, waiting).weight == pytest.approx(SURE + told * (usual - SURE))
    better = FusionRule.of(0.01, 0.0, 512)  # predictions that tell more than two models do
    assert better.weight < SURE
    half = (SURE + better.weight) / 2.0
    assert better.pressed(moved, waiting).weight == pytest.approx(half)


def test_an_old_model_that_tells_nothing_does_not_rank_what_has_moved():
    """At nine tenths of the items; while it did, one in six answers that had moved was found."""
    rng, count = np.random.default_rng(0), 600
    hidden = rng.normal(size=(count, 8))
    asked = np.arange(0, 2 * 40, 2)
    seen = hidden[asked] + 0.3 * rng.normal(size=(40, 8))
    old = as_vectors(rng.normal(size=(count, 6)), OLD_SPACE, "old")
    new, queries = (as_vectors(rows, NEW_SPACE, "new") for rows in (hidden, seen))
    known = np.sort(rng.permutation(count)[: 9 * count // 10])
    waits = np.setdiff1d(np.arange(count), known)
    fusion = Fusion(old.take(known), new.take(known))
    asking = as_vectors(rng.normal(size=(40, 6)), OLD_SPACE, "old")
    scales = fusion.scales(asking, queries)
    by_old, by_new = asking.array @ old.array.T, queries.array @ new.array.T
    told = queries.array @ fusion.predict(old.array[waits]).array.T
    sides = by_old[:, known], by_old[:, waits]
    rule = fusion.crowded(scales, *sides)
    for _ in range(2):
        table = np.empty(by_new.shape)
        table[:, known] = fusion.moved(scales, sides[0], by_new[:, known], rule=rule)
        table[:, waits] = fusion.waiting(scales, sides[1], told, rule)
        rule = rule.pressed(table[:, known], table[:, waits])
    first = np.argsort(-table, axis=1)[:, :10]
    found = (first == asked[:, None]).any(axis=1)
    assert found[np.isin(asked, known)].mean() > 0.6


def test_a_prediction_that_misses_nothing_counts_as_the_true_score():
    old, new = pairs(400)  # told exactly by a straight map
    fusion = Fusion(old, new, aligner=Procrustes())
    scales = fusion.scales(*pairs(3, seed=3))
    some, other = np.random.default_rng(0).normal(size=(2, 3, 6))
    waiting, moved = (score(scales, some, other) for score in (fusion.waiting, fusion.moved))
    np.testing.assert_allclose(waiting, moved, atol=1e-4)


def test_the_old_score_decides_where_the_best_lie_closer_than_predictions_miss():
    rule = FusionRule.of(0.3, 0.0, 160)
    missed = 0.3 + 8.0 / 160.0
    rng = np.random.default_rng(0)
    moved, waiting = rng.normal(size=(5, 30)) - 3.0, rng.normal(size=(5, 25)) - 3.0
    for row, spread in enumerate((0.5, 0.1, 0.01, 1e-4, 0.0)):
        waiting[row, :20] = 3.0 + spread * np.resize([-1.0, 1.0], 20)
    moved[0, 3:] = -np.inf
    got = rule.crowded(moved, waiting, 1e-5)
    assert got.missed == rule.missed == pytest.approx(missed)
    weight = missed / 0.7
    assert rule.weight == pytest.approx(weight)
    close = [weight, 0.05 * missed / 0.1**2, 0.05 * missed / 0.01**2, 5e6 * missed, weight]
    np.testing.assert_allclose(got.weight[:, 0], close, rtol=1e-9)
    bridged = FusionRule.of(0.3, 0.15, 160).crowded(moved, waiting, 1e-5)
    np.testing.assert_allclose(bridged.weight, 0.25 * got.weight)
    blurred = rule.crowded(moved, waiting, np.array([[0.1], [0.2], [0.001], [0.001], [0.0]]))
    np.testing.assert_allclose(blurred.weight[:, 0], [weight, weight, close[2], weight, weight])
    few = rule.crowded(np.full((2, 0), 0.0), np.array([[-np.inf] * 3, [1.0, 3.0, -np.inf]]), 1e-5)
    np.testing.assert_allclose(few.weight[:, 0], weight)


def test_large_weights_of_the_old_score_make_no_large_scores():
    rule = FusionRule.of(0.3, 0.0, 160)
    near = 2.0 + 1e-4 * np.arange(20)[None]
    got = rule.crowded(near, near, 1e-6)
    new, old = np.random.default_rng(0).normal(size=(2, 1, 7))
    assert got.weight > 1e5
    np.testing.assert_allclose(got.moved(new, old), new / got.weight + old)
    told = PREDICTED * new + (OLD + got.weight) * old + LATE
    np.testing.assert_allclose(got.waiting(new, old), told / got.weight)
    wide = rule.crowded(near * 1e4, near * 1e4, 1e-6)
    np.testing.assert_array_equal(wide.moved(new, old), rule.moved(new, old))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_what_lies_densely_is_ranked_as_the_old_model_ranks_it(share):
    """Places: no prediction tells near ones apart; by them 0.7 of the best were found."""
    rng, spaces = np.random.default_rng(0), (Space("places", 3), Space("waves", 64))
    points = rng.normal(size=(1_500, 3))
    points[::2] = points[0] + 0.03 * points[::2]  # a city, and what lies between cities
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    waves = np.cos(points @ (3.0 * rng.normal(size=(3, 64))) + 6.0 * rng.random(64))
    old, new = (as_vectors(r, s, "t") for r, s in zip((points, waves), spaces, strict=True))
    asked = np.arange(0, 60, 2)
    known = np.delete(rng.permutation(1_500), 0)[: int(1_500 * share)]
    waits = np.setdiff1d(np.arange(1_500), known)
    fusion = Fusion(old.take(known), new.take(known))
    queries = old.take(asked), new.take(asked)
    scales = fusion.scales(*queries)
    by_old, by_new = (q.array @ rows.array.T for q, rows in zip(queries, (old, new), strict=True))
    told = queries[1].array @ fusion.predict(old.array[waits]).array.T
    rule = fusion.crowded(scales, by_old[:, known], by_old[:, waits])
    table = np.empty(by_old.shape)
    table[:, known] = fusion.moved(scales, by_old[:, known], by_new[:, known], rule=rule)
    table[:, waits] = fusion.waiting(scales, by_old[:, waits], told, rule)
    first, best = (np.argsort(-t, axis=1)[:, :10] for t in (table, by_old))
    same = [len(np.intersect1d(a, b)) / 10 for a, b in zip(first, best, strict=True)]
    assert np.mean(same) > 0.97
    assert np.abs(table).max() < 100.0


def test_any_aligner_may_predict_and_is_left_unfitted():
    old, new = pairs(120)
    aligner = Procrustes()
    fusion = Fusion(old, new, aligner=aligner)
    assert fusion.agreement == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(fusion.predict(old.array).array, new.array, atol=1e-3)
    assert not hasattr(aligner, "n_features_in_")


def test_the_sample_is_what_the_pairs_begin_with():
    # Only the first items are a fair sample where what follows was moved for its worth.
    old, new = pairs(3_000, 0.3)
    fusion = Fusion(old, new)
    asked = pairs(2, 0.3, seed=4)
    means = (asked[0].array @ old.array[:512].T).mean(axis=1)
    np.testing.assert_allclose(fusion.scales(*asked).old[0][:, 0], means, atol=1e-5)
