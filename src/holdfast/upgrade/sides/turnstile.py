"""Many readers, and beside them one who moves, or one writer alone.

Readers pay two uncontended lock operations, well under a microsecond. A waiting writer goes
first, so that a stream of searches cannot hold one up. Who moves items from one side to the
other does not keep readers out, since moving waits for disks: readers ask `moves` whether they
may have met an item on both sides, see `each_once.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import StoreError
from ...store.sharedlock import SharedLock


class Turnstile(SharedLock):
    """Shared for readers, exclusive for a writer; not reentrant across kinds."""

    def __init__(self) -> None:
        super().__init__()
        self._changing = threading.Lock()  # held by who moves or writes
        self._closed = False
        self._begun = self._ended = 0  # moves

    @property
    def moves(self) -> int | None:
        """How many moves there have been; None while one goes on, and after any change that was
        cut off by an error.
        """
        ended = self._ended
        return ended if ended == self._begun else None

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Keep out who moves and who writes, and nobody who reads."""
        with self._changing:
            self._check()
            yield

    @contextmanager
    def moving(self) -> Iterator[None]:
        """Enter beside readers, alone otherwise."""
        with self.steady():
            self._begun += 1
            yield
            self._ended = self._begun

    def moved(self) -> None:
        """What was cut off has been finished; call it from within `writing`."""
        self._ended = self._begun

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Enter alone."""
        with self.steady(), self.alone():
            try:
                yield
            except BaseException:
                self._begun += 1  # who reads next may meet what is half done
                raise

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Enter alone, as the last one but for others who close."""
        with self._changing:
            self._closed = True
            with self.alone():
                yield

    def _check(self) -> None:
        if self._closed:
            raise StoreError("Gallery", "an open gallery", "a closed one", "Open it again.")
