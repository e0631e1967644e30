"""A change feed: which items were written past Holdfast, as the source itself remembers it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Change:
    """An item was inserted, changed or deleted; which of these, its content tells.

    Args:
        mark: Where it stands in the feed.
        id: The item.
    """

    mark: int
    id: str


@runtime_checkable
class Feed(Protocol):
    """A source that remembers what changed until it is told that this was taken over.

    Whoever reads the content of a change after the change itself sees it as it was then, or
    newer: so nothing is lost where several writers overlap.
    """

    def following(self) -> AbstractContextManager[bool]:
        """Take the feed for oneself; answers False while somebody else has it."""
        ...

    def latest(self) -> int:
        """The greatest mark among changes that were not taken over; 0 without any."""
        ...

    def changed(self, limit: int = 1000, after: int = 0) -> list[Change]:
        """The oldest changes that were not taken over.

        Args:
            limit: How many at most, from 1.
            after: Only behind this mark.
        """
        ...

    def answers(self) -> bool:
        """Whether the source can be read at all just now."""
        ...

    def taken(self, changes: Sequence[Change]) -> None:
        """Forget changes: they have arrived."""
        ...
