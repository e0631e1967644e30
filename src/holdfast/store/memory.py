"""The exact store in memory: small, plain, and the oracle of every contract test."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import (
    IntArray,
    Vectors,
    VectorsLike,
    as_vectors,
    check_ids,
    ids_given,
)
from ..errors import InvalidInput
from ..hits import Hits
from ..settings import NESTED, too_deep
from ..space import Space
from .base import NO_REVISION, Limits, Page, Rows, refuse_absent
from .payloads import PARSED, Payloads
from .topk import best, scores, top
from .where import WhereLike, matches, parse

__all__ = ["MemoryStore", "as_payloads", "best", "check_batch", "check_k", "scores"]

MOST = 2**31 - 1  # rows asked for at once: beyond it arrays and databases fail, each in its way
_LATEST = 2**62  # a write without a revision counts on from the stored one, and must not wrap


def check_batch(
    owner: str,
    space: Space,
    ids: Sequence[str],
    vectors: VectorsLike,
    payloads: Sequence[Mapping[str, Any]] | None,
    revisions: Sequence[int] | IntArray | None,
) -> tuple[list[str], Vectors, Sequence[Mapping[str, Any]], IntArray | None]:
    """Check one upsert before anything is written; shared by all stores.

    Raises:
        InvalidInput: Or one of its kinds, see `arrays`.
    """
    rows = as_vectors(vectors, space, owner)
    names = check_ids(ids, owner, len(rows))
    given: Sequence[Mapping[str, Any]] = [{}] * len(names)
    if payloads is not None:
        given = as_payloads(payloads, owner)
    if len(given) != len(names):
        raise InvalidInput(owner, f"{len(names)} payloads, one per row", str(len(given)))
    if revisions is None:
        return names, rows, given, None
    return names, rows, given, _as_revisions(revisions, owner, len(names))


def as_payloads(payloads: Sequence[Mapping[str, Any]], owner: str) -> Sequence[Mapping[str, Any]]:
    """Copies that share nothing with the caller, through JSON, so that they are JSON.

    What a store gave out is that already, and nobody may change it.
    """
    if isinstance(payloads, Payloads):
        return payloads
    fix = "A payload is a dict of strings, finite numbers, true, false, null, lists and dicts."
    given = [] if isinstance(payloads, Mapping) else list(payloads)
    if isinstance(payloads, Mapping) or not all(isinstance(p, Mapping) for p in given):
        raise InvalidInput(owner, "a list of JSON objects as payloads", "something else", fix)
    try:
        text = json.dumps([dict(p) for p in given], allow_nan=False)
        copies: list[Mapping[str, Any]] = json.loads(text)
    except (TypeError, ValueError, RecursionError) as cause:
        raise InvalidInput(owner, "payloads that JSON can write", str(cause), fix) from cause
    if too_deep(copies, NESTED + 1):
        raise InvalidInput(owner, f"payloads nested at most {NESTED} deep", "deeper ones", fix)
    return copies


def _as_revisions(revisions: Sequence[int] | IntArray, owner: str, count: int) -> IntArray:
    numbers = np.asarray(revisions)
    if numbers.shape != (count,):
        raise InvalidInput(owner, f"{count} revisions, one per row", f"shape {numbers.shape}")
    if count and (
        numbers.dtype.kind not in "iu" or not 0 <= numbers.min() <= numbers.max() <= _LATEST
    ):
        raise InvalidInput(
            owner, "revisions that are integers from 0 to 2**62", repr(revisions)[:80]
        )
    whole: IntArray = numbers.astype(np.int64)
    return whole


def check_k(k: int, owner: str, name: str = "k") -> int:
    """A number of hits, or of rows, that can be asked for."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise InvalidInput(owner, f"{name} of at least 1", repr(k))
    if k > MOST:
        raise InvalidInput(owner, f"{name} of at most {MOST:,}", repr(k))
    return int(k)


class MemoryStore:
    """Rows in one growing array; exact search by matrix product.

    Args:
        space: The space of every vector.
    Example:
        >>> store = MemoryStore(Space("demo", 2))
        >>> store.upsert(["east", "north"], [[1.0, 0.0], [0.0, 1.0]])
        >>> store.search([[0.9, 0.1]], k=1).ids.tolist()
        [['east']]
    """

    limits = Limits()

    def __init__(self, space: Space) -> None:
        self.space = space
        self._lock = threading.RLock()
        self._array = np.zeros((0, space.dim), dtype=np.float32)
        self._slot: dict[str, int] = {}
        self._ids = np.empty(0, dtype=object)
        self._payloads: list[Mapping[str, Any]] = []
        self._revision = np.empty(0, dtype=np.int64)
        self._shown = np.empty(0, dtype=bool)
        self._sorted: list[str] | None = None  # the order of a scan, until ids come or go

    @property
    def visible(self) -> int:
        return int(self._shown[: len(self._slot)].sum())

    def __len__(self) -> int:
        return len(self._slot)

    def upsert(
        self,
        ids: Sequence[str],
        vectors: VectorsLike,
        payloads: Sequence[Mapping[str, Any]] | None = None,
        revisions: Sequence[int] | IntArray | None = None,
    ) -> None:
        owner = f"upsert into {self.space.name}"
        names, rows, given, numbers = check_batch(
            owner, self.space, ids, vectors, payloads, revisions
        )
        with self._lock:
            stored = self.revisions(names)
            numbers = stored + 1 if numbers is None else numbers
            self._reserve(len(self._slot) + int((stored == NO_REVISION).sum()))
            for i in np.flatnonzero(numbers >= stored).tolist():
                self._put(names[i], rows.array[i], given[i], int(numbers[i]))

    def _reserve(self, size: int) -> None:
        if size <= len(self._array):
            return
        size = max(size, 2 * len(self._array), 64)
        for name in ("_array", "_ids", "_revision", "_shown"):
            old = getattr(self, name)
            grown = np.empty((size, *old.shape[1:]), dtype=old.dtype)
            grown[: len(old)] = old
            setattr(self, name, grown)

    def _put(self, name: str, row: Any, payload: Mapping[str, Any], revision: int) -> None:
        slot = self._slot.get(name)
        if slot is None:
            slot = self._slot[name] = len(self._slot)
            self._sorted = None
            self._ids[slot] = name
            self._shown[slot] = True
            self._payloads.append(payload)
        self._array[slot] = row
        self._payloads[slot] = payload
        self._revision[slot] = revision

    def delete(self, ids: Sequence[str]) -> None:
        with self._lock:
            for name in ids_given(ids, f"delete from {self.space.name}"):
                slot = self._slot.pop(name, None)
                if slot is None:
                    continue
                self._sorted = None
                last = len(self._slot)  # the last row moves into the gap
                if slot != last:
                    self._slot[self._ids[last]] = slot
                    for column in (self._array, self._ids, self._revision, self._shown):
                        column[slot] = column[last]
                    self._payloads[slot] = self._payloads[last]
                self._payloads.pop()

    def get(self, ids: Sequence[str], vectors: bool = True) -> Rows:
        with self._lock:
            ids = ids_given(ids, f"get from {self.space.name}")
            missing = [name for name in ids if name not in self._slot]
            refuse_absent(missing, len(ids), self.space.name)
            return self._rows(list(ids), vectors)

    def _rows(self, ids: list[str], vectors: bool) -> Rows:
        at = np.array([self._slot[name] for name in ids], dtype=np.intp)
        return Rows(
            ids,
            self._revision[at],
            Payloads([self._payloads[slot] for slot in at.tolist()], PARSED),
            ~self._shown[at],
            Vectors(self.space, self._array[at]) if vectors else None,
        )

    def revisions(self, ids: Sequence[str]) -> IntArray:
        with self._lock:
            ids = ids_given(ids, f"revisions of {self.space.name}")
            found = [self._slot.get(name, NO_REVISION) for name in ids]
            return np.array(
                [NO_REVISION if slot < 0 else self._revision[slot] for slot in found],
                dtype=np.int64,
            )

    def search(self, queries: VectorsLike, k: int, where: WhereLike = None) -> Hits:
        owner = f"search in {self.space.name}"
        asked, k, tree = as_vectors(queries, self.space, owner), check_k(k, owner), parse(where)
        with self._lock:
            shown = np.flatnonzero(self._shown[: len(self._slot)])
            if tree is not None:
                keep = [matches(tree, self._payloads[slot]) for slot in shown]
                shown = shown[np.array(keep, dtype=bool)]
            if len(shown) < len(self._slot):
                rows, ids = self._array[shown], self._ids[shown]
            else:  # copies as well, so that writes may go on, in half the time
                rows, ids = self._array[: len(shown)].copy(), self._ids[: len(shown)].copy()
        out = Hits.empty(len(asked), k)
        places, values = top(asked.array, rows, k, self.space.metric)
        out.ids[:, : places.shape[1]] = ids[places]
        out.scores[:, : places.shape[1]] = values
        return out

    def scan(self, after: str | None = None, limit: int = 1000, vectors: bool = False) -> Page:
        limit = check_k(limit, f"scan of {self.space.name}", "a limit")
        with self._lock:
            names = self._sorted = self._sorted or sorted(self._slot)
            start = 0 if after is None else bisect_right(names, after)
            piece = names[start : start + limit]
            more = start + limit < len(names)
            return Page(self._rows(piece, vectors), piece[-1] if more else None)

    def hide(self, ids: Sequence[str]) -> None:
        self._show(ids, False)

    def unhide(self, ids: Sequence[str]) -> None:
        self._show(ids, True)

    def _show(self, ids: Sequence[str], shown: bool) -> None:
        with self._lock:
            for name in ids_given(ids, f"hide in {self.space.name}"):
                slot = self._slot.get(name)
                if slot is not None:
                    self._shown[slot] = shown

    def tend(self) -> None:
        """Nothing to do: there is no index."""

    def close(self) -> None:
        """Nothing to do: there is no file."""
