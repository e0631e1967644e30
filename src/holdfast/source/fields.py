"""Fields: which parts of a record are the id, the text and the payload of an item."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Formatter
from typing import Any, TypeAlias

from ..errors import ConfigError, SourceError
from ..items import Item

TextLike: TypeAlias = str | Sequence[str]

_SURROGATE = re.compile("[\ud800-\udfff]")  # half of a pair, which no encoding can write


class Fields:
    """Makes items of records.

    Args:
        id: Field of the id: a string, or an integer, which becomes one.
        text: Field of the text; a list of fields, joined by one space without the empty
            ones; or a template, "{title}: {abstract}".
        payload: Fields to keep as payload; none without it. A record may lack them; null and
            numbers that are not finite count as that.
        image: Field of a picture's path. Where a record has one the picture is the content,
            and the text is not read; else the text is, so a source may hold both.
        home: What the paths of pictures are relative to.
    Raises:
        ConfigError: No text field, or a template that is more than names in braces.
    """

    def __init__(
        self,
        id: str,  # noqa: A002
        text: TextLike,
        payload: Sequence[str] | None,
        image: str | None = None,
        home: Path | None = None,
    ) -> None:
        self.id = id
        self.image = image
        self._home = home or Path()
        self.payload = list(payload or ())
        self._parts: list[tuple[str, str | None]] | None = None
        if not isinstance(text, str):
            self.text = list(text)
        elif "{" in text or "}" in text:
            self._parts = _template(text)
            self.text = [name for _, name in self._parts if name is not None]
        else:
            self.text = [text]
        if isinstance(payload, str) or not self.text or not all([id, *self.text, *self.payload]):
            raise ConfigError(
                "fields of a source",
                "an id field, one or more text fields, and a list of payload fields",
                f"id={id!r}, text={text!r}, payload={payload!r}",
            )

    @property
    def columns(self) -> list[str]:
        """Every field that is read, each once."""
        shown = [] if self.image is None else [self.image]
        return list(dict.fromkeys([self.id, *self.text, *shown, *self.payload]))

    def id_of(self, record: Mapping[str, Any], place: str) -> str:
        """The id of a record.

        Args:
            record: Field to value.
            place: Where the record stands, for the message.
        Raises:
            SourceError: It has none, or one that UTF-8 cannot write.
        """
        value = record.get(self.id)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if not isinstance(value, str) or not value or _SURROGATE.search(value):
            raise SourceError(
                place, f"an id (string or integer) in {self.id!r}", _seen(record, self.id)
            )
        return value

    def item(self, record: Mapping[str, Any], place: str) -> Item:
        """The item of a record.

        Raises:
            SourceError: The id or a text field is missing or of another type, or a picture's
                path is no text.
        """
        values = ((name, _finite(record.get(name))) for name in self.payload)
        payload = {name: value for name, value in values if value is not None}
        if self.image is not None and record.get(self.image) is not None:
            return Item(self.id_of(record, place), self._picture(record, place), payload)
        return Item(self.id_of(record, place), self._content(record, place), payload)

    def _picture(self, record: Mapping[str, Any], place: str) -> Path:
        name = record[self.image] if self.image else None
        if not isinstance(name, str) or not name:
            raise SourceError(
                place, f"the path of a picture in {self.image!r}", _seen(record, str(self.image))
            )
        return self._home / name

    def _content(self, record: Mapping[str, Any], place: str) -> str:
        for name in self.text:
            if not isinstance(record.get(name), str):
                raise SourceError(place, f"text in {name!r}", _seen(record, name))
        if self._parts is None:
            return " ".join(part for name in self.text if (part := record[name]))
        return "".join(
            fixed + ("" if name is None else record[name]) for fixed, name in self._parts
        )


def _template(text: str) -> list[tuple[str, str | None]]:
    """Pairs of fixed text and the field that follows it."""
    try:
        parsed = list(Formatter().parse(text))
    except ValueError as cause:
        raise ConfigError("text template", "names in braces", f"{text!r}: {cause}") from cause
    for _, name, form, conversion in parsed:
        if name is not None and (not name or form or conversion or set(name) & set(".[")):
            raise ConfigError(
                "text template",
                "plain field names in braces",
                repr(text),
                "Write {title}, not {}, {title!r}, {title:>9}, {a.b} or {a[0]}.",
            )
    return [(fixed, name) for fixed, name, _, _ in parsed]


def _finite(value: Any) -> Any:
    """Files say NaN where they mean nothing; JSON cannot."""
    if isinstance(value, list):
        return [_finite(part) for part in value]
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _seen(record: Mapping[str, Any], name: str) -> str:
    if name not in record:
        return f"no such field among {', '.join(sorted(map(str, record))) or 'none'}"
    return f"{record[name]!r}"[:80]
