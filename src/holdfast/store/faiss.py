"""A store for one machine: rows in a file, an index over the visible ones in memory.

What a write returns from is on disk; the index is a copy that can be built again. So a crash
costs at most the time to do that. Searches run beside each other, and beside upkeep.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from ..arrays import FloatArray, IntArray, VectorsLike, as_vectors
from ..errors import HoldfastError, InvalidInput
from ..hits import NO_ID, Hits
from ..space import Space
from .base import Limits, Page, Rows
from .columns import Columns
from .faiss_build import FLOOR, HELD, SMALLEST, build, insert, tune
from .faiss_flat import Flat
from .faiss_index import BoolArray, Found, Graph, Kind, Lists, as_hits, enlarged, prepare, scan
from .faiss_saved import forget_index, load_index, save_index
from .hold import Hold
from .memory import check_batch, check_k
from .payloads import take
from .rows import NO_SLOT, RowFile
from .sharedlock import SharedLock
from .where import Where, WhereLike, parse

Choice: TypeAlias = Literal["auto", "flat", "ivf", "hnsw"]

_MANY = 200_000  # rows from which "auto" prefers lists to a scan
_QUERIES = 1024  # answered under one hold of the lock, so that writes get their turn
_BLOCK = 32_768  # rows read at once
_LISTENED = 64  # queries of one batch that are remembered
_FEW = 0.2  # share of rows below which those that pass a filter are scanned
_DEEP = 0.1  # share of rows that a search may ask for before all are scanned
_STALE = 0.2  # share of rows missing in a saved index that makes it not worth completing
_CHANGED = 0.25  # share of rows that came since an index was tuned, to tune it again
_OUTGROWN = 1  # times the rows lists were made for that came since, to make them again
_DEAD = 0.25  # dead nodes for each living one, to link a graph again
_DOUBLED = 2  # times the rows at which an index missed the floor, to try again


class FaissStore:
    """Rows in a folder, searched by faiss.

    Searches are exact until `tend` has built the index that was asked for, and again once few
    rows are left. Once many rows or queries are new, `tend` measures anew how hard to try.

    Args:
        folder: Made if it is not there; one process holds it at a time.
        space: The space of every vector.
        index: "flat" scans all rows. "ivf" reads the lists near a query, "hnsw" walks a
            graph: quicker from some 100,000 rows, at a recall of 0.95, measured by `tend` on
            stored rows and on the queries of late. "auto" is flat, and ivf from 200,000 rows.
        exact_below: Visible rows below which every index is flat; 1,024 at the least.
    Raises:
        InvalidInput: An unknown index.
        MissingExtra: faiss is not installed.
        StoreHeld: Another process has the folder.
        OccupiedStore: The folder holds rows of another space.
        StoreError: What is there cannot be read.
    """

    def __init__(
        self,
        folder: Path | str,
        space: Space,
        index: Choice = "auto",
        exact_below: int = 5_000,
    ) -> None:
        if index not in get_args(Choice):
            raise InvalidInput("FaissStore", f"index among {get_args(Choice)}", repr(index))
        prepare(space.dim)
        self.folder, self.space = Path(folder), space
        self._choice: Choice = index
        self._exact_below = max(check_k(exact_below, "FaissStore", "exact_below"), SMALLEST)
        self._lock = SharedLock()  # readers and writers of what is in memory
        self._changes = threading.RLock()  # one write at a time, from disk to memory
        self._tending = threading.RLock()  # one upkeep at a time
        self._closed = False
        self._asked: deque[FloatArray] = deque(maxlen=HELD)  # queries of late, to tune by
        self._news = 0  # queries since the last tuning
        self._refused = 0  # rows at which the index did not reach its floor
        self._expected = 0  # rows that lists are made for, if more than there are
        self._hold = Hold(self.folder)
        try:
            self._rows = RowFile(self.folder, space, tidy=False)
            try:
                self._load()
                if self._compact():
                    self._save()  # the one on disk speaks of slots that are no more
            except BaseException:
                self._rows.close()
                raise
        except BaseException:
            self._hold.release()
            raise

    @property
    def limits(self) -> Limits:
        if self._choice == "flat":
            return Limits(persistent=True)
        return Limits(exact=False, recall_floor=FLOOR, persistent=True)

    @property
    def visible(self) -> int:
        return self._rows.visible

    def __len__(self) -> int:
        return self._rows.total

    # From disk to memory

    def _load(self) -> None:
        slots, ids, hidden = self._rows.roster()
        self._known = self._rows.slots
        self._names = np.full(self._known, NO_ID, dtype=object)  # by slot
        self._names[slots] = ids
        self._shown = np.zeros(self._known, dtype=bool)  # by slot
        self._shown[slots] = ~hidden
        self._columns = Columns(self._rows.payloads_between)
        self._changed = False  # since the index was saved
        saved = self._saved()
        self._index: Flat | Lists | Graph = self._flat() if saved is None else saved

    def _saved(self) -> Lists | Graph | None:
        kinds = ("ivf",) if self._choice == "auto" else (self._choice,)
        visible = self._visible()
        if self._choice == "flat" or len(visible) < self._exact_below:
            return None
        index = load_index(self.folder, kinds, self.space, self._rows.generation)
        if index is None or len(visible) - len(index) > _STALE * len(visible):
            return None
        self._complete(index)
        return index

    def _visible(self) -> IntArray:
        return np.flatnonzero(self._shown[: self._known])

    def _flat(self) -> Flat:
        flat, visible = Flat(self.space.dim, self.space.metric), self._visible()
        for start in range(0, len(visible), _BLOCK):
            piece = visible[start : start + _BLOCK]
            flat.add(piece, self._rows.vectors_at(piece))
        return flat

    def _complete(self, index: Lists | Graph) -> None:
        """Give an index what came since it was made, and take from it what went."""
        have, want = index.slots(), self._visible()
        have = have[have >= 0]
        gone, come = np.setdiff1d(have, want), np.setdiff1d(want, have)
        if len(gone):
            index.remove(gone)
        insert(index, come, self._rows.vectors_at)
        self._changed = self._changed or bool(len(gone) or len(come))

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One write, from disk to memory; memory is read again when it may have fallen behind."""
        with self._changes:
            self._hold.check()
            try:
                yield
            except HoldfastError:
                raise  # refused before anything was written
            except BaseException:
                with self._lock.alone():
                    self._load()
                raise

    # Writing

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
        with self._changing():
            done = self._rows.upsert(names, rows, given, numbers)
            if not len(done.slots):
                return
            shown = ~done.hidden
            gone = done.replaced[shown & (done.replaced != NO_SLOT)]
            places = done.places[shown]
            array = rows.array if len(places) == len(names) else rows.array[places]
            written = take(given, done.places.tolist())
            with self._lock.alone():
                first, self._known = self._known, int(done.slots[-1]) + 1
                self._names = enlarged(self._names, self._known)
                self._names[first : self._known] = done.names
                self._shown = enlarged(self._shown, self._known)
                self._shown[first : self._known] = False
                self._columns.extend(first, written)
                self._replace(gone, done.slots[shown], array)

    def delete(self, ids: Sequence[str]) -> None:
        with self._changing():
            died = self._rows.delete(ids)
            with self._lock.alone():
                self._replace(died[self._shown[died]])

    def hide(self, ids: Sequence[str]) -> None:
        with self._changing():
            gone = self._rows.set_hidden(ids, True)
            with self._lock.alone():
                self._replace(gone)

    def unhide(self, ids: Sequence[str]) -> None:
        with self._changing():
            # Read first: what cannot be searched must not be said to be visible.
            slots = np.unique(self._rows.slots_of(ids))
            slots = slots[slots != NO_SLOT]
            away = slots[~self._shown[slots]]
            rows = self._rows.vectors_at(away)
            come = self._rows.set_hidden(ids, False)
            with self._lock.alone():
                self._replace(come[:0], come, rows[np.searchsorted(away, come)])

    def _replace(
        self, gone: IntArray, come: IntArray | None = None, rows: FloatArray | None = None
    ) -> None:
        if len(gone):
            self._index.remove(gone)
            self._shown[gone] = False
            self._changed = True
        if come is not None and rows is not None and len(come):
            self._index.add(come, rows)
            self._shown[come] = True
            self._changed = True
        if not isinstance(self._index, Flat) and len(self._index) < self._exact_below:
            self._index = self._flat()

    # Reading

    def get(self, ids: Sequence[str], vectors: bool = True) -> Rows:
        return self._rows.get(ids, vectors)

    def revisions(self, ids: Sequence[str]) -> IntArray:
        return self._rows.revisions(ids)

    def scan(self, after: str | None = None, limit: int = 1000, vectors: bool = False) -> Page:
        return self._rows.scan(after, limit, vectors)

    def search(self, queries: VectorsLike, k: int, where: WhereLike = None) -> Hits:
        owner = f"search in {self.space.name}"
        asked, k, tree = as_vectors(queries, self.space, owner), check_k(k, owner), parse(where)
        if not len(self):  # a closed store says so: what is left in memory grows old
            return Hits.empty(len(asked), k)
        if tree is not None and not self._columns.ready(tree):
            with self._changes:
                self._columns.prepare(tree, self._known)
        self._asked.extend(asked.array[:_LISTENED].copy())
        self._news += len(asked)
        parts = []
        for start in range(0, len(asked), _QUERIES):
            block = asked.array[start : start + _QUERIES]
            with self._lock.shared():
                found = self._answer(block, k, tree)
                ids = self._names[found[1]]
            parts.append(as_hits(ids, found, k))
        if len(parts) == 1:
            return parts[0]
        return Hits.concat(parts) if parts else Hits.empty(0, k)

    def _answer(self, queries: FloatArray, k: int, where: Where | None) -> Found:
        index, passing, count = self._index, None, len(self._index)
        if where is not None:
            passing = self._shown[: self._known] & self._columns.passing(where, self._known)
            count = int(passing.sum())
        k = min(k, count)
        if k == 0:
            nothing = np.zeros((len(queries), 0), dtype=np.float32)
            return nothing, nothing.astype(np.int64)
        if isinstance(index, Flat):
            return index.search(queries, k, passing)
        few = passing is not None and count < max(_FEW * len(index), self._exact_below)
        if few or k > _DEEP * count:
            return self._exactly(queries, k, passing)
        scores, slots = index.search(queries, k, passing)
        short = np.flatnonzero(slots[:, -1] < 0)
        if len(short):  # the part that was visited holds fewer than k
            scores[short], slots[short] = self._exactly(queries[short], k, passing)
        return scores, slots

    def _exactly(self, queries: FloatArray, k: int, passing: BoolArray | None) -> Found:
        slots = self._visible() if passing is None else np.flatnonzero(passing)
        return scan(queries, k, slots, self._rows.vectors_at, self.space.metric)

    # Upkeep

    def expect(self, rows: int) -> None:
        """See `growing.py`: lists are made for so many."""
        self._expected = rows

    def tend(self) -> None:
        """Compact the rows, build or tune the index that was asked for, and save it.

        Searches and writes go on while an index is built; they wait while rows are
        compacted, which happens once more than half of all slots are dead.
        """
        with self._tending:
            self._compact()
            kind = self._wanted()
            if kind is not None:
                self._rebuild(kind)
            elif not isinstance(self._index, Flat) and self._is_untuned(self._index):
                self._retune(self._index)
            self._save()

    def _compact(self) -> bool:
        with self._changing(), self._lock.alone():
            before = self._known
            alive = self._rows.compact()
            if alive is None:
                return False
            new = np.full(before, NO_SLOT, dtype=np.int64)
            new[alive] = np.arange(len(alive))
            self._index.renumber(new)
            self._columns.renumber(alive)
            self._names, self._shown = self._names[alive], self._shown[alive]
            self._known, self._changed = len(alive), True
            return True

    def _wanted(self) -> Kind | None:
        """The index to build now, if any."""
        index, rows = self._index, len(self._index)
        if self._choice == "flat" or rows < self._exact_below or rows <= _DOUBLED * self._refused:
            return None
        if isinstance(index, Flat):
            least = _MANY if self._choice == "auto" else 0
            kind: Kind = "hnsw" if self._choice == "hnsw" else "ivf"
            return kind if rows >= least else None
        if isinstance(index, Lists):
            return "ivf" if index.added > _OUTGROWN * index.built else None
        return "hnsw" if index.dead >= _DEAD * len(index) else None

    def _is_untuned(self, index: Lists | Graph) -> bool:
        changed = index.added - index.tuned > _CHANGED * len(index)
        return changed or self._news >= HELD

    def _queries(self) -> FloatArray:
        self._news = 0
        nothing = np.zeros((0, self.space.dim), dtype=np.float32)
        return np.concatenate([nothing, *(row[None] for row in self._asked.copy())])

    def _rebuild(self, kind: Kind) -> None:
        with self._lock.shared():
            slots = self._visible()
        read, metric = self._rows.vectors_at, self.space.metric
        fresh = build(kind, slots, read, metric, self._queries(), self._expected)
        if fresh is None:
            self._refused = len(slots)
            return
        with self._changing():
            self._complete(fresh)  # nobody searches it yet
            with self._lock.alone():
                self._index, self._changed, self._refused = fresh, True, 0

    def _retune(self, index: Lists | Graph) -> None:
        with self._changes:  # keeps writers out, searches go on
            held = np.random.default_rng(0).permutation(self._visible())[:HELD]
            read, metric = self._rows.vectors_at, self.space.metric
            if not tune(index, held, read, metric, self._queries(), keep=True):
                self._refused = len(index)
                with self._lock.alone():
                    self._index = self._flat()
            self._changed = True

    def _save(self) -> None:
        with self._changes:
            if isinstance(self._index, Flat):
                forget_index(self.folder)
            elif self._changed:
                save_index(self.folder, self._index, self.space, self._rows.generation)
            self._changed = False

    def close(self) -> None:
        with self._tending, self._changes:
            if self._closed:
                return
            self._closed = True
            try:
                if not self._hold.forked:
                    self._save()
            finally:
                self._rows.close()
                self._hold.release()
