"""The strict form: pairs counted one by one."""

import numpy as np
import pytest

from holdfast.errors import DimensionMismatch, InvalidInput
from holdfast.measure import similarity
from holdfast.measure.pairwise import pairwise

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(4, 6))
ASKED, STORED = RNG.integers(0, 4, 25), RNG.integers(0, 4, 35)
OLD, NEW = (CENTRES[ASKED] + RNG.normal(size=(25, 6)) for _ in range(2))
GALLERY = CENTRES[STORED] + RNG.normal(size=(35, 6))


def slow(old, new, gallery, asked, stored, own=None):
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (old, new, gallery)]
    met = {True: [], False: []}
    for i in range(len(old)):
        for j in range(len(gallery)):
            if own is not None and own[i] == j:
                continue
            before, after = (np.linalg.norm(unit[m][i] - unit[2][j]) for m in (0, 1))
            same = asked[i] == stored[j]
            met[same].append(after <= before if same else after >= before)
    return (
        np.mean(met[True] + met[False]),
        np.mean(met[True]) if met[True] else None,
        np.mean(met[False]) if met[False] else None,
    )


def test_shares_equal_plain_counts(monkeypatch):
    monkeypatch.setattr(similarity, "CELLS", 100)
    got = pairwise(OLD, NEW, GALLERY, ASKED.tolist(), STORED.tolist())
    want = slow(OLD, NEW, GALLERY, ASKED, STORED)
    assert (got.every.value, got.same.value, got.different.value) == pytest.approx(want)
    assert [f.value for f in got.findings()] == pytest.approx(want)
    assert got.every.low < got.every.value < got.every.high


def test_a_query_and_itself_are_no_pair():
    old, new = GALLERY, GALLERY + 0.1 * RNG.normal(size=GALLERY.shape)
    own = np.arange(35)
    got = pairwise(old, new, GALLERY, STORED.tolist(), STORED.tolist(), own)
    want = slow(old, new, GALLERY, STORED, STORED, own)
    assert (got.every.value, got.same.value, got.different.value) == pytest.approx(want)


def test_the_same_model_meets_every_pair_and_an_unrelated_one_half():
    same = pairwise(OLD, OLD, GALLERY, ASKED.tolist(), STORED.tolist())
    assert (same.every.value, same.same.low, same.different.low) == (1.0, 1.0, 1.0)
    other = RNG.normal(size=(2000, 6))
    labels = RNG.integers(0, 4, 2000).tolist()
    noise = RNG.normal(size=(2000, 6))
    got = pairwise(other, noise, GALLERY, labels, STORED.tolist())
    assert got.every.value == pytest.approx(0.5, abs=0.03)


def test_the_longer_space_is_compared_in_the_coordinates_of_the_shorter():
    longer = np.hstack([2.0 * OLD, np.zeros((25, 2))])
    got = pairwise(longer, longer, np.hstack([GALLERY, np.zeros((35, 2))]), *LABELS)
    short = pairwise(OLD, longer, GALLERY, *LABELS, extends=True, distance="cosine")
    assert got.every.value == 1.0
    assert short.every.value > 0.5  # the same directions, to rounding
    with pytest.raises(DimensionMismatch, match="extends=True"):
        pairwise(OLD, longer, GALLERY, *LABELS)


LABELS = (ASKED.tolist(), STORED.tolist())


def test_one_kind_of_pairs_only():
    got = pairwise(OLD[:1], NEW[:1], GALLERY[:2], ["x"], ["x", "x"])
    assert got.different is None
    assert [f.metric for f in got.findings()] == [
        "strictly compatible pairs, all", "strictly compatible pairs, same class"
    ]  # fmt: skip


def test_other_numbers_are_refused():
    with pytest.raises(InvalidInput, match="25 queries"):
        pairwise(OLD, NEW[:3], GALLERY, *LABELS)
    with pytest.raises(InvalidInput, match="25 labels of queries and 35 of gallery items, got 1"):
        pairwise(OLD, NEW, GALLERY, ["a"], STORED.tolist())
    with pytest.raises(InvalidInput, match="an item that is not its own, got none"):
        pairwise(OLD[:1], NEW[:1], GALLERY[:1], ["a"], ["a"], own=[0])


@pytest.mark.parametrize("distance", ["cosine", "dot", "euclidean"])
def test_a_model_that_only_adds_zeros_meets_every_pair(distance):
    old, stored = (np.random.default_rng(seed).normal(size=(80, 37)) for seed in (1, 2))
    labels = np.arange(80) % 4
    wide = np.hstack([old, np.zeros((80, 13))])
    got = pairwise(old, wide, stored, labels, labels, distance=distance, extends=True)
    assert got.every.value == 1.0


@pytest.mark.parametrize("distance", ["dot", "euclidean"])
def test_one_row_far_out_makes_no_other_difference_a_rounding_error(distance):
    stored = np.vstack([GALLERY, 1e3 * np.ones(6)])
    labels = [*STORED.tolist(), 0]

    def similarity_of(queries):
        if distance == "dot":
            return queries @ stored.T
        return -((queries[:, None] - stored[None]) ** 2).sum(axis=2)

    before, after = similarity_of(OLD), similarity_of(NEW)
    same = ASKED[:, None] == np.array(labels)
    want = np.where(same, after >= before, after <= before).mean()
    got = pairwise(OLD, NEW, stored, ASKED.tolist(), labels, distance=distance)
    assert got.every.value == pytest.approx(want, abs=0.01)


@pytest.mark.parametrize("own", [[0] * 24 + [len(GALLERY)], [0] * 24, [0.5] * 25])
def test_positions_outside_the_gallery_are_refused(own):
    with pytest.raises(InvalidInput, match="own"):
        pairwise(OLD, NEW, GALLERY, ASKED.tolist(), STORED.tolist(), own)
