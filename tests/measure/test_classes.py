"""Measures by class: straight from rows, against a plain loop and against the exact search."""

import numpy as np
import pytest

from holdfast.errors import DimensionMismatch, InvalidInput, NotFinite
from holdfast.measure import similarity
from holdfast.measure.classes import ByClass
from holdfast.measure.labels import Labels
from holdfast.measure.ranking import parse
from holdfast.space import Space
from holdfast.store.memory import MemoryStore


def data(seed=0, queries=40, stored=90, classes=6, dim=5):
    random = np.random.default_rng(seed)
    centres = random.normal(size=(classes, dim))
    asked, kept = random.integers(0, classes, queries), random.integers(0, classes, stored)
    return (
        centres[asked] + random.normal(size=(queries, dim)),
        centres[kept] + random.normal(size=(stored, dim)),
        asked.tolist(),
        kept.tolist(),
    )


def similarity_of(q, g, distance):
    if distance == "cosine":
        return float(q @ g / np.linalg.norm(q) / np.linalg.norm(g))
    return float(q @ g) if distance == "dot" else -float(((q - g) ** 2).sum())


def slow_rank(query, gallery, distance, own=-1):
    """Gallery positions, best first, the query itself left out."""
    places = [j for j in range(len(gallery)) if j != own]
    return sorted(places, key=lambda j: (-similarity_of(query, gallery[j], distance), j))


def slow_ap(relevant):
    hits, total = 0, 0.0
    for place, right in enumerate(relevant, start=1):
        if right:
            hits += 1
            total += hits / place
    return total / hits


@pytest.mark.parametrize("distance", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("itself", [False, True])
def test_cmc_and_map_equal_plain_loops(distance, itself):
    q, g, asked, stored = data()
    own = None
    if itself:
        q, asked, own = g, stored, "same"
    ranked = [slow_rank(q[i], g, distance, i if itself else -1) for i in range(len(q))]
    right = [[stored[j] == asked[i] for j in row] for i, row in enumerate(ranked)]
    for k in (1, 3, 10):
        got = ByClass(f"CMC@{k}", asked, stored, own, distance)(q, g)
        assert got.tolist() == [float(any(row[:k])) for row in right]
    got = ByClass("mAP", asked, stored, own, distance)(q, g)
    assert got == pytest.approx([slow_ap(row) for row in right])


@pytest.mark.parametrize("metric", ["CMC@1", "CMC@5", "mAP", "RR", "P@10", "nDCG@10"])
def test_it_says_what_the_exact_search_says(metric):
    q, g, asked, stored = data(3)
    # Half of the queries are in the gallery too.
    g[:20], stored[:20] = q[:20], asked[:20]
    names = [f"g{j}" for j in range(len(g))]
    query_names = names[:20] + [f"q{i}" for i in range(20)]
    own = [*range(20), *[-1] * 20]
    store = MemoryStore(Space("toy", 5))
    store.upsert(names, g)
    labels = Labels(
        dict(zip(query_names, asked, strict=True)), dict(zip(names, stored, strict=True))
    )
    # One column more than there are items: the query itself leaves its row, and where it is
    # not stored the last column goes, which is then empty.
    hits = store.search(q, len(g) + 1)
    want = parse(metric).per_query(hits, labels)
    got = ByClass(metric, asked, stored, own)(q, g)
    assert got == pytest.approx(want)


def test_ncm_equals_a_plain_loop_with_and_without_the_query_inside():
    for itself in (False, True):
        q, g, asked, stored = data(5)
        if itself:
            q, asked = g, stored
        unit = g / np.linalg.norm(g, axis=1, keepdims=True)
        want = []
        for i in range(len(q)):
            best, winner = -np.inf, None
            for label in dict.fromkeys(stored):
                members = [
                    unit[j] for j in range(len(g)) if stored[j] == label and not (itself and j == i)
                ]
                template = np.mean(members, axis=0)
                near = float(q[i] @ template / np.linalg.norm(template))
                if near > best:
                    best, winner = near, label
            want.append(float(winner == asked[i]))
        got = ByClass("NCM", asked, stored, "same" if itself else None)(q, g)
        assert got.tolist() == want
        assert 0.2 < got.mean() < 1.0


def test_equal_similarities_stand_in_the_order_of_the_gallery():
    q, g = [[1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert ByClass("CMC@1", ["b"], ["a", "b", "b"], None, "dot")(q, g).tolist() == [0.0]
    assert ByClass("CMC@1", ["a"], ["a", "b", "b"], None, "dot")(q, g).tolist() == [1.0]
    assert ByClass("mAP", ["b"], ["a", "b", "b"], None, "dot")(q, g).tolist() == [
        pytest.approx((1 / 2 + 2 / 3) / 2)
    ]


def test_many_equal_similarities_stand_in_the_order_of_the_gallery():
    random = np.random.default_rng(8)
    stored = random.integers(0, 3, 200).tolist()
    g = random.integers(0, 3, (200, 2)).astype(float)  # exact, and equal by the dozen
    ranked = [slow_rank(g[i], g, "dot", i) for i in range(200)]
    right = [[stored[j] == stored[i] for j in row] for i, row in enumerate(ranked)]
    got = ByClass("mAP", stored, stored, "same", "dot")(g, g)
    assert got == pytest.approx([slow_ap(row) for row in right])
    got = ByClass("CMC@3", stored, stored, "same", "dot")(g, g)
    assert got.tolist() == [float(any(row[:3])) for row in right]


@pytest.mark.parametrize("metric", ["CMC@2", "mAP", "NCM"])
def test_blocks_change_nothing(monkeypatch, metric):
    q, g, asked, stored = data(6)
    whole = ByClass(metric, asked, stored)(q, g)
    monkeypatch.setattr(similarity, "CELLS", 200)
    monkeypatch.setattr("holdfast.measure.classes.CELLS", 20)
    assert ByClass(metric, asked, stored)(q, g) == pytest.approx(whole)


def test_queries_without_an_answer_are_refused_or_dropped_and_counted():
    rows, labels = np.eye(3), ["a", "a", "b"]
    with pytest.raises(InvalidInput, match="none for 1 of 3"):
        ByClass("CMC@1", labels, labels, "same")
    with pytest.raises(InvalidInput, match="none for 1 of 3"):
        ByClass("CMC@1", labels, labels, "same", unanswerable="error")
    got = ByClass("CMC@1", labels, labels, "same", unanswerable="drop")
    assert (got.kept.tolist(), got.dropped, len(got)) == ([0, 1], 1, 2)
    assert len(got(rows, rows)) == 2
    with pytest.raises(InvalidInput, match="none for 1 of 1"):
        ByClass("CMC@1", ["z"], labels, unanswerable="drop")


def test_what_does_not_fit_is_refused():
    measure = ByClass("CMC@1", ["a"], ["a", "b"])
    with pytest.raises(InvalidInput, match="1 queries and 2 gallery rows"):
        measure([[1.0]], [[1.0]])
    for one in (measure, ByClass("NCM", ["a"], ["a", "b"])):
        with pytest.raises(DimensionMismatch, match="gallery rows of 1 numbers"):
            one([[1.0]], [[1.0, 0.0], [0.0, 1.0]])
    with pytest.raises(DimensionMismatch):
        measure([1.0], [[1.0], [0.0]])
    with pytest.raises(InvalidInput, match="rows of numbers"):
        measure([["x"]], [[1.0], [0.0]])
    with pytest.raises(NotFinite):
        measure([[np.nan]], [[1.0], [0.5]])
    with pytest.raises(InvalidInput, match="positions"):
        ByClass("CMC@1", ["a"], ["a", "a"], [2])
    with pytest.raises(InvalidInput, match="positions"):
        ByClass("CMC@1", ["a"], ["a", "a"], "same")
    with pytest.raises(InvalidInput, match="metric"):
        ByClass("CMC", ["a"], ["a"])
    with pytest.raises(InvalidInput, match="cosine"):
        ByClass("NCM", ["a"], ["a"], None, "dot")
    with pytest.raises(InvalidInput, match="a gallery"):
        ByClass("CMC@1", ["a"], [])
    with pytest.raises(InvalidInput, match="a metric among"):
        ByClass("CMC@1", ["a"], ["a"], None, "manhattan")([[1.0]], [[1.0]])


def test_distances_far_from_the_origin_keep_their_digits():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(100, 16))
    near = rows + 0.01 * rng.normal(size=rows.shape)
    labels = list(range(100))
    measure = ByClass("CMC@1", labels, labels, distance="euclidean")
    assert measure(near + 8192.0, rows + 8192.0).mean() == 1.0


@pytest.mark.parametrize("length", [1e20, 1e300])
@pytest.mark.parametrize("metric", ["CMC@1", "NCM", "mAP"])
def test_rows_too_long_to_be_compared_are_refused(metric, length):
    """Their similarities would all be one, and every metric that of a guess."""
    queries, gallery, asked, stored = data()
    with pytest.raises(NotFinite, match="lengths above 1e18"):
        ByClass(metric, asked, stored)(queries * length, gallery * length)
    measure = ByClass(metric, asked, stored)
    assert np.array_equal(measure(queries * 1e16, gallery * 1e16), measure(queries, gallery))
