"""Payload fields as columns of codes, so that a filter costs a table look-up for each row.

A field is read when a filter first names it: each slot gets the code of its value, and a
leaf of a filter is decided for distinct values, without a look at each of them: a field may
have as many as there are rows. The answer is that of `where.matches`.
"""

from __future__ import annotations

import json
import math
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
_SIDES: Mapping[str, Callable[..., Any]] = {
    "gt": np.greater,
    "gte": np.greater_equal,
    "lt": np.less,
    "lte": np.less_equal,
}


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
    """One field: a code for each slot, a value for each code. Code 0 means no value.

    What a leaf looks for stands beside the codes of all values that have it, a list being found
    by its elements: a leaf costs as much as it finds, and a range one look at the numbers.
    """

    def __init__(self) -> None:
        self.codes = np.zeros(0, dtype=np.int32)
        self._forget()

    def _forget(self) -> None:
        self._values: list[Any] = [None]
        self._code_of: dict[tuple[str, Any], int] = {}
        self._listed: dict[tuple[str, Any], list[int]] = {}  # codes of lists, by their elements
        self._fresh: list[tuple[float, int]] = []  # numbers with their codes, not yet in the arrays
        self._numbers: npt.NDArray[np.float64] = np.zeros(0)
        self._of: IntArray = np.zeros(0, dtype=np.int64)  # codes of the numbers
        self._large: list[tuple[int, int]] = []  # numbers that no float equals, with their codes

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
        kept = used[used > 0].tolist()
        self.codes = (codes + (len(kept) + 1 - len(used))).astype(np.int32)
        values = [self._values[code] for code in kept]
        self._forget()
        for value in values:
            self._code(value)

    def _code(self, value: Any) -> int:
        key = _key(value)
        code = self._code_of.get(key)
        if code is None:
            code = self._code_of[key] = len(self._values)
            self._values.append(value)
            if isinstance(value, list | tuple):
                for element in value:
                    if isinstance(element, str | int | float):  # nothing else is ever found
                        self._listed.setdefault(_key(element), []).append(code)
                        self._count(element, code)
            else:
                self._count(value, code)
        return code

    def _count(self, value: Any, code: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        if _near(value) == value:
            self._fresh.append((value, code))
            if len(self._fresh) >= _PAGE:
                self._settle()
        else:
            self._large.append((int(value), code))

    def _settle(self) -> None:
        """Bring new numbers into the arrays."""
        if self._fresh:
            numbers, codes = zip(*self._fresh, strict=True)
            self._numbers = np.concatenate([self._numbers, np.array(numbers, dtype=np.float64)])
            self._of = np.concatenate([self._of, np.array(codes, dtype=np.int64)])
            self._fresh = []

    def passing(self, leaf: Equals | OneOf | Range, count: int) -> BoolArray:
        truth = self._range(leaf) if isinstance(leaf, Range) else self._one_of(leaf)
        passing: BoolArray = truth[self.codes[:count]]
        return passing

    def _one_of(self, leaf: Equals | OneOf) -> BoolArray:
        truth = np.zeros(len(self._values), dtype=bool)
        for wanted in leaf.values if isinstance(leaf, OneOf) else (leaf.value,):
            key = _key(wanted)
            truth[self._code_of.get(key, 0)] = True
            truth[self._listed.get(key, [])] = True
        truth[0] = False
        return truth

    def _range(self, leaf: Range) -> BoolArray:
        self._settle()
        within = np.ones(len(self._numbers), dtype=bool)
        for side in _SIDES:
            bound = getattr(leaf, side)
            if bound is not None:
                within &= _beyond(self._numbers, side, bound)
        truth = np.zeros(len(self._values), dtype=bool)
        truth[self._of[within]] = True
        for number, code in self._large:
            truth[code] |= matches(leaf, {leaf.field: number})
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


def _near(number: float) -> float:
    """The nearest float; infinity for whole numbers beyond all of them."""
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _beyond(numbers: npt.NDArray[np.float64], side: str, bound: float) -> BoolArray:
    """(n,) which numbers lie on the passing side of a bound, also of one that no float equals."""
    near, above = _near(bound), side in ("gt", "gte")
    if near == bound:
        passing: BoolArray = _SIDES[side](numbers, near)
    elif near > bound:  # no float lies between the two
        passing = numbers >= near if above else numbers < near
    else:
        passing = numbers > near if above else numbers <= near
    return passing


def _fields(where: Where) -> set[str]:
    match where:
        case And(parts) | Or(parts):
            return set().union(*map(_fields, parts))
        case Not(part):
            return _fields(part)
        case _:
            return {where.field}
