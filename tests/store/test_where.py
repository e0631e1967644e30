"""Filters: the evaluator against another one, written from the words of the docstring."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.errors import InvalidFilter
from holdfast.store.where import And, Equals, Not, OneOf, Or, Range, matches, parse

FIELDS = ("a", "b", "c.d")
numbers = st.sampled_from([-1, 0, 1, 2, 2**53, 2**53 + 1, -1.5, 0.0, 0.5, 1.0, 2.0])
scalars = numbers | st.booleans() | st.sampled_from(["", "a", "A", "1", "true", "ä"])
stored = scalars | st.none() | st.lists(scalars | st.none() | st.just({}), max_size=3) | st.just({})
payloads = st.dictionaries(st.sampled_from(FIELDS), stored, max_size=3)
bounds = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), numbers, min_size=1)
entry = st.dictionaries(
    st.sampled_from(FIELDS), scalars | st.lists(scalars, max_size=3) | bounds, max_size=2
)
filters = st.recursive(
    entry,
    lambda part: st.one_of(
        st.builds(lambda parts: {"and": parts}, st.lists(part, max_size=3)),
        st.builds(lambda parts: {"or": parts}, st.lists(part, max_size=3)),
        st.builds(lambda inner: {"not": inner}, part),
        st.builds(lambda inner, more: {**more, "not": inner}, part, entry),
    ),
    max_leaves=6,
)


def kind(value):
    if isinstance(value, bool):
        return "truth"
    if isinstance(value, int | float):
        return "number"
    return "text" if isinstance(value, str) else "none of them"


def passes(where, payload):
    """Slow reference over the JSON form: the meaning of the words, no tree."""
    verdicts = []
    for key, wanted in where.items():
        if key == "and":
            verdicts.append(all(passes(part, payload) for part in wanted))
        elif key == "or":
            verdicts.append(any(passes(part, payload) for part in wanted))
        elif key == "not":
            verdicts.append(not passes(wanted, payload))
        else:
            value = payload.get(key)
            elements = value if isinstance(value, list) else [value]
            verdicts.append(any(fits(element, wanted) for element in elements))
    return False not in verdicts


def fits(element, wanted):
    if isinstance(wanted, dict):
        if kind(element) != "number":
            return False
        tests = {
            "gt": lambda bound: element > bound,
            "gte": lambda bound: not element < bound,
            "lt": lambda bound: element < bound,
            "lte": lambda bound: not element > bound,
        }
        return all(tests[name](bound) for name, bound in wanted.items())
    options = wanted if isinstance(wanted, list) else [wanted]
    return any(
        kind(element) == kind(option) != "none of them" and element == option for option in options
    )


@given(filters, payloads)
@example({"a": True}, {"a": 1})
@example({"a": 1}, {"a": True})
@example({"a": 1}, {"a": 1.0})
@example({"a": "1"}, {"a": 1})
@example({"a": {"gte": 0}}, {"a": True})
@example({"a": {"gte": 0}}, {"a": "1"})
@example({"not": {"a": 1}}, {"a": None})
@example({"a": [1, 2]}, {"a": [None, 2]})
@example({"c.d": 1}, {"c": {"d": 1}})
@example({"a": 2**53}, {"a": 2**53 + 1})
def test_matches_against_slow_reference(where, payload):
    assert matches(parse(where), payload) == passes(where, payload)


@given(filters, payloads)
def test_laws(where, payload):
    tree = parse(where)
    one = matches(tree, payload)
    assert matches(Not(Not(tree)), payload) == one
    assert matches(And((tree, Not(tree))), payload) is False
    assert matches(Or((tree, Not(tree))), payload) is True
    assert matches(Not(And((tree, tree))), payload) == (not one)
    assert matches(parse(tree), payload) == one


@given(payloads)
def test_no_filter_passes_everything(payload):
    assert matches(None, payload)
    assert parse(None) is None
    assert matches(parse({}), payload)
    assert matches(And(()), payload)
    assert not matches(Or(()), payload)
    assert not matches(OneOf("a", ()), payload)


def test_parse_golden():
    where = {
        "lang": "en",
        "year": {"gte": 2000, "lt": 2010},
        "or": [{"tag": ["x", 1]}, {"not": {"sold": True}}],
    }
    assert parse(where) == And(
        (
            Equals("lang", "en"),
            Range("year", gte=2000, lt=2010),
            Or((OneOf("tag", ("x", 1)), Not(Equals("sold", True)))),
        )
    )


@pytest.mark.parametrize(
    "where",
    [
        "a", 1, ["a"], [("a", 1)], True,
        {"a": None}, {"a": [None]}, {"a": [[1]]}, {"a": Ellipsis}, {"a": float("nan")},
        {"a": float("inf")}, {"a": b"x"},
        {"a": {}}, {"a": {"above": 1}}, {"a": {"gte": 1, "le": 2}}, {"a": {"gt": "1"}},
        {"a": {"gt": True}}, {"a": {"gt": None}}, {"a": {"gt": float("nan")}}, {"a": {"gt": [1]}},
        {"and": {"a": 1}}, {"or": "a"}, {"and": [None]}, {"or": [1]}, {"not": None},
        {"not": [{"a": 1}]}, {"and": [{"a": {"b": 1}}]},
    ],
    ids=str,
)  # fmt: skip
def test_refused_with_a_hint(where):
    with pytest.raises(InvalidFilter, match="where") as caught:
        parse(where)
    assert isinstance(caught.value, ValueError)


def test_a_field_inside_of_an_object_is_refused_or_matches_nothing():
    with pytest.raises(InvalidFilter, match="Fields inside of an object are not looked at"):
        parse({"meta": {"lang": "en"}})
    payload = {"meta": {"lang": "en"}}
    assert not matches(parse({"meta.lang": "en"}), payload)
    assert matches(parse({"meta.lang": "en"}), {"meta.lang": "en"})


@pytest.mark.parametrize("wrap", [lambda inner: {"not": inner}, lambda inner: {"and": [inner]}])
def test_what_is_nested_too_deeply_is_refused(wrap):
    where = {"a": 1}
    for _ in range(40):
        where = wrap(where)
    assert matches(parse(where), {"a": 1})  # an even number of negations
    for _ in range(5_000):
        where = wrap(where)
    with pytest.raises(InvalidFilter, match="nested at most 100 deep"):
        parse(where)


def test_parse_leaves_its_argument_alone():
    where = {"a": [1, 2], "b": {"gte": 1}, "not": {"c": [3]}}
    tree = parse(where)
    where["a"].append(3)
    where["b"]["gte"] = 9
    where["not"]["c"].clear()
    assert tree == parse({"a": [1, 2], "b": {"gte": 1}, "not": {"c": [3]}})
