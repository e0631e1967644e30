"""Upkeep: when the stores should rebuild what makes them fast.

A graph over rows of which most have left is slow, and rebuilding it on the survivors at
each halving costs, all in all, no more than building it once did. The growing side is tended
at each doubling for the same reason.

That is worth it while the mix is searched for long: where items move faster than graphs are
built, the new side's would be outgrown before they are done. So rebuilding takes at most a
fifth as long as moving does, half as long where live searches come first, and waits for the end
when that is near. What it takes is not known before the first time, which therefore waits
until items have moved for some seconds.

It makes searches quick and no more: where it fails while items move, as when the machine ends a
builder for want of memory, they move on, and it is tried again at the next halving or doubling.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from ...errors import StoreError
from ...store.base import VectorStore
from ...store.growing import Expects, Grows

_LOG = logging.getLogger("holdfast.upgrade")
LEAST = 5_000  # fewer rows are scanned quickly enough as they are
_SHARE, _SEARCHED = 0.2, 0.5  # seconds of upkeep for each second of moving
_DOUBLED = 2.0
_LASTING = 5.0  # seconds of moving before a rebuilding of unknown price
_NEAR = 0.5  # rows still to come, for each one there, for which the end is waited for


class Upkeep:
    """Tends both stores of a gallery while items move.

    Args:
        old: The shrinking store.
        new: The growing store.
        clock: Answers seconds.
        searched: Whether live searches come first. An index that may stop short is then kept up
            with each write, which takes the backfill longer: what an index does not reach is
            compared with each query. More time is spent on rebuilding, too.
    """

    def __init__(
        self,
        old: VectorStore,
        new: VectorStore,
        clock: Callable[[], float] = time.monotonic,
        searched: bool = False,
    ) -> None:
        self._old, self._new, self._clock = old, new, clock
        self._old_at, self._new_at = old.visible, new.visible
        for side in (old, new):
            if isinstance(side, Expects):
                side.expect(self._old_at + self._new_at)
        self._grows = new if isinstance(new, Grows) and not searched else None
        self._share = _SEARCHED if searched else _SHARE
        self._growth = self._grows.growth if self._grows else _DOUBLED
        self._since = clock()
        self._spent = 0.0  # seconds of upkeep, which are not seconds of moving
        self._each = 0.0  # seconds a row, as the last upkeep took

    def after_batch(self) -> None:
        """Tend a side that halved or doubled since it was last tended, if there is time.

        A store whose index stops short while it is filled says itself when it has grown.
        """
        old, new = self._old.visible, self._new.visible
        if self._old_at >= LEAST and old <= self._old_at // 2 and self._affords(old):
            self._tend(self._old, old)
            self._old_at = old
        near = old <= _NEAR * (self._growth - 1.0) * new
        if new >= max(LEAST, self._growth * self._new_at) and not near and self._affords(new):
            self._tend(self._new, new)
            self._new_at = new

    def _affords(self, rows: int) -> bool:
        moving = self._clock() - self._since - self._spent
        if not self._each:
            return moving >= _LASTING
        return self._spent + rows * self._each <= self._share * moving

    def _tend(self, store: VectorStore, rows: int) -> None:
        begun = self._clock()
        try:
            if store is self._new and self._grows is not None:
                self._grows.grow()
            else:
                store.tend()
        except StoreError as error:
            _LOG.warning("%s is searched without its latest index: %s", store.space.name, error)
        seconds = self._clock() - begun
        self._spent += seconds
        self._each = seconds / max(rows, 1)

    def at_rest(self) -> None:
        """Tend both sides: this mix will be searched for some time."""
        self._old.tend()
        self._old_at = self._old.visible
        self.at_end()

    def at_end(self) -> None:
        """Tend the new side for good."""
        self._new.tend()
        self._new_at = self._new.visible
