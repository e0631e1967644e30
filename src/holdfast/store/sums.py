"""Checksums of rows: a bit that turned on the disk is found when the file is opened.

A row's is the sum of its words, modulo 2**32: quicker to take than rows are to read, and no bit
can turn by itself without changing it. It is written in the transaction that makes the row exist.
"""

from __future__ import annotations

import sqlite3
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, IntArray
from .vectorfile import VectorFile

WordArray: TypeAlias = npt.NDArray[np.uint32]

TABLE = "CREATE TABLE sums (first INTEGER PRIMARY KEY, sums BLOB NOT NULL)"
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

    def put(self, first: int, sums: WordArray) -> None:
        """Keep those of the slots from `first` on."""
        self._connection.execute("REPLACE INTO sums VALUES (?, ?)", (first, sums.tobytes()))

    def renumber(self, alive: IntArray) -> None:
        """Row i of `alive` is the old number of slot i."""
        sums = self._read()[alive]
        self._connection.execute("DELETE FROM sums")
        self.put(0, sums)

    def turned(self, vectors: VectorFile, slots: int) -> IntArray:
        """Slots whose rows are not those that were written.

        Args:
            vectors: Their file.
            slots: How many there are.
        """
        sums = self._read()
        found = [np.zeros(0, dtype=np.int64)]
        for start in range(0, slots, _BLOCK):
            end = min(start + _BLOCK, slots)
            differ = sums_of(vectors.block(start, end)) != sums[start:end]
            found.append(start + np.flatnonzero(differ))
        return np.concatenate(found)

    def _read(self) -> WordArray:
        """(slots,) checksums."""
        found = self._connection.execute("SELECT sums FROM sums ORDER BY first")
        sums: WordArray = np.frombuffer(b"".join(data for (data,) in found), dtype="<u4")
        return sums
