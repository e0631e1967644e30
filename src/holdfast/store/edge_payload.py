"""What a row looks like inside Qdrant Edge, and filters in terms of it.

The engine's own matching differs from ours: it reads a wanted `true` as the number 1,
compares large integers as floats, reads stored floats back with an error in the last place,
and has no field names with quotes in them. So the payload itself is kept as JSON text, and
beside it stand the values that filters can see:

    {"i": id, "r": revision, "p": JSON text, "s": {field: strings}, "n": {field: numbers}}

Under "s" is every value as a string, for equality: numbers, true and false carry a marker,
and long strings are replaced by a digest, so that a text does not take its room twice. Under
"n" are the numbers once more, for ranges; what lies so close to a bound that the engine's
error could matter is asked for by equality. Only numbers from 2^53 on may fall on the wrong
side of a bound, and only if they agree with it in the first fifteen digits.

This file does not know the engine: a condition is made by calling the module it is given.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from hashlib import blake2b
from types import ModuleType
from typing import Any

from .where import And, Equals, Not, OneOf, Or, Range, Scalar, Where, matches

ID, REVISION, TEXT = "i", "r", "p"
_PLAIN = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_-]*")
_MARK = "\x01"  # starts every string that stands for something else
_LONG = 64  # characters from which on a string is replaced by its digest
_WHOLE = 2**52  # from here on all floats are whole, and the engine keeps those exactly
_LARGEST = 1e308  # nearer to the largest float the engine fails to read what it wrote
_DOUBT = 4  # the engine's error in units of the last place, doubled


def key_of(name: str) -> str:
    """The point id of an id: 128 bits of its digest, as 32 hexadecimal digits.

    Two of a billion ids share one with a probability below 1e-20.
    """
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def pack(name: str, payload: Mapping[str, Any], revision: int) -> dict[str, Any]:
    """What is stored beside a vector."""
    stored: dict[str, Any] = {ID: name, REVISION: revision}
    if not payload:
        return stored
    stored[TEXT] = json.dumps(payload, separators=(",", ":"))
    for field, value in payload.items():
        for element in value if isinstance(value, list) else (value,):
            if not isinstance(element, str | int | float):
                continue  # null, lists and objects match nothing
            stored.setdefault("s", {}).setdefault(_field(field), []).append(_token(element))
            if not isinstance(element, str | bool):
                number = _stored_number(element)
                stored.setdefault("n", {}).setdefault(_field(field), []).append(number)
    return stored


def unpack(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """The payload that `pack` was given."""
    payload: Mapping[str, Any] = json.loads(stored.get(TEXT, "{}"))
    return payload


def _field(name: str) -> str:
    """A field name that needs no quotes in a path; no two names become one."""
    if _PLAIN.fullmatch(name):
        return name
    return "_" + name.encode("utf-8", "surrogatepass").hex()


def _token(value: Scalar) -> str:
    """The string under which a value is found by equality."""
    if isinstance(value, bool):
        return _MARK + ("true" if value else "false")
    if isinstance(value, str):
        if len(value) < _LONG and not value.startswith(_MARK) and value.isprintable():
            return value
        return f"{_MARK}long:{key_of(value)}"
    whole = isinstance(value, int) or value.is_integer()
    text = f"{int(value):x}" if whole else value.hex()  # type: ignore[union-attr]
    return f"{_MARK}num:{text if len(text) < _LONG else key_of(text)}"


def _stored_number(value: float) -> float:
    """The number that ranges see; whole ones as integers, which the engine keeps exactly."""
    near = _float(value)
    return int(value) if abs(near) < 2**63 and near.is_integer() else near


def _float(value: float) -> float:
    """The nearest float within the engine's limits."""
    try:
        return max(-_LARGEST, min(_LARGEST, float(value)))
    except OverflowError:
        return _LARGEST if value > 0 else -_LARGEST


def condition(where: Where, engine: ModuleType, seen: set[str]) -> Any:
    """A filter of the engine that passes exactly what `where.matches` passes.

    Args:
        where: The tree.
        engine: The module that makes conditions.
        seen: Takes the paths of the fields that are looked at, for indexes to come.
    """
    match where:
        case Equals(field, value):
            return _one_of(field, (value,), engine, seen)
        case OneOf(field, values):
            return _one_of(field, values, engine, seen)
        case Range():
            return _range(where, engine, seen)
        case And(parts):
            return engine.Filter(must=[condition(part, engine, seen) for part in parts])
        case Or(parts) if parts:
            return engine.Filter(should=[condition(part, engine, seen) for part in parts])
        case Or():
            return _one_of("", (), engine, set())
        case Not(part):
            return engine.Filter(must_not=[condition(part, engine, seen)])


def _one_of(field: str, values: tuple[Scalar, ...], engine: ModuleType, seen: set[str]) -> Any:
    tokens = list(dict.fromkeys(map(_token, values)))
    return engine.Filter(must=[_any_of(field, tokens, engine, seen)])


def _any_of(field: str, tokens: list[str], engine: ModuleType, seen: set[str]) -> Any:
    path = f"s.{_field(field)}"
    seen.add(path)
    return engine.FieldCondition(path, match=engine.MatchAny(tokens))


def _range(bounds: Range, engine: ModuleType, seen: set[str]) -> Any:
    """Numbers well within the bounds, or equal to one of the floats next to a bound."""
    path = f"n.{_field(bounds.field)}"
    seen.add(path)
    sides: dict[str, float] = {}
    close: list[float] = []
    for side, away in (("gt", math.inf), ("gte", math.inf), ("lt", -math.inf), ("lte", -math.inf)):
        bound = getattr(bounds, side)
        if bound is None:
            continue
        sides[side] = bound = bound if bound in (math.inf, -math.inf) else _float(bound)
        if abs(bound) < _WHOLE:
            sides[side] = _steps(bound, away)[_DOUBT]
            close += [*_steps(bound, away), *_steps(bound, -away)]
    inner = engine.FieldCondition(path, range=engine.RangeFloat(**sides))
    passing = {_token(x) for x in close if matches(bounds, {bounds.field: x})}
    if not passing:
        return engine.Filter(must=[inner])
    return engine.Filter(should=[inner, _any_of(bounds.field, sorted(passing), engine, seen)])


def _steps(start: float, towards: float) -> list[float]:
    """A float and the next ones on one side."""
    found = [start]
    for _ in range(2 * _DOUBT):
        found.append(math.nextafter(found[-1], towards))
    return found
