"""How fast things go: items moved a second, and how long searches take on each side."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WINDOW = 300.0  # seconds of searches that are told
_KEPT = 5_000  # searches of a side
_RATE_WINDOW = 20.0  # seconds
SIDES = ("old", "both", "new")
SPARKS = 30  # pieces that the window is cut into


class Tempo:
    """Items a second over the last seconds.

    Args:
        clock: Answers seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque(maxlen=2_000)
        self._lock = threading.Lock()

    def reset(self) -> None:
        """Another run begins."""
        with self._lock:
            self._seen.clear()

    def note(self, done: int) -> None:
        """So many items are on the new side now."""
        now = self._clock()
        with self._lock:
            self._seen.append((now, done))
            while len(self._seen) > 2 and self._seen[0][0] < now - _RATE_WINDOW:
                self._seen.popleft()

    @property
    def rate(self) -> float:
        """Items a second; 0 while nothing moves."""
        with self._lock:
            if len(self._seen) < 2:
                return 0.0
            (first, before), (last, after) = self._seen[0], self._seen[-1]
            now = self._clock()
        if now - last > _RATE_WINDOW:
            return 0.0
        return max(after - before, 0) / max(last - first, 1e-3)


@dataclass(frozen=True, slots=True)
class Spell:
    """How long the latest searches of one side took.

    Args:
        side: "old", "both" or "new": which side answered.
        searches: How many calls in the window.
        p50: Half of them took no longer, in seconds; 0 without any.
        p99: Of a hundred, one took longer.
        pieces: (time before now, p50) through the window, oldest first; empty pieces left out.
    """

    side: str
    searches: int
    p50: float
    p99: float
    pieces: tuple[tuple[float, float], ...]


class Latency:
    """Remembers how long searches took, by the side that answered.

    Args:
        clock: Answers seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen = {side: deque[tuple[float, float]](maxlen=_KEPT) for side in SIDES}
        self._lock = threading.Lock()

    def note(self, side: str, seconds: float) -> None:
        """One call."""
        with self._lock:
            self._seen.setdefault(side, deque(maxlen=_KEPT)).append((self._clock(), seconds))

    def spells(self) -> list[Spell]:
        """One for each side, in the order of an upgrade."""
        now = self._clock()
        with self._lock:
            seen = {side: list(calls) for side, calls in self._seen.items()}
        return [_spell(side, now, calls) for side, calls in seen.items()]


def _spell(side: str, now: float, calls: list[tuple[float, float]]) -> Spell:
    recent = [(now - at, took) for at, took in calls if now - at <= WINDOW]
    if not recent:
        return Spell(side, 0, 0.0, 0.0, ())
    took = np.array([seconds for _, seconds in recent])
    p50, p99 = np.percentile(took, [50, 99])
    pieces: dict[int, list[float]] = {}
    for age, seconds in recent:
        pieces.setdefault(int(age / WINDOW * SPARKS), []).append(seconds)
    drawn = tuple(
        (piece * WINDOW / SPARKS, float(np.median(pieces[piece])))
        for piece in sorted(pieces, reverse=True)
    )
    return Spell(side, len(recent), float(p50), float(p99), drawn)
