"""What encoders of two towers share: texts go through one, pictures through the other.

Both answer rows of one space, so a text may ask for pictures and a picture for texts. A new one
writes `_texts`, `_pictures` and `_space`.
"""

from __future__ import annotations

import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..arrays import FloatArray, Vectors
from ..items import Content, Role
from ..space import Space
from .base import as_answer, nothing
from .passes import Passes
from .pictures import Picture, as_texts_and_pictures, is_picture, opened
from .room import room_for
from .turn import Turn

Tensor: TypeAlias = Any


class TwoTowers(ABC):
    """Texts and pictures to rows of one space.

    Args:
        batch_size: Contents in one pass, at most; fewer where that would take long.
        prefix: Text before every text, such as "a photo of ".
    """

    def __init__(self, batch_size: int, prefix: str) -> None:
        self.batch_size = batch_size
        self.prefix = prefix
        self._lock = threading.RLock()  # while loading
        # Tokenizers are changed while they work, so one pass at a time gets through, and a
        # query waits for one pass of a backfill, not for all of them.
        self._turn = Turn()
        self._text_passes, self._picture_passes = Passes(batch_size), Passes(batch_size)

    @property
    def space(self) -> Space:
        """One space for both towers; the fingerprint covers both."""
        with self._lock:
            return self._space

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        """Texts and pictures, mixed as they come.

        Raises:
            EncoderError: A content that is neither, or a picture that cannot be opened.
        """
        given = as_texts_and_pictures(contents, role, repr(self))
        space = self.space
        if not given:
            return nothing(space)
        rows = np.empty((len(given), space.dim), dtype=np.float32)
        shown = [place for place, content in enumerate(given) if is_picture(content)]
        told = [place for place, content in enumerate(given) if not is_picture(content)]
        self._fill(
            rows,
            told,
            role,
            (self._text_passes, self._texts),
            lambda place: self.prefix + given[place],
        )
        self._fill(
            rows,
            shown,
            role,
            (self._picture_passes, self._pictures),
            lambda place: opened(given[place], repr(self)),
        )
        return as_answer(rows, len(given), space, repr(self))

    def _fill(
        self,
        rows: FloatArray,
        places: list[int],
        role: Role,
        tower: tuple[Passes, Callable[[list[Any]], FloatArray]],
        ready: Callable[[int], Any],
    ) -> None:
        """Pass by pass; files are opened before the pass has its turn."""
        passes, answer = tower
        for some in passes.cut([1.0] * len(places)):  # a text is padded, a picture scaled
            part = places[some]
            batch = [ready(place) for place in part]
            with (
                self._turn.of(role),
                passes.timed(len(part)),
                room_for(self.batch_size, repr(self)),
            ):
                made = answer(batch)
            rows[part] = as_answer(made, len(part), self._space, repr(self)).array

    @property
    @abstractmethod
    def _space(self) -> Space:
        """The space; loads the model on first use."""

    @abstractmethod
    def _texts(self, texts: list[str]) -> FloatArray:
        """(n, d) rows of texts."""

    @abstractmethod
    def _pictures(self, pictures: list[Picture]) -> FloatArray:
        """(n, d) rows of open pictures of three channels."""


def on_host(rows: Tensor) -> FloatArray:
    """(n, d) float32 of a tensor anywhere, in any precision."""
    made: FloatArray = rows.detach().float().cpu().numpy()
    return made


def text_digest(*parts: str) -> str:
    """16 hexadecimal digits over texts, such as a tokenizer's own form."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}\n{part}".encode())
    return digest.hexdigest()[:16]
