"""Two stores that know they are neighbours: what must change in both can do so at once."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

from .base import VectorStore


@runtime_checkable
class Transacts(Protocol):
    """A store that can share a transaction with another one."""

    def together(self, other: object) -> AbstractContextManager[None]:
        """All that this thread does in both inside of this happens at once, or not at all.

        Where the other store is no neighbour, nothing is joined.
        """
        ...


def together(first: VectorStore, second: VectorStore) -> AbstractContextManager[None]:
    """One transaction over two stores, where they can; otherwise each call stands alone.

    Example:
        >>> from holdfast.space import Space
        >>> from holdfast.store.memory import MemoryStore
        >>> with together(MemoryStore(Space("a", 2)), MemoryStore(Space("b", 2))):
        ...     pass
    """
    return first.together(second) if isinstance(first, Transacts) else nullcontext()
