"""Two models of the same items: clustered, curved, noisy vectors, and a mover that has them ready.

Items are points in 48 hidden dimensions around 4,000 centres, whose sizes follow Zipf's law. A
model is a random map with a bend, and noise of its own; so the neighbours in both spaces
are much the same, and their coordinates and scores are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from holdfast.arrays import FloatArray, Vectors, as_vectors
from holdfast.space import Space
from holdfast.store.base import Rows, VectorStore
from holdfast.upgrade.mover import Moved

CENTRES, HIDDEN = 4_000, 48
_BLOCK = 20_000
DATA = (
    "two models of the same {n:,} points around 4,000 centres of Zipf sizes, {d}-d, curved, noise"
)


def names_of(count: int) -> list[str]:
    """Ids of the items; `places_of` leads back."""
    return [f"i{n:07d}" for n in range(count)]


def places_of(names: Sequence[str]) -> np.ndarray:
    """Numbers of items."""
    return np.array([int(name[1:]) for name in names], dtype=np.intp)


@dataclass(frozen=True)
class Twins:
    """Items and queries in both spaces.

    Args:
        old: (n, d) items in the old space.
        new: (n, d) the same in the new one.
        old_queries: (q, d) further points of the same distribution.
        new_queries: (q, d) the same in the new space.
    """

    old: Vectors
    new: Vectors
    old_queries: Vectors
    new_queries: Vectors

    @classmethod
    def made(cls, count: int, queries: int, dim: int = 384, seed: int = 0) -> Twins:
        """Draw items and queries."""
        rng = np.random.default_rng(seed)
        centres = rng.standard_normal((CENTRES, HIDDEN), dtype=np.float32)
        sizes = 1.0 / np.arange(1, CENTRES + 1)
        which = rng.choice(CENTRES, count + queries, p=sizes / sizes.sum())
        points = rng.standard_normal((count + queries, HIDDEN), dtype=np.float32)
        points = centres[which] + 0.45 * points
        sides = []
        for name in ("twin-old", "twin-new"):
            space = Space(name, dim)
            made = as_vectors(_mapped(points, dim, rng), space, "twins")
            sides += [made.take(slice(0, count)), made.take(slice(count, None))]
        return cls(sides[0], sides[2], sides[1], sides[3])


def _mapped(points: FloatArray, dim: int, rng: np.random.Generator) -> FloatArray:
    bend = rng.standard_normal((HIDDEN, 2 * HIDDEN), dtype=np.float32) / np.sqrt(HIDDEN)
    out = rng.standard_normal((3 * HIDDEN, dim), dtype=np.float32) / np.sqrt(3 * HIDDEN)
    made = np.empty((len(points), dim), dtype=np.float32)
    for start in range(0, len(points), _BLOCK):
        piece = points[start : start + _BLOCK]
        wide = np.concatenate([piece, np.tanh(2.0 * (piece @ bend))], axis=1) @ out
        made[start : start + _BLOCK] = wide + 0.15 * rng.standard_normal(
            wide.shape, dtype=np.float32
        )
    return made


class Ready:
    """A mover whose vectors exist already, so that only the moving takes time."""

    reads_vectors = False

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    @property
    def target(self) -> Space:
        """The new space."""
        return self.vectors.space

    def move(self, rows: Rows) -> Moved:
        """Look the vectors up."""
        return Moved(rows, self.vectors.take(places_of(rows.ids)))


def fill(store: VectorStore, vectors: Vectors, batch: int = 4096) -> None:
    """Upsert all rows, of revision 1, with a small payload."""
    names = names_of(len(vectors))
    for start in range(0, len(names), batch):
        piece = names[start : start + batch]
        payloads = [{"n": start + i} for i in range(len(piece))]
        rows = vectors.take(slice(start, start + batch))
        store.upsert(piece, rows, payloads, [1] * len(piece))
