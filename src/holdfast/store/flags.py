"""Which slots are hidden: bits in a few pages of SQLite, and all of them in memory.

A flag beside each row would have every hidden batch rewrite as many pages of the table as it
has rows; as bits, sixteen thousand neighbours share one small record.
"""

from __future__ import annotations

import sqlite3
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..arrays import IntArray

BoolArray: TypeAlias = npt.NDArray[np.bool_]

TABLE = "CREATE TABLE hidden (page INTEGER PRIMARY KEY, bits BLOB NOT NULL)"
_PAGE = 16_384  # slots: 2 kB


class Flags:
    """One flag a slot; slots never flagged are not hidden. Dead slots are not, either.

    Every change happens inside a transaction of the owner, who calls `load` after one that
    failed.

    Args:
        connection: Of the database, which has the table.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._bits: BoolArray = np.zeros(0, dtype=bool)
        self.load()

    def load(self) -> None:
        """Read what the database says."""
        found = self._connection.execute("SELECT page, bits FROM hidden").fetchall()
        last = max((page for page, _ in found), default=-1)
        bits = np.zeros((last + 1) * _PAGE, dtype=bool)
        for page, packed in found:
            piece = np.unpackbits(np.frombuffer(packed, dtype=np.uint8), count=_PAGE)
            bits[page * _PAGE : (page + 1) * _PAGE] = piece
        self._bits = bits

    def of(self, slots: IntArray) -> BoolArray:
        """(n,) whether slots are hidden; -1 is not."""
        if not len(self._bits):
            return np.zeros(len(slots), dtype=bool)
        known = (slots >= 0) & (slots < len(self._bits))
        hidden: BoolArray = known & self._bits[np.where(known, slots, 0)]
        return hidden

    def put(self, slots: IntArray, hidden: bool) -> None:
        """Flag slots, here and in the database."""
        if not len(slots):
            return
        if int(slots.max()) >= len(self._bits):
            if not hidden:
                slots = slots[slots < len(self._bits)]
            else:
                pages = max(int(slots.max()) // _PAGE + 1, 2 * len(self._bits) // _PAGE)
                grown = np.zeros(pages * _PAGE, dtype=bool)
                grown[: len(self._bits)] = self._bits
                self._bits = grown
        self._bits[slots] = hidden
        self._write(np.unique(slots // _PAGE).tolist())

    def renumber(self, alive: IntArray) -> None:
        """Row i of `alive` is the old number of slot i."""
        kept = np.flatnonzero(self.of(alive))
        self._connection.execute("DELETE FROM hidden")
        self._bits = np.zeros(0, dtype=bool)
        self.put(kept, True)

    def _write(self, pages: list[int]) -> None:
        self._connection.executemany(
            "REPLACE INTO hidden VALUES (?, ?)",
            [(p, np.packbits(self._bits[p * _PAGE : (p + 1) * _PAGE]).tobytes()) for p in pages],
        )
