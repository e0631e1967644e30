"""Rows in PostgreSQL's binary format: written by COPY, vectors read back to the bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct

import numpy as np

from ..arrays import FloatArray, IntArray
from .pgvector_payload import escaped

_START = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
_FIELDS, _SIZE = Struct("!h"), Struct("!i")
_REVISION, _VECTOR = Struct("!iq"), Struct("!ihh")
_NULL = _SIZE.pack(-1)
_JSONB = b"\x01"  # version of its binary form
_PIECE = 500  # rows handed over at once


def copy_stream(
    ids: Sequence[str], revisions: IntArray | None, payloads: Sequence[str], vectors: FloatArray
) -> Iterator[bytes]:
    """What COPY ... (FORMAT binary) reads: id text, revision int8, payload jsonb, vector.

    Args:
        ids: n ids.
        revisions: (n,), or None for NULL.
        payloads: n texts for jsonb.
        vectors: (n, d).
    """
    dim = vectors.shape[1]
    head = _FIELDS.pack(4)
    numbers = [_NULL] * len(ids)
    if revisions is not None:
        numbers = [_REVISION.pack(8, number) for number in revisions.tolist()]
    before = _VECTOR.pack(4 + 4 * dim, dim, 0)
    yield _START
    for start in range(0, len(ids), _PIECE):
        part = slice(start, start + _PIECE)
        data = vectors[part].astype(">f4").tobytes()
        pieces = []
        for i, (key, payload) in enumerate(zip(ids[part], payloads[part], strict=True)):
            text, body = escaped(key).encode(), payload.encode()
            row = data[4 * dim * i : 4 * dim * (i + 1)]
            pieces += [head, _SIZE.pack(len(text)), text, numbers[start + i]]
            pieces += [_SIZE.pack(len(body) + 1), _JSONB, body, before, row]
        yield b"".join(pieces)
    yield _END


def read_vectors(values: Sequence[bytes], dim: int) -> FloatArray:
    """(n, d) float32 of vectors in their binary form."""
    data = b"".join(value[4:] for value in values)
    return np.frombuffer(data, dtype=">f4").astype(np.float32).reshape(len(values), dim)


def vector_texts(rows: FloatArray) -> list[str]:
    """Vectors as texts that are read as exactly these numbers."""
    return [str(row) for row in rows.tolist()]
