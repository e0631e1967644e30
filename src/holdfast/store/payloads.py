"""Payloads as a store gives them out: JSON for certain, and read only when looked at.

A row that moves from one store to another carries a payload nobody looks at. So a store hands
out what it keeps, with how to read it, and another store takes it without a second check:
what came out of a store is JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

_dumps = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
EMPTY = "{}"


@dataclass(frozen=True, slots=True)
class Form:
    """How a store keeps payloads.

    Args:
        read: Answers the JSON object; a new one, or one that nobody may change.
        text: Answers it as JSON text without spaces.
    """

    read: Callable[[Any], Mapping[str, Any]]
    text: Callable[[Any], str]


class Payloads(Sequence[Mapping[str, Any]]):
    """Payloads of rows that a store has, in its own form.

    Args:
        kept: n of them.
        form: How they are read.
    Example:
        >>> Payloads(['{"n":1}', "{}"], TEXT) == [{"n": 1}, {}]
        True
    """

    __slots__ = ("form", "kept")

    def __init__(self, kept: list[Any], form: Form) -> None:
        self.kept, self.form = kept, form

    def __len__(self) -> int:
        return len(self.kept)

    @overload
    def __getitem__(self, place: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> Payloads: ...
    def __getitem__(self, place: int | slice) -> Mapping[str, Any] | Payloads:
        if isinstance(place, slice):
            return Payloads(self.kept[place], self.form)
        return self.form.read(self.kept[place])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(list(self))

    def take(self, places: Iterable[int]) -> Payloads:
        """Some of them, by their places."""
        kept = self.kept
        return Payloads([kept[i] for i in places], self.form)


def read(text: str) -> Mapping[str, Any]:
    """The JSON object of a text that a store wrote."""
    payload: dict[str, Any] = {} if text == EMPTY else json.loads(text)
    return payload


def write(payload: Mapping[str, Any]) -> str:
    """A payload as JSON text without spaces."""
    return _dumps(payload) if payload else EMPTY


def _same(kept: Any) -> Any:
    return kept


TEXT = Form(read, _same)  # kept as JSON text
PARSED = Form(_same, write)  # kept as what nobody changes


def take(payloads: Sequence[Mapping[str, Any]], places: Iterable[int]) -> Sequence[Any]:
    """Some payloads, by their places."""
    if isinstance(payloads, Payloads):
        return payloads.take(places)
    return [payloads[i] for i in places]


def texts(payloads: Sequence[Mapping[str, Any]]) -> list[str]:
    """Payloads as JSON texts; those that are kept so are handed over."""
    if not isinstance(payloads, Payloads):
        return [write(payload) for payload in payloads]
    if payloads.form is TEXT:
        return payloads.kept
    return [payloads.form.text(kept) for kept in payloads.kept]


def join(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> Sequence[Any]:
    """Those of two sequences, one after the other."""
    if isinstance(a, Payloads) and isinstance(b, Payloads) and a.form is b.form:
        return Payloads(a.kept + b.kept, a.form)
    return [*a, *b]
