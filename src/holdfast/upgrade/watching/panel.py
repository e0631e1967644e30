"""The panel: items known on both sides, before which the two models are compared query by query.

What a query does before a fixed set of items does not depend on how much of the gallery has
moved. So the same query may be held against the first ones of the upgrade at any share:

    agreement   how alike both models score the panel, as a correlation: it falls when one of
                them is asked in the wrong way, or when a bridge is broken
    likeness    how well the query's new vector fits what its old vector says, by the map that the
                panel's items teach: minus the squared length of what is left over, counted in the
                spread that items leave over

Where the old model is dead, its bridge is put to the test besides: one item of the panel for each
query, mapped from its new vector and compared with its old one.

    bridge      how much less alike the two are than when the panel was drawn, beyond a tenth

The first two compare a query with itself, so that other subjects, longer queries or more of
them change little.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...arrays import IntArray, Vectors
from ...store.base import NO_REVISION
from ...store.topk import scores
from ..gallery import Gallery
from ..side import Maps

Floats = npt.NDArray[np.float64]

MOST, LEAST = 2_048, 64  # items
_PART = 0.2  # of the gallery, where that is less
_SCORED = 512  # of them, that are scored
_ALLOWED = 0.1  # of likeness that a bridge may lose: it is fitted again now and then
_RIDGE = 1.0  # of the mean variance: what the map is held back by
_SHRINK = 0.1  # of the mean variance: what each direction has at least


class Panel:
    """Compares queries in two spaces.

    Args:
        old: (n, d_old) vectors of the items, at least 64.
        new: (n, d_new) vectors of the same items.
    """

    STATISTICS = ("agreement", "likeness")

    def __init__(self, old: Vectors, new: Vectors) -> None:
        few = np.linspace(0, len(old) - 1, min(_SCORED, len(old))).astype(np.intp)
        self._old, self._new = old.take(few), new.take(few)
        a, b = (side.array.astype(np.float64) for side in (old, new))
        self._middle = a.mean(axis=0), b.mean(axis=0)
        a, b = a - self._middle[0], b - self._middle[1]
        self._turn, self._faithful = 0, np.zeros(0)
        half = len(a) // 2  # the rest says how far the map is off on what it has not seen
        self._map = _ridge(a[:half], b[:half])
        self._scale = _inverse(b[half:] - a[half:] @ self._map)

    @classmethod
    def draw(cls, gallery: Gallery) -> Panel | None:
        """From the first places that have moved; None while these are too few."""
        if gallery.new is None or gallery.ledger is None:
            return None
        wanted = int(min(MOST, max(LEAST, _PART * len(gallery))))
        if gallery.new.store.visible < wanted:
            return None
        with gallery.steady():
            ids = sorted(gallery.ledger.first_done(2 * wanted))
            old = gallery.old.store.revisions(ids)
            same = (old == gallery.new.store.revisions(ids)) & (old != NO_REVISION)
            kept = [ids[i] for i in np.flatnonzero(same)][:wanted]
            if len(kept) < LEAST:
                return None
            old_rows, new_rows = gallery.old.store.get(kept), gallery.new.store.get(kept)
        return cls(old_rows.vectors_read, new_rows.vectors_read)

    def compare(self, old: Vectors, new: Vectors) -> dict[str, Floats]:
        """(q,) of each statistic; low is bad.

        Args:
            old: (q, d_old) the queries in the old space.
            new: (q, d_new) the same in the new one.
        """
        return {"agreement": self._agreement(old, new), "likeness": self._likeness(old, new)}

    def test(self, bridge: Maps) -> float:
        """How faithful a bridge is to the next item, against the first time; 0, or less for worse.

        Args:
            bridge: From the new space into the old one.
        """
        if not len(self._faithful):
            self._faithful = self._alike(bridge, np.arange(len(self._new)))
        row = np.array([self._turn % len(self._new)])
        self._turn += 1
        lost = float(self._faithful[row][0] - self._alike(bridge, row)[0])
        return -max(lost - _ALLOWED, 0.0)

    def _alike(self, bridge: Maps, rows: IntArray) -> Floats:
        got = bridge.transform(self._new.take(rows)).array.astype(np.float64)
        true = self._old.array[rows].astype(np.float64)
        norms = np.linalg.norm(got, axis=1) * np.linalg.norm(true, axis=1)
        alike: Floats = np.einsum("ij,ij->i", got, true) / np.maximum(norms, 1e-12)
        return alike

    def _agreement(self, old: Vectors, new: Vectors) -> Floats:
        first, second = (
            _standard(scores(asked.array, rows.array, rows.space.metric).astype(np.float64))
            for asked, rows in ((old, self._old), (new, self._new))
        )
        agreement: Floats = np.einsum("ij,ij->i", first, second) / first.shape[1]
        return agreement

    def _likeness(self, old: Vectors, new: Vectors) -> Floats:
        a = old.array.astype(np.float64) - self._middle[0]
        left = new.array.astype(np.float64) - self._middle[1] - a @ self._map
        likeness: Floats = -np.einsum("ij,jk,ik->i", left, self._scale, left)
        return likeness


def _standard(rows: Floats) -> Floats:
    rows = rows - rows.mean(axis=1, keepdims=True)
    spread = np.sqrt((rows**2).mean(axis=1, keepdims=True))
    out: Floats = rows / np.where(spread > 1e-12, spread, 1.0)
    return out


def _ridge(a: Floats, b: Floats) -> Floats:
    """The (d_a, d_b) map of least squares, held back a little."""
    square: Floats = a.T @ a
    held = square + _RIDGE * _mean_variance(square) * np.eye(len(square))
    return np.asarray(np.linalg.solve(held, a.T @ b), dtype=np.float64)


def _inverse(rows: Floats) -> Floats:
    """Of their covariance, drawn towards that of a ball."""
    square: Floats = rows.T @ rows / len(rows)
    held = square + _SHRINK * _mean_variance(square) * np.eye(len(square))
    return np.asarray(np.linalg.inv(held), dtype=np.float64)


def _mean_variance(square: Floats) -> float:
    return max(float(np.trace(square)) / len(square), 1e-12)
