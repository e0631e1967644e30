"""Movers: how an item's vector in the new space comes about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..arrays import IntArray, Vectors, as_vectors
from ..encode.base import as_answer
from ..errors import (
    EncoderError,
    EncoderMisconfigured,
    HoldfastError,
    InvalidInput,
    SourceError,
)
from ..items import Item
from ..space import Space
from ..store.base import Rows
from .side import Encodes, Maps
from .sides.halving import halve

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
    alone, see `halving.py`.

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
        gone = {rows.ids[i]: GONE for i, item in enumerate(items) if item is None}
        contents = [item.content for item in items if item is not None]
        return _moved(
            rows if len(there) == len(rows) else rows.take(np.array(there, dtype=np.intp)),
            lambda places: self._checked([contents[i] for i in places.tolist()]),
            self.target,
            gone,
        )

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

    def _checked(self, contents: list[object]) -> Vectors:
        made = self.encoder.encode(contents, "document")
        return as_answer(made, len(contents), self.target, f"encoder of {self.target.name}")


class Translate:
    """Maps stored vectors through a bridge; no content and no model is needed.

    Where what it makes of some cannot be stored, those are found as a model's failures are.

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
        old = rows.vectors_read
        return _moved(rows, lambda places: self._mapped(old, places), self.target)

    def _mapped(self, old: Vectors, places: IntArray) -> Vectors:
        made = self.bridge.transform(old if len(places) == len(old) else old.take(places))
        return as_vectors(made, self.target, f"bridge into {self.target.name}")


class Copy:
    """Carries vectors over unchanged: another store, the same space."""

    reads_vectors = True

    def __init__(self, space: Space) -> None:
        self.target = space

    def move(self, rows: Rows) -> Moved:
        return Moved(rows, rows.vectors_read)


def _moved(
    rows: Rows,
    make: Callable[[IntArray], Vectors],
    space: Space,
    gone: Mapping[str, str] | None = None,
) -> Moved:
    """Vectors of rows, made at once or as far as they can be."""
    found = halve(len(rows), make, is_of_items)
    failed = {rows.ids[place]: str(error) for place, error in found.errors.items()}
    arrays = [part.array for part in found.answers]
    none = np.zeros((0, space.dim), dtype=np.float32)
    array = arrays[0] if len(arrays) == 1 else np.concatenate([none, *arrays])
    kept = rows if not failed else rows.take(np.array(found.kept, dtype=np.intp))
    return Moved(kept, Vectors(space, array), {**(gone or {}), **failed})


def is_of_items(error: HoldfastError) -> bool:
    """Whether a failure is a model's, and about the items, so that other ones would fare better."""
    if isinstance(error, EncoderMisconfigured) or getattr(error, "transient", False):
        return False
    return isinstance(error, EncoderError | InvalidInput)
