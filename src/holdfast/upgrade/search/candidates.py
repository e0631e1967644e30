"""Candidates: the best of both sides, with all that is known to rank them anew.

Read while nobody writes, they can be ranked afterwards without either store.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...arrays import FloatArray, IntArray, Vectors, squared_norms
from ...errors import MissingIds
from ...hits import Hits, merge
from ...space import Metric
from ...store.base import NO_REVISION, Rows, VectorStore
from .each_once import without
from .fuse import Floats, Fusion, Scales

_GATHERED = 16_384  # rows that are copied at once to be scored: 256 queries with 64 candidates


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What two sides answered.

    Args:
        old_queries: q rows of the old space.
        new_queries: The same queries in the new space.
        waiting: (q, c) hits of the old side.
        moved: (q, c) hits of the new side.
        rows: The distinct items of `waiting`, then those of `moved`, as the old side has them.
        count: How many of them wait.
        places: (q, c) where each hit of `waiting`, and of `moved`, stands among `rows`.
    """

    old_queries: Vectors
    new_queries: Vectors
    waiting: Hits
    moved: Hits
    rows: Rows
    count: int
    places: tuple[IntArray, IntArray]

    @classmethod
    def read(
        cls, old: VectorStore, queries: tuple[Vectors, Vectors], waiting: Hits, moved: Hits
    ) -> Candidates:
        """Read the old vectors of what both sides answered.

        What somebody deleted from the old store past the gallery is left out.

        Args:
            old: The old store, which keeps what has moved.
            queries: In the old space and in the new one.
            waiting: (q, c) hits of the old side.
            moved: (q, c) hits of the new side.
        """
        while True:
            index: dict[str, int] = {}
            first = _places(waiting, index)
            waits = len(index)
            second = _places(moved, index)
            names = list(index)
            try:
                rows = old.get(names)
            except MissingIds:
                there = old.revisions(names) != NO_REVISION
                gone = {name for name, known in zip(names, there, strict=True) if not known}
                waiting, moved = (
                    without(side, [gone] * len(side), side.k) for side in (waiting, moved)
                )
            else:
                return cls(*queries, waiting, moved, rows, waits, (first, second))

    @property
    def vectors(self) -> Vectors:
        """Old vectors of the items."""
        return self.rows.vectors_read

    def by_old(self, k: int) -> Hits:
        """Ranked by the old scores of all."""
        return self._joined(self.waiting.scores, self._moved_old, k)

    def by_old_alone(self, k: int) -> Hits:
        """Ranked by the old scores of all, also where everything has moved.

        Unlike `by_old` it leaves nothing to the new side's own order, and so nothing to the
        queries that asked it.
        """
        waiting = _resorted(self.waiting, self.waiting.scores)
        return merge(waiting, _resorted(self.moved, self._moved_old), k)

    def by_new(self, vectors: Vectors, k: int) -> Hits:
        """Ranked by the new scores of all.

        Args:
            vectors: New vectors of the items that wait.
            k: Columns.
        """
        metric = self.new_queries.space.metric
        scores = self._pairs(self.new_queries.array, vectors.array, 0, metric)
        return merge(_resorted(self.moved, self.moved.scores), _resorted(self.waiting, scores), k)

    def fused(self, fusion: Fusion, k: int, known: tuple[IntArray, Vectors] | None = None) -> Hits:
        """Ranked by `Fusion`, with scores brought back to the scale of the new ones.

        Args:
            fusion: What the items on both sides teach.
            k: Columns.
            known: Places among the items that wait, and their true new vectors.
        """
        scales = fusion.scales(self.old_queries, self.new_queries)
        if known is not None and len(known[0]) == self.count:
            waiting, moved = self._sure(fusion, scales, known)
        else:
            waiting, moved = self._told(fusion, scales, known)
        mean, spread = scales.new
        waiting, moved = waiting * spread + mean, moved * spread + mean
        if known is None:
            return self._joined(waiting, moved, k)
        return merge(_resorted(self.moved, moved), _resorted(self.waiting, waiting), k)

    def near(self, fusion: Fusion) -> Candidates:
        """Less those of the old side that are not among the best c of both, by what is told.

        Args:
            fusion: What the items on both sides teach.
        """
        told = self._told(fusion, fusion.scales(self.old_queries, self.new_queries))
        waiting, moved = (
            np.where(np.isfinite(side.scores), scores, -np.inf)
            for side, scores in zip((self.waiting, self.moved), told, strict=True)
        )
        joined = np.concatenate([moved, waiting], axis=1)
        best = np.argsort(-joined, axis=1, kind="stable")[:, : waiting.shape[1]]
        kept = np.zeros(joined.shape, dtype=bool)
        np.put_along_axis(kept, best, True, axis=1)
        kept = kept[:, moved.shape[1] :] & np.isfinite(waiting)
        hits = Hits(
            np.where(kept, self.waiting.ids, "").astype(object),
            np.where(kept, self.waiting.scores, -np.inf).astype(np.float32),
        )
        index: dict[str, int] = {}
        first = _places(hits, index)
        count = len(index)
        second = _places(self.moved, index)
        place = {name: at for at, name in enumerate(self.rows.ids)}
        rows = self.rows.take(np.array([place[name] for name in index], dtype=np.int64))
        queries = self.old_queries, self.new_queries
        return Candidates(*queries, hits, self.moved, rows, count, (first, second))

    def _sure(
        self, fusion: Fusion, scales: Scales, known: tuple[IntArray, Vectors]
    ) -> tuple[Floats, Floats]:
        """Scores of the items that wait, all known, and of those that moved."""
        true = np.empty((self.count, fusion.new.dim), dtype=np.float32)
        true[known[0]] = known[1].array
        old, new = _finite(self.waiting.scores), self._by_new(true)
        waiting = fusion.moved(scales, old, new, sure=True)
        return waiting, fusion.moved(scales, self._moved_old, _finite(self.moved.scores), sure=True)

    def _told(
        self, fusion: Fusion, scales: Scales, known: tuple[IntArray, Vectors] | None = None
    ) -> tuple[Floats, Floats]:
        """Scores of the items that wait, predicted as far as not known, and of those that moved."""
        vectors = fusion.predict(self.vectors.array[: self.count]).array
        guess = self._by_new(vectors)
        wait_old, old, new = _finite(self.waiting.scores), self._moved_old, self.moved.scores
        there, here = np.isfinite(new), np.isfinite(self.waiting.scores)
        rule = fusion.crowded(scales, np.where(there, old, -np.inf), self.waiting.scores)
        rule = rule.pressed(
            np.where(there, fusion.moved(scales, old, _finite(new), rule=rule), -np.inf),
            np.where(here, fusion.waiting(scales, wait_old, guess, rule), -np.inf),
        )
        waiting = fusion.waiting(scales, wait_old, guess, rule)
        if known is not None and len(known[0]):
            true = np.zeros(self.count, dtype=bool)
            true[known[0]] = True
            vectors[known[0]] = known[1].array
            sure = fusion.moved(scales, wait_old, self._by_new(vectors), rule=rule)
            waiting = np.where(true[np.minimum(self.places[0], self.count - 1)], sure, waiting)
        return waiting, fusion.moved(scales, old, _finite(new), rule=rule)

    @property
    def _moved_old(self) -> FloatArray:
        """(q, c) old scores of what has moved."""
        metric = self.old_queries.space.metric
        return self._pairs(self.old_queries.array, self.vectors.array, 1, metric)

    def _by_new(self, vectors: FloatArray) -> FloatArray:
        """(q, c) new scores of what waits, by its new vectors."""
        return self._pairs(self.new_queries.array, vectors, 0, self.new_queries.space.metric)

    def _pairs(
        self, queries: FloatArray, rows: FloatArray, side: int, metric: Metric
    ) -> FloatArray:
        """(q, c) scores of each query with its own candidates of one side."""
        places = self.places[side]
        out = np.zeros(places.shape, dtype=np.float32)
        if not len(rows):
            return out
        step = max(_GATHERED // max(places.shape[1], 1), 1)
        for start in range(0, len(queries), step):
            part = slice(start, start + step)
            gathered = rows[np.minimum(places[part], len(rows) - 1)]
            if metric == "euclidean":
                gap = gathered - queries[part, None, :]
                flat = gap.reshape(-1, gap.shape[2])
                out[part] = -np.sqrt(squared_norms(flat)).reshape(gap.shape[:2])
            else:
                out[part] = np.matmul(gathered, queries[part, :, None])[:, :, 0]
        return out

    def _joined(self, waiting: Floats | FloatArray, moved: Floats | FloatArray, k: int) -> Hits:
        """Both sides by their new scores; where one has no hit, the other's hits as they were."""
        old, new = _resorted(self.waiting, waiting), _resorted(self.moved, moved)
        joined = merge(new, old, k)
        for side, other in ((self.moved, self.waiting), (self.waiting, self.moved)):
            alone = ~np.isfinite(side.scores).any(axis=1)
            if alone.any():
                kept = merge(other.take(alone), side.take(alone), k)
                joined.ids[alone], joined.scores[alone] = kept.ids, kept.scores
        return joined


def _places(hits: Hits, index: dict[str, int]) -> IntArray:
    """Where each hit stands; new ones are entered. What is empty stands at 0."""
    flat = [index.setdefault(name, len(index)) if name else 0 for name in hits.ids.ravel().tolist()]
    return np.array(flat, dtype=np.int64).reshape(hits.ids.shape)


def _finite(scores: FloatArray) -> FloatArray:
    return np.where(np.isfinite(scores), scores, 0.0)


def _resorted(hits: Hits, scores: Floats | FloatArray) -> Hits:
    filled = np.isfinite(hits.scores)
    ranked = np.where(filled, scores, -np.inf).astype(np.float32)
    order = np.argsort(-ranked, axis=1, kind="stable")
    return Hits(
        np.take_along_axis(hits.ids, order, axis=1), np.take_along_axis(ranked, order, axis=1)
    )
