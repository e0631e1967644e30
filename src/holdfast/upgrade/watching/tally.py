"""What the latest sampled queries showed, in numbers."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

from ...errors import HoldfastError
from ...measure.finding import Finding
from ...measure.interval import Interval, bootstrap, rate
from .sample import Seen

_LATEST = 500  # values of each quantity that are kept
_RATES = ("empty", "flips", "slow")
_METRICS = {"overlap": "overlap@10"}


class Tally:
    """Counts, and the latest values of each quantity."""

    def __init__(self) -> None:
        self.heard = self.sampled = self.dropped = self.failures = 0
        self.last_failure = ""
        self._values: dict[str, deque[float]] = {}
        self._seconds: dict[str, deque[float]] = {}

    def add(self, seen: Seen) -> None:
        """One more compared query."""
        self.sampled += 1
        for name, value in seen.rates.items():
            self.note(name, 1.0 - value if name == "overlap" else value)
        for side, took in seen.seconds.items():
            self._seconds.setdefault(side, deque(maxlen=_LATEST)).append(took)

    def note(self, name: str, value: float) -> None:
        """One more value of a quantity."""
        self._values.setdefault(name, deque(maxlen=_LATEST)).append(value)

    def failed(self, error: Exception) -> None:
        """A query that could not be compared."""
        self.failures += 1
        ours = isinstance(error, HoldfastError)
        self.last_failure = str(error) if ours else f"{type(error).__name__}: {error}"

    def lately(self, name: str, count: int) -> tuple[float, float, float, int]:
        """Mean of the latest values, its interval, and how many there are."""
        values = list(self._values.get(name, ()))[-count:]
        if not values:
            return 0.0, 0.0, 0.0, 0
        told = _interval(name, values)
        return told.value, told.low, told.high, told.n

    def findings(self, cell: str) -> list[Finding]:
        """One for each quantity."""
        found = []
        for name in self._values:
            value, low, high, n = self.lately(name, _LATEST)
            found.append(Finding(_METRICS.get(name, name), cell, value, low, high, n))
        return found

    def numbers(self) -> dict[str, Any]:
        """All of it as JSON."""
        counts = {
            "heard": self.heard,
            "sampled": self.sampled,
            "dropped": self.dropped,
            "failures": self.failures,
            "last_failure": self.last_failure,
        }
        means = {name: sum(v) / len(v) for name, v in self._values.items() if v}
        latency = {
            side: {"p50": _quantile(v, 0.5), "p99": _quantile(v, 0.99)}
            for side, v in self._seconds.items()
        }
        return {**counts, **means, "latency": latency}


def _interval(name: str, values: list[float]) -> Interval:
    if name in _RATES:
        return rate(values)
    return bootstrap(values)


def _quantile(values: deque[float], level: float) -> float:
    rising = sorted(values)
    return rising[max(math.ceil(level * len(rising)) - 1, 0)]
