"""Retry: how often a request is tried, and how long each try waits for the next."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from ..errors import InvalidInput

SLICE = 0.2  # seconds: between two looks whether to stop
_MOST = 7 * 86_400.0  # seconds: whoever asks for more has sent a moment, or milliseconds

_STOP: ContextVar[Callable[[], bool] | None] = ContextVar("stop", default=None)


@contextmanager
def hearing(stop: Callable[[], bool]) -> Iterator[None]:
    """Let calls of encoders within give up a wait for their server when somebody says stop.

    Args:
        stop: Asked every so often, perhaps from another thread.
    """
    token = _STOP.set(stop)
    try:
        yield
    finally:
        _STOP.reset(token)


def waited(seconds: float, sleep: Callable[[float], object], stop: Callable[[], bool]) -> bool:
    """Wait, and look every so often whether to stop; False where it was stopped."""
    while not stop():
        sleep(min(seconds, SLICE))
        seconds -= SLICE
        if seconds <= 0.0:
            return not stop()
    return False


@dataclass(frozen=True, slots=True)
class Retry:
    """Exponential backoff with jitter; what the server asks for goes first.

    Args:
        tries: Requests in all before giving up.
        first: Seconds of the first wait, doubled for each further one.
        longest: Seconds that one wait may take. A server that asks for more is not waited
            for: whoever called decides.
        sleep: Waits seconds.
        clock: Answers seconds since 1970, to read dates.
        jitter: Answers numbers from 0 to 1; a wait is between half and all of its length.
    Raises:
        InvalidInput: No try, or a negative time.
    Example:
        >>> Retry(tries=3, first=1.0, jitter=lambda: 1.0).wait(after=2, asked=None)
        2.0
    """

    tries: int = 5
    first: float = 0.5
    longest: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.time
    jitter: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if self.tries < 1 or self.first < 0 or self.longest < 0:
            raise InvalidInput(
                "Retry",
                "at least 1 try and no negative time",
                f"tries={self.tries}, first={self.first}, longest={self.longest}",
            )

    def wait(self, after: int, asked: float | None) -> float | None:
        """Seconds until the next try, or None to give up.

        Args:
            after: Tries made so far.
            asked: Seconds that the server asked for; 0, as from a date that has passed on our
                clock, is no wait of its own.
        """
        if after >= self.tries:
            return None
        if asked:
            return asked if asked <= self.longest else None
        # The exponent is bounded so that many tries do not overflow.
        full = min(self.first * 2.0 ** min(after - 1, 60), self.longest)
        return full * (0.5 + 0.5 * self.jitter())

    def rest(self, seconds: float) -> bool:
        """Wait for the next try; answers whether there shall be one, see `hearing`."""
        stop = _STOP.get()
        if stop is None:
            self.sleep(seconds)
            return True
        return waited(seconds, self.sleep, stop)

    def read_after(self, header: str | None) -> float | None:
        """Seconds that a `Retry-After` header asks for: a number of them, or a date.

        Returns:
            None without a header, and for one that is neither, or more than a week.
        Example:
            >>> Retry(clock=lambda: 0.0).read_after("Thu, 01 Jan 1970 00:00:07 GMT")
            7.0
        """
        if header is None:
            return None
        seconds = self._seconds(header.strip())
        return seconds if seconds is not None and seconds <= _MOST else None

    def _seconds(self, text: str) -> float | None:
        if text.isascii() and text.replace(".", "", 1).isdigit():
            return float(text)
        try:
            date = parsedate_to_datetime(text)
        except (ValueError, OverflowError):
            return None
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return max(0.0, date.timestamp() - self.clock())
