"""The meter: how long live searches take just now."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

_KEPT = 1_024  # searches that are remembered
_LATELY = 5.0  # seconds


class Meter:
    """Remembers the latest searches; any thread may note one.

    Args:
        clock: Answers seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.count = 0  # of all calls so far
        self._latest: deque[tuple[float, float]] = deque(maxlen=_KEPT)

    def note(self, begun: float) -> float:
        """A search that began then has ended now; answers the seconds it took."""
        now = self.clock()
        self._latest.append((now, now - begun))
        self.count += 1
        return now - begun

    def quantile(self, level: float, within: float = _LATELY) -> float | None:
        """Seconds that this part of the latest calls stayed below; None where there was none.

        Args:
            level: In [0, 1]; the least value that at least this part does not exceed.
            within: Seconds that count as lately.
        """
        since = self.clock() - within
        lately = sorted(took for ended, took in list(self._latest) if ended >= since)
        if not lately:
            return None
        return lately[max(math.ceil(level * len(lately)) - 1, 0)]
