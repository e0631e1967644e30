"""Filters inside the engine pass exactly what `where.matches` passes."""

import json
import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.space import Space
from holdfast.store.edge import EdgeStore
from holdfast.store.where import And, Equals, Not, OneOf, Or, Range, matches, parse

SPACE = Space("filtered", 4)
BIG = 2**53
FIELDS = ["a", "a.b", 'q"', "", "_61", "é", "9-x"]
STRINGS = ["", "x", "X", "1", "true", "\x01true", "\x01int:20000000000000", "y" * 63, "y" * 64]
STRINGS += ["y" * 65, "\ud800", "a\0", "é"]
NUMBERS = [0, 1, -1, 2, 1.0, 0.1, -0.0, 2.5, 1e300, -1e300, 5e-324, BIG - 1, 1 - BIG]
BIG_ONES = [BIG, BIG + 1, float(BIG), -BIG, 2**63, 2**64, 2**64 + 1, 10**400, -(10**400), 1e16]
VALUES = [*STRINGS, *NUMBERS, *BIG_ONES, True, False]
STORED = [
    *VALUES,
    None,
    [],
    {},
    {"b": 1},
    [[1]],
    [None],
    [1, "x"],
    [True, 2.5],
    [0, [2], {}],
    [BIG],
]


@pytest.fixture(scope="module", params=["bare", "indexed"])
def filled(request, tmp_path_factory):
    payloads = [{}] + [{field: value} for field in FIELDS for value in STORED]
    payloads += [{"a": 1, "é": "x"}, {"a": [1, 2], "é": ["x", "y" * 64]}]
    store = EdgeStore(tmp_path_factory.mktemp("edge"), SPACE)
    rows = np.random.default_rng(0).normal(size=(len(payloads), 4))
    store.upsert([str(i) for i in range(len(payloads))], rows, payloads)
    if request.param == "indexed":
        for field in FIELDS:
            store.search(rows[:1], 1, Or((Equals(field, "x"), Range(field, gt=0.5))))
        store.tend()
        assert len(store._engine._call(lambda s: s.info().payload_schema)) == 3 * len(FIELDS)
    yield store, payloads, rows
    store.close()


def check(filled, where):
    store, payloads, rows = filled
    hits = store.search(rows[:1], len(payloads), where)
    found = {int(name) for name in hits.ids[0] if name}
    assert found == {i for i, payload in enumerate(payloads) if matches(parse(where), payload)}


@pytest.mark.parametrize("value", VALUES, ids=lambda v: repr(v)[:24])
def test_each_value_by_equality(filled, value):
    for field in FIELDS:
        check(filled, Equals(field, value))
    check(filled, Not(Equals("a", value)))
    check(filled, OneOf("a", (value, "x", 2)))


@pytest.mark.parametrize("side", ["gt", "gte", "lt", "lte"])
def test_each_number_as_a_bound(filled, side):
    for bound in [*NUMBERS, math.inf, -math.inf]:
        for field in FIELDS:
            check(filled, Range(field, **{side: bound}))
        check(filled, Not(Range("a", **{side: bound})))


@pytest.mark.parametrize(
    "where",
    [
        And(()),
        Or(()),
        Not(And(())),
        Not(Or(())),
        OneOf("a", ()),
        Not(OneOf("a", ())),
        Range("a"),
        Range("nowhere"),
        Equals("nowhere", 1),
        Not(Equals("nowhere", 1)),
        Range("a", gt=0, lte=1),
        Range("a", gt=1, lt=1),
        Range("a", gte=-(10**400), lte=10**400),
        Range("a", lt=0, lte=1 - BIG),
        Range("a", gt=0, gte=2.5, lt=BIG - 1, lte=1e300),
        Range("a", gte=1, gt=1),
        {},
        {"a": 1, "é": "x"},
        {"or": [{"a": [1, "x"]}, {"é": {"gt": 0}}]},
        {"not": {"or": [{"a": 1}, {"not": {"é": "x"}}]}},
        {"and": [{"or": []}, {"a": 1}]},
    ],
    ids=str,
)
def test_joins_and_corners(filled, where):
    check(filled, where)


LEAVES = st.one_of(
    st.builds(Equals, st.sampled_from(FIELDS), st.sampled_from(VALUES)),
    st.builds(
        OneOf, st.sampled_from(FIELDS), st.lists(st.sampled_from(VALUES), max_size=4).map(tuple)
    ),
    st.builds(
        Range,
        st.sampled_from(FIELDS),
        *[st.none() | st.sampled_from(NUMBERS) for _ in range(4)],
    ),
)
TREES = st.recursive(
    LEAVES,
    lambda part: st.one_of(
        st.builds(Not, part),
        st.builds(And, st.lists(part, max_size=3).map(tuple)),
        st.builds(Or, st.lists(part, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)


@given(TREES)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_tree(filled, where):
    check(filled, where)


def test_a_bound_beyond_exact_floats_passes_the_nearest_integers_too(tmp_path):
    """The one difference from the reference, as the module's docstring says."""
    store = EdgeStore(tmp_path, SPACE)
    store.upsert(["exact", "next"], np.eye(4)[:2], [{"n": BIG}, {"n": BIG + 1}])
    assert sorted(store.search(np.eye(4)[:1], 2, {"n": {"gt": BIG}}).ids[0]) == ["", ""]
    assert sorted(store.search(np.eye(4)[:1], 2, {"n": {"gte": BIG + 1}}).ids[0]) == [
        "exact",
        "next",
    ]
    store.close()


def test_floats_of_all_digits_are_found_at_their_own_bounds(tmp_path):
    chance = np.random.default_rng(3)
    floats = [*chance.random(40), *(chance.normal(size=40) * 10.0 ** chance.integers(-300, 15, 40))]
    floats = [float(x) for x in floats] + [1.7976931348623157e308]
    store = EdgeStore(tmp_path, SPACE)
    names = [repr(x) for x in floats]
    store.upsert(names, np.ones((len(names), 4)), [{"x": x} for x in floats])
    assert [p["x"] for p in store.get(names).payloads] == floats
    for bound in floats[:-1]:
        for side, passes in (
            ("gt", bound.__lt__),
            ("gte", bound.__le__),
            ("lt", bound.__gt__),
            ("lte", bound.__ge__),
        ):
            found = store.search(np.ones((1, 4)), len(names), {"x": {side: bound}}).ids[0]
            assert set(filter(None, found)) == {repr(x) for x in floats if passes(x)}
        both = store.search(np.ones((1, 4)), 5, {"x": {"gte": bound, "lte": bound}}).ids[0]
        assert list(filter(None, both)) == [repr(bound)]
    store.close()


def test_the_stored_form_repeats_no_long_text():
    from holdfast.store.edge_payload import pack, unpack

    stored = pack("id", {"text": "x" * 1000, "n": 1}, 3)
    assert len(json.dumps(stored)) < 1200
    assert unpack(stored) == {"text": "x" * 1000, "n": 1}
