"""Pace: how many items in a batch, how many a second, and how long to wait after a failure."""

from __future__ import annotations

import random
from collections.abc import Callable

from ..errors import EncoderError


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
        rate: Items a second; 0 for no limit.
        clock: Answers seconds.
        sleep: Waits seconds.
    """

    def __init__(
        self, rate: float, clock: Callable[[], float], sleep: Callable[[float], object]
    ) -> None:
        self.rate = rate
        self._clock, self._sleep = clock, sleep
        self._free_at = 0.0

    def wait(self, items: int) -> None:
        """Wait until this many more items may start."""
        if self.rate <= 0:
            return
        now = self._clock()
        if self._free_at > now:
            self._sleep(self._free_at - now)
        self._free_at = max(now, self._free_at) + items / self.rate


def delay(error: EncoderError, attempt: int, backoff: float) -> float:
    """Seconds before the next try: what the provider asked for, else doubling with jitter."""
    asked = getattr(error, "retry_after", None)
    if asked is not None:
        return float(asked)
    return backoff * 2.0**attempt * random.uniform(0.5, 1.0)  # noqa: S311 - not for secrets
