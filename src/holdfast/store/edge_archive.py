"""Where the embedded store keeps hidden rows: files that are never searched.

Rows are filed under their point id followed by their own, so that the archive is ordered
like the engine and one scan can run through both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import IntArray, Vectors
from ..space import Space
from .base import Rows
from .edge_payload import KEY, key_of
from .payloads import join as join_payloads
from .rows import NO_SLOT, RowFile


def place_of(name: str) -> str:
    """Where a row stands in the order of a scan."""
    return key_of(name) + name


class Archive:
    """Rows by id; what returns is on disk.

    Args:
        folder: Created if it is not there.
        space: The space of every vector.
    """

    def __init__(self, folder: Path, space: Space) -> None:
        folder.mkdir(exist_ok=True)
        self._file = RowFile(folder, space, prefix=KEY)

    def __len__(self) -> int:
        return self._file.total

    def put(self, rows: Rows) -> None:
        """Add rows or replace them."""
        if len(rows) and rows.vectors is not None:
            places = [place_of(name) for name in rows.ids]
            self._file.upsert(places, rows.vectors, rows.payloads, rows.revisions)

    def drop(self, names: Sequence[str]) -> None:
        """Remove rows; absent ids are fine."""
        if len(self):
            self._file.delete([place_of(name) for name in names])

    def revisions(self, names: Sequence[str]) -> IntArray:
        """(n,) revisions, -1 for ids that are not here."""
        return self._file.revisions([place_of(name) for name in names])

    def there(self, names: Sequence[str]) -> list[str]:
        """Those of the ids that are here."""
        if not len(self):
            return []
        slots = self._file.slots_of([place_of(name) for name in names])
        return [name for name, slot in zip(names, slots, strict=True) if slot != NO_SLOT]

    def get(self, names: Sequence[str], vectors: bool = True) -> Rows:
        """Rows that are here, in the order asked for."""
        return _hidden(self._file.get([place_of(name) for name in names], vectors))

    def scan(self, after: str | None, limit: int, vectors: bool) -> Rows:
        """The first rows whose place comes after the given one."""
        return _hidden(self._file.scan(after, limit, vectors).rows)

    def compact(self) -> None:
        """Give up the room of rows that have left, when it is more than half."""
        self._file.compact()

    def close(self) -> None:
        """Let go of the files."""
        self._file.close()


def _hidden(rows: Rows) -> Rows:
    """Rows as filed, under their own ids."""
    names = [place[KEY:] for place in rows.ids]
    hidden = np.ones(len(rows), dtype=bool)
    return Rows(names, rows.revisions, rows.payloads, hidden, rows.vectors)


def join(a: Rows, b: Rows) -> Rows:
    """Rows of both, one after the other."""
    both: Any = None
    if a.vectors is not None and b.vectors is not None:
        both = Vectors(a.vectors.space, np.concatenate([a.vectors.array, b.vectors.array]))
    return Rows(
        a.ids + b.ids,
        np.concatenate([a.revisions, b.revisions]),
        join_payloads(a.payloads, b.payloads),
        np.concatenate([a.hidden, b.hidden]),
        both,
    )
