"""Many readers, and beside them one who moves, or one writer alone.

Readers pay two uncontended lock operations, well under a microsecond. A waiting writer goes
first, so that a stream of searches cannot hold one up. Who moves items from one side to the
other does not keep readers out, since moving waits for disks: readers ask `moves` whether they
may have met an item on both sides, see `each_once.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType

from ..errors import StoreError


class Turnstile:
    """Shared for readers, exclusive for a writer; not reentrant across kinds."""

    def __init__(self) -> None:
        self._turn = threading.Lock()  # held by who moves or writes
        self._mutex = threading.Lock()  # guards the counter
        self._queue = threading.Lock()  # held by a writer: newcomers wait here
        self._empty = threading.Condition(self._mutex)
        self._readers = 0
        self._closed = False
        self._begun = self._ended = 0  # moves
        self._reader = _Reader(self)

    def reading(self) -> AbstractContextManager[None]:
        """Enter beside other readers; wait while a writer is inside or waiting."""
        return self._reader

    def enter(self) -> None:
        """Come in as a reader; `leave` must follow."""
        entered = False
        try:
            with self._queue, self._mutex:
                self._check()
                self._readers += 1
                entered = True
        except BaseException:
            if entered:  # an interrupt between here and the caller: nobody would leave
                self.leave()
            raise

    def leave(self) -> None:
        """Go out as a reader."""
        with self._mutex:
            self._readers -= 1
            if not self._readers:
                self._empty.notify_all()

    @property
    def moves(self) -> int | None:
        """How many moves there have been; None while one goes on, or was cut off by an error."""
        ended = self._ended
        return ended if ended == self._begun else None

    @contextmanager
    def steady(self) -> Iterator[None]:
        """Keep out who moves and who writes, and nobody who reads."""
        with self._turn:
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
        with self._turn, self._queue:
            self._check()
            self._wait()
            yield

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Enter alone, as the last one but for others who close."""
        with self._turn, self._queue:
            self._closed = True
            self._wait()
            yield

    def _wait(self) -> None:
        with self._empty:
            while self._readers:
                self._empty.wait()

    def _check(self) -> None:
        if self._closed:
            raise StoreError("Gallery", "an open gallery", "a closed one", "Open it again.")


class _Reader:
    """Enters and leaves a turnstile; one for all readers, since it keeps nothing itself.

    A generator would cost each search a microsecond more.
    """

    def __init__(self, gate: Turnstile) -> None:
        self._gate = gate

    def __enter__(self) -> None:
        self._gate.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._gate.leave()
