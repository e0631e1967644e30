"""Alarms: tests that look at every new value and may stop at any moment.

Each value becomes a fair bet: a factor whose mean is at most 1 as long as nothing has changed,
given all that came before. An alarm multiplies them up, begins anew with every value, and sums
all these beginnings: M <- (M + 1) x bet. As long as nothing changes the mean of M after n
values is at most n, so the chance that M ever exceeds c among n values is at most n / c: this
is the stated rate of false alarms. After a change M grows like the best beginning, however long
the quiet time before was.

`Ranks` makes bets without a word about how values are spread: only their order counts. `AtMost`
makes them of a bound on a mean, which may move as it likes on its own side of the bound.

Source: e-detectors of Shiryaev and Roberts' kind, Shin, Ramdas & Rinaldo 2023; p-values by
rank, Vovk, Gammerman & Shafer 2005, and power bets on them, Vovk et al. 2021; bets on a bounded
mean, Waudby-Smith & Ramdas 2024. Departs from them: bets are a fixed mixture of a few sizes and
are not tuned; the bound is optional stopping for n values instead of a mean time between
alarms.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Bets = npt.NDArray[np.float64]

POWERS = np.array([0.1, 0.25, 0.5, 0.75])
SIZES = np.array([0.1, 0.3, 0.6, 0.9])  # parts of what may be lost on one value
_KEPT = 10_000  # values that later ones are ranked among


class Alarm:
    """Sums up bets; rings when the sum exceeds a threshold.

    Args:
        threshold: c above; n values of nothing ring with a chance of n / c at most.
    Attributes:
        level: M: how much speaks for a change.
        seen: Values so far.
        since: Values since the sum was last far from ringing: about how old the change is.
    Example:
        >>> alarm = Alarm(100.0)
        >>> [alarm.add(np.array([3.0])) for _ in range(4)]
        [False, False, False, True]
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.clear()

    def clear(self) -> None:
        """Forget all bets."""
        self.level, self.seen, self.since = 0.0, 0, 0
        self._sums = np.zeros(1)

    def add(self, bets: Bets) -> bool:
        """Take the bets on one value, one of each size; answers whether it rings."""
        self._sums = (self._sums + 1.0) * bets
        self.level = float(self._sums.mean())
        self.seen += 1
        self.since = self.since + 1 if self.level > self.threshold**0.4 else 0
        return self.level >= self.threshold


class Ranks:
    """Bets that values come in any order: large where low values come late.

    Args:
        seed: Breaks ties at random.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._known: list[float] = []
        self._learnt: list[float] = []

    def __len__(self) -> int:
        return len(self._known)

    @property
    def known(self) -> Sequence[float]:
        """The values so far, rising."""
        return tuple(self._known)

    def learn(self, values: Sequence[float]) -> None:
        """Take values without a bet."""
        for value in values:
            insort(self._known, float(value))
            insort(self._learnt, float(value))

    def forget(self) -> None:
        """Keep only what was learnt: what came later was wrong, as it turned out."""
        self._known = list(self._learnt)

    def place(self, value: float) -> float:
        """In (0, 1): the part of all values so far that is lower; then it is one of them.

        Where all orders are equally likely these are independent and spread evenly. Beyond ten
        thousand values new ones are ranked, but not kept.
        """
        low, high = bisect_left(self._known, value), bisect_right(self._known, value)
        among = low + (high - low + 1) * (1.0 - self._random.random())
        place = among / (len(self._known) + 1)
        if len(self._known) < _KEPT:
            insort(self._known, value)
        return place

    def bets(self, value: float) -> Bets:
        """One for each of `POWERS`."""
        bets: Bets = POWERS * self.place(float(value)) ** (POWERS - 1.0)
        return bets


class AtMost:
    """Bets that the mean of values in [0, 1] is at most a bound.

    Args:
        bound: In (0, 1).
    """

    def __init__(self, bound: float) -> None:
        self.bound = bound

    def bets(self, value: float) -> Bets:
        """One for each of `SIZES`."""
        bets: Bets = 1.0 + SIZES / self.bound * (min(max(value, 0.0), 1.0) - self.bound)
        return bets
