"""Neighbour drift: how much of what lies near an item is other items now.

Displacement (`measure/displacement.py`) asks what searchers see; this asks what everything
else built on nearness sees: recommendations, duplicates, clusters, caches of similar items.
Where little is kept these have to be built anew with the gallery. A turn of the whole space
moves nothing.

    kept@k    |A & B| / |A | B| of the k nearest others of an item before, A, and after, B
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...arrays import IntArray, Vectors, id_array
from ...errors import InvalidInput
from ...hits import Hits
from ..displacement import churn
from ..finding import Finding
from ..interval import LEVEL, RESAMPLES, Floats, Interval, bootstrap
from . import CELL
from .attributes import nearest


@dataclass(frozen=True, slots=True, eq=False)
class Drift:
    """How many neighbours were kept.

    Args:
        k: Neighbours of each item.
        per_item: (n,) share of the union of both lists that both have.
        kept: Its mean.
        chance: What lists drawn at random would keep.
    """

    k: int
    per_item: Floats
    kept: Interval
    chance: float

    def finding(self) -> Finding:
        """The mean, not judged: a better space must move something."""
        note = f"of the {self.k} nearest others of an item; {self.chance:.3f} by chance"
        return Finding.of(f"neighbours kept@{self.k}", CELL, self.kept, note=note)


def drift(
    old: Vectors,
    new: Vectors,
    k: int = 10,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Drift:
    """Compare the nearest others of every item.

    Args:
        old: n rows of the old space.
        new: The same items in the new one.
        k: Neighbours of each; fewer where there are no more.
        level: See `bootstrap`.
        resamples: See `bootstrap`.
        seed: See `bootstrap`.
    Raises:
        InvalidInput: Two different numbers of rows, fewer than three, or k below 1.
    """
    count = len(old)
    if count != len(new) or count < 3 or k < 1:
        raise InvalidInput(
            "neighbours", "the same items in both, at least 3, and k from 1", f"{count}, {len(new)}"
        )
    k = min(k, count - 1)
    changed = churn(_named(nearest(old, k)), _named(nearest(new, k)), k)
    per_item: Floats = (1.0 - changed) / (1.0 + changed)
    expected = k / (count - 1)
    return Drift(
        k, per_item, bootstrap(per_item, level, resamples, seed), expected / (2.0 - expected)
    )


def _named(places: IntArray) -> Hits:
    names = id_array([f"i{place}" for place in range(int(places.max()) + 1)])
    falling = -np.arange(places.shape[1], dtype=np.float32)
    return Hits(names[places], np.broadcast_to(falling, places.shape).copy())
