"""Pace: how many items in a batch, how many a second, and how long to wait after a failure."""

from __future__ import annotations

import random
from collections.abc import Callable

from ...encode.retry import SLICE, waited
from ...errors import EncoderError
from ..search.meter import Meter


class BatchSize:
    """Grows while larger batches are faster, halves when the model is throttled.

    Args:
        start: Items in the first batch.
        largest: Never more than this.
    """

    def __init__(self, start: int, largest: int) -> None:
        self.value = min(start, largest)
        self._largest = largest
        self._best = 0.0

    def succeeded(self, items: int, seconds: float) -> None:
        """Learn from a full batch: go on growing while the rate rises by a fiftieth."""
        if items < self.value:
            return
        rate = items / max(seconds, 1e-9)
        if rate > 1.02 * self._best:
            self._best = rate
            self.value = min(2 * self.value, self._largest)

    def failed(self) -> None:
        """Learn from a throttled or timed-out batch; the old best rate no longer counts."""
        self.value = max(1, self.value // 2)
        self._best = 0.0


class RateLimit:
    """At most so many items a second, counted from the first; unused time is not saved up.

    Args:
        rate: Items a second; 0 for no limit. Another one holds at once, also for who waits.
        clock: Answers seconds.
        sleep: Waits seconds.
    """

    def __init__(
        self, rate: float, clock: Callable[[], float], sleep: Callable[[float], object]
    ) -> None:
        self.rate = rate
        self._clock, self._sleep = clock, sleep
        self._since, self._items = 0.0, 0  # when the latest items might start, and how many

    def wait(self, items: int, stop: Callable[[], bool] = lambda: False) -> None:
        """Wait until this many more items may start.

        Args:
            items: How many.
            stop: Whether they shall not start any more.
        """
        begun, rate, left = self._clock(), self.rate, self._left()
        while left > 0.0:
            if stop():
                return  # they do not start
            if self.rate != rate:
                begun, rate, left = self._clock(), self.rate, self._left()
                continue
            self._sleep(min(left, SLICE))
            left -= SLICE
        if self.rate > 0:
            self._since = max(begun, self._since + self._items / self.rate)
            self._items = items
        else:
            self._items = 0

    def _left(self) -> float:
        """Seconds until the latest items have had their time."""
        if self.rate <= 0:
            return 0.0
        return self._since + self._items / self.rate - self._clock()


class Courtesy:
    """Rests between batches while live searches are slow: twice as long each time they still are,
    half as long each time they are not.

    Source: multiplicative increase and decrease, as congestion control knows it (Chiu & Jain 1989).
    Departs from it: both are multiplicative, since here nobody competes for the rest.

    Args:
        goal: Seconds that 95 % of the searches may take; 0 never rests.
        most: Seconds of rest for each second of work, at most.
        meter: Of the live searches.
        clock: Answers seconds.
        sleep: Waits seconds.
    Attributes:
        rest: Seconds of rest for each second of work, as things are.
    """

    _LEVEL, _LATELY = 0.95, 2.0
    _LEAST = 0.25  # of rest, where there is any

    def __init__(
        self,
        goal: float,
        most: float,
        meter: Meter,
        clock: Callable[[], float],
        sleep: Callable[[float], object],
    ) -> None:
        self.rest = 0.0
        self._goal, self._most, self._meter = goal, most, meter
        self._clock, self._sleep = clock, sleep
        self._since = clock()

    def begin(self) -> None:
        """Work begins now."""
        self._since = self._clock()

    def wait(self, stop: Callable[[], bool]) -> None:
        """Rest after the work since the last rest.

        Args:
            stop: Whether somebody asked for a pause meanwhile.
        """
        if self._goal <= 0.0:
            return
        took = self._meter.quantile(self._LEVEL, self._LATELY)
        if took is not None and took > self._goal:
            self.rest = min(max(2.0 * self.rest, self._LEAST), self._most)
        else:
            self.rest = self.rest / 2.0 if self.rest > self._LEAST else 0.0
        left = self.rest * (self._clock() - self._since)
        if left > 0.0:
            waited(left, self._sleep, stop)
        self._since = self._clock()


def delay(error: EncoderError, attempt: int, backoff: float) -> float:
    """Seconds before the next try: what the provider asked for, else doubling with jitter."""
    asked = getattr(error, "retry_after", None)
    if asked:  # 0 is no wait: it would use up all tries at once
        return float(asked)
    return backoff * 2.0**attempt * random.uniform(0.5, 1.0)  # noqa: S311 - not for secrets
