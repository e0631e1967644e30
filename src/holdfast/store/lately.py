"""What was asked a moment ago: a search wants to know several times how many rows there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lately(Generic[T]):
    """An answer that is believed for a while, and asked for again after each write.

    Args:
        ask: Asks for it anew.
        seconds: For which it is believed: others may write too.
    Example:
        >>> numbers = iter(range(9))
        >>> lately = Lately(lambda: next(numbers), seconds=60.0)
        >>> lately.now(), lately.now(), lately.forget(), lately.now()
        (0, 0, None, 1)
    """

    def __init__(self, ask: Callable[[], T], seconds: float) -> None:
        self._ask, self._seconds = ask, seconds
        self._known: tuple[float, T] | None = None
        self._version = object()  # another one after each write

    def now(self) -> T:
        """The answer; what was asked for beside a write is not kept, since it may be older."""
        known, version = self._known, self._version
        if known is None or time.monotonic() - known[0] > self._seconds:
            begun = time.monotonic()
            known = begun, self._ask()
            if version is self._version:
                self._known = known
        return known[1]

    def forget(self) -> None:
        """Something was written."""
        self._version, self._known = object(), None
