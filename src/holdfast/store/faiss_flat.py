"""The exact index: all rows side by side, compared with every query."""

from __future__ import annotations

import numpy as np

from ..arrays import FloatArray, IntArray
from ..space import Metric
from .faiss_index import BoolArray, Found, Kind, enlarged, nearest, scan


class Flat:
    """All rows in one array without gaps: the last one moves into the place of one that goes.

    Args:
        dim: Length of a row.
        metric: How rows are compared.
    """

    kind: Kind = "flat"

    def __init__(self, dim: int, metric: Metric) -> None:
        self._metric, self._count = metric, 0
        self._rows: FloatArray = np.zeros((0, dim), dtype=np.float32)
        self._slots: IntArray = np.zeros(0, dtype=np.int64)
        self._place: IntArray = np.zeros(0, dtype=np.int64)  # by slot

    def __len__(self) -> int:
        return self._count

    def add(self, slots: IntArray, rows: FloatArray) -> None:
        first, self._count = self._count, self._count + len(slots)
        self._rows = enlarged(self._rows, self._count)
        self._slots = enlarged(self._slots, self._count)
        self._rows[first : self._count] = rows
        self._slots[first : self._count] = slots
        self._place = enlarged(self._place, int(slots.max(initial=-1)) + 1)
        self._place[slots] = np.arange(first, self._count)

    def remove(self, slots: IntArray) -> None:
        places, left = self._place[slots], self._count - len(slots)
        stays = np.ones(len(slots), dtype=bool)
        stays[places[places >= left] - left] = False
        movers, holes = left + np.flatnonzero(stays), places[places < left]
        self._rows[holes] = self._rows[movers]
        self._slots[holes] = self._slots[movers]
        self._place[self._slots[holes]] = holes
        self._count = left
        if len(self._rows) > 4 * max(left, 1024):  # give memory back as the rows move on
            self._rows, self._slots = self._rows[: 2 * left].copy(), self._slots[: 2 * left].copy()

    def search(self, queries: FloatArray, k: int, passing: BoolArray | None = None) -> Found:
        rows, slots = self._rows[: self._count], self._slots[: self._count]
        if passing is not None:
            return scan(queries, k, slots[passing[slots]], self.rows_at, self._metric)
        scores, places = nearest(queries, rows, k, self._metric)
        return scores, slots[places]

    def rows_at(self, slots: IntArray) -> FloatArray:
        """(n, d) copies of rows."""
        return self._rows[self._place[slots]]

    def renumber(self, new: IntArray) -> None:
        self._slots = new[self._slots[: self._count]]
        self._rows = self._rows[: self._count]
        self._place = np.zeros(int(self._slots.max(initial=-1)) + 1, dtype=np.int64)
        self._place[self._slots] = np.arange(self._count)
