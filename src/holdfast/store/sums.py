"""Checksums of rows: a bit that turned on the disk is found when the file is opened.

A row's is the sum of its words, modulo 2**32: quicker to take than rows are to read, and no bit
can turn by itself without changing it. It is written in the transaction that makes the row exist.
Rows that an earlier version wrote have none, and are believed.
"""

from __future__ import annotations

import sqlite3
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, IntArray
from .flags import BoolArray
from .vectorfile import VectorFile

WordArray: TypeAlias = npt.NDArray[np.uint32]

TABLE = (
    "CREATE TABLE sums (first INTEGER PRIMARY KEY, generation INTEGER NOT NULL, sums BLOB NOT NULL)"
)
_BLOCK = 4_096  # rows read at once


def sums_of(rows: FloatArray) -> WordArray:
    """(n,) checksums of (n, d) rows.

    Example:
        >>> sums_of(np.array([[1.0, 2.0]], dtype=np.float32)).tolist()
        [2139095040]
    """
    words = np.ascontiguousarray(rows, dtype="<f4").view("<u4")
    sums: WordArray = np.add.reduce(words, axis=1, dtype="<u4")
    return sums


class Sums:
    """A checksum a slot, of batches as they were written. All but `turned` is called inside of a
    transaction of the owner.

    Args:
        connection: Of the database, which has the table.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put(self, first: int, sums: WordArray, generation: int) -> None:
        """Keep those of the slots from `first` on."""
        self._connection.execute(
            "REPLACE INTO sums VALUES (?, ?, ?)", (first, generation, sums.tobytes())
        )

    def renumber(self, alive: IntArray, generation: int) -> None:
        """Row i of `alive` is the old number of slot i, of which the next generation is made."""
        sums, known = self._read(int(alive.max(initial=-1)) + 1, generation)
        sums, places = sums[alive], np.flatnonzero(known[alive])
        self._connection.execute("DELETE FROM sums")
        for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):
            if len(run):
                self.put(int(run[0]), sums[run], generation + 1)

    def turned(self, vectors: VectorFile, slots: int, generation: int) -> IntArray:
        """Slots whose rows are not those that were written.

        Args:
            vectors: Their file.
            slots: How many there are.
            generation: Of the file. Checksums of another one were left by a version that knows
                nothing of them.
        """
        sums, known = self._read(slots, generation)
        found = [np.zeros(0, dtype=np.int64)]
        for start in range(0, slots, _BLOCK):
            piece = slice(start, min(start + _BLOCK, slots))
            if known[piece].any():
                differ = sums_of(vectors.block(piece.start, piece.stop)) != sums[piece]
                found.append(start + np.flatnonzero(differ & known[piece]))
        return np.concatenate(found)

    def _read(self, slots: int, generation: int) -> tuple[WordArray, BoolArray]:
        """(slots,) checksums, and which of them are known."""
        sums, known = np.zeros(slots, dtype="<u4"), np.zeros(slots, dtype=bool)
        sql = "SELECT first, sums FROM sums WHERE generation = ? AND first < ?"
        for first, data in self._connection.execute(sql, (generation, slots)):
            some = np.frombuffer(data, dtype="<u4")[: slots - first]
            sums[first : first + len(some)] = some
            known[first : first + len(some)] = True
        return sums, known
