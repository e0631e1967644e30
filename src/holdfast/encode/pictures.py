"""Pictures as contents, beside texts.

A content of a model for texts and pictures is one of

    str             a text
    pathlib.Path    a picture's file, opened when it is encoded
    bytes           what such a file holds
    PIL.Image       a picture that is open already

so a name of a file that should be opened must be a `Path`: a string is always read as text.
Sources answer paths, which keeps a batch of photographs small until it is their turn.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, TypeAlias

import numpy as np

from ..errors import UnfitContent
from ..items import Content, Role, as_contents
from ..optional import need
from .base import check_characters

Picture: TypeAlias = Any  # a PIL.Image.Image of three channels

# Models scale the shorter side to theirs, and would make gigabytes of a line of single pixels.
_THINNEST = 200


def is_picture(content: Content) -> bool:
    """Whether a content is a picture; nothing is opened, and nothing imported.

    Example:
        >>> from pathlib import Path
        >>> is_picture(Path("cat.jpg")), is_picture("cat.jpg")
        (True, False)
    """
    opens = isinstance(content, bytes | PurePath)
    return opens or (not isinstance(content, str) and hasattr(content, "convert"))


def as_texts_and_pictures(contents: Sequence[Content], role: Role, owner: str) -> list[Content]:
    """`as_contents` for a model that reads both.

    Raises:
        UnfitContent: A content is neither.
    """
    given = as_contents(contents, role, owner)
    for place, content in enumerate(given):
        if isinstance(content, str):
            check_characters(content, place, owner)
        elif not is_picture(content):
            raise UnfitContent(
                owner,
                "texts and pictures",
                f"{type(content).__name__} at place {place}",
                "A picture is a Path, the bytes of a file, or a PIL image.",
            )
    return given


def opened(content: Content, owner: str) -> Picture:
    """A picture of three channels of 8 bits, the way up its camera says.

    Args:
        content: A path, bytes, or an open picture, which is not changed.
        owner: Who asks, for the message.
    Raises:
        UnfitContent: It cannot be read as a picture, or has no pixels, or a side that is more
            than 200 times the other.
    """
    library = need("PIL.Image")
    turned = need("PIL.ImageOps").exif_transpose
    name = str(content) if isinstance(content, PurePath) else f"{type(content).__name__}"
    try:
        if not isinstance(content, bytes | PurePath):
            _check_sides(*content.size)
            return _eight_bits(turned(content), getattr(content, "format", None)).convert("RGB")
        data = io.BytesIO(content) if isinstance(content, bytes) else content
        with library.open(data) as picture:
            _check_sides(*picture.size)
            return _eight_bits(turned(picture), picture.format).convert("RGB")
    except MemoryError:  # no fault of the file
        raise
    except Exception as cause:  # damaged files raise whatever their decoder does
        raise UnfitContent(
            owner,
            "a picture that can be opened",
            f"{name}: {cause}",
            "Is the file whole, and of a format that Pillow reads?",
        ) from cause


def _check_sides(width: int, height: int) -> None:
    if not 0 < max(width, height) <= _THINNEST * min(width, height):
        sides = f"{width} by {height} pixels"
        raise ValueError(f"{sides}, where one side is at most {_THINNEST} times the other")


def _eight_bits(picture: Picture, form: str | None) -> Picture:
    """Grey of 16 bits as grey of 8, where Pillow would make white of nearly all of it.

    Raises:
        ValueError: Numbers of which nothing says what is black and what is white.
    """
    if picture.mode.startswith("I;16") or (picture.mode == "I" and form == "PNG"):
        upper = np.asarray(picture).astype(np.int64) >> 8
        return need("PIL.Image").fromarray(upper.astype(np.uint8))
    if picture.mode in {"I", "F"}:
        low, high = picture.getextrema()
        shares = picture.mode == "F" and 0 < high <= 1
        if shares or not 0 <= low <= high <= 255:  # NaN included
            raise ValueError(f"pixels from {low:g} to {high:g}, not from 0 to 255")
    return picture
