"""Retrieval between pictures and captions: a slow sort, identities, and published rows."""

import numpy as np
import pytest

from holdfast.arrays import as_vectors
from holdfast.errors import InvalidInput, WrongSpace
from holdfast.hits import Hits
from holdfast.measure.cross_modal import (
    DEPTHS,
    DIRECTIONS,
    CrossTest,
    Found,
    Pairing,
    ranks,
    ranks_of,
)
from holdfast.space import Space

SPACE = Space("s", 6)


def vectors(count, seed, space=SPACE):
    rows = np.random.default_rng(seed).normal(size=(count, space.dim))
    return as_vectors(rows, space, "test")


def pairing(images=40, each=5):
    return Pairing([list(range(each * i, each * i + each)) for i in range(images)], images * each)


def found(cell, seed, pairs=None):
    pairs = pairs or pairing()
    return Found.of(
        cell, vectors(len(pairs.captions), seed), vectors(pairs.texts, seed + 50), pairs
    )


def test_recall_with_five_captions_is_what_a_full_sort_says():
    images, texts, pairs = vectors(40, 1), vectors(200, 2), pairing()
    cell = Found.of("new/new", images, texts, pairs)
    for k in DEPTHS:
        hits = []
        for picture in range(40):
            order = np.argsort(-(texts.array @ images.array[picture]))[:k]
            hits.append(any(caption // 5 == picture for caption in order))
        assert cell.recall("I2T", k).value == np.mean(hits)
        hits = []
        for caption in range(200):
            order = np.argsort(-(images.array @ texts.array[caption]))[:k]
            hits.append(caption // 5 in order)
        assert cell.recall("T2I", k).value == np.mean(hits)
    six = [f.value for f in cell.findings()]
    assert six[-1] == pytest.approx(np.mean(six[:-1]), abs=1e-12) == cell.mean_recall


def test_mean_recall_of_a_published_row():
    """CLIP ViT-B/32 on Flickr30k: 40.62 64.75 73.72 and 21.73 41.56 51.10 have mR 48.91."""
    rates = {"I2T": (0.4062, 0.6475, 0.7372), "T2I": (0.2173, 0.4156, 0.5110)}
    made = {}
    for direction, values in rates.items():
        places = np.full(10_000, 99)
        edges = [round(v * 10_000) for v in values]
        places[: edges[2]], places[: edges[1]], places[: edges[0]] = 10, 5, 1
        made[direction] = places
    assert Found("old/old", made).mean_recall == pytest.approx(0.4891, abs=5e-5)


def test_rows_that_tie_share_the_better_rank():
    stored = as_vectors([[1, 0], [1, 0], [0, 1], [1, 0]], Space("two", 2), "test")
    asked = as_vectors([[1, 0.0], [1, 0], [0, 1]], Space("two", 2), "test")
    np.testing.assert_array_equal(ranks(asked, stored, [[3], [2], [0, 2]]), [1, 4, 1])


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_rows_that_differ_by_rounding_alone_share_the_better_rank(metric):
    """The same numbers in other orders, asked by a row of ones: only the sums' last bits differ."""
    random = np.random.default_rng(0)
    row = random.normal(size=64)
    orders = np.stack([random.permutation(row) for _ in range(200)])
    space = Space("sums", 64, metric)
    asked, stored = (as_vectors(x, space, "test") for x in (np.ones((1, 64)), orders))
    assert [int(ranks(asked, stored, [[i]])[0]) for i in range(200)] == [1] * 200
    other = as_vectors(np.vstack([orders, row + 1e-3]), space, "test")
    assert ranks(asked, other, [[0]]).tolist() == [2]  # a thousandth is no rounding


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_ranks_follow_the_metric_of_the_space(metric):
    space = Space("m", 4, metric)
    asked, stored = vectors(20, 1, space), vectors(30, 2, space)
    scores = asked.array @ stored.array.T
    if metric == "euclidean":
        scores = -np.linalg.norm(asked.array[:, None] - stored.array[None], axis=2)
    slow = [1 + np.sum(scores[i] > scores[i, i]) for i in range(20)]
    np.testing.assert_array_equal(ranks(asked, stored, [[i] for i in range(20)]), slow)


def test_the_change_of_recall_is_exactly_what_was_won_less_what_was_lost():
    test = CrossTest(found("old/old", 3), found("bridged/old", 4))
    for direction in DIRECTIONS:
        for k in DEPTHS:
            changed, gain = test.flips(direction, k), test.gain(direction, k)
            before = test.before.hits(direction, k)
            after = test.after.hits(direction, k)
            assert np.sum(~before & after) - np.sum(before & ~after) == after.sum() - before.sum()
            won, lost = changed.positive.value, changed.negative.value
            assert won - lost == pytest.approx(gain.value, abs=1e-15)
            assert gain.value == pytest.approx(after.mean() - before.mean(), abs=1e-15)


def test_lists_of_a_gallery_give_the_ranks_of_their_order():
    hits = Hits.of([[("a", 3.0), ("b", 2.0), ("c", 1.0)], [("c", 1.0), ("a", 1.0), ("b", 1.0)]])
    got = ranks_of(hits, [["c", "b"], ["x"]])
    assert got[0] == 2
    assert got[1] > 10**9
    with pytest.raises(InvalidInput, match="2 queries"):
        ranks_of(hits, [["a"]])


def test_several_pictures_may_share_a_caption():
    pairs = Pairing([[0], [0, 1], [1]], 2)
    assert pairs.right("T2I") == [[0, 1], [1, 2]]
    images = as_vectors(np.eye(3), Space("three", 3), "test")
    texts = as_vectors([[0.0, 1, 0.5], [1, 0.5, 0]], Space("three", 3), "test")
    cell = Found.of("new/new", images, texts, pairs)
    np.testing.assert_array_equal(cell.ranks["T2I"], [1, 2])
    np.testing.assert_array_equal(cell.ranks["I2T"], [2, 1, 2])


def test_compatible_needs_the_whole_interval_in_each_direction():
    before = {"I2T": np.full(200, 9), "T2I": np.full(200, 9)}
    better, hardly = before["I2T"].copy(), before["T2I"].copy()
    better[:60], hardly[:1] = 1, 1
    test = CrossTest(Found("old/old", before), Found("new/old", {"I2T": better, "T2I": hardly}))
    assert test.compatible() == {"I2T": True, "T2I": False}
    verdicts = {f.metric: f.verdict for f in test.findings() if "over" in f.metric}
    assert verdicts == {"I2T R@1 over old/old": "pass", "T2I R@1 over old/old": "fail"}
    assert not any(CrossTest(Found("old/old", before), Found("x", before)).compatible().values())


@pytest.mark.parametrize(("queries", "shown"), [(19, False), (20, True)])
def test_a_handful_of_queries_shows_no_compatibility(queries, shown):
    cells = [Found(f"{at}", {d: np.full(queries, at) for d in DIRECTIONS}) for at in (9, 1)]
    test = CrossTest(*cells)
    assert test.compatible() == dict.fromkeys(DIRECTIONS, shown)
    judged = [f for f in test.findings() if "over" in f.metric]
    assert [f.verdict for f in judged] == ["pass" if shown else "fail"] * 2
    assert "with 20 queries or more" in judged[0].note


def test_an_interval_of_the_gain_covers_what_it_should():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(60):
        old, new = rng.random(150) < 0.4, rng.random(150) < 0.55
        made = [{"I2T": np.where(h, 1, 99), "T2I": np.where(h, 1, 99)} for h in (old, new)]
        gain = CrossTest(Found("o", made[0]), Found("n", made[1])).gain("I2T", 1, seed)
        covered += gain.low <= 0.15 <= gain.high
    assert covered >= 52


def test_captions_of_one_picture_are_drawn_together():
    """Saying everything five times over tells no more."""
    rng = np.random.default_rng(0)
    made = [{d: np.where(rng.random(80) < p, 1, 9) for d in DIRECTIONS} for p in (0.4, 0.6, 0.8)]
    once = [Found(str(at), ranks, np.arange(80)) for at, ranks in enumerate(made)]
    five = [
        Found(f.cell, {**f.ranks, "T2I": np.repeat(f.ranks["T2I"], 5)}, np.repeat(np.arange(80), 5))
        for f in once
    ]
    for direction in DIRECTIONS:
        plain, said = (CrossTest(*cells[:2]).gain(direction, 1) for cells in (once, five))
        assert (said.value, said.low, said.high) == pytest.approx(
            (plain.value, plain.low, plain.high)
        )
        plain, said = (
            CrossTest(*cells[:2]).upgrade_gain(cells[2], direction, 1) for cells in (once, five)
        )
        assert (said.low, said.high) == pytest.approx((plain.low, plain.high))
    np.testing.assert_array_equal(found("x", 1).pictures, np.repeat(np.arange(40), 5))


def test_pictures_that_share_their_captions_are_no_more_queries():
    """Twenty pictures in pairs, ten captions: ten that are drawn, too few to show anything."""
    pairs = Pairing([[at // 2] for at in range(20)], 10)
    pictures = Found.of("x", vectors(20, 1), vectors(10, 2), pairs).pictures
    cells = [Found(f"{at}", {"T2I": np.full(10, at), "I2T": np.full(20, at)}, pictures)
             for at in (9, 1)]  # fmt: skip
    assert CrossTest(*cells).gain("T2I", 1).n == 10
    assert CrossTest(*cells).compatible() == {"I2T": True, "T2I": False}


def test_the_part_of_the_possible_gain():
    ranks_at = lambda hits: {d: np.where(np.arange(100) < hits, 1, 50) for d in DIRECTIONS}  # noqa: E731
    cells = [Found(str(h), ranks_at(h)) for h in (20, 50, 80)]
    test = CrossTest(cells[0], cells[1])
    assert test.upgrade_gain(cells[2], "T2I", 1).value == pytest.approx(0.5)
    with pytest.raises(InvalidInput):
        test.upgrade_gain(cells[0], "T2I", 1)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InvalidInput, match="captions from 0 to 1"):
        Pairing([[0], []], 2)
    with pytest.raises(InvalidInput, match="captions from 0 to 2"):
        Pairing([[0], [1]], 3)
    with pytest.raises(WrongSpace):
        ranks(vectors(3, 0), vectors(3, 0, Space("other", 6)), [[0]] * 3)
    with pytest.raises(InvalidInput, match="right rows for 3 queries"):
        ranks(vectors(3, 0), vectors(3, 0), [[0]])
    for right in ([], [3], [-1]):
        with pytest.raises(InvalidInput, match="right rows from 0 to 2"):
            ranks(vectors(3, 0), vectors(3, 0), [[0], [1], right])
    with pytest.raises(InvalidInput, match="queries in both cells"):
        CrossTest(found("a", 1), found("b", 2, pairing(8)))
