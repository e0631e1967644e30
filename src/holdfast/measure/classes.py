"""Measures over class labels, straight from rows: every query meets the whole gallery.

    CMC@k, mAP, ...   any metric of `ranking`; the gallery items of the query's class are
                      relevant, and the query itself, where it is in the gallery, is left out
    NCM               1:N search: the gallery is collapsed to one template for each class,
                      the mean of its unit rows made a unit row again; 1 where the template
                      with the highest inner product is that of the query's class

NCM is much easier than CMC@1: the two are never to be compared. Equal similarities are
ranked in the order of the gallery.

Source: Biondi et al. 2024 (NCM as the measure of compatibility); Zheng et al. 2015 (CMC and
mAP). Departs from the first: a query in the gallery is taken out of its own template.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, IntArray, unit_rows
from ..errors import DimensionMismatch, InvalidInput
from ..space import Metric as Distance
from .grades import Grades
from .interval import Floats
from .judgements import Unanswerable
from .ranking import Metric, parse
from .similarity import CELLS, as_rows, blocks

Bools: TypeAlias = npt.NDArray[np.bool_]

_TINY = 1e-30  # shorter has no direction


class ByClass:
    """One measure of retrieval by class, for any rows of the same queries and gallery.

    Args:
        metric: "NCM", or a spelling that `ranking.parse` knows: "CMC@1", "mAP".
        queries: (q,) class of each query.
        gallery: (n,) class of each gallery item.
        own: (q,) position of each query in the gallery, -1 where it is not there; "same"
            where queries and gallery are the same items in the same order; None where no
            query is in the gallery.
        distance: How rows are compared.
        unanswerable: Whether queries without another item of their class are refused or
            dropped; `dropped` counts them.
    Raises:
        InvalidInput: An unknown metric, positions outside the gallery, or no answer.
    Example:
        >>> measure = ByClass("CMC@1", ["a", "b"], ["a", "b"])
        >>> measure([[1.0, 0.0], [1.0, 0.1]], [[1.0, 0.0], [0.0, 1.0]]).tolist()
        [1.0, 0.0]
    """

    def __init__(
        self,
        metric: str,
        queries: Sequence[Any],
        gallery: Sequence[Any],
        own: npt.ArrayLike | str | None = None,
        distance: Distance = "cosine",
        unanswerable: Unanswerable = "refuse",
    ) -> None:
        self.name, self._distance = str(metric), distance
        self._metric = None if metric == "NCM" else parse(metric)
        if metric == "NCM" and distance != "cosine":
            raise InvalidInput("NCM", "distance cosine", repr(distance))
        if not len(gallery):
            raise InvalidInput(self.name, "a gallery with items", "none")
        code = {label: number for number, label in enumerate(dict.fromkeys(gallery))}
        self._of_gallery = np.array([code[label] for label in gallery], dtype=np.int64)
        self._of_queries = np.array([code.get(label, -1) for label in queries], dtype=np.int64)
        self._own = positions(own, len(self._of_queries), len(self._of_gallery))
        self._sizes = np.bincount(self._of_gallery)
        counts = np.append(self._sizes, 0)[self._of_queries]  # 0 for a class of no item
        counts -= (self._own >= 0) & (self._of_gallery[self._own] == self._of_queries)
        self.kept = np.flatnonzero(counts > 0)
        self.dropped = len(self._of_queries) - len(self.kept)
        if not len(self.kept) or (self.dropped and unanswerable != "drop"):
            raise InvalidInput(
                f"{self.name} by class",
                "for each query another gallery item of its class",
                f"none for {self.dropped} of {len(self._of_queries)} queries",
                'Pass unanswerable="drop" to leave them out; the count is kept.',
            )
        self._counts = counts[self.kept]

    def __len__(self) -> int:
        return len(self.kept)

    def __call__(self, queries: npt.ArrayLike, gallery: npt.ArrayLike) -> Floats:
        """(kept,) the measure of each query in `kept`.

        Args:
            queries: (q, d) rows, of the queries in their order.
            gallery: (n, d) rows, of the gallery in its order.
        Raises:
            InvalidInput: Other numbers of rows than there are labels.
            DimensionMismatch: The two sides have rows of different lengths.
        """
        asked, stored = as_rows(queries, self.name), as_rows(gallery, self.name)
        if (len(asked), len(stored)) != (len(self._of_queries), len(self._of_gallery)):
            raise InvalidInput(
                self.name,
                f"{len(self._of_queries)} queries and {len(self._of_gallery)} gallery rows",
                f"{len(asked)} and {len(stored)}",
            )
        if asked.shape[1] != stored.shape[1]:
            wanted = f"gallery rows of {asked.shape[1]} numbers, as those of the queries"
            raise DimensionMismatch(self.name, wanted, str(stored.shape[1]))
        asked = asked[self.kept]
        if self._metric is None:
            return self._templates(unit_rows(asked), unit_rows(stored))
        parts = []
        for rows, scores in blocks(asked, stored, self._distance):
            at, own = self.kept[rows], self._own[self.kept[rows]]
            same = self._of_gallery == self._of_queries[at][:, None]
            mine = np.flatnonzero(own >= 0)
            same[mine, own[mine]] = False
            scores[mine, own[mine]] = -np.inf
            parts.append(_values(self._metric, scores, same, self._counts[rows]))
        return np.concatenate(parts)

    def _templates(self, asked: FloatArray, stored: FloatArray) -> Floats:
        """1 where the nearest template is that of the query's class."""
        sums = np.zeros((len(self._sizes), stored.shape[1]))  # float64: a sum of many rows
        np.add.at(sums, self._of_gallery, stored)
        unit = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), _TINY)
        step, parts = max(1, CELLS // len(sums)), []
        for start in range(0, len(asked), step):
            at = self.kept[start : start + step]
            rows = asked[start : start + step].astype(np.float64)
            scores = rows @ unit.T
            inside = np.flatnonzero(self._own[at] >= 0)
            if len(inside):
                own = self._own[at[inside]]
                label = self._of_gallery[own]
                without = sums[label] - stored[own]
                length = np.maximum(np.linalg.norm(without, axis=1), _TINY)
                near = np.einsum("ij,ij->i", rows[inside], without) / length
                scores[inside, label] = np.where(self._sizes[label] > 1, near, -np.inf)
            parts.append(scores.argmax(axis=1) == self._of_queries[at])
        return np.concatenate(parts).astype(np.float64)


def _values(metric: Metric, scores: FloatArray, same: Bools, counts: IntArray) -> Floats:
    """(b,) the metric of some queries, from their (b, n) similarities with the gallery."""
    if metric.name not in ("CMC", "Success") or metric.k is None:
        order = np.argsort(-scores, axis=1, kind="stable")
        found = np.take_along_axis(same, order, axis=1).astype(np.int64)
        return metric.of(Grades(found, counts))
    # The rank of the first relevant item is a count; nothing has to be sorted.
    right = np.where(same, scores, -np.inf)
    first = right.argmax(axis=1)[:, None]
    best = np.take_along_axis(right, first, axis=1)
    before = (scores > best) | ((scores == best) & (np.arange(scores.shape[1]) < first))
    out: Floats = (before.sum(axis=1) < metric.k).astype(np.float64)
    return out


def positions(own: npt.ArrayLike | str | None, queries: int, gallery: int) -> IntArray:
    """(q,) where each query stands in the gallery, -1 where it does not; see `ByClass`."""
    if own is None:
        return np.full(queries, -1, dtype=np.int64)
    same = isinstance(own, str) and own == "same" and queries == gallery
    places = np.arange(queries) if same else np.asarray(own)
    if places.shape != (queries,) or places.dtype.kind != "i":
        raise InvalidInput("own", f'{queries} positions, or "same"', repr(own))
    if len(places) and not -1 <= places.min() <= places.max() < gallery:
        raise InvalidInput("own", f"positions from -1 to {gallery - 1}", repr(own))
    return places.astype(np.int64)
