"""Items held in memory: for tests, small galleries, and sources made of something else."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from ..arrays import check_ids
from ..items import Item, as_items
from .base import ItemPage, check_limit


class MemorySource:
    """Items in a dictionary, scanned in the order of their ids.

    Args:
        items: Items with distinct ids.
    Raises:
        DuplicateIds: One id twice.
    Example:
        >>> MemorySource([Item("a", "text")]).get(["a", "b"])[1] is None
        True
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._items: dict[str, Item] = {}
        self.upsert(items)

    def __len__(self) -> int:
        return len(self._items)

    def upsert(self, items: Iterable[Item]) -> None:
        """Add items, or replace those of the same id."""
        given = as_items(items, "MemorySource")
        self._items.update(
            zip(check_ids([i.id for i in given], "MemorySource"), given, strict=True)
        )
        self._sorted = sorted(self._items)

    def delete(self, ids: Iterable[str]) -> None:
        """Forget items; absent ids are fine."""
        for name in ids:
            self._items.pop(name, None)
        self._sorted = sorted(self._items)

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        return [self._items.get(name) for name in ids]

    def scan(self, after: str | None = None, limit: int = 1000) -> ItemPage:
        names = self._sorted
        start = 0 if after is None else bisect_right(names, after)
        piece = names[start : start + check_limit(limit)]
        more = start + len(piece) < len(names)
        # Another thread may have deleted some since the names were read.
        found = [item for name in piece if (item := self._items.get(name)) is not None]
        return ItemPage(found, piece[-1] if more else None)
