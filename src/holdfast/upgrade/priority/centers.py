"""Distance to the mean of one's class, or of one's cluster where there are no classes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from ...arrays import FloatArray, squared_norms
from ...errors import InvalidInput
from .searched import Floats

MOST = 256  # clusters
FIT = 20_000  # rows that are enough to find them
_ROUNDS = 20
_BLOCK = 8_192


class Centers:
    """Clusters of rows, by Lloyd's rounds from rows drawn at random.

    Args:
        rows: (n, d) rows to fit on.
        count: Clusters; the square root of n by default, at most 256.
        seed: Of the draw.
    Attributes:
        means: (count, d).
    Raises:
        InvalidInput: No rows, or more clusters than rows.
    """

    def __init__(self, rows: FloatArray, count: int | None = None, seed: int = 0) -> None:
        count = min(MOST, max(1, int(len(rows) ** 0.5))) if count is None else count
        if not 1 <= count <= len(rows):
            raise InvalidInput("Centers", "from one cluster to one a row", f"{count}, {len(rows)}")
        drawn = np.random.default_rng(seed).choice(len(rows), count, replace=False)
        self.means = rows[np.sort(drawn)].astype(np.float64)
        for _ in range(_ROUNDS):
            self._round(rows)

    def _round(self, rows: FloatArray) -> None:
        sums, sizes = np.zeros_like(self.means), np.zeros(len(self.means))
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            own = squares(block, self.means).argmin(axis=1)
            np.add.at(sums, own, block)
            sizes += np.bincount(own, minlength=len(sizes))
        held = sizes > 0  # an empty cluster stays where it was
        self.means[held] = sums[held] / sizes[held, None]

    def distances(self, rows: FloatArray) -> Floats:
        """(n,) squared distances of rows to the mean of their cluster."""
        parts = [
            squares(rows[start : start + _BLOCK], self.means).min(axis=1)
            for start in range(0, len(rows), _BLOCK)
        ]
        return np.concatenate(parts) if parts else np.empty(0)


class ClassMeans:
    """Means of classes, of rows that come page by page.

    Source: Ricci et al. 2025 (lambda-orthogonality). Departs from it: classes are given, or
        clusters (`Centers`), instead of a classifier's word.
    """

    def __init__(self) -> None:
        self._places: dict[Hashable, int] = {}
        self._sums: list[Floats] = []
        self._sizes: list[int] = []

    def add(self, rows: FloatArray, classes: Sequence[Hashable]) -> None:
        """Count some rows in.

        Args:
            rows: (n, d).
            classes: n labels.
        """
        own = [self._places.setdefault(name, len(self._places)) for name in classes]
        here, mine = np.unique(own, return_inverse=True)
        sums = np.zeros((len(here), rows.shape[1]))
        np.add.at(sums, mine, rows)
        more = len(self._places) - len(self._sums)
        self._sums += [np.zeros(rows.shape[1])] * more
        self._sizes += [0] * more
        for at, total, size in zip(here, sums, np.bincount(mine), strict=True):
            self._sums[at] = self._sums[at] + total
            self._sizes[at] += int(size)

    def distances(self, rows: FloatArray, classes: Sequence[Hashable]) -> Floats:
        """(n,) squared distances of rows to the mean of their class; infinite without any.

        Args:
            rows: (n, d).
            classes: n labels.
        """
        own = [self._places.get(name, -1) for name in classes]
        means = np.stack(
            [total / size for total, size in zip(self._sums, self._sizes, strict=True)]
        )
        found: Floats = squared_norms(rows - means[own])
        return np.where(np.array(own) < 0, np.inf, found)


def squares(rows: FloatArray, others: FloatArray | Floats) -> Floats:
    """(n, m) squared distances of (n, d) rows to (m, d) others, in double precision."""
    a, b = rows.astype(np.float64), others.astype(np.float64)
    table: Floats = squared_norms(a)[:, None] + squared_norms(b)[None] - 2.0 * a @ b.T
    return np.maximum(table, 0.0)
