"""Documents embedded for a build, or the one among them that cannot be, by its id."""

from __future__ import annotations

from collections.abc import Sequence

from ..arrays import Vectors
from ..encode.base import Encoder
from ..errors import EncoderError, EncoderMisconfigured, InvalidInput, SourceError
from ..items import Item

_SHOWN = 60  # signs of a content in an error


def embedded(encoder: Encoder, items: Sequence[Item]) -> Vectors:
    """Vectors of documents; where the model refuses, it is asked for each one alone.

    Args:
        encoder: The model.
        items: One or more.
    Returns:
        (n, d) vectors.
    Raises:
        SourceError: Names the first item that cannot be embedded.
        EncoderError: The model itself is at fault, or none is refused alone.
    """
    try:
        return encoder.encode([item.content for item in items], "document")
    except (InvalidInput, EncoderError) as error:
        if isinstance(error, EncoderMisconfigured) or getattr(error, "transient", False):
            raise
        for item in items:
            _alone(encoder, item)
        raise


def _alone(encoder: Encoder, item: Item) -> None:
    try:
        encoder.encode([item.content], "document")
    except (InvalidInput, EncoderError) as cause:
        raise SourceError(
            "build",
            "contents that the old model can embed",
            f"item {item.id!r} with {str(item.content)[:_SHOWN]!r}: {cause.got}",
            "Mend it or leave it out, and give the same command again: it goes on.",
        ) from cause
