"""Payload fields as columns of codes, so that a filter costs a table look-up for each row.

A field is read when a filter first names it: each slot gets the code of its value, and a
leaf of a filter is decided once for each distinct value. What a filter means is decided by
`where.matches` alone, so the answer is the same.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..arrays import IntArray
from .where import And, Equals, Not, OneOf, Or, Range, Where, matches

BoolArray: TypeAlias = npt.NDArray[np.bool_]
Read: TypeAlias = Callable[[int, int], Sequence[tuple[int, Mapping[str, Any]]]]

_PAGE = 50_000  # slots read at once
_REMEMBERED = 16  # ranges decided lately, for each column


class Columns:
    """Filters over the rows in slots, which are never written twice.

    The owner keeps writers away from `prepare`, and everyone from `extend` and `renumber`.

    Args:
        read: Answers the living slots from one number up to another, with their payloads.
    """

    def __init__(self, read: Read) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._columns: dict[str, _Column] = {}

    def ready(self, where: Where) -> bool:
        """Whether the fields of a filter have been read."""
        return _fields(where) <= self._columns.keys()

    def prepare(self, where: Where, count: int) -> None:
        """Read the fields of a filter, for all `count` slots."""
        fresh = {name: _Column() for name in _fields(where) if name not in self._columns}
        for first in range(0, count if fresh else 0, _PAGE):
            last = min(first + _PAGE, count)
            page = self._read(first, last)
            for name, column in fresh.items():
                column.extend(name, page, last)
        self._columns.update(fresh)

    def extend(self, first: int, payloads: Sequence[Mapping[str, Any]]) -> None:
        """Take in the next slots, from `first` on."""
        if not self._columns:
            return
        page = [*enumerate(payloads, first)]
        for name, column in self._columns.items():
            column.extend(name, page, first + len(page))

    def renumber(self, alive: IntArray) -> None:
        """Row i of `alive` is the old number of slot i."""
        for column in self._columns.values():
            column.keep(alive)

    def passing(self, where: Where, count: int) -> BoolArray:
        """(count,) which slots pass; what it says of dead slots means nothing."""
        with self._lock:
            return self._decide(where, count)

    def _decide(self, where: Where, count: int) -> BoolArray:
        match where:
            case And(parts):
                passing = np.ones(count, dtype=bool)
                for part in parts:
                    passing &= self._decide(part, count)
                return passing
            case Or(parts):
                passing = np.zeros(count, dtype=bool)
                for part in parts:
                    passing |= self._decide(part, count)
                return passing
            case Not(part):
                return ~self._decide(part, count)
            case _:
                return self._columns[where.field].passing(where, count)


class _Column:
    """One field: a code for each slot, a value for each code. Code 0 means no value."""

    def __init__(self) -> None:
        self.codes = np.zeros(0, dtype=np.int32)
        self._values: list[Any] = [None]
        self._code_of: dict[tuple[str, Any], int] = {}
        self._lists: list[int] = []  # codes of lists, which match by any of their elements
        self._ranges: dict[Range, BoolArray] = {}

    def extend(self, name: str, page: Sequence[tuple[int, Mapping[str, Any]]], last: int) -> None:
        """Take in the slots up to `last`."""
        if last > len(self.codes):
            grown = np.zeros(max(last, 2 * len(self.codes)), dtype=np.int32)
            grown[: len(self.codes)] = self.codes
            self.codes = grown
        for slot, payload in page:
            value = payload.get(name)
            self.codes[slot] = 0 if value is None else self._code(value)

    def keep(self, alive: IntArray) -> None:
        """Go on with the codes of some slots, and forget values that none of them has."""
        used, codes = np.unique(self.codes[alive], return_inverse=True)
        kept = [0, *used[used > 0].tolist()]
        self.codes = (codes + (len(kept) - len(used))).astype(np.int32)
        self._values = [self._values[code] for code in kept]
        self._code_of = {_key(v): code for code, v in enumerate(self._values) if code}
        self._lists = [c for c, v in enumerate(self._values) if isinstance(v, list | tuple)]
        self._ranges = {}

    def _code(self, value: Any) -> int:
        key = _key(value)
        code = self._code_of.get(key)
        if code is None:
            code = self._code_of[key] = len(self._values)
            self._values.append(value)
            if isinstance(value, list | tuple):
                self._lists.append(code)
        return code

    def passing(self, leaf: Equals | OneOf | Range, count: int) -> BoolArray:
        truth = self._range(leaf) if isinstance(leaf, Range) else self._one_of(leaf)
        passing: BoolArray = truth[self.codes[:count]]
        return passing

    def _one_of(self, leaf: Equals | OneOf) -> BoolArray:
        truth = np.zeros(len(self._values), dtype=bool)
        for wanted in leaf.values if isinstance(leaf, OneOf) else (leaf.value,):
            truth[self._code_of.get(_key(wanted), 0)] = True
        truth[0] = False
        for code in self._lists:
            truth[code] = matches(leaf, {leaf.field: self._values[code]})
        return truth

    def _range(self, leaf: Range) -> BoolArray:
        known = self._ranges.pop(leaf, np.zeros(0, dtype=bool))
        fresh = [matches(leaf, {leaf.field: value}) for value in self._values[len(known) :]]
        truth = np.concatenate([known, np.array(fresh, dtype=bool)])
        self._ranges[leaf] = truth  # last, as the one used latest
        if len(self._ranges) > _REMEMBERED:
            del self._ranges[next(iter(self._ranges))]
        return truth


def _key(value: Any) -> tuple[str, Any]:
    """Equal for values that a filter takes as equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, str):
        return "text", value
    if isinstance(value, int | float):
        return "number", value
    return "json", json.dumps(value)


def _fields(where: Where) -> set[str]:
    match where:
        case And(parts) | Or(parts):
            return set().union(*map(_fields, parts))
        case Not(part):
            return _fields(part)
        case _:
            return {where.field}
