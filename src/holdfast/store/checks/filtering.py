"""Filters: every kind of `where`, over payloads of every kind, as `where.matches` has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ...contract import refuses
from ...errors import InvalidFilter
from .bench import Bench, Pair, names

_ODD: tuple[Any, ...] = (
    0, 1, 1.0, 2, 2.5, -1, True, False, "1", "true", "", "a", "A", "ä", None,
    [], [1], [True], ["a", "b"], [1, "a", None], [0.5, 7], [False, 2], {"a": 1}, {},
    2**53, 2**53 + 1,
)  # fmt: skip


def _books(count: int) -> list[dict[str, Any]]:
    """Payloads as an application has them; every third one lacks a field, some hold null."""
    books: list[dict[str, Any]] = []
    for i in range(count):
        book: dict[str, Any] = {"lang": ("en", "de", "fr")[i % 3], "year": 1980 + i % 40}
        book["price"] = i / 4
        if i % 3:
            book["tags"] = ["new", "old", "rare"][: i % 4]
        if i % 5:
            book["sold"] = i % 2 == 0
        if i % 7 == 0:
            book["note"] = None
        books.append(book)
    return books


def _all(bench: Bench, filters: Sequence[Mapping[str, Any]], payloads: Any = None) -> None:
    payloads = payloads or _books(120)
    pair = bench.pair(len(payloads), payloads)
    queries = bench.rows(4, seed=1)
    for where in filters:
        for k in (3, len(payloads) + 5):
            pair.agree(f"where {where}", queries, k, where)


def check_filter_equal(bench: Bench) -> None:
    """A value, a number as integer and as float, true and false."""
    _all(
        bench,
        [{"lang": "en"}, {"lang": "EN"}, {"year": 1990}, {"year": 1990.0}, {"price": 3},
         {"price": 3.25}, {"sold": True}, {"sold": False}, {"lang": "de", "sold": True}, {}],
    )  # fmt: skip


def check_filter_one_of(bench: Bench) -> None:
    """One of several values, of several types, and of none."""
    _all(
        bench,
        [{"lang": ["en", "fr"]}, {"lang": ["xx"]}, {"lang": []}, {"year": [1990, 1991.0, 3000]},
         {"price": [0.25, 1]}, {"sold": [True]}, {"sold": [True, False]}, {"lang": ["en", 1]},
         {"tags": ["rare", "absent"]}],
    )  # fmt: skip


def check_filter_range(bench: Bench) -> None:
    """Bounds of all four kinds, alone and together; text and lists under a range."""
    _all(
        bench,
        [{"year": {"gt": 1990}}, {"year": {"gte": 1990}}, {"year": {"lt": 1990}},
         {"year": {"lte": 1990}}, {"year": {"gte": 1990, "lt": 1995}},
         {"year": {"gt": 1995, "lt": 1990}}, {"price": {"gt": 0.25, "lte": 1.5}},
         {"lang": {"gte": 0}}, {"sold": {"gte": 0}}, {"tags": {"gte": 0}}, {"absent": {"lt": 1}},
         {"price": {"gte": -1e9, "lte": 1e9}}, {"year": {"lt": 10**400}},
         {"year": {"gt": -(10**400), "lte": 1990}}, {"year": {"gte": 10**400}}],
    )  # fmt: skip


def check_filter_joined(bench: Bench) -> None:
    """And, or, not, within each other and empty."""
    english, late, sold = {"lang": "en"}, {"year": {"gte": 2000}}, {"sold": True}
    _all(
        bench,
        [{"and": [english, late]}, {"or": [english, late]}, {"not": english}, {"not": late},
         {"not": {"not": sold}}, {"not": {"or": [english, sold]}}, {"and": []}, {"or": []},
         {"not": {"and": [english, {"not": late}]}}, {"or": [{"and": [english, sold]}, late]},
         {"not": {"lang": ["en", "de"]}}, {"lang": "en", "not": sold}, {"not": {"or": []}}],
    )  # fmt: skip


def check_filter_missing(bench: Bench) -> None:
    """A missing field, or null, or an empty list matches nothing, so its negation matches."""
    _all(
        bench,
        [{"absent": 1}, {"not": {"absent": 1}}, {"note": "x"}, {"not": {"note": "x"}},
         {"tags": "new"}, {"not": {"tags": "new"}}, {"not": {"sold": True}},
         {"not": {"tags": ["new", "old"]}}, {"not": {"absent": {"gte": 0}}}],
    )  # fmt: skip


def check_filter_types(bench: Bench) -> None:
    """True is not 1, 1 is 1.0 and not "1", and a list matches by any of its elements."""
    payloads = [{"x": value} for value in _ODD] + [{"y": value} for value in _ODD]
    wanted = (0, 1, 1.0, 2, 2.5, True, False, "1", "true", "", "a", "A", "ä", 2**53, 2**53 + 1)
    filters: list[dict[str, Any]] = [{"x": value} for value in wanted]
    filters += [{"not": {"x": value}} for value in wanted]
    filters += [{"x": [1, "a"]}, {"x": [True, 2.5]}, {"x": [False, ""]}, {"not": {"x": [0, "b"]}}]
    filters += [{"x": {"gte": 1}}, {"x": {"lt": 1}}, {"x": {"gt": 0.5, "lt": 1.5}}]
    filters += [{"not": {"x": {"gte": 0}}}, {"x": {"gt": 1, "lt": 1}}]
    _all(bench, filters, payloads)


def check_filter_names(bench: Bench) -> None:
    """A field's name is a name: dots, brackets and spaces in it are no path."""
    fields = ("a.b", "a b", "a[0]", "a[]", "größe", '"a"', "$a", "id", "a/b", "vector", "_hidden")
    payloads: list[dict[str, Any]] = [{field: i % 2} for field in fields for i in range(2)]
    payloads += [{"a": {"b": 1}}, {"a": [1]}, {"a": {"b": [1]}}, {"a b": {"": 1}}]
    _all(bench, [{field: 1} for field in (*fields, "a")], payloads)


def check_filter_after_change(bench: Bench) -> None:
    """A filter sees payloads as they are now: replaced, deleted, hidden, given back."""
    pair = bench.pair(60, [{"side": "left", "n": i} for i in range(60)])
    ids, queries = names(60), bench.rows(4, seed=1)
    _sides(pair, "at first", queries)
    pair.upsert(ids[:20], bench.rows(20), [{"side": "right", "n": i} for i in range(20)])
    _sides(pair, "after payloads changed", queries)
    pair.upsert(ids[20:25], bench.rows(5, seed=2))
    pair.delete(ids[10:15])
    _sides(pair, "after payloads went", queries)
    pair.hide(ids[::4])
    _sides(pair, "with hidden rows", queries)
    pair.upsert(ids[:8], bench.rows(8, seed=3), [{"side": "left", "n": 0}] * 8)
    _sides(pair, "after hidden payloads changed", queries)
    pair.unhide(ids)
    pair.store.tend()
    _sides(pair, "after unhiding", queries)


def _sides(pair: Pair, when: str, queries: Any) -> None:
    for where in ({"side": "left"}, {"side": "right"}, {"not": {"side": "left"}}):
        pair.agree(f"where {where} {when}", queries, 5, where)
        pair.agree(f"where {where} {when}", queries, 80, where)


def check_filter_refused(bench: Bench) -> None:
    """What is no filter is refused, also by an empty store, rather than ignored."""
    full, empty, queries = bench.pair(5).store, bench.fresh(), bench.rows(1)
    bad: Any
    for bad in (
        {"year": {"above": 3}}, {"year": {}}, {"year": None}, {"and": {"a": 1}}, {"not": None},
        {"x": [[1]]}, {"x": {"gte": "a"}}, {"x": {"gte": True}}, {"x": float("nan")}, ["x"], "x",
    ):  # fmt: skip
        for store in (full, empty):
            refuses(f"search where {bad}", InvalidFilter, partial(store.search, queries, 1, bad))
