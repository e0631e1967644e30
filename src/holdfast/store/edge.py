"""The embedded default store: visible rows in Qdrant Edge, hidden ones in files beside it.

A row that is only masked still costs its share of every graph search, up to twice the time
at the end of an upgrade. So `hide` takes rows out of the engine altogether and keeps them in
an *archive*, which is never searched; the engine then builds its graph on the survivors.

Whatever must happen in both places, or in neither, is first written down in `intent`, and
done again by the next opening if this process dies in between. Doing it twice is harmless.

    folder/holder.json      who has it open
    folder/shard.json       the space, and which shard counts
    folder/shard-N/         the engine's files
    folder/archive/         hidden rows
    folder/intent           only while rows move between the two
"""

from __future__ import annotations

import json
import threading
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import Any

import numpy as np

from ..arrays import FloatArray, IntArray, Vectors, VectorsLike, as_vectors, ids_given
from ..artifact import Artifact, load, save
from ..errors import ArtifactError, MissingIds, StoreError
from ..hits import Hits
from ..space import Space
from .base import NO_REVISION, Limits, Page, Rows
from .edge_answer import as_hits, start_of
from .edge_archive import Archive, join, place_of
from .edge_payload import ID, PACKED, REVISION, key_of, packed
from .edge_pointer import writing
from .edge_shard import Shard
from .hold import Hold
from .memory import check_batch, check_k
from .payloads import Payloads
from .where import WhereLike, parse

_PIECE = 2_000  # rows moved at once between engine and archive


class EdgeStore:
    """Rows in a folder that one process holds; search by graph once `tend` has built it.

    Args:
        folder: Created if it is not there.
        space: The space of every vector.
        exact: Compare every query with every row, and build no graph.
        ef: Candidates that a graph search keeps: more finds more and takes longer. The
            declared floor holds for data with structure, as models make it; among
            hundreds of dimensions of pure noise a graph finds less.
    Raises:
        StoreHeld: Another process has the folder.
        OccupiedStore: The folder holds vectors of another space.
        StoreError: The folder cannot be read.
    """

    def __init__(
        self, folder: Path | str, space: Space, *, exact: bool = False, ef: int = 96
    ) -> None:
        self.space = space
        self.limits = Limits(
            exact=exact, recall_floor=1.0 if exact else 0.95, persistent=True, threads=True
        )
        self.folder = Path(folder)
        self._owner = f"EdgeStore {self.folder.name} of {space.name}"
        self._lock = threading.RLock()
        self._hold = Hold(self.folder)
        self._shard: Shard | None = None
        self._hidden: Archive | None = None
        self._torn: list[str] = []  # rows that may be in both parts, since moving them failed
        try:
            self._shard = Shard(self.folder, space, exact, check_k(ef, self._owner, "ef"))
            self._hidden = Archive(self.folder / "archive", space)
            self._intent = self.folder / "intent"
            self._settle()
            self._part()
        except BaseException:
            self.close()
            raise

    @property
    def _engine(self) -> Shard:
        if self._shard is None:
            raise self._is_closed()
        return self._shard

    @property
    def _archive(self) -> Archive:
        if self._hidden is None:
            raise self._is_closed()
        return self._hidden

    def _is_closed(self) -> StoreError:
        return StoreError(self._owner, "an open store", "a closed one", "Open it again.")

    @property
    def visible(self) -> int:
        return self._engine.count

    def __len__(self) -> int:
        with self._lock:
            twice = self._revisions_shown(self._archive.there(self._torn)) if self._torn else ()
            return self._engine.count + len(self._archive) - len(twice)

    # Moves between the two parts

    @contextmanager
    def _intending(self, verb: str, names: list[str], rows: Rows | None = None) -> Iterator[None]:
        """Write down what is about to be done in both parts; forget it when it is done."""
        arrays: dict[str, Any] = {"none": np.zeros(0)}
        meta: dict[str, Any] = {"verb": verb, "ids": names}
        if rows is not None and rows.vectors is not None:
            text = json.dumps(list(rows.payloads)).encode()  # for which the header has no room
            arrays = {"vectors": rows.vectors.array, "revisions": rows.revisions}
            arrays["payloads"] = np.frombuffer(text, dtype=np.uint8)
        with writing(self._intent):
            save(self._intent, Artifact("intent", arrays, meta))
        self._torn = names
        yield
        self._forget()

    def _forget(self) -> None:
        self._torn = []
        with writing(self._intent):
            self._intent.unlink(missing_ok=True)

    def _settle(self) -> None:
        """Do again what a process that died, or a disk that failed, has left half done."""
        self._hold.check()
        if not self._intent.exists():
            return
        try:
            left = load(self._intent, "intent")
        except ArtifactError as cause:
            raise StoreError(self._owner, "a readable intent", f"{cause}") from cause
        names = list(left.meta["ids"])
        if left.meta["verb"] == "upsert":
            vectors = Vectors(self.space, np.array(left.arrays["vectors"]))
            payloads = json.loads(left.arrays["payloads"].tobytes())
            self._write(names, vectors, payloads, left.arrays["revisions"])
        else:
            moves = {"delete": self._remove, "hide": self._put_away, "unhide": self._bring_back}
            moves[left.meta["verb"]](names)
        self._forget()

    def _part(self) -> None:
        """Let no row be in both parts, as after a power failure that the engine forgot a hide in.

        The newer one counts; of two alike the one that is found, as everybody reads them.
        """
        if self._engine.closed_well:
            return
        after: str | None = None
        while len(away := self._archive.scan(after, _PIECE, vectors=False)):
            after = place_of(away.ids[-1])
            shown = self._revisions_shown(away.ids)
            both = [
                (n, int(r)) for n, r in zip(away.ids, away.revisions, strict=True) if n in shown
            ]
            stale = [name for name, revision in both if shown[name] < revision]
            if stale:
                self._engine.drop([key_of(name) for name in stale], len(stale))
            self._archive.drop([name for name, revision in both if shown[name] >= revision])

    def _stored(self, names: list[str]) -> tuple[IntArray, Any]:
        """Revisions, -1 where absent, and which rows are in the archive only."""
        shown = self._revisions_shown(names)
        revisions = np.array([shown.get(name, NO_REVISION) for name in names], dtype=np.int64)
        if not len(self._archive):
            return revisions, np.zeros(len(names), dtype=bool)
        archived = self._archive.revisions(names)
        hidden = (archived != NO_REVISION) & (revisions == NO_REVISION)
        return np.where(hidden, archived, revisions), hidden

    def _revisions_shown(self, names: Sequence[str]) -> dict[str, int]:
        if not self._engine.count:
            return {}
        found = self._engine.read([key_of(name) for name in names], [ID, REVISION])
        return {p[ID]: p[REVISION] for p in (record.payload for record in found)}

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
        with self._lock:
            self._settle()
            self._write(names, rows, given, numbers)

    def _write(
        self,
        names: list[str],
        vectors: Vectors,
        payloads: Sequence[Mapping[str, Any]],
        revisions: IntArray | None,
    ) -> None:
        stored, hidden = self._stored(names)
        numbers = stored + 1 if revisions is None else revisions
        batch = Rows(names, numbers, payloads, hidden, vectors)
        current = numbers >= stored
        shown, away = np.flatnonzero(current & ~hidden), np.flatnonzero(current & hidden)
        new = int((stored[shown] == NO_REVISION).sum())
        if not len(away):
            self._show(batch.take(shown), new)
            return
        kept = batch.take(np.flatnonzero(current))
        with self._intending("upsert", kept.ids, kept):
            self._archive.put(batch.take(away))
            self._show(batch.take(shown), new)

    def _show(self, rows: Rows, new: int) -> None:
        """Put rows into the engine, `new` of which are not there."""
        if not len(rows) or rows.vectors is None:
            return
        points = zip(
            [key_of(name) for name in rows.ids],
            _lists(rows.vectors.array),
            packed(rows.ids, rows.payloads, rows.revisions.tolist()),
            strict=True,
        )
        self._engine.put(list(points), new)

    def delete(self, ids: Sequence[str]) -> None:
        self._each(ids, self._delete_piece)

    def _each(self, ids: Sequence[str], do: Any) -> None:
        names = list(dict.fromkeys(ids_given(ids, self._owner)))
        for start in range(0, len(names), _PIECE):
            with self._lock:
                self._settle()
                do(names[start : start + _PIECE])

    def _delete_piece(self, names: list[str]) -> None:
        away = self._archive.there(names)
        if not away:
            self._remove(names)
            return
        with self._intending("delete", names):
            self._remove(names)

    def _remove(self, names: list[str]) -> None:
        shown = list(self._revisions_shown(names))
        if shown:
            self._engine.drop([key_of(name) for name in shown], len(shown))
        self._archive.drop(names)

    def hide(self, ids: Sequence[str]) -> None:
        self._each(ids, self._put_away)

    def unhide(self, ids: Sequence[str]) -> None:
        self._each(ids, self._bring_back)

    def _put_away(self, names: list[str]) -> None:
        shown = self._read_shown(names, vectors=True)
        if len(shown):
            with self._intending("hide", shown.ids):
                self._archive.put(shown)
                self._engine.drop([key_of(name) for name in shown.ids], len(shown))

    def _bring_back(self, names: list[str]) -> None:
        there = self._archive.there(names)
        if not there:
            return
        with self._intending("unhide", there):
            rows = self._archive.get(there)
            self._show(rows, len(rows) - len(self._revisions_shown(there)))
            self._engine.flush()  # on disk before its other copy goes
            self._archive.drop(there)

    # Reading

    def revisions(self, ids: Sequence[str]) -> IntArray:
        with self._lock:
            return self._stored(ids_given(ids, self._owner))[0]

    def get(self, ids: Sequence[str], vectors: bool = True) -> Rows:
        names = ids_given(ids, self._owner)
        unique = list(dict.fromkeys(names))
        # Writing waits for disks and reading need not. Rows that are hidden meanwhile are found
        # in one part or the other; those that are shown may be missed, so that counts only alone.
        try:
            found = self._found(unique, vectors)
            missed = len(found) < len(unique)
        except MissingIds:
            missed = True
        if missed:
            with self._lock:
                found = self._found(unique, vectors)
        return found.ordered(names, self.space.name)

    def _found(self, names: list[str], vectors: bool) -> Rows:
        """Those that are in the engine, then those that are in the archive alone."""
        shown = self._read_shown(names, vectors)
        have = set(shown.ids)
        rest = [name for name in names if name not in have] if len(have) < len(names) else []
        there = self._archive.there(rest)
        return join(shown, self._archive.get(there, vectors)) if there else shown

    def _read_shown(self, names: list[str], vectors: bool) -> Rows:
        """The rows among these that are in the engine."""
        records = self._engine.read([key_of(name) for name in names], True, vectors)
        return self._from_records(records, vectors)

    def _from_records(self, records: list[Any], vectors: bool) -> Rows:
        stored = [record.payload for record in records]
        return Rows(
            [p[ID] for p in stored],
            np.array([p[REVISION] for p in stored], dtype=np.int64),
            Payloads(stored, PACKED),
            np.zeros(len(records), dtype=bool),
            Vectors(self.space, self._array(records)) if vectors else None,
        )

    def _array(self, records: list[Any]) -> FloatArray:
        """(n, d) vectors; twice as fast by `struct` as by numpy, which looks at each type."""
        row = Struct(f"{self.space.dim}f").pack
        data = bytearray().join([row(*record.vector) for record in records])
        return np.frombuffer(data, dtype=np.float32).reshape(len(records), self.space.dim)

    def search(self, queries: VectorsLike, k: int, where: WhereLike = None) -> Hits:
        owner = f"search in {self.space.name}"
        asked, k, tree = as_vectors(queries, self.space, owner), check_k(k, owner), parse(where)
        answers = self._engine.search(asked.array, k, tree, [ID])
        return as_hits(answers, len(asked), k, self.space.metric)

    def scan(self, after: str | None = None, limit: int = 1000, vectors: bool = False) -> Page:
        """See the protocol. The order is that of the ids' digests, in both parts alike, so
        that a row which is hidden or unhidden meanwhile keeps its place.
        """
        owner = f"scan of {self.space.name}"
        limit = check_k(limit, owner, "limit")
        start = start_of(after, owner)
        with self._lock:
            records = self._engine.scroll(start, limit + 2, vectors)
            shown = self._from_records(records, vectors)
            away = self._archive.scan(after, limit + 1, vectors)
        found = join(shown, away) if len(away) else shown
        places = [place_of(name) for name in found.ids]
        order = sorted(range(len(places)), key=places.__getitem__)
        if after is not None:
            order = [i for i in order if places[i] > after]
        # A row is in both parts where hiding it failed: as for `get`, it is not hidden then.
        order = [i for n, i in enumerate(order) if not n or places[i] != places[order[n - 1]]]
        cut = order[:limit]
        last = places[cut[-1]] if len(order) > limit else None
        return Page(found.take(np.array(cut, dtype=np.intp)), last)

    # Upkeep

    def tend(self) -> None:
        """See the protocol. Searches and writes go on meanwhile; the graph is built by a
        child process on a copy, so that the folder's size doubles for a time.
        """
        self._engine.tend(self._lock)
        with self._lock:
            if self._hidden is not None:  # else it was closed, and the graph given up
                self._hidden.compact()

    def close(self) -> None:
        """See the protocol. A graph that is being built is given up."""
        try:
            if self._shard is not None:
                self._shard.close(self._lock)
        finally:
            with self._lock:
                if self._hidden is not None:
                    self._hidden.close()
                self._shard = self._hidden = None
                self._hold.release()


def _lists(rows: FloatArray) -> Iterator[list[float]]:
    """Rows as lists, which are a third faster to hand over than numpy rows."""
    for row in rows:
        yield array("f", row.tobytes()).tolist()  # twice as fast as numpy's own
