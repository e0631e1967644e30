"""What an encoder is, and the checks that every encoder shares.

An encoder takes the *contents* of items, never the items, and answers one row for each, in
order. Its space says which model, prefixes and settings made the rows; whatever changes
the numbers changes the fingerprint.

An answer that cannot be used is an `EncoderError`; its `transient` says whether the same
call may succeed later. A wrong call (an unknown role, one string for a list) is an
`InvalidInput`. `check.py` is the contract in executable form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..arrays import Vectors, as_vectors
from ..errors import (
    DimensionMismatch,
    EncoderError,
    EncoderMisconfigured,
    InvalidInput,
    UnfitContent,
    WrongCount,
    WrongSpace,
)
from ..items import Content, Role, as_contents
from ..space import Space

_LENGTH = "Set dim to what the model answers; is it the model you mean?"


@runtime_checkable
class Encoder(Protocol):
    """Contents to vectors. May be called from any thread."""

    @property
    def space(self) -> Space:
        """The space of every answer."""
        ...

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        """One row for each content, in order.

        Args:
            contents: n contents of a kind this model takes; not changed.
            role: "query" for what asks, "document" for what is stored.
        Returns:
            (n, d) vectors; unit rows where the metric is cosine.
        Raises:
            EncoderError: No usable answer; `transient` where a later call may succeed.
            InvalidInput: An unknown role, or no sequence.
        """
        ...


def as_texts(contents: Sequence[Content], role: Role, owner: str) -> list[str]:
    """`as_contents` for a model that reads text only.

    Raises:
        UnfitContent: A content is not text, or text that no encoding of characters can carry.
    """
    texts = as_contents(contents, role, owner)
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise UnfitContent(
                owner,
                "texts",
                f"{type(text).__name__} at place {place}",
                "Make a text of it in the source, or use an encoder for its kind.",
            )
        check_characters(text, place, owner)
    return texts


def check_characters(text: str, place: int, owner: str) -> None:
    """Refuse text that no encoding of characters can carry.

    Args:
        text: The content.
        place: Where it stands in the call, for the message.
        owner: Who asks, for the message.
    Raises:
        UnfitContent: It holds half of a surrogate pair.
    """
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as cause:
        raise UnfitContent(
            owner,
            "text of whole characters",
            f"half of a surrogate pair at place {place}",
            "Read the content again with the right encoding.",
        ) from cause


def as_answer(values: Any, count: int, space: Space, owner: str) -> Vectors:
    """Check what a model answered.

    Args:
        values: What should be (count, d) numbers.
        count: How many contents it was given.
        space: The space the rows must live in.
        owner: Whose answer it is, for the message.
    Raises:
        WrongCount: More or fewer rows than contents.
        EncoderMisconfigured: Rows of another length or space: no content is to blame.
        EncoderError: Anything else that makes the rows unusable: NaN, a zero row under cosine.
    """
    try:
        rows = len(values)
    except TypeError as cause:  # a number, None, an array without dimensions, a generator
        raise EncoderError(
            owner, "an (n, d) array of numbers", f"a {type(values).__name__}"
        ) from cause
    if rows != count:
        raise WrongCount(owner, f"{count} vectors, one for each content", str(rows))
    if count == 0 and not isinstance(values, Vectors):
        return nothing(space)
    try:
        return as_vectors(values, space, owner)
    except WrongSpace as cause:
        raise EncoderMisconfigured(owner, cause.expected, cause.got, cause.fix) from cause
    except InvalidInput as cause:
        # Rows of numbers, but not as many, are about the model; anything else about a content.
        if isinstance(cause, DimensionMismatch) and np.ndim(values) == 2 and np.size(values):
            raise EncoderMisconfigured(owner, cause.expected, cause.got, _LENGTH) from cause
        raise EncoderError(cause.who, cause.expected, cause.got, cause.fix) from cause


def nothing(space: Space) -> Vectors:
    """The answer to no contents: (0, d)."""
    return Vectors(space, np.zeros((0, space.dim), dtype=np.float32))
