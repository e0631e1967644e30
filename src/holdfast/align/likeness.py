"""Which rows are alike: by their labels, or by being neighbours in one space.

Contrastive losses need rows alike in one batch, and to know which are. `compose` adds to
the anchors of a batch one partner each, and answers the whole batch and who is alike in it.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import NearestNeighbors

from ..arrays import FloatArray, IntArray, unit_rows

Alike: TypeAlias = npt.NDArray[np.bool_]


class Likeness(Protocol):
    """Knows which rows are alike."""

    def compose(self, anchors: IntArray, rng: np.random.Generator) -> tuple[IntArray, Alike]:
        """A batch around anchors.

        Args:
            anchors: (a,) positions.
            rng: Draws the partners.
        Returns:
            (2a,) positions, the anchors first, and (2a, 2a) whether two of them are alike;
            a row is alike to itself.
        """
        ...


class SameLabel:
    """Rows of one class are alike.

    Args:
        labels: (n,) numbers of classes, from 0.
    Example:
        >>> likeness = SameLabel(np.array([0, 1, 0]))
        >>> likeness.compose(np.array([1]), np.random.default_rng(0))[0].tolist()
        [1, 1]
    """

    def __init__(self, labels: IntArray) -> None:
        self._labels = labels
        self._order = np.argsort(labels, kind="stable").astype(np.int64)
        self._sizes = np.bincount(labels)
        self._starts = np.cumsum(self._sizes) - self._sizes

    def compose(self, anchors: IntArray, rng: np.random.Generator) -> tuple[IntArray, Alike]:
        """See `Likeness`; a partner is any row of the anchor's class."""
        classes = self._labels[anchors]
        drawn = (rng.random(len(anchors)) * self._sizes[classes]).astype(np.int64)
        partners = self._order[self._starts[classes] + drawn]
        rows = np.concatenate([anchors, partners])
        labels = self._labels[rows]
        return rows, labels[:, None] == labels[None, :]


class Neighbours:
    """A row, its nearest neighbours, and those it is a neighbour of are alike.

    In a batch an anchor's partner is also alike to what the anchor is alike to. All pairs
    of rows are compared once, block by block: n^2 d products.

    Args:
        rows: (n, d) rows of the space that knows what is alike.
        count: Neighbours of each.
        metric: "cosine" or "euclidean".
    """

    def __init__(self, rows: FloatArray, count: int, metric: str) -> None:
        count = min(count, len(rows) - 1)
        points = unit_rows(rows) if metric == "cosine" else rows
        self._lists = np.empty((len(rows), 0), dtype=np.int64)
        if count > 0:
            search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(points)
            self._lists = search.kneighbors(return_distance=False).astype(np.int64)

    def compose(self, anchors: IntArray, rng: np.random.Generator) -> tuple[IntArray, Alike]:
        """See `Likeness`; a partner is one of the anchor's neighbours."""
        partners = anchors
        if self._lists.shape[1]:
            drawn = rng.integers(self._lists.shape[1], size=len(anchors))
            partners = self._lists[anchors, drawn]
        rows = np.concatenate([anchors, partners])
        near = rows[:, None] == rows[None, :]
        for column in self._lists[rows].T:
            near |= column[:, None] == rows[None, :]
        near |= near.T
        half = len(anchors)
        by_anchor = near[:half] | near[half:]
        alike = near | np.concatenate([by_anchor, by_anchor])
        return rows, alike | alike.T
