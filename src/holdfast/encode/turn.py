"""Turns: one pass at a time through a model, or so many to a server, queries before documents.

Somebody waits for the answer to a query, nobody for the next batch of a backfill. Among queries,
and among documents, whoever came first goes first. A lock would not do: whoever lets go of one and
takes it again at once is mostly first, so that a query could wait for a whole backfill.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from ..items import Role

_OVERTAKEN = 32  # queries that go before documents that came earlier: then these have their pass


class Turn:
    """The line in front of a model.

    Args:
        places: How many have their turn at once.
    """

    def __init__(self, places: int = 1) -> None:
        self._changed = threading.Condition()
        self._free = places
        self._queries: list[object] = []
        self._documents: list[object] = []
        self._overtaken = 0  # how often the first of the documents was

    @contextmanager
    def of(self, role: Role) -> Iterator[None]:
        """Wait for the turn, and have it until the end of the block. Not reentrant."""
        mine = object()
        line = self._queries if role == "query" else self._documents
        with self._changed:
            line.append(mine)
            try:
                while not self._free or self._first() is not mine:
                    self._changed.wait()
            except BaseException:  # such as Ctrl-C: whoever leaves the line must not block it
                line.remove(mine)
                self._changed.notify_all()
                raise
            line.pop(0)
            self._free -= 1
            if self._free:  # for whoever is first now
                self._changed.notify_all()
            if line is self._documents:
                self._overtaken = 0
            elif self._documents:
                self._overtaken += 1
        try:
            yield
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()

    def _first(self) -> object:
        """Who is next. Changes with the line only, so that those who wait agree on it."""
        if self._queries and (self._overtaken < _OVERTAKEN or not self._documents):
            return self._queries[0]
        return self._documents[0]


_TURNS: WeakValueDictionary[int, Turn] = WeakValueDictionary()  # as long as somebody uses one
_FINDING = threading.Lock()


def turn_of(model: object) -> Turn:
    """The turns of a loaded model: encoders that were given the same one share them."""
    with _FINDING:
        return _TURNS.setdefault(id(model), Turn())
