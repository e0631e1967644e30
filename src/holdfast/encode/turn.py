"""Turns: one at a time through a model, in the order in which they came.

A lock would do for one at a time. But whoever lets go of a lock and takes it again at once is
mostly first, so that a query could wait for a whole backfill between two of its batches.
"""

from __future__ import annotations

import threading
from types import TracebackType


class Turn:
    """Enter with `with`; whoever came first goes first. Not reentrant."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._given = 0
        self._called = 0

    def __enter__(self) -> None:
        with self._changed:
            mine, self._given = self._given, self._given + 1
            while self._called != mine:
                self._changed.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._called += 1
            self._changed.notify_all()
