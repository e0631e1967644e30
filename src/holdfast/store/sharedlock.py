"""A lock that many readers share and one writer has alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType


class SharedLock:
    """Readers run beside each other; a writer waits for them, and new ones wait for it.

    Not reentrant: a thread that reads must not ask again.
    """

    def __init__(self) -> None:
        self._turn = threading.Lock()  # held by a writer, waiting or at work
        self._mutex = threading.Lock()  # guards the counter
        self._empty = threading.Condition(self._mutex)
        self._readers = 0
        self._reading = _Reading(self)

    def shared(self) -> AbstractContextManager[None]:
        """Hold it together with other readers."""
        return self._reading

    def enter(self) -> None:
        """Come in as a reader; `leave` must follow."""
        entered = False
        try:
            with self._turn, self._mutex:
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

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it with nobody else."""
        with self._turn:
            with self._empty:
                self._empty.wait_for(lambda: not self._readers)
            yield

    def _check(self) -> None:
        """Refuse readers, by an error, where a lock is more than this one."""


class _Reading:
    """Enters and leaves a lock; one for all readers, since it keeps nothing itself.

    A generator would cost a search a microsecond more.
    """

    def __init__(self, lock: SharedLock) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        self._lock.enter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.leave()
