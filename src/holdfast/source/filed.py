"""Items of one file, found by the row that their id stands in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from ..errors import SourceError
from ..items import Item
from .base import ItemPage, check_limit


class Filed(ABC):
    """A source over rows of a file, in the order of the file.

    A subclass sets `path` and `_row`, and reads rows.
    """

    path: Path
    _row: dict[str, int]  # the row of each id

    @abstractmethod
    def _read(self, rows: Sequence[int]) -> list[Item]:
        """The items in rows, which rise."""

    def __len__(self) -> int:
        return len(self._row)

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        rows = [self._row.get(name) for name in ids]
        wanted = sorted({row for row in rows if row is not None})
        found = dict(zip(wanted, self._read(wanted), strict=True))
        return [None if row is None else found[row] for row in rows]

    def scan(self, after: str | None = None, limit: int = 1000) -> ItemPage:
        start = 0
        if after is not None:
            if after not in self._row:
                raise SourceError(f"scan of {self.path}", "a cursor from this file", repr(after))
            start = self._row[after] + 1
        stop = min(start + check_limit(limit), len(self))
        items = self._read(range(start, stop))
        return ItemPage(items, items[-1].id if stop < len(self) else None)
