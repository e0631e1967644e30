"""Upkeep: when the stores should rebuild what makes them fast.

A graph over rows of which most have left is slow, and rebuilding it on the survivors at
each halving costs, all in all, no more than building it once did. The growing side is tended
at each doubling for the same reason.
"""

from __future__ import annotations

from ..store.base import VectorStore

LEAST = 5_000  # fewer rows are scanned quickly enough as they are


class Upkeep:
    """Tends both stores of a gallery while items move.

    Args:
        old: The shrinking store.
        new: The growing store.
    """

    def __init__(self, old: VectorStore, new: VectorStore) -> None:
        self._old, self._new = old, new
        self._old_at, self._new_at = old.visible, new.visible

    def after_batch(self) -> None:
        """Tend a side that halved or doubled since it was last tended."""
        shown = self._old.visible
        if self._old_at >= LEAST and shown <= self._old_at // 2:
            self._old.tend()
            self._old_at = shown
        shown = self._new.visible
        if shown >= max(LEAST, 2 * self._new_at):
            self._new.tend()
            self._new_at = shown

    def at_rest(self) -> None:
        """Tend both sides: this mix will be searched for some time."""
        self._old.tend()
        self.at_end()

    def at_end(self) -> None:
        """Tend the new side for good."""
        self._new.tend()
        self._new_at = self._new.visible
