"""Categorical records: fields and values to signs by a stable hash, without any vocabulary.

Each mention of a field in the layout is a block of `width` coordinates; the n-th mention of
one field is its n-th *chunk*, hashed by another salt. A value's block is the signs that the
hash of (field, chunk, value) gives, so records score by how many of their fields agree, and
each further chunk makes what unequal values share by chance smaller. A field or a chunk
added at the end of the layout changes no coordinate before it: the space `extends` the old
one. Missing fields are blocks of zeros.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..arrays import FloatArray, IntArray, Vectors
from ..errors import ConfigError, EncoderError
from ..items import Content, Role, as_contents
from ..space import Space, fingerprint
from .base import as_answer, nothing

_WIDEST = 512  # bits of the hash


class RecordsEncoder:
    """Categorical records by a stable hash of every field and value.

    A content is an object, its JSON, or text: "brand=acme; colour=red".

    Args:
        layout: Names of fields, one a block; a name said again adds a chunk.
        width: Coordinates of a block, at most 512.
        extends: Number of blocks of the space, of the same width, that this one extends.
        salt: Part of every hash.
        name: Label of the space.
    Raises:
        ConfigError: No field, a width out of bounds, or no fewer blocks to extend.
    Source: Coleman et al. 2023 (Unified Embedding, arXiv 2305.12102): chunks of several salts
        in one table for all fields. Departs from it: nothing is learned, so a row of the table
        is read off the hash itself, and the table needs no memory and has no collisions.
    Example:
        >>> encoder = RecordsEncoder(["brand", "colour"], width=64)
        >>> red, rot, blue = encoder.encode(
        ...     ["brand=a; colour=red", "brand=b; colour=red", "brand=b; colour=blue"], "query"
        ... ).array
        >>> bool(red @ rot > red @ blue)
        True
    """

    def __init__(
        self,
        layout: Sequence[str],
        width: int = 64,
        extends: int | None = None,
        salt: str = "",
        name: str | None = None,
    ) -> None:
        fields = [layout] if isinstance(layout, str) else list(layout)
        fits = 1 <= width <= _WIDEST and (extends is None or 1 <= extends < len(fields))
        if not fields or not all(fields) or not fits:
            raise ConfigError(
                "RecordsEncoder",
                f"fields, a width from 1 to {_WIDEST}, and fewer blocks to extend",
                f"{fields}, {width}, {extends}",
            )
        self.layout, self.width, self.salt = tuple(fields), int(width), salt
        self._chunks = [fields[:at].count(field) for at, field in enumerate(fields)]
        old = None if extends is None else self._mark(extends)
        self.space = Space(
            name or f"records-{len(fields)}x{width}",
            len(fields) * width,
            "cosine",
            self._mark(len(fields)),
            extends=old,
        )

    def _mark(self, blocks: int) -> str:
        layout = json.dumps(self.layout[:blocks])
        return fingerprint(
            "hashed-records", revision="1", layout=layout, width=self.width, salt=self.salt
        )

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        given = as_contents(contents, role, repr(self))
        if not given:
            return nothing(self.space)
        records = [read_record(content, at) for at, content in enumerate(given)]
        rows = np.zeros((len(records), self.space.dim), dtype=np.float32)
        for block, (field, chunk) in enumerate(zip(self.layout, self._chunks, strict=True)):
            known: dict[str, FloatArray] = {}
            for record, row in zip(records, rows, strict=True):
                value = record.get(field)
                if value is None:
                    continue
                if value not in known:
                    known[value] = signs_of(field, chunk, value, self.width, self.salt)
                row[block * self.width : (block + 1) * self.width] = known[value]
        return as_answer(rows, len(given), self.space, repr(self))

    def __repr__(self) -> str:
        return f"RecordsEncoder({', '.join(self.layout)})"


def digest_of(field: str, chunk: int, value: str, salt: str = "") -> bytes:
    """64 bytes that are the same in every process and on every machine."""
    told = json.dumps([salt, field, chunk, value], ensure_ascii=True)
    return hashlib.blake2b(told.encode()).digest()


def signs_of(field: str, chunk: int, value: str, width: int, salt: str = "") -> FloatArray:
    """(width,) of -1 and 1."""
    bits = np.unpackbits(np.frombuffer(digest_of(field, chunk, value, salt), dtype=np.uint8))
    signs: FloatArray = bits[:width].astype(np.float32) * 2.0 - 1.0
    return signs


def rows_of(field: str, chunk: int, values: Sequence[str], rows: int, salt: str = "") -> IntArray:
    """(n,) rows of a learned table of so many, one table for all fields and chunks.

    Args:
        field: The field.
        chunk: From 0.
        values: Of that field.
        rows: Of the table.
        salt: Part of every hash.
    """
    numbers = [int.from_bytes(digest_of(field, chunk, v, salt)[-8:], "big") % rows for v in values]
    return np.array(numbers, dtype=np.int64)


def read_record(content: Any, at: int = 0) -> dict[str, str]:
    """Values by field, as text; without those that are None.

    Args:
        content: See `RecordsEncoder`.
        at: Its place in the call, for the message.
    Raises:
        EncoderError: No record, or values that are lists or objects.
    """
    try:
        told = content
        if isinstance(told, str):
            told = json.loads(told) if told.lstrip().startswith("{") else dict(_parts(told))
        record = {str(field): _text(value) for field, value in told.items() if value is not None}
    except (AttributeError, TypeError, ValueError) as cause:
        raise EncoderError(
            "RecordsEncoder",
            'a record, such as "brand=acme; colour=red"',
            f"{content!r:.60} at place {at}",
        ) from cause
    return record


def _parts(text: str) -> list[tuple[str, str]]:
    found = []
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(part)
        if value.strip():
            found.append((name.strip(), value.strip()))
    return found


def _text(value: Any) -> str:
    if not isinstance(value, str | int | float | bool):
        raise TypeError(type(value).__name__)
    return value if isinstance(value, str) else json.dumps(value)
