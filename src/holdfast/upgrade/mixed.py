"""Mixed search: one answer from two sides, in the mode that the plan names.

Items may move from the old side to the new one meanwhile, see `each_once.py`.

What a search costs beyond one encoding of the query and one search:

    mode         encodings             maps of vectors   searches   rows read
    compatible   -                     -                 1 more     -
    by_rank      1 by the old model    -                 1 more     -
    calibrated   1 by the old model    -                 1 more     -
    fused        1 by the old model    c                 1 more     2 c
    cascade      1 by the old model    c                 1 more     2 c
                 + up to c documents by the new one, once each; the fewer the more have moved

c is the number of candidates of a side. Both models are asked at the same time. Where the old model
is dead, a bridge takes the place of its encoding, so every mode can do with one encoder. While the
new one does not answer, `by_old` serves in every mode.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import IntArray, Vectors
from ..errors import EncoderError, SourceError
from ..hits import Hits, merge
from ..space import relation
from ..store.base import NO_REVISION, VectorStore
from .candidates import Candidates
from .each_once import each_once
from .extend import search_extended
from .fuse import LEAST, PAIRS, Fusion, fidelity, predicted
from .ledger import Ledger
from .merge import Calibrator, Mode, ZScore, by_rank, check_mode
from .mover import Moved, Mover
from .reference import Reference
from .side import Maps

if TYPE_CHECKING:
    from ..align.base import Aligner

# Of each side; at least twice as many as hits are asked for.
CANDIDATES = {"fused": 32, "cascade": 50}
_BY_OLD = 200  # of each side, while the new model does not answer
_GROWTH = 1.5  # what the new side must have grown by to learn again


class Mixed:
    """Searches two sides as one. The caller sees to it that nobody writes meanwhile; items may
    move.

    Args:
        old: The old store.
        new: The new store.
        ledger: Knows which items have moved.
        mode: See `merge.py`.
        calibrator: For mode "calibrated".
        bridge: What leads queries to the old side when its model is dead. It is fitted again on
            what moved, as soon as this is more than it was fitted on.
        moves: How many moves there have been; None while one goes on.
    Raises:
        ConfigError: Mode "compatible" between spaces that are not.
    """

    def __init__(
        self,
        old: VectorStore,
        new: VectorStore,
        ledger: Ledger,
        mode: Mode,
        calibrator: Calibrator | None = None,
        bridge: Maps | None = None,
        moves: Callable[[], int | None] = lambda: 0,
    ) -> None:
        check_mode(mode, old.space, new.space)
        self.mode, self.bridge = mode, bridge
        self.extends = mode == "compatible" and relation(new.space, old.space) == "extends"
        self._old, self._new, self._ledger = old, new, ledger
        self._reference = Reference(old, new, ledger, calibrator or ZScore())
        self._fusion: Fusion | None = None
        self._learned_at = 0
        self._learning = threading.Lock()
        self._way: Aligner | None = None  # into the new space, where there is no fusion
        self._way_at = 0
        self._finding = threading.Lock()
        self._moves = moves
        self.taught = False  # whether somebody else sees to it that it learns

    def search(self, queries: tuple[Vectors, Vectors], k: int, where: Any) -> Hits:
        """The k best items.

        Args:
            queries: In the old space and in the new one; in the new one twice where it
                extends the old one.
            k: At least 1.
            where: Filter over payloads.
        """
        if self.mode in CANDIDATES:
            return self.ranked(self.candidates(queries, k, where), k)
        old, new = self._both(queries, k, where)
        if self.mode == "by_rank":
            return by_rank(old, new, k)
        if self.mode == "calibrated":
            old = self._reference.calibrate(old, *queries)
        return merge(new, old, k)

    def by_old(self, queries: Vectors, k: int, where: Any) -> Hits:
        """The k best items by the old model's scores alone, for when the new one does not answer.

        What has moved is asked for by mapped queries, and ranked by its old vectors: as if
        nothing had moved, but for what such queries do not find among the first.

        Args:
            queries: In the old space.
            k: At least 1.
            where: Filter over payloads.
        """
        both = queries, self._brought(queries)
        count = max(_BY_OLD, 2 * k)
        # Compared whether or not something moves: what goes back is visible on both for a while.
        found = each_once(
            lambda c: self._old.search(queries, c, where),
            lambda c: self._new.search(both[1], c, where),
            count,
            lambda: None,
        )
        return Candidates.read(self._old, both, *found).by_old_alone(k)

    def _brought(self, queries: Vectors) -> Vectors:
        """Old queries in the new space, as far as can be told."""
        if self._fusion is not None:
            return self._fusion.predict(queries.array)
        space = self._new.space
        if self._way is not None:
            return Vectors(space, predicted(self._way, queries.array, space.metric))
        # Of so few moved items all are found, whatever is asked for.
        rows = np.zeros((len(queries), space.dim), dtype=np.float32)
        rows[:, 0] = 1.0
        return Vectors(space, rows)

    def find_way(
        self, reading: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    ) -> None:
        """Fit the map that `by_old` needs, if what was learned has none.

        Args:
            reading: See `learn`.
        """
        with self._finding:
            grown = self._new.visible
            enough = self._way_at >= PAIRS or grown < max(LEAST, _GROWTH * self._way_at)
            if self._fusion is not None or enough:
                return
            with reading():
                pairs = self._pairs(grown)
            if pairs is not None:
                from ..align.kernel import Kernel

                old, new = pairs
                self._way = Kernel(single=True).fit(old.array, new.array)
                self._way_at = grown

    def _both(self, queries: tuple[Vectors, Vectors], count: int, where: Any) -> tuple[Hits, Hits]:
        """What each side answers, without a common item."""
        ask = search_extended if self.extends else _ask
        return each_once(
            lambda k: ask(self._old, queries[0], k, where),
            lambda k: self._new.search(queries[1], k, where),
            count,
            self._moves,
        )

    def candidates(self, queries: tuple[Vectors, Vectors], k: int, where: Any) -> Candidates:
        """What can be ranked later, without the stores."""
        if not self.taught:
            self.learn()
        count = max(CANDIDATES[self.mode], 2 * k)
        return Candidates.read(self._old, queries, *self._both(queries, count, where))

    def ranked(
        self, found: Candidates, k: int, known: tuple[IntArray, Vectors] | None = None
    ) -> Hits:
        """Rank candidates.

        Args:
            found: From `candidates`.
            k: At least 1.
            known: Places of items that wait, and their true new vectors.
        """
        fusion = self._fusion
        if known is not None and len(known[0]) == found.count and fusion is None:
            return found.by_new(known[1], k)
        return found.by_old(k) if fusion is None else found.fused(fusion, k, known)

    @property
    def learned(self) -> bool:
        """Whether it has learned anything, or needs not."""
        return self.mode not in CANDIDATES or self._fusion is not None

    def learn(
        self, reading: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    ) -> None:
        """Learn from the items on both sides, if there are many more than the last time.

        Args:
            reading: Keeps writers out while these items are read; not while they are learned
                from, which takes much longer.
        """
        if self.mode not in CANDIDATES or self._learned_at >= PAIRS:
            return
        grown = self._new.visible
        if grown < max(LEAST, _GROWTH * self._learned_at) or not self._learning.acquire(False):
            return  # another thread is at it
        try:
            with reading():
                pairs = self._pairs(grown)
            if pairs is not None:
                self._fusion = Fusion(*pairs, self._bridged(*pairs))
                self._learned_at = grown
        finally:
            self._learning.release()

    def _pairs(self, moved: int) -> tuple[Vectors, Vectors] | None:
        """The same items on both sides; None where there are too few.

        A backfill moves a fair sample first, and so do these begin; what searches had embedded
        ahead of it comes behind.
        """
        ids = self._ledger.first_done(PAIRS)
        if len(ids) < min(moved, PAIRS):
            ids = list(dict.fromkeys([*ids, *self._new.scan(limit=PAIRS).rows.ids]))
        ids = self._shared(ids)[:PAIRS]
        if len(ids) < LEAST:
            return None
        old, new = (side.get(ids).vectors for side in (self._old, self._new))
        return None if old is None or new is None else (old, new)

    def _bridged(self, old: Vectors, new: Vectors) -> float:
        """Fit the bridge again where there is more to fit it on; answers its fidelity."""
        from ..align.bridge import Bridge  # with scikit-learn: not for what needs no map

        if not isinstance(self.bridge, Bridge):
            return 1.0
        if len(old) > self.bridge.evidence.pairs:
            self.bridge = Bridge.fit(self.bridge.aligner, new, old)
        return fidelity(self.bridge.aligner, old, new)

    def _shared(self, ids: list[str]) -> list[str]:
        old, new = self._old.revisions(ids), self._new.revisions(ids)
        both = (old == new) & (old != NO_REVISION)
        return [ids[i] for i in np.flatnonzero(both)]

    def cascaded(self, found: Candidates, mover: Mover, k: int) -> tuple[Hits, Moved | None]:
        """Rank candidates with the true new vectors of those that wait.

        Only those are embedded that are among the best of both sides, by predicted scores for as
        long as nothing better is known; the others are left out. A search answers also when the
        model, or the source, does not: by predicted scores then.

        Returns:
            The hits, and what can be kept as moved.
        """
        if not found.count:
            return self.ranked(found, k), None
        fusion = self._fusion
        near = found if fusion is None else found.near(fusion)
        waiting = near.rows.take(np.arange(near.count))
        if not len(waiting):
            none = np.empty(0, dtype=np.int64), found.new_queries.take(slice(0, 0))
            return self.ranked(near, k, none), None
        try:
            moved = mover.move(waiting)
        except (EncoderError, SourceError):
            return self.ranked(found, k), None
        place = {name: i for i, name in enumerate(waiting.ids)}
        known = np.array([place[name] for name in moved.rows.ids], dtype=np.int64)
        return self.ranked(near, k, (known, moved.vectors)), moved


def _ask(store: VectorStore, queries: Vectors, k: int, where: Any) -> Hits:
    return store.search(queries, k, where)
