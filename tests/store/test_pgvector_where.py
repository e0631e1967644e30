"""Filters in PostgreSQL against the evaluator, over payloads of every kind; nothing gets in."""

import json

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from holdfast.store.pgvector_payload import JSONB, as_json, escaped, jsonb_texts, unescaped
from holdfast.store.pgvector_where import condition
from holdfast.store.where import And, Equals, Not, OneOf, Or, Range, matches, parse
from tests.store.test_where import filters, payloads

HOSTILE = (
    "'; DROP TABLE users; --", '"', "$$", "\\", "%s", "%(id)s", "{}", "{0}", "NULL", "\0", "a\0b",
    "\ufdd0", "\ufdd00000", "\ud800", "$.a ? (@ == 1)", "?", "a' OR 'a'='a", "\u202e", "😀", "",
)  # fmt: skip


@pytest.fixture(scope="module")
def connection(postgres):
    with psycopg.connect(postgres, autocommit=True) as opened:
        yield opened


def passing(connection, where, stored):
    """Which payloads PostgreSQL lets through."""
    text, values = condition(parse(where))
    query = psycopg.sql.SQL(
        "SELECT n FROM unnest(%s::text[]) WITH ORDINALITY AS given(t, n),"
        " LATERAL (SELECT t::jsonb AS payload) AS row WHERE {} ORDER BY n"
    ).format(text)
    rows = connection.execute(query, [jsonb_texts(stored), *values]).fetchall()
    return [n - 1 for (n,) in rows]


def expected(where, stored):
    return [i for i, payload in enumerate(stored) if matches(parse(where), payload)]


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(filters, st.lists(payloads, max_size=8))
@example({"not": {"a": {"gte": 1}}}, [{}, {"a": None}, {"a": [0, 2]}, {"a": [[5]]}, {"a": "5"}])
@example({"a": {"gt": float("-inf"), "lt": float("inf")}}, [{"a": 1}, {"a": "x"}, {"a": []}])
@example({"a": {"gte": float("inf")}}, [{"a": 1}])
@example({"a": 1e300}, [{"a": 1e300}, {"a": 10**300}, {"a": int(1e300)}])
@example({"a": {"gt": 10**23}}, [{"a": 1e23}, {"a": 10**23}, {"a": 10**23 + 1}])
@example({"a": list(range(50))}, [{"a": 7}, {"a": [60, 49.0]}, {"a": "7"}, {"a": True}, {}])
@example({"a": True}, [{"a": 1}, {"a": [True]}, {"a": {"a": True}}, {"a": [[True]]}])
def test_a_filter_lets_through_what_the_evaluator_does(connection, where, stored):
    assert passing(connection, where, stored) == expected(where, stored)


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_fields_and_values_are_never_sql(connection, name):
    stored = [{name: 1}, {name: name}, {name: [name, 5]}, {"other": name}, {name: {name: name}}, {}]
    for where in (
        Equals(name, 1), Equals(name, name), OneOf(name, (name, "x")), OneOf(name, (name,) * 20),
        Range(name, gte=1), Range(name, gt=1, lt=9), Not(Equals(name, name)),
        And((Equals(name, name), Range(name, lte=5))), Or((Equals("other", name), Equals(name, 1))),
    ):  # fmt: skip
        assert passing(connection, where, stored) == expected(where, stored)


texts = st.text(st.characters(), max_size=6) | st.sampled_from(HOSTILE)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | texts
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.dictionaries(texts, values, max_size=4))
@example({"\0": "\0", "\ufdd0": ["\ufdd00000", "\ud83d", "😀"], "e": 1e300, "s": 5e-324})
@example({"large": 1e16, "larger": 10**40, "negative": -1e22})
def test_a_payload_comes_back_as_it_was(connection, payload):
    (text,) = jsonb_texts([payload])
    (kept,) = connection.execute("SELECT %s::jsonb::text", [text]).fetchone()
    back = JSONB.read(kept)
    assert kinds(back) == kinds(payload)
    assert json.loads(JSONB.text(kept)) == payload


def kinds(value):
    """A value with the kind of each part, so that 1.0 is not 1 and true is not 1."""
    if isinstance(value, dict):
        return {key: kinds(part) for key, part in value.items()}
    if isinstance(value, list):
        return [kinds(part) for part in value]
    return type(value).__name__, value


@given(texts, texts)
def test_escaping_keeps_strings_apart_and_can_be_undone(one, other):
    assert unescaped(escaped(one)) == one
    assert (escaped(one) == escaped(other)) == (one == other)
    assert "\0" not in escaped(one)
    escaped(one).encode()


def test_numbers_are_written_with_every_digit():
    assert as_json(1e23) == "99999999999999991611392.0"
    assert as_json([1, 1.5, True, None, {"a": -1e16}]) == (
        '[1,1.5,true,null,{"a":-10000000000000000.0}]'
    )
