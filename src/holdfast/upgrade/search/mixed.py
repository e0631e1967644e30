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

c is the number of candidates of a side. Both models are asked at the same time, and so are both
stores where they are other processes. Where the old model is dead, a bridge takes the place of its
encoding, so every mode can do with one encoder. While one does not answer, `stand_in.py` serves in
every mode.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ...arrays import IntArray, Vectors
from ...errors import EncoderError, SourceError
from ...hits import Hits, merge
from ...space import relation
from ...store.base import VectorStore
from ..ledger import Ledger
from ..merge import Calibrator, Mode, ZScore, by_rank, check_mode
from ..mover import Moved, Mover
from ..side import Maps
from .candidates import Candidates
from .each_once import each_once
from .extend import search_extended
from .fuse import LEAST, PAIRS, Fusion, fidelity
from .pairs import shared_pairs
from .reference import Reference

# Of each side; at least twice as many as hits are asked for.
CANDIDATES = {"fused": 32, "cascade": 50}
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
        ConfigError: An unknown mode, or "compatible" between spaces that are not.
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

    def _both(self, queries: tuple[Vectors, Vectors], count: int, where: Any) -> tuple[Hits, Hits]:
        """What each side answers, without a common item."""
        ask = search_extended if self.extends else _ask
        return each_once(
            lambda k: ask(self._old, queries[0], k, where),
            lambda k: self._new.search(queries[1], k, where),
            count,
            self._moves,
            self._old.limits.remote and self._new.limits.remote,
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
                pairs = shared_pairs(self._ledger, self._old, self._new, PAIRS, LEAST)
            if pairs is not None:
                self._fusion = Fusion(*pairs, self._bridged(*pairs))
                self._learned_at = grown
        finally:
            self._learning.release()

    def _bridged(self, old: Vectors, new: Vectors) -> float:
        """Fit the bridge again where there is more to fit it on; answers its fidelity."""
        from ...align.bridge import Bridge  # with scikit-learn: not for what needs no map

        if not isinstance(self.bridge, Bridge):
            return 1.0
        if len(old) > self.bridge.evidence.pairs:
            self.bridge = Bridge.fit(self.bridge.aligner, new, old)
        return fidelity(self.bridge.aligner, old, new)

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
