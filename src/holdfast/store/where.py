"""Filters over payloads: a small tree that every store evaluates or translates.

Written as JSON, read by `parse`:

    {"lang": "en"}                          equal
    {"lang": ["en", "de"]}                  one of
    {"year": {"gte": 2000, "lt": 2010}}     in a range of numbers
    {"lang": "en", "year": {"gt": 1999}}    all of them
    {"and": [...]}  {"or": [...]}  {"not": {...}}

What matches, in every store alike: numbers compare as numbers, true and false are not
numbers, strings compare whole. A filter names a field at the top of a payload: nothing inside of an
object there is looked at, by whatever path. A list in a payload matches when any of its elements
does. A missing field, or null, matches nothing, so its negation matches. One exception: `edge` and
`qdrant` hold whole numbers from 2^52 on against a range as floats, in which they differ from their
neighbours by no more than the sixteenth digit; equality is exact. Keep times in seconds, not
nanoseconds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import InvalidFilter
from ..settings import NESTED, too_deep

Scalar: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Equals:
    """The field has this value."""

    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has one of these values."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The field is a number within these bounds; None leaves a side open."""

    field: str
    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None


@dataclass(frozen=True, slots=True)
class And:
    """All of these; with none, everything."""

    parts: tuple[Where, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of these; with none, nothing."""

    parts: tuple[Where, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not this."""

    part: Where


Where: TypeAlias = Equals | OneOf | Range | And | Or | Not
WhereLike: TypeAlias = Where | Mapping[str, Any] | None

_BOUNDS = ("gt", "gte", "lt", "lte")
_JOINS: dict[str, type[And] | type[Or]] = {"and": And, "or": Or}
_HELP = 'Write {"field": value}, {"field": [values]}, {"field": {"gte": 1}}, "and", "or", "not".'


def parse(where: WhereLike) -> Where | None:
    """Read a filter from JSON; a tree passes through.

    Raises:
        InvalidFilter: Not of the form in the module's docstring, or nested too deeply.
    Example:
        >>> parse({"lang": ["en", "de"]})
        OneOf(field='lang', values=('en', 'de'))
    """
    if too_deep(where):
        raise InvalidFilter("where", f"filters nested at most {NESTED} deep", "deeper ones", _HELP)
    return _parse(where)


def _parse(where: WhereLike) -> Where | None:
    if where is None or isinstance(where, Equals | OneOf | Range | And | Or | Not):
        return where
    if not isinstance(where, Mapping):
        raise InvalidFilter("where", "a JSON object", type(where).__name__, _HELP)
    parts = tuple(_parse_entry(str(key), value) for key, value in where.items())
    return parts[0] if len(parts) == 1 else And(parts)


def _parse_entry(key: str, value: Any) -> Where:
    if key in _JOINS:
        if not isinstance(value, list | tuple):
            raise InvalidFilter(f"where.{key}", "a list of filters", repr(value), _HELP)
        tree: Where = _JOINS[key](tuple(_parse_part(part, key) for part in value))
        return tree
    if key == "not":
        return Not(_parse_part(value, key))
    if isinstance(value, Mapping):
        return _parse_range(key, value)
    if isinstance(value, list | tuple):
        return OneOf(key, tuple(_scalar(v, key) for v in value))
    return Equals(key, _scalar(value, key))


def _parse_part(value: Any, key: str) -> Where:
    part = _parse(value)
    if part is None:
        raise InvalidFilter(f"where.{key}", "a filter", "null", _HELP)
    return part


def _parse_range(key: str, value: Mapping[str, Any]) -> Range:
    unknown = set(value) - set(_BOUNDS)
    if unknown or not value:
        fix = f"{_HELP} Fields inside of an object are not looked at: keep them at the top."
        raise InvalidFilter(f"where.{key}", "gt, gte, lt or lte", str(dict(value)), fix)
    for bound in value.values():
        # Not `isnan`, which fails for whole numbers beyond the largest float.
        number = isinstance(bound, int | float) and not isinstance(bound, bool)
        if not number or not bound <= math.inf:
            raise InvalidFilter(f"where.{key}", "numbers as bounds", repr(bound), _HELP)
    return Range(key, **value)


def _scalar(value: Any, key: str) -> Scalar:
    if isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise InvalidFilter(f"where.{key}", "a string, a number, true or false", repr(value), _HELP)


def matches(where: Where | None, payload: Mapping[str, Any]) -> bool:
    """Whether one payload passes: the reference for every store.

    Example:
        >>> matches(parse({"not": {"lang": "en"}}), {})
        True
    """
    match where:
        case None:
            return True
        case Equals(name, value):
            return any(_equal(v, value) for v in _values(payload, name))
        case OneOf(name, wanted):
            return any(_equal(v, w) for v in _values(payload, name) for w in wanted)
        case Range(name):
            return any(_within(v, where) for v in _values(payload, name))
        case And(parts):
            return all(matches(part, payload) for part in parts)
        case Or(parts):
            return any(matches(part, payload) for part in parts)
        case Not(part):
            return not matches(part, payload)


def _values(payload: Mapping[str, Any], name: str) -> list[Any]:
    value = payload.get(name)
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _equal(stored: Any, wanted: Scalar) -> bool:
    if isinstance(stored, bool) or isinstance(wanted, bool):
        return stored is wanted
    if isinstance(stored, str) or isinstance(wanted, str):
        return isinstance(stored, str) and stored == wanted
    return isinstance(stored, int | float) and stored == wanted


def _within(stored: Any, bounds: Range) -> bool:
    if isinstance(stored, bool) or not isinstance(stored, int | float):
        return False
    return (
        (bounds.gt is None or stored > bounds.gt)
        and (bounds.gte is None or stored >= bounds.gte)
        and (bounds.lt is None or stored < bounds.lt)
        and (bounds.lte is None or stored <= bounds.lte)
    )
