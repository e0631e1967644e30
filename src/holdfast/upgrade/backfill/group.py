"""Groups of finished batches that are written at once: one journal entry, one round of syncs.

A batch that was quick to compute is soon computed again, so it may wait in memory for the
next ones. One that took longer than writing it takes is written at once, and so is a small
one. Groups grow while larger ones are written faster, and other writes need not wait for long.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from ...arrays import Vectors
from ...store.base import Rows
from ...store.payloads import join
from ..gallery import Gallery
from ..mover import Moved
from .batch import Batch
from .pace import BatchSize

_SMALL = 256  # rows below which a batch is written at once
_FIRST, _MOST = 1_024, 4_096  # rows in the first group, and in any
_PIECE, _LEAST = 128, 64  # rows in the first piece, and in any: each has costs of its own
_BREATH = 0.001  # seconds between two pieces, for the searches that wait
_SECONDS = 0.1  # of writing, in which no other write is, from which groups shrink


class Group:
    """Holds finished batches back and moves them together.

    Args:
        gallery: Moves them.
        clock: Answers seconds.
        goal: Seconds that searches may take, as the plan says: no write shall take longer, since
            other writes wait meanwhile, and some engines keep the interpreter, so larger groups
            are written in pieces; 0 where it does not say.
        sleep: Waits seconds.
    """

    def __init__(
        self,
        gallery: Gallery,
        clock: Callable[[], float],
        goal: float = 0.0,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._gallery, self._clock, self._sleep, self._goal = gallery, clock, sleep, goal
        self._seconds = min(_SECONDS, goal) if goal > 0.0 else _SECONDS
        self._held: list[tuple[Rows, Vectors, list[int], int]] = []
        self._names: set[str] = set()
        self._size = BatchSize(_FIRST, _MOST)
        self._each = 0.0  # seconds that writing a row takes
        self.claimed = 0  # places that were claimed for what is held
        self._refused: dict[str, str] = {}

    def add(self, batch: Batch, moved: Moved, seconds: float) -> bool:
        """Take a batch in, and write what should not wait.

        Args:
            batch: As it was claimed.
            moved: What became of it.
            seconds: That computing it took.
        Returns:
            Whether it was written, and all that was held before.
        """
        rows = moved.rows
        if not self._names.isdisjoint(rows.ids):  # queued again meanwhile
            self.write()
        place_of = dict(zip(batch.rows.ids, batch.places, strict=True))
        places = [place_of[name] for name in rows.ids]
        self._held.append((rows, moved.vectors, places, batch.since))
        self._names.update(rows.ids)
        self.claimed += len(batch.places)
        count = len(rows)
        room = self._size.value - len(self._names)
        if _SMALL <= count <= room and seconds <= self.cost(count):
            return False
        self.write()
        return True

    def write(self) -> None:
        """Move what is held; what fails here stays in the queue."""
        held, self._held = self._held, []
        self._names, self.claimed = set(), 0
        if not held:
            return
        rows, vectors, places, since = held[0] if len(held) == 1 else _joined(held)
        if len(rows) <= self._piece(len(rows)):  # as it nearly always is: without a copy
            self._move(rows, vectors, places, since)
            return
        every, done = np.arange(len(rows)), 0
        while done < len(rows):
            some = slice(done, done + self._piece(len(rows)))
            if done:
                self._sleep(_BREATH)  # or the lock would not change hands
            self._move(rows.take(every[some]), vectors.take(some), places[some], since)
            done = some.stop

    def refused(self) -> dict[str, str]:
        """Why the new store did not take items, by their ids; of each it tells once."""
        told, self._refused = self._refused, {}
        return told

    def _piece(self, rows: int) -> int:
        """Rows that can be written while a search or another write waits."""
        if not self._goal:
            return max(rows, 1)
        return max(int(self._goal / self._each + 1e-6), _LEAST) if self._each else _PIECE

    def _move(self, rows: Rows, vectors: Vectors, places: list[int], since: int) -> None:
        begun = self._clock()
        self._refused |= self._gallery.move(rows, vectors, places, since)
        seconds = self._clock() - begun
        self._each = seconds / max(len(rows), 1)
        if seconds > self._seconds:
            self._size.failed()
        else:
            self._size.succeeded(len(rows), seconds)

    def cost(self, rows: int) -> float:
        """Seconds that writing so many rows takes, as far as is known."""
        return rows * self._each


def _joined(
    held: list[tuple[Rows, Vectors, list[int], int]],
) -> tuple[Rows, Vectors, list[int], int]:
    """Several batches as one, read when the first of them was."""
    parts, vectors, places, since = zip(*held, strict=True)
    payloads = parts[0].payloads
    for part in parts[1:]:
        payloads = join(payloads, part.payloads)
    rows = Rows(
        [name for part in parts for name in part.ids],
        np.concatenate([part.revisions for part in parts]),
        payloads,
        np.concatenate([part.hidden for part in parts]),
    )
    array = np.concatenate([some.array for some in vectors])
    joined = Vectors(vectors[0].space, array)
    return rows, joined, [place for some in places for place in some], min(since)
