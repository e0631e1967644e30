"""Distance to the mean of one's class, or of one's cluster where there are no classes."""

from __future__ import annotations

from collections.abc import Sequence

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
            own = _squares(block, self.means).argmin(axis=1)
            np.add.at(sums, own, block)
            sizes += np.bincount(own, minlength=len(sizes))
        held = sizes > 0  # an empty cluster stays where it was
        self.means[held] = sums[held] / sizes[held, None]

    def distances(self, rows: FloatArray) -> Floats:
        """(n,) squared distances of rows to the mean of their cluster."""
        parts = [
            _squares(rows[start : start + _BLOCK], self.means).min(axis=1)
            for start in range(0, len(rows), _BLOCK)
        ]
        return np.concatenate(parts) if parts else np.empty(0)


def class_distances(rows: FloatArray, classes: Sequence[object]) -> Floats:
    """(n,) squared distances of rows to the mean of their class.

    Args:
        rows: (n, d).
        classes: n labels.
    Raises:
        InvalidInput: Another number of labels than of rows.
    Source: Ricci et al. 2025 (lambda-orthogonality). Departs from it: classes are given, or
        clusters (`Centers`), instead of a classifier's word.
    """
    if len(classes) != len(rows):
        raise InvalidInput("class distances", f"{len(rows)} labels", str(len(classes)))
    places: dict[object, int] = {}
    own = np.array([places.setdefault(name, len(places)) for name in classes], dtype=np.intp)
    means = np.zeros((len(places), rows.shape[1]))
    np.add.at(means, own, rows)
    means /= np.bincount(own, minlength=len(places))[:, None]
    distances: Floats = squared_norms(rows - means[own])
    return distances


def _squares(rows: FloatArray, means: Floats) -> Floats:
    wide = rows.astype(np.float64)
    table: Floats = squared_norms(wide)[:, None] + squared_norms(means)[None] - 2.0 * wide @ means.T
    return np.maximum(table, 0.0)
