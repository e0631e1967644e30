"""Values of SQL as ids and payloads: what a column's type means for reading it."""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_WHOLE = {"smallint": 2, "integer": 4, "bigint": 8}  # bytes
_TEXT = ("text", "character varying")
_UNBOUND = {"character": "bpchar", "bit": "varbit"}  # of one character, where no length is said


# Their texts are those of ISO 8601 either way; but Python has no infinity among its times, nothing
# before our era, and no 24:00, and one such value would take its whole page along.
_TIMES = frozenset(
    {
        "date",
        "time without time zone",
        "timestamp with time zone",
        "timestamp without time zone",
    }
)


def as_selected(kind: str) -> str:
    """SQL of a column, with a place for its name.

    Args:
        kind: The column's type.
    """
    return "to_jsonb({}) #>> '{{}}'" if kind in _TIMES else "{}"


@dataclass(frozen=True, slots=True)
class Key:
    """How rows are found by an id that is text here and something else there.

    Comparing in the column's own type is what lets the database use its index.

    Args:
        kind: The column's type.
    """

    kind: str

    def among(self, column: str) -> str:
        """SQL: the id is one of those in a parameter."""
        return (
            f"{column} = ANY(%s::text[]::{self._type}[])"
            if self._native
            else (f"{column}::text = ANY(%s::text[])")
        )

    def beyond(self, column: str) -> str:
        """SQL: the id comes after a parameter."""
        return f"{column} > %s::{'text' if self.kind in _TEXT else self._type}"

    @property
    def _type(self) -> str:
        """The type as it stands in SQL with places for names and parameters."""
        kind = _UNBOUND.get(self.kind, self.kind)
        return kind.replace("%", "%%").replace("{", "{{").replace("}", "}}")

    @property
    def _native(self) -> bool:
        return self.kind in _WHOLE or self.kind == "uuid" or self.kind in _TEXT

    def can_be(self, key: str) -> bool:
        """Whether a row could have this id: others are not even asked for.

        Example:
            >>> [Key("smallint").can_be(key) for key in ("7", "07", "99999", "x")]
            [True, False, False, False]
        """
        if self.kind in _WHOLE:
            return _is_whole(key, 8 * _WHOLE[self.kind] - 1)
        if self.kind == "uuid":
            return _is_uuid(key)
        try:
            return bool(key) and "\0" not in key and bool(key.encode())
        except UnicodeEncodeError:
            return False


def _is_whole(key: str, bits: int) -> bool:
    if len(key) > 20 or not key.removeprefix("-").isdecimal() or not key.isascii():
        return False
    number = int(key)
    return str(number) == key and -(2**bits) <= number < 2**bits


def _is_uuid(key: str) -> bool:
    try:
        return str(uuid.UUID(key)) == key
    except ValueError:
        return False


def as_json(value: Any) -> Any:
    """A value for payloads: numbers stay numbers, dates and the like become text.

    Example:
        >>> as_json([Decimal("2.50"), Decimal("3"), float("nan")])
        [2.5, 3, None]
    """
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int | dict):
        return value
    if isinstance(value, list | tuple):
        return [as_json(part) for part in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
