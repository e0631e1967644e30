"""Turns: one at a time through a model, in the order in which they came.

A lock would do for one at a time. But whoever lets go of a lock and takes it again at once is
mostly first, so that a query could wait for a whole backfill between two of its batches.
"""

from __future__ import annotations

import threading
from collections import deque
from types import TracebackType
from weakref import WeakValueDictionary


class Turn:
    """Enter with `with`; whoever came first goes first. Not reentrant."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._line: deque[object] = deque()  # the first has the turn

    def __enter__(self) -> None:
        mine = object()
        with self._changed:
            self._line.append(mine)
            try:
                while self._line[0] is not mine:
                    self._changed.wait()
            except BaseException:  # such as Ctrl-C: whoever leaves the line must not block it
                self._line.remove(mine)
                self._changed.notify_all()
                raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._line.popleft()
            self._changed.notify_all()


_TURNS: WeakValueDictionary[int, Turn] = WeakValueDictionary()  # as long as somebody uses one
_FINDING = threading.Lock()


def turn_of(model: object) -> Turn:
    """The turns of a loaded model: encoders that were given the same one share them."""
    with _FINDING:
        return _TURNS.setdefault(id(model), Turn())
