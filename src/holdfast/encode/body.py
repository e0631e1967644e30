"""The body of an answer as it arrives: whole within a time and a size, or not at all."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable

from ..errors import EncoderMisconfigured, EncoderUnavailable

ASKED = "gzip"  # what a server may pack its answer with
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})
_ANY_HEADER = 32 + zlib.MAX_WBITS  # of gzip or of zlib, whichever comes


def read_body(
    pieces: Iterable[bytes], packing: str, most: int, late: Callable[[], bool], owner: str
) -> bytes:
    """Take an answer in, piece by piece.

    Args:
        pieces: Bytes as they come from the server.
        packing: Its `Content-Encoding`; empty where it has none.
        most: Bytes that the answer may have, packed and unpacked.
        late: Asked after each piece whether it has taken too long.
        owner: Whose answer it is, for the message.
    Raises:
        EncoderUnavailable: Too late, or packed in a way that cannot be undone.
        EncoderMisconfigured: Too large, or packed as nobody asked for.
    """
    parts, size = [], 0
    for piece in pieces:
        parts.append(piece)
        size += len(piece)
        if size > most:
            raise _too_large(most, owner)
        if late():
            raise EncoderUnavailable(
                owner,
                "a whole answer in five times `timeout`",
                f"{size:,} bytes of one",
                "The server trickles: is it overloaded, or a proxy between?",
            )
    body = b"".join(parts)
    packing = packing.strip().lower()
    if packing in ("", "identity"):
        return body
    if packing not in _PACKED:
        raise EncoderMisconfigured(
            owner,
            f"an answer as it is, or packed by {ASKED}",
            f"the Content-Encoding {packing[:40]!a}",
            "Is there a proxy between that packs answers unasked?",
        )
    try:
        unpacked = zlib.decompressobj(_ANY_HEADER).decompress(body, most + 1)
    except zlib.error as cause:
        raise EncoderUnavailable(
            owner, f"an answer packed by {ASKED}", str(cause), "Is there a proxy between?"
        ) from cause
    if len(unpacked) > most:
        raise _too_large(most, owner)
    return unpacked


def _too_large(most: int, owner: str) -> EncoderMisconfigured:
    return EncoderMisconfigured(
        owner,
        f"an answer of at most {most:,} bytes",
        "more",
        "Is this the address of an OpenAI-compatible server?",
    )
