"""Hits: merge against a slow reference; a comparison that accepts ties and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import hits as module
from holdfast.errors import InvalidInput
from holdfast.hits import Hits, difference, merge

# Few distinct scores, so that ties are the rule.
score = st.sampled_from([-2.0, -0.5, -0.0, 0.0, 0.25, 0.5, 1.0])


@st.composite
def answers(draw, queries=None, prefix="a", width=5):
    """Hits of 0 to `width` filled places per row, padded by up to two more columns."""
    count = draw(st.integers(0, 4)) if queries is None else queries
    rows = []
    for _ in range(count):
        scores = sorted(draw(st.lists(score, max_size=width)), reverse=True)
        rows.append([(f"{prefix}{i}", s) for i, s in enumerate(scores)])
    longest = max((len(row) for row in rows), default=0)
    return Hits.of(rows, longest + draw(st.integers(0, 2)))


def slow_merge(first, second, k):
    """Row by row: best first, the first side's before the second's where they tie."""
    rows = []
    for query in range(len(first)):
        both = [(-s, 0, i, n) for i, (n, s) in enumerate(first.row(query))]
        both += [(-s, 1, i, n) for i, (n, s) in enumerate(second.row(query))]
        rows.append([(name, -negative) for negative, _, _, name in sorted(both)][:k])
    return Hits.of(rows, k)


def same(got, wanted):
    assert got.ids.shape == got.scores.shape == wanted.ids.shape
    assert got.scores.dtype == np.float32
    assert got.ids.dtype == np.object_
    assert got.ids.tolist() == wanted.ids.tolist()
    assert got.scores.tolist() == wanted.scores.tolist()


@given(st.data(), st.integers(0, 4), st.integers(1, 14))
def test_merge_against_slow_reference(data, queries, k):
    first = data.draw(answers(queries, "a"))
    second = data.draw(answers(queries, "b"))
    wanted = slow_merge(first, second, k)
    same(merge(first, second, k), wanted)
    for way in (module._merge_pairwise, module._merge_sorted):
        same(way(first, second, k), wanted)
    for query in range(queries):
        one = merge(first.take([query]), second.take([query]), k)
        same(one, wanted.take([query]))


@pytest.mark.parametrize("width", [3, 64, 65, 200])
@pytest.mark.parametrize("queries", [1, 7])
@pytest.mark.parametrize("k", [1, 10, 64, 500])
def test_merge_of_any_width(width, queries, k):
    rng = np.random.default_rng(width)
    sides = []
    for prefix, size in (("a", width), ("b", width // 2 + 1)):
        scores = -np.sort(-rng.integers(0, 40, size=(queries, size)) / 8, axis=1)
        rows = [[(f"{prefix}{j}", s) for j, s in enumerate(row)] for row in scores]
        sides.append(Hits.of(rows, size))
    same(merge(*sides, k), slow_merge(*sides, k))


@given(answers(), st.integers(0, 3))
def test_one_side_empty_gives_the_other_bit_for_bit(hits, columns):
    nothing = Hits.empty(len(hits), columns)
    for merged in (merge(hits, nothing, hits.k), merge(nothing, hits, hits.k)):
        assert merged.ids.tolist() == hits.ids.tolist()
        assert merged.scores.tobytes() == hits.scores.tobytes()
        assert merged.scores.dtype == hits.scores.dtype


def test_merge_keeps_its_arguments():
    first, second = Hits.of([[("a", 1.0)]] * 3), Hits.of([[("b", 2.0)]] * 3)
    merged = merge(first, second, 2)
    merged.ids[:] = "x"
    merged.scores[:] = 9
    assert first.row(0) == [("a", 1.0)]
    assert second.row(2) == [("b", 2.0)]


def test_merge_of_different_queries_is_refused():
    with pytest.raises(InvalidInput, match="2 queries on both sides"):
        merge(Hits.empty(2, 1), Hits.empty(3, 1), 1)


def test_of_pads_cuts_and_reads_back():
    rows = [[("a", 0.5), ("b", 0.25)], [], [("c", -1.0)]]
    hits = Hits.of(rows)
    assert hits.ids.tolist() == [["a", "b"], ["", ""], ["c", ""]]
    assert hits.scores.tolist() == [[0.5, 0.25], [-np.inf, -np.inf], [-1.0, -np.inf]]
    assert [hits.row(i) for i in range(3)] == rows
    assert Hits.of(rows, 1).ids.tolist() == [["a"], [""], ["c"]]
    assert Hits.of(rows, 3).k == 3
    assert Hits.of([]).ids.shape == (0, 0)


def test_take_top_and_concat():
    hits = Hits.of([[("a", 2.0), ("b", 1.0)], [("c", 3.0), ("d", 0.0)]])
    assert hits.take([1, 0, 1]).ids[:, 0].tolist() == ["c", "a", "c"]
    assert hits.take(slice(1, None)).row(0) == [("c", 3.0), ("d", 0.0)]
    assert hits.top(1).ids.tolist() == [["a"], ["c"]]
    both = Hits.concat(part for part in (hits.take([0]), hits.take([1])))
    assert both.ids.tolist() == hits.ids.tolist()
    assert both.scores.tolist() == hits.scores.tolist()


# --- difference -------------------------------------------------------------------------

TRUTH = [("a", 1.0), ("b", 0.8), ("c", 0.8), ("d", 0.5), ("e", 0.5), ("f", 0.5), ("g", 0.1)]


def found(*names, scores=None):
    true = dict(TRUTH)
    given = scores or [true.get(name, 0.5) for name in names]
    return Hits.of([list(zip(names, given, strict=True))])


def judge(hits, columns=None):
    return difference(hits, Hits.of([TRUTH], columns))


@given(st.permutations(["b", "c"]), st.permutations(["d", "e", "f"]), st.integers(1, 7))
def test_ties_may_change_places_and_the_cut_may_split_them(pair, three, k):
    names = ["a", *pair, *three, "g"][:k]
    assert judge(found(*names)) is None
    assert judge(found(*names), 8) is None


@pytest.mark.parametrize(
    ("hits", "reason"),
    [
        (found("b", "a"), "place 0"),
        (found("a", "d"), "place 1 scores"),
        (found("a", "d", scores=[1.0, 0.8]), "'d', which scores 0.5"),
        (found("a", "b", "b"), "an id twice"),
        (found("a", "z", scores=[1.0, 0.8]), "'z', which does not belong"),
        (found("a", "b", "c", "z"), "'z', which does not belong"),
        (found("a", "b", scores=[1.0, 0.81]), "place 1 scores 0.81"),
        (found("a", "b", scores=[-1.0, -0.8]), "place 0 scores -1"),
        (found("a", "b", scores=[1.0, float("nan")]), "place 1 scores nan"),
        (Hits.of([TRUTH[:3]], 4), "3 hits instead of 4"),
        (Hits.of([TRUTH[:2]] * 2), "2 rows of hits for 1 queries"),
        (Hits.of([[]], 2), "0 hits instead of 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_planted_defects_are_found(hits, reason):
    assert reason in (judge(hits, 8) or "no difference")


def test_an_unknown_id_is_right_only_where_the_reference_ends_in_a_tie():
    hits = Hits.of([[("a", 1.0), ("z", 0.8)]])
    assert difference(hits, Hits.of([TRUTH[:3]])) is None  # columns end among ties of 0.8
    assert difference(hits, Hits.of([TRUTH[:4]])) is not None  # the tied ones are all shown
    assert difference(hits, Hits.of([TRUTH[:3]], 4)) is not None  # there is nothing more


def test_fewer_items_than_asked_for():
    assert difference(Hits.of([TRUTH], 20), Hits.of([TRUTH], 30)) is None
    assert difference(Hits.of([TRUTH], 20), Hits.of([TRUTH])) is None
    assert difference(Hits.of([TRUTH[:6]], 20), Hits.of([TRUTH], 30)) is not None
    assert difference(Hits.empty(1, 3), Hits.empty(1, 5)) is None


def test_the_second_query_is_judged_and_named():
    truth = Hits.of([TRUTH, TRUTH])
    wrong = Hits.of([TRUTH[:2], [TRUTH[1], TRUTH[0]]])
    assert "query 1" in difference(wrong, truth)


def test_tolerance_grows_with_the_scores():
    truth = Hits.of([[("a", 1000.0), ("b", 10.0)]])
    assert difference(Hits.of([[("a", 1000.05)]]), truth) is None
    assert difference(Hits.of([[("a", 1000.2)]]), truth) is not None
    assert difference(Hits.of([[("a", 1000.2)]]), truth, tolerance=1e-3) is None
    small = Hits.of([[("a", 0.5)]])
    assert difference(Hits.of([[("a", 0.5 + 9e-5)]]), small) is None
    assert difference(Hits.of([[("a", 0.5 + 2e-4)]]), small) is not None


@given(answers(prefix="a"))
def test_nothing_differs_from_itself(hits):
    assert difference(hits, hits) is None
