"""Movers: how an item's vector in the new space comes about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..arrays import Vectors, as_vectors
from ..errors import EncoderError, EncoderMisconfigured, InvalidInput, SourceError, WrongCount
from ..items import Item
from ..space import Space
from ..store.base import Rows
from .side import Encodes, Maps

GONE = "the source no longer has its content"


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a batch.

    Args:
        rows: Those that can move.
        vectors: Theirs, in the new space.
        failed: Reasons for the others, by id.
    """

    rows: Rows
    vectors: Vectors
    failed: dict[str, str] = field(default_factory=dict)


class Mover(Protocol):
    """Answers vectors in the new space; transient errors of a model pass through."""

    @property
    def target(self) -> Space:
        """The new space."""
        ...

    @property
    def reads_vectors(self) -> bool:
        """Whether the rows must come with their old vectors."""
        ...

    def move(self, rows: Rows) -> Moved:
        """Compute the vectors of a batch."""
        ...


class Reads(Protocol):
    """What re-embedding needs of a source."""

    def get(self, ids: Sequence[str]) -> list[Item | None]: ...


class ReEmbed:
    """Reads the content again and runs the new model on it.

    When the model refuses a batch for good, it is halved until the items at fault stand
    alone.

    Args:
        source: Where the content is read.
        encoder: The new model.
    """

    reads_vectors = False

    def __init__(self, source: Reads, encoder: Encodes) -> None:
        self.source, self.encoder = source, encoder

    @property
    def target(self) -> Space:
        return self.encoder.space

    def move(self, rows: Rows) -> Moved:
        items = self._read(rows.ids)
        there = [i for i, item in enumerate(items) if item is not None]
        failed = {rows.ids[i]: GONE for i, item in enumerate(items) if item is None}
        contents = [item.content for item in items if item is not None]
        kept, parts = self._encode(np.array(there, dtype=np.intp), contents, rows.ids, failed)
        array = (
            np.concatenate([part.array for part in parts])
            if parts
            else np.zeros((0, self.target.dim), dtype=np.float32)
        )
        kept_rows = rows if len(kept) == len(rows) else rows.take(kept)
        return Moved(kept_rows, Vectors(self.target, array), failed)

    def _read(self, ids: list[str]) -> list[Item | None]:
        """A source that loses count or order would give items each other's vectors."""
        items = self.source.get(ids)
        if len(items) != len(ids):
            raise SourceError(
                "source",
                f"{len(ids)} answers, one per id",
                str(len(items)),
                "None for what is gone.",
            )
        for name, item in zip(ids, items, strict=True):
            if item is not None and item.id != name:
                raise SourceError("source", f"the item {name!r}", repr(item.id), "Keep the order.")
        return items

    def _encode(
        self, places: np.ndarray, contents: list[object], ids: list[str], failed: dict[str, str]
    ) -> tuple[np.ndarray, list[Vectors]]:
        if not len(places):
            return places, []
        try:
            return places, [self._checked(contents)]
        except (EncoderError, InvalidInput) as error:
            if isinstance(error, EncoderMisconfigured) or getattr(error, "transient", False):
                raise  # no item is at fault
            if len(places) == 1:
                failed[ids[places[0]]] = str(error)
                return places[:0], []
        half = len(places) // 2
        left, a = self._encode(places[:half], contents[:half], ids, failed)
        right, b = self._encode(places[half:], contents[half:], ids, failed)
        return np.concatenate([left, right]), a + b

    def _checked(self, contents: list[object]) -> Vectors:
        made = self.encoder.encode(contents, "document")
        if len(made) != len(contents):
            raise WrongCount(
                f"encoder of {self.target.name}",
                f"{len(contents)} vectors, one per item",
                str(len(made)),
                "The encoder must answer every item, in order.",
            )
        return as_vectors(made, self.target, f"encoder of {self.target.name}")


class Translate:
    """Maps stored vectors through a bridge; no content and no model is needed.

    Args:
        bridge: Leads from the old space to the new one.
    """

    reads_vectors = True

    def __init__(self, bridge: Maps) -> None:
        self.bridge = bridge

    @property
    def target(self) -> Space:
        return self.bridge.target

    def move(self, rows: Rows) -> Moved:
        return Moved(rows, self.bridge.transform(_with_vectors(rows)))


class Copy:
    """Carries vectors over unchanged: another store, the same space."""

    reads_vectors = True

    def __init__(self, space: Space) -> None:
        self.target = space

    def move(self, rows: Rows) -> Moved:
        return Moved(rows, _with_vectors(rows))


def _with_vectors(rows: Rows) -> Vectors:
    if rows.vectors is None:
        raise InvalidInput("mover", "rows with their vectors", "rows without", "Read them so.")
    return rows.vectors
