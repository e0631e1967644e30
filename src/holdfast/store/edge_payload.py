"""What a row looks like inside Qdrant, embedded or on a server, and filters in terms of it.

The engine's own matching differs from ours: it reads a wanted `true` as the number 1,
compares large integers as floats, reads stored fractions back with an error in the last
place, and has no field names with quotes in them. So the payload itself is kept as JSON
text, and beside it stand the values that filters can see, each by what it is:

    {"i": id, "r": revision, "p": JSON text, "s-lang": "en", "n-year": 1999, "f-price": 9.99}

    s-  strings; true, false, fractions and very large numbers as marked strings; long
        strings as a digest, so that a text does not take its room twice
    n-  whole numbers of 64 bits
    f-  all other numbers

Small whole numbers are found by equality under n-, everything else under s-. A range asks n-
and f-; a fraction so close to a bound that the engine's error could matter is asked for by
equality. Only numbers from 2^52 on may fall on the wrong side of a bound, and only if they
agree with it in the first fifteen digits.

This file knows no client: a condition is plain JSON, in the form that servers read, and each
client's file makes its own objects of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeAlias

from .payloads import EMPTY, Form, Payloads, read, texts, write
from .where import And, Equals, Not, OneOf, Or, Range, Scalar, Where, matches

Plain: TypeAlias = Mapping[str, Any]

ID, REVISION, TEXT = "i", "r", "p"
KEY = 32  # digits of a point's id
_FRACTION = "f"  # begins the keys of fractions
_REMEMBERED = 16_384  # keys: one move asks for each of them six times
_PLAIN = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_-]*")
_MARK = "\x01"  # starts every string that stands for something else
_LONG = 64  # characters from which on a string is replaced by its digest
_WHOLE = 2**52  # from here on all floats are whole, and the engine keeps those exactly
_LARGEST = 1e308  # nearer to the largest float the engine fails to read what it wrote
_BEYOND = 1.5e308  # an open end in JSON, which has no infinity: no stored number is as large
_DOUBT = 4  # the engine's error in units of the last place, doubled


@lru_cache(maxsize=_REMEMBERED)
def key_of(name: str) -> str:
    """The point id of an id: 128 bits of its digest, as 32 hexadecimal digits.

    Two of a billion ids share one with a probability below 1e-20.
    """
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def pack(
    name: str, payload: Mapping[str, Any], revision: int, text: str | None = None
) -> dict[str, Any]:
    """What is stored beside a vector.

    Args:
        name: Id.
        payload: A JSON object.
        revision: Its number.
        text: The payload as JSON text, if that is known.
    """
    stored: dict[str, Any] = {ID: name, REVISION: revision}
    if not payload:
        return stored
    stored[TEXT] = write(payload) if text is None else text
    for field, value in payload.items():
        for element in value if isinstance(value, list) else (value,):
            if not isinstance(element, str | int | float):
                continue  # null, lists and objects match nothing
            if _is_small(element):
                _add(stored, f"n-{_field(field)}", int(element))
                continue
            _add(stored, f"s-{_field(field)}", _token(element))
            if not isinstance(element, str | bool):
                near = _float(element)
                whole = near.is_integer() and abs(near) < 2**63
                _add(
                    stored, f"{'n' if whole else 'f'}-{_field(field)}", int(near) if whole else near
                )
    return stored


def _add(stored: dict[str, Any], key: str, value: Scalar) -> None:
    """One value alone, several as a list: the engine takes both, the first at half the cost."""
    held = stored.get(key)
    if held is None:
        stored[key] = value
    elif isinstance(held, list):
        held.append(value)
    else:
        stored[key] = [held, value]


def unpack(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """The payload that `pack` was given."""
    return read(stored.get(TEXT, EMPTY))


def _text(stored: Mapping[str, Any]) -> str:
    text: str = stored.get(TEXT, EMPTY)
    return text


PACKED = Form(unpack, _text)  # kept as `pack` made them


def packed(
    names: Sequence[str], payloads: Sequence[Mapping[str, Any]], revisions: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """`pack` for many; what another shard has packed is taken over, but for its revision."""
    if not isinstance(payloads, Payloads):
        yield from map(pack, names, payloads, revisions)
    elif payloads.form is PACKED:
        for name, revision, kept in zip(names, revisions, payloads.kept, strict=True):
            # The engine reads fractions back with an error, which must not add up.
            exact = not any(key[0] == _FRACTION for key in kept)
            if exact and kept[ID] == name:
                yield {**kept, REVISION: revision}
            else:
                yield pack(name, unpack(kept), revision, _text(kept))
    else:
        yield from map(pack, names, payloads, revisions, texts(payloads))


@lru_cache(maxsize=4096)
def _field(name: str) -> str:
    """A field name that needs no quotes in a path; no two names become one."""
    if _PLAIN.fullmatch(name):
        return name
    return "_" + name.encode("utf-8", "surrogatepass").hex()


def _is_small(value: Scalar) -> bool:
    """Whether it is a whole number for which the engine's comparisons are exact."""
    if isinstance(value, bool | str):
        return False
    return -_WHOLE < value < _WHOLE and (isinstance(value, int) or value.is_integer())


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


def _float(value: float) -> float:
    """The nearest float within the engine's limits."""
    try:
        return max(-_LARGEST, min(_LARGEST, float(value)))
    except OverflowError:
        return _LARGEST if value > 0 else -_LARGEST


def condition(where: Where, seen: set[str]) -> Plain:
    """A filter of the engine that passes exactly what `where.matches` passes, as JSON.

    Args:
        where: The tree.
        seen: Takes the paths of the fields that are looked at, for indexes to come.
    Example:
        >>> condition(Equals("lang", "en"), set())
        {'should': [{'key': 's-lang', 'match': {'any': ['en']}}]}
    """
    match where:
        case Equals(field, value):
            return _one_of(field, (value,), seen)
        case OneOf(field, values):
            return _one_of(field, values, seen)
        case Range():
            return _range(where, seen)
        case And(parts):
            return {"must": [condition(part, seen) for part in parts]}
        case Or(parts) if parts:
            return {"should": [condition(part, seen) for part in parts]}
        case Or():
            return _one_of("", (), set())
        case Not(part):
            return {"must_not": [condition(part, seen)]}


def _one_of(field: str, values: tuple[Scalar, ...], seen: set[str]) -> Plain:
    choices: list[Plain] = [
        {"key": _seen("n", field, seen), "range": {"gte": v, "lte": v}}
        for v in values
        if _is_small(v)
    ]
    tokens = [_token(v) for v in values if not _is_small(v)]
    if tokens or not choices:  # any of no strings: nothing matches
        choices.append(_any_of(field, tokens, seen))
    return {"should": choices}


def _seen(kind: str, field: str, seen: set[str]) -> str:
    path = f"{kind}-{_field(field)}"
    seen.add(path)
    return path


def _any_of(field: str, tokens: list[str], seen: set[str]) -> Plain:
    return {"key": _seen("s", field, seen), "match": {"any": tokens}}


def _range(bounds: Range, seen: set[str]) -> Plain:
    """Whole numbers within, fractions well within, and the fractions next to a bound."""
    whole: dict[str, float] = {}
    inner: dict[str, float] = {}
    close: list[float] = []
    for side, bound, away in _tightest(bounds):
        infinite = bound in (math.inf, -math.inf)
        near = math.copysign(_BEYOND, bound) if infinite else _float(bound)
        whole[side] = inner[side] = near
        if abs(near) < _WHOLE:
            inner[side] = _steps(near, away)[_DOUBT]
            close += [*_steps(near, away), *_steps(near, -away)]
    fractions = (x for x in close if not x.is_integer())
    passing = {_token(x) for x in fractions if matches(bounds, {bounds.field: x})}
    choices: list[Plain] = [
        {"key": _seen(kind, bounds.field, seen), "range": sides}
        for kind, sides in (("n", whole), ("f", inner))
    ]
    if passing:
        choices.append(_any_of(bounds.field, sorted(passing), seen))
    return {"should": choices}


def _tightest(bounds: Range) -> Iterator[tuple[str, float, float]]:
    """At most one bound a side: the engine's index looks at one only, and takes the wrong one.

    Yields:
        Name of the bound, its value, and the infinity on its passing side.
    """
    gt, gte, lt, lte = bounds.gt, bounds.gte, bounds.lt, bounds.lte
    if gt is not None and (gte is None or gt >= gte):
        yield "gt", gt, math.inf
    elif gte is not None:
        yield "gte", gte, math.inf
    if lt is not None and (lte is None or lt <= lte):
        yield "lt", lt, -math.inf
    elif lte is not None:
        yield "lte", lte, -math.inf


def _steps(start: float, towards: float) -> list[float]:
    """A float and the next ones on one side."""
    found = [start]
    for _ in range(2 * _DOUBT):
        found.append(math.nextafter(found[-1], towards))
    return found
