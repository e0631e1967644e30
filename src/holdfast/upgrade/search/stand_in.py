"""Standing in: one model serves both sides while the other one does not answer.

The old one can do it nearly as if nothing had moved: every item still has its old vector, and only
candidates of the new side have to be found by queries that a map brings over. The new one has no
vectors of what waits: its queries go over a bridge, and what they find is ranked by predicted
scores, as where the old model is dead. Both learn from what has moved.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from ...arrays import Vectors
from ...hits import Hits
from ...store.base import VectorStore
from ..ledger import Ledger
from .candidates import Candidates
from .each_once import each_once
from .fuse import LEAST, PAIRS, Fusion, fidelity, predicted
from .pairs import shared_pairs

if TYPE_CHECKING:
    from ...align.base import Aligner
    from ...align.bridge import Bridge

_CANDIDATES = 200  # of each side; at least twice as many as hits are asked for
BRIDGED, _QUARTER = 256, 0.25  # items, and part of all, that must have moved for a bridge
_GROWTH = 1.5  # what the new side must have grown by to learn again

Reading: TypeAlias = Callable[[], AbstractContextManager[None]]
Half: TypeAlias = Literal["old", "new"]


def enough_to_bridge(new: VectorStore, items: int) -> bool:
    """Whether so much has moved that the new model's queries may ask the old side.

    Args:
        new: The new store.
        items: In the gallery.
    """
    return new.visible >= max(BRIDGED, _QUARTER * items)


class StandIn:
    """Searches two sides with the queries of one model.

    The caller sees to it that nobody writes during a search; items may move.

    Args:
        old: The old store.
        new: The new store.
        ledger: Knows which items have moved.
    """

    def __init__(self, old: VectorStore, new: VectorStore, ledger: Ledger) -> None:
        self._old, self._new, self._ledger = old, new, ledger
        self._learning = threading.Lock()
        self._forth: Aligner | None = None  # from the old space to the new one
        self._back: tuple[Bridge, Fusion] | None = None
        self._learned_at: dict[Half, int] = {"old": 0, "new": 0}

    @property
    def bridged(self) -> bool:
        """Whether enough has moved for `by_new`: with less, what it finds is hardly an answer."""
        return enough_to_bridge(self._new, len(self._old))

    def by_old(self, queries: Vectors, k: int, where: Any) -> Hits:
        """The k best items by the old model's scores; call `learn` before.

        Args:
            queries: In the old space.
            k: At least 1.
            where: Filter over payloads.
        """
        both = queries, self._brought(queries)
        return self._candidates(both, k, where).by_old_alone(k)

    def by_new(self, queries: Vectors, k: int, where: Any) -> Hits | None:
        """The k best items by the new model's scores, true or predicted; call `learn` before.

        Args:
            queries: In the new space.
            k: At least 1.
            where: Filter over payloads.
        Returns:
            None where too little has moved.
        """
        if self._back is None:
            return None
        bridge, fusion = self._back
        return self._candidates((bridge.transform(queries), queries), k, where).fused(fusion, k)

    def _candidates(self, queries: tuple[Vectors, Vectors], k: int, where: Any) -> Candidates:
        # Compared whether or not something moves: what goes back is visible on both for a while.
        found = each_once(
            lambda count: self._old.search(queries[0], count, where),
            lambda count: self._new.search(queries[1], count, where),
            max(_CANDIDATES, 2 * k),
            lambda: None,
        )
        return Candidates.read(self._old, queries, *found)

    def _brought(self, queries: Vectors) -> Vectors:
        """Old queries in the new space, as far as can be told."""
        space = self._new.space
        if self._forth is not None:
            return Vectors(space, predicted(self._forth, queries.array, space.metric))
        # Of so few moved items all are found, whatever is asked for.
        rows = np.zeros((len(queries), space.dim), dtype=np.float32)
        rows[:, 0] = 1.0
        return Vectors(space, rows)

    def learn(self, silent: Half, reading: Reading) -> None:
        """Learn what it takes to do without a model, if there is much more than the last time.

        Args:
            silent: The side of the model that does not answer.
            reading: Keeps writers out while the pairs are read.
        """
        with self._learning:
            pairs = self._pairs(silent, LEAST if silent == "new" else BRIDGED, reading)
            if pairs is None:
                return
            from ...align.bridge import Bridge  # with scikit-learn: only where they are needed
            from ...align.kernel import Kernel
            from ...align.procrustes import Procrustes

            old, new = pairs
            if silent == "new":
                self._forth = Kernel(single=True).fit(old.array, new.array)
            else:
                bridge = Bridge.fit(Procrustes(), new, old)
                self._back = bridge, Fusion(old, new, fidelity(bridge.aligner, old, new))

    def _pairs(self, silent: Half, least: int, reading: Reading) -> tuple[Vectors, Vectors] | None:
        grown, learned_at = self._new.visible, self._learned_at[silent]
        if learned_at >= PAIRS or grown < max(least, _GROWTH * learned_at):
            return None
        with reading():
            pairs = shared_pairs(self._ledger, self._old, self._new, PAIRS, least)
        if pairs is not None:
            self._learned_at[silent] = grown
        return pairs
