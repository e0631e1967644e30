"""Filters by columns of codes: the same answer as `where.matches`, row by row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.store.columns import Columns
from holdfast.store.where import And, Equals, Not, OneOf, Or, Range, matches

# Whole numbers next to each other that are one float, and some beyond the largest.
LARGE = [2**53 + 1, 2**53 + 3, 2**60, 2**60 + 1, 1e300, 10**400, -(10**400)]
scalars = st.sampled_from(["a", "b", "1", "", 0, 1, 2, 1.0, 2.5, -1, True, False, *LARGE])
values = scalars | st.none() | st.lists(scalars | st.none(), max_size=3) | st.just({"a": 1})
payloads = st.dictionaries(st.sampled_from(["x", "y"]), values)
names = st.sampled_from(["x", "y", "z"])
bounds = st.none() | st.sampled_from([0, 1, 1.5, 2, 2**53 + 2, *LARGE, float("inf")])
leaves = st.one_of(
    st.builds(Equals, names, scalars),
    st.builds(OneOf, names, st.lists(scalars, max_size=3).map(tuple)),
    st.builds(Range, names, bounds, bounds, bounds, bounds),
)
trees = st.recursive(
    leaves,
    lambda parts: st.one_of(
        st.builds(And, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Or, st.lists(parts, max_size=3).map(tuple)),
        st.builds(Not, parts),
    ),
    max_leaves=4,
)


@given(
    st.lists(payloads, max_size=12), st.lists(payloads, max_size=12), st.lists(trees, max_size=4)
)
def test_columns_agree_with_matches(stored, later, filters):
    columns = Columns(lambda first, last: [*enumerate(stored)][first:last])
    for tree in filters:
        columns.prepare(tree, len(stored))
        assert columns.ready(tree)
        expected = [matches(tree, payload) for payload in stored]
        assert columns.passing(tree, len(stored)).tolist() == expected
    columns.extend(len(stored), later)
    rows = stored + later
    for tree in filters:
        expected = [matches(tree, payload) for payload in rows]
        assert columns.passing(tree, len(rows)).tolist() == expected
    alive = np.arange(len(rows))[::2]
    columns.renumber(alive)
    for tree in filters:
        expected = [matches(tree, payload) for payload in rows[::2]]
        assert columns.passing(tree, len(alive)).tolist() == expected


def test_dead_slots_are_no_rows_and_a_field_is_read_once():
    asked = []

    def read(first, last):
        asked.append((first, last))
        return [(slot, {"x": slot}) for slot in (1, 3) if first <= slot < last]

    columns, tree = Columns(read), Range("x", gte=1)
    assert not columns.ready(tree)
    columns.prepare(tree, 5)
    columns.prepare(And((tree, Equals("x", 3))), 5)
    assert columns.passing(tree, 5).tolist() == [False, True, False, True, False]
    assert asked == [(0, 5)]


@pytest.mark.parametrize("listed", [False, True])
def test_a_leaf_looks_at_no_value_one_by_one(listed, monkeypatch):
    """A field of times, or of tags, has as many values as there are rows."""

    def read(first, last):
        return [(i, {"x": [i, f"tag {i}"] if listed else i}) for i in range(first, last)]

    monkeypatch.setattr("holdfast.store.columns.matches", None)
    columns = Columns(read)
    columns.prepare(Equals("x", 0), 50)
    for bound in range(40):
        assert columns.passing(Range("x", gte=bound), 50).sum() == 50 - bound
        assert columns.passing(Equals("x", bound), 50).nonzero()[0].tolist() == [bound]
    assert columns.passing(OneOf("x", ("tag 3", "tag 7")), 50).sum() == 2 * listed


def test_values_that_no_living_slot_has_are_forgotten():
    """A field that changes with each write must not fill the memory."""
    columns = Columns(lambda first, last: [])
    columns.prepare(Equals("x", 0), 0)
    for turn in range(50):
        columns.extend(20 * turn, [{"x": [f"{turn}-{i}"] if i % 2 else 1_000 * turn + i}
                                   for i in range(20)])  # fmt: skip
        assert columns.passing(Range("x", gte=0), 20).sum() == 10
    columns.renumber(np.arange(980, 1000))
    kept = columns._columns["x"]
    assert len(kept._values) == len(kept._code_of) + 1 == 21
    assert columns.passing(Equals("x", "49-3"), 20).tolist() == [i == 3 for i in range(20)]
    assert columns.passing(Range("x", gt=49_003), 20).tolist() == [
        i % 2 == 0 and i > 3 for i in range(20)
    ]
    columns.extend(20, [{"x": ["49-3"]}, {"x": 49_004}, {"x": None}])
    assert columns.passing(Equals("x", "49-3"), 23).tolist()[20:] == [True, False, False]
    columns.renumber(np.array([22, 21]))  # the first has no value
    assert columns.passing(Equals("x", 49_004), 2).tolist() == [False, True]
