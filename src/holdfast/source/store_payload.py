"""The payload of a store as a source: for galleries that carry their own text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..arrays import IntArray
from ..errors import MissingIds, SourceError
from ..items import Item
from .base import ItemPage, check_limit

_TRIES = 5  # each lost to a delete between two reads


class PayloadRows(Protocol):
    """What is read of a store's rows."""

    @property
    def ids(self) -> list[str]: ...

    @property
    def payloads(self) -> Sequence[Mapping[str, Any]]: ...


class PayloadPage(Protocol):
    """What is read of a store's page."""

    @property
    def rows(self) -> PayloadRows: ...

    @property
    def after(self) -> str | None: ...


class HoldsPayloads(Protocol):
    """What is needed of a store; every `VectorStore` has it."""

    def __len__(self) -> int: ...

    def get(self, ids: Sequence[str], vectors: bool = True) -> PayloadRows: ...

    def revisions(self, ids: Sequence[str]) -> IntArray: ...

    def scan(
        self, after: str | None = None, limit: int = 1000, vectors: bool = False
    ) -> PayloadPage: ...


class StorePayloadSource:
    """Reads content from a field of the payloads in a store.

    Items keep their whole payload. A row without the field has lost its content: `get`
    answers None and `scan` passes over it, while `len` counts it.

    Args:
        store: The store; it stays the caller's to close.
        field: Payload field of the content.
    """

    def __init__(self, store: HoldsPayloads, field: str = "text") -> None:
        self.store, self.field = store, field

    def __len__(self) -> int:
        return len(self.store)

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        distinct = list(dict.fromkeys(ids))
        for _ in range(_TRIES):
            stored = self.store.revisions(distinct) >= 0
            there = [name for name, known in zip(distinct, stored, strict=True) if known]
            try:
                rows = self.store.get(there, vectors=False)
            except MissingIds:
                continue  # deleted since; look again
            found = {item.id: item for item in self._items(rows)}
            return [found.get(name) for name in ids]
        raise SourceError(
            "StorePayloadSource",
            "a store that holds still for two reads",
            f"rows deleted in between, {_TRIES} times in a row",
            "Try again.",
        )

    def scan(self, after: str | None = None, limit: int = 1000) -> ItemPage:
        page = self.store.scan(after, check_limit(limit), vectors=False)
        return ItemPage(self._items(page.rows), page.after)

    def _items(self, rows: PayloadRows) -> list[Item]:
        return [
            Item(name, payload[self.field], payload)
            for name, payload in zip(rows.ids, rows.payloads, strict=True)
            if payload.get(self.field) is not None
        ]
