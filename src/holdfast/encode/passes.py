"""Passes: how many contents go through a model at once.

A query that comes while a model is at documents waits for the pass, see `turn.py`. Where a pass
takes long it is no faster an item than one of a few, and a pass takes as long for each as for
its longest, so passes are kept short: `python -m bench.passes`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ..errors import ConfigError

SHORT = 0.1  # seconds that a pass takes at most, if one content does not take longer
_FIRST = 4  # contents of the first pass, which tells how long one takes
_STEP = 2.0  # nothing is believed to have become cheaper, or dearer, by more at once


class Passes:
    """Cuts contents into passes, by how long those before took.

    Args:
        most: Contents in one pass.
        short: Seconds that one takes at most, about.
        clock: Answers seconds.
    Raises:
        ConfigError: No content in a pass.
    """

    def __init__(
        self,
        most: int,
        short: float = SHORT,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if most < 1:
            raise ConfigError("batch_size", "at least 1", repr(most))
        self.most, self._short, self._clock = most, short, clock
        self._each: float | None = None  # seconds that one unit of work takes

    def cut(self, work: Sequence[float]) -> Iterator[slice]:
        """Pieces of contents, one after the other; each is run before the next is asked for.

        Args:
            work: What each takes, in any unit, the most first: a pass takes as long for each as
                for its longest.
        """
        start = 0
        while start < len(work):
            stop = min(start + self._fits(work[start]), len(work))
            yield slice(start, stop)
            start = stop

    def _fits(self, longest: float) -> int:
        if self._each is None:
            return min(_FIRST, self.most)
        return max(1, min(self.most, int(self._short / max(self._each * longest, 1e-9))))

    @contextmanager
    def timed(self, work: float) -> Iterator[None]:
        """Run a pass.

        Args:
            work: Contents in it times what its longest takes.
        """
        begun = self._clock()
        yield
        now = (self._clock() - begun) / max(work, 1e-9)
        before = now if self._each is None else self._each
        self._each = min(max(now, before / _STEP), before * _STEP)
