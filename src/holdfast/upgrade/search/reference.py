"""The reference: items known on both sides, which say how the two scales of scores differ."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arrays import Vectors
from ...hits import Hits
from ...store.base import NO_REVISION, VectorStore
from ...store.topk import scores
from ..ledger import Ledger
from ..merge import Calibrator, ScoreSample

SIZE = 256  # items; the error of a spread estimated from them is about 4 %
LEAST = 8  # fewer say nothing: raw scores are merged instead


class Reference:
    """Draws a sample of items that both stores have, and calibrates by it.

    The first places of every queue are a random sample, whatever the order of the rest, so
    these are taken: the sample is fair, and the same after a restart. It is drawn
    again while it is small and the new side has grown by half.

    Args:
        old: The old store.
        new: The new store.
        ledger: Knows the queue.
        calibrator: Maps old-side scores, see `merge.py`.
    """

    def __init__(
        self, old: VectorStore, new: VectorStore, ledger: Ledger, calibrator: Calibrator
    ) -> None:
        self._old, self._new, self._ledger, self._calibrator = old, new, ledger, calibrator
        self._drawn: tuple[Vectors, Vectors] | None = None
        self._drawn_at = 0

    def calibrate(self, hits: Hits, old_queries: Vectors, new_queries: Vectors) -> Hits:
        """Old-side hits with their scores on the new side's scale."""
        pair = self._pair()
        if pair is None:
            return hits
        sample = ScoreSample(_table(old_queries, pair[0]), _table(new_queries, pair[1]))
        if np.isfinite(hits.scores[:, -1:]).all():  # a row is filled from the left
            return Hits(hits.ids, self._calibrator(hits.scores, sample))
        filled = np.isfinite(hits.scores)
        mapped = self._calibrator(np.where(filled, hits.scores, 0.0), sample)
        return Hits(hits.ids, np.where(filled, mapped, -np.inf).astype(np.float32))

    def _pair(self) -> tuple[Vectors, Vectors] | None:
        grown = self._new.visible
        if grown < LEAST:
            return None
        small = self._drawn is None or len(self._drawn[0]) < SIZE
        if small and grown >= 1.5 * self._drawn_at:
            self._draw()
            self._drawn_at = grown
        return self._drawn

    def _draw(self) -> None:
        ids = self._shared(self._ledger.first_done(SIZE))
        if len(ids) < LEAST:
            ids = self._shared(self._new.scan(limit=SIZE).rows.ids)
        if len(ids) < LEAST:
            return
        old, new = self._old.get(ids).vectors_read, self._new.get(ids).vectors_read
        self._calibrator.fit(ScoreSample(_others(_table(old, old)), _others(_table(new, new))))
        self._drawn = (old, new)

    def _shared(self, ids: list[str]) -> list[str]:
        old, new = self._old.revisions(ids), self._new.revisions(ids)
        both = (old == new) & (old != NO_REVISION)
        return [ids[i] for i in np.flatnonzero(both)]


def _table(queries: Vectors, rows: Vectors) -> Any:
    return scores(queries.array, rows.array, rows.space.metric)


def _others(table: Any) -> Any:
    """(r, r - 1) scores of r items among each other: no query meets itself in a gallery."""
    rows = len(table)
    return table[~np.eye(rows, dtype=bool)].reshape(rows, rows - 1)
