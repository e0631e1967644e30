"""What a source is: a place where the content of an item is read again.

`check.py` is the contract in executable form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ..errors import InvalidInput
from ..items import Item

MOST = 2**31 - 1  # items in a page: databases fail at larger limits


@dataclass(frozen=True, slots=True)
class ItemPage:
    """A piece of a scan.

    Args:
        items: Up to `limit` items.
        after: Pass it to `scan` for the next piece; None when this was the last. It stays
            valid in another process, as long as the source is unchanged.
    """

    items: list[Item]
    after: str | None = None

    def __len__(self) -> int:
        return len(self.items)


@runtime_checkable
class Source(Protocol):
    """Items that can be read by id and one after the other. Nothing here writes."""

    def __len__(self) -> int:
        """How many items there are."""
        ...

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        """Read items.

        Args:
            ids: Any ids, in any order.
        Returns:
            One entry for each id, in their order; None where the content is gone.
        Raises:
            SourceError: The content is there and cannot be read.
        """
        ...

    def scan(self, after: str | None = None, limit: int = 1000) -> ItemPage:
        """All items in a stable order, piece by piece; each exactly once.

        Args:
            after: The `after` of the piece before; None to begin.
            limit: How many items at most, from 1.
        Raises:
            InvalidInput: A limit below 1.
            SourceError: The content cannot be read, or `after` is not from here.
        """
        ...


def check_limit(limit: int) -> int:
    """A number of items that can be asked for."""
    if not 1 <= limit <= MOST:
        raise InvalidInput("scan", f"a limit of at least 1 and at most {MOST:,}", str(limit))
    return limit
