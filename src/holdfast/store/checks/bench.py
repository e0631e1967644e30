"""The bench of the store contract: the store under test beside the exact one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ...arrays import FloatArray, IntArray, Vectors, VectorsLike
from ...contract import broken, equal
from ...errors import ContractBroken
from ...space import Space
from ..base import Limits, VectorStore
from ..memory import MemoryStore
from ..where import WhereLike
from .compare import hits_problem, rows_problem

Make: TypeAlias = Callable[[Space], VectorStore]
Reopen: TypeAlias = Callable[[VectorStore, Space], VectorStore]
Payloads: TypeAlias = Sequence[Mapping[str, Any]] | None


def names(count: int, prefix: str = "row") -> list[str]:
    """Distinct ids whose order as text is not the order they are made in."""
    return [f"{prefix} {i}" for i in range(count)]


def sample(count: int, space: Space, seed: int = 0) -> FloatArray:
    """(count, d) rows of lengths from 0.5 to 1.5, in 64 clusters whatever the seed."""
    centres = np.random.default_rng(64).normal(size=(64, space.dim))
    rng = np.random.default_rng(seed)
    rows = centres[rng.integers(len(centres), size=count)]
    rows = rows + 0.5 * rng.normal(size=(count, space.dim))
    lengths = rng.uniform(0.5, 1.5, size=(count, 1))
    scaled: FloatArray = (lengths * rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(
        np.float32
    )
    return scaled


def copied(values: VectorsLike) -> VectorsLike:
    """The same rows in memory of their own."""
    return (
        Vectors(values.space, values.array.copy())
        if isinstance(values, Vectors)
        else (np.array(values))
    )


class Pair:
    """The store under test and its oracle: writes go to both, reads are compared.

    The store gets copies of arrays, so that one which changes its arguments fails where
    that is checked and not everywhere.

    Args:
        store: Under test.
        oracle: The exact store of the same space.
    """

    def __init__(self, store: VectorStore, oracle: MemoryStore) -> None:
        self.store, self.oracle = store, oracle

    def upsert(
        self,
        ids: Sequence[str],
        vectors: VectorsLike,
        payloads: Payloads = None,
        revisions: Sequence[int] | IntArray | None = None,
    ) -> None:
        """Write to both."""
        self.oracle.upsert(ids, vectors, payloads, revisions)
        self.store.upsert(ids, copied(vectors), payloads, revisions)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete from both."""
        self.oracle.delete(ids)
        self.store.delete(ids)

    def hide(self, ids: Sequence[str]) -> None:
        """Hide in both."""
        self.oracle.hide(ids)
        self.store.hide(ids)

    def unhide(self, ids: Sequence[str]) -> None:
        """Unhide in both."""
        self.oracle.unhide(ids)
        self.store.unhide(ids)

    def agree(self, what: str, queries: VectorsLike, k: int, where: WhereLike = None) -> None:
        """The store must answer these queries as the oracle does, within its limits."""
        # One column more than there are rows: the reference shows every item.
        truth = self.oracle.search(queries, max(k, len(self.oracle) + 1), where)
        hits = self.store.search(copied(queries), k, where)
        problem = hits_problem(hits, truth, k, self.store.limits)
        if problem:
            raise broken(f"search {what}", "the hits of the exact store", problem)

    def same(self, what: str) -> None:
        """Both must hold the same rows and count them alike."""
        equal(f"len {what}", len(self.store), len(self.oracle))
        equal(f"visible {what}", self.store.visible, self.oracle.visible)
        ids = sorted(self.oracle.scan(limit=len(self.oracle) + 1).rows.ids)
        problem = rows_problem(self.store.get(ids), self.oracle.get(ids))
        if problem:
            raise broken(f"rows {what}", "those of the exact store", problem)
        revisions = self.store.revisions(ids).tolist()
        equal(f"revisions {what}", revisions, self.oracle.revisions(ids).tolist())


class Bench:
    """What every check is given: the means to make stores of one space.

    Args:
        make: Makes a new, empty store of a space.
        space: The space of the checks.
        reopen: Opens what a closed store has left, as a store of the given space.
        many: Rows in the checks of an index.
    """

    def __init__(
        self, make: Make, space: Space, reopen: Reopen | None = None, many: int = 3000
    ) -> None:
        self.space, self.many = space, many
        self.other = Space("another model", space.dim, space.metric)
        self._make, self._reopen = make, reopen
        self._opened: list[VectorStore] = []

    @property
    def limits(self) -> Limits:
        """What the store under test promises."""
        return (self._opened[0] if self._opened else self.fresh()).limits

    def fresh(self) -> VectorStore:
        """A new, empty store."""
        store = self._make(self.space)
        self._opened.append(store)
        return store

    def pair(self, count: int = 0, payloads: Payloads = None, seed: int = 0) -> Pair:
        """A new store and its oracle, with `count` rows in both."""
        pair = Pair(self.fresh(), MemoryStore(self.space))
        if count:
            pair.upsert(names(count), self.rows(count, seed), payloads)
        return pair

    def rows(self, count: int, seed: int = 0) -> FloatArray:
        """Sample rows of this space."""
        return sample(count, self.space, seed)

    def reopen(self, store: VectorStore, space: Space | None = None) -> VectorStore:
        """Close a store and open what it has left."""
        store.close()
        if self._reopen is None:
            raise ContractBroken(
                "the contract of a persistent store",
                "a way to open a store again",
                "none",
                "Pass `reopen=`, or declare the store as not persistent.",
            )
        again = self._reopen(store, space or self.space)
        self._opened.append(again)
        return again

    def close(self) -> None:
        """Close every store that was opened."""
        for store in self._opened:
            store.close()
