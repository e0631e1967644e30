"""The one file that knows Qdrant Edge: a shard in a folder, and its rebuilding.

Every call into the engine holds the interpreter, so that nothing else in the process runs
meanwhile. Calls are therefore kept short (queries go in small groups), and the long one,
building the graph, is made by a child process on a copy of the shard. Rows that are written
meanwhile are noted and brought over before the copy takes the place of the original. A small
file, `shard.json`, names the generation that counts; it is replaced in one step, so that a
process that dies at any moment leaves one valid shard and perhaps a copy, which is removed
at the next opening.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from operator import methodcaller
from pathlib import Path
from types import ModuleType
from typing import Any

from ..arrays import FloatArray
from ..errors import StoreError
from ..space import Space
from . import edge_build
from .edge_fork import leave_when_forked
from .edge_payload import Plain, condition
from .edge_pointer import RESTORE, UNKNOWN, Pointer, read_pointer, translated, writing
from .where import Where

_GRAPH_KB = 10_000  # smaller parts are scanned: 0.3 ms for the 6,500 rows of 384-d it holds
_PART_KB = 1_000  # beside a graph, rows that are not in it may take 0.03 ms to scan
_WORTH = 0.01  # part of all rows that must have come before a graph is built again
_DELETED = 0.2  # a part with this share of removed rows is rebuilt: halvings always are
_LEAST = 1_000  # parts with fewer rows are never rebuilt for removed ones
_NEVER = 2**50  # kilobytes
_M, _EF_CONSTRUCT = 16, 100
_EF_ROWS = 100_000  # rows for which `ef` is meant
_EF_GROWTH = 0.65  # exponent at which recall stayed about the same from 25,000 to 100,000 rows
_GROUP = 16  # queries in one call
_READ = 128  # points in one call: a millisecond or two, beside searches
_BREATH = 0.01  # seconds in which searches that waited for one long call come before the next
_FLUSH_ROWS = 50_000  # rows after which the write-ahead log is cut, to keep opening fast


class Shard:
    """Points of one folder. Not safe by itself for writes from several threads.

    Args:
        folder: Held by this process.
        space: The space of the vectors.
        exact: Compare with every row; no graph is built.
        ef: Length of the candidate list when a graph of 100,000 rows is searched; grows and
            shrinks with their number, down to a half and up to three times.
    Raises:
        OccupiedStore: The folder holds vectors of another space.
        StoreHeld: Another program has the folder open in the engine.
        StoreError: The folder cannot be read.
    """

    def __init__(self, folder: Path, space: Space, exact: bool, ef: int) -> None:
        self._folder, self._space, self._exact, self._ef = folder, space, exact, ef
        self._engine = _engine()
        self._gate = threading.Lock()  # around each call, so that none meets a closed shard
        self._tending = threading.Lock()
        self._build: edge_build.Build | None = None
        self._touched: set[str] | None = None  # keys written while a copy is being built
        self._wanted: set[str] = set()
        self._unsure: set[str] = set()  # keys of points that failed to change
        self._unflushed = 0
        self._declined = 0  # changes below which building was found to be pointless
        self._closing, self._process = False, os.getpid()
        self._pointer = read_pointer(folder, space)
        self.closed_well = self._pointer.rows != UNKNOWN  # before it was opened
        self._pointer.sweep(folder)
        self._written, self._removed = self._pointer.written, self._pointer.removed
        self._shard: Any = self._open()
        leave_when_forked(self)
        self.count = self._counted()
        if self._pointer.rows not in (UNKNOWN, self.count):  # the engine passes over what is gone
            got = f"{self.count:,}"
            raise StoreError(str(folder), f"the {self._pointer.rows:,} rows it had", got, RESTORE)

    def _counted(self) -> int:
        return int(self._call(lambda s: s.count(self._engine.CountRequest())))

    def _open(self) -> Any:
        path = self._pointer.path(self._folder)
        with translated(str(path)):
            if not path.exists() and self._pointer.generation == 0:
                fresh = self._folder / "new-shard"
                fresh.mkdir()
                create = self._engine.EdgeShard.create
                create(str(fresh), _config(self._space, self._exact)).close()
                fresh.rename(path)
            return _load(path, self._space, self._exact)

    def _call(self, do: Callable[[Any], Any]) -> Any:
        with self._gate, translated(str(self._folder)):
            if self._shard is None:
                mine = os.getpid() == self._process
                got = "a closed one" if mine else "one that was opened before this process forked"
                raise StoreError(str(self._folder), "an open store", got, "Open it.")
            return do(self._shard)

    def leave(self) -> Any:
        """See `edge_fork.py`."""
        self._gate = threading.Lock()  # another thread may have held it
        left, self._shard = self._shard, None
        return left

    def put(self, points: Sequence[tuple[str, Any, dict[str, Any]]], new: int) -> None:
        """Write (key, vector, stored payload) points in one step; `new` of them were absent."""
        made = [self._engine.Point(*point) for point in points]
        keys = [key for key, _, _ in points]
        self._update(self._engine.UpdateOperation.upsert_points(made), keys)
        self.count += new
        self._written += len(made)
        self._removed += len(made) - new
        self._note(keys)

    def drop(self, keys: Sequence[str], present: int) -> None:
        """Remove points, `present` of which are there."""
        listed = list(keys)
        self._update(self._engine.UpdateOperation.delete_points(listed), listed)
        self.count -= present
        self._removed += present
        self._note(listed)

    def _update(self, operation: Any, keys: Sequence[str]) -> None:
        self._begin()
        self._settle()
        try:
            self._call(methodcaller("update", operation))
        except StoreError:
            self._unsure.update(keys)
            raise

    def _settle(self) -> None:
        """Write points as they are where a change failed, since it is in the engine's log all the
        same, and would come true at the next opening.
        """
        if not self._unsure:
            return
        operation, found = self._engine.UpdateOperation, self.read([*self._unsure], True, True)
        kept = [self._engine.Point(r.id, r.vector, r.payload) for r in found]
        gone = self._unsure.difference(str(r.id).replace("-", "") for r in found)
        for settled in (operation.upsert_points(kept), operation.delete_points(sorted(gone))):
            self._call(methodcaller("update", settled))
        self._unsure.clear()
        self.count = self._counted()

    def _begin(self) -> None:
        """Forget how many rows there were, before a change."""
        if self._pointer.rows != UNKNOWN:
            self._point(replace(self._pointer, rows=UNKNOWN))

    def _note(self, keys: Sequence[str]) -> None:
        if self._touched is not None:
            self._touched.update(keys)
        self._unflushed += len(keys)
        if self._unflushed >= _FLUSH_ROWS:
            self.flush()

    def read(self, keys: Sequence[str], fields: Any = True, vectors: bool = False) -> list[Any]:
        """The points that are there, with `payload` and `vector`."""
        found: list[Any] = []
        for start in range(0, len(keys), _READ):
            piece = list(keys[start : start + _READ])
            found += self._call(methodcaller("retrieve", piece, fields, vectors))
        return found

    def scroll(self, start: str | None, limit: int, vectors: bool) -> list[Any]:
        """Points from a key on, in the order of keys."""
        request = self._engine.ScrollRequest(
            offset=start, limit=limit, with_payload=True, with_vector=vectors
        )
        return list(self._call(lambda s: s.scroll(request))[0])

    def search(
        self, queries: FloatArray, k: int, where: Where | None, fields: list[str]
    ) -> Iterator[list[Any]]:
        """For each query its best points, best first, with `score` and `payload`."""
        engine = self._engine
        passing = None if where is None else _rendered(condition(where, self._wanted))
        # A graph of which most was removed falls apart: what is left is scanned until `tend`.
        broken = 2 * self.count < self._pointer.built
        how = engine.SearchParams(hnsw_ef=max(self._effort(), k), exact=self._exact or broken)
        requests = (
            engine.QueryRequest(
                limit=k,
                query=engine.Query.Nearest(query),
                with_payload=fields,
                filter=passing,
                params=how,
            )
            for query in queries.tolist()  # the engine takes a list faster than an array
        )
        while group := list(islice(requests, _GROUP)):
            yield from self._call(methodcaller("query_batch", engine.QueryBatchRequest(group)))

    def _effort(self) -> int:
        """Candidates of a graph search: fewer rows need fewer for the same recall, so that two
        parts of a gallery do not cost twice a whole one.
        """
        rows = max(self.count, self._pointer.built)
        scaled = max(self._ef * (rows / _EF_ROWS) ** _EF_GROWTH, self._ef / 2)
        # Removed rows stay in the graph until it is rebuilt, and stand in the way.
        return int(min(scaled * (rows / max(self.count, 1)) ** 0.5, 3 * self._ef))

    def flush(self) -> None:
        """Bring the write-ahead log into the segments, on disk."""
        self._settle()
        self._call(lambda s: s.flush())
        self._unflushed = 0
        self._point(self._pointer)

    def _point(self, to: Pointer) -> None:
        to = replace(to, written=self._written, removed=self._removed)
        if to != self._pointer:
            to.save(self._folder)
        self._pointer = to

    def tend(self, writing: threading.RLock) -> None:
        """Index the fields that filters asked for, and build what is worth building.

        Args:
            writing: Held while the copy is made and while it takes over, not in between.
        """
        with self._tending:
            try:
                with writing:
                    build = self._start()
                if build is not None and (done := build.wait()) is not None:
                    with writing:
                        old = self._take_over(done)
                    if old is not None:
                        time.sleep(_BREATH)  # loading stood still for as long as closing will
                        with translated(str(self._folder)):
                            old.close()
            finally:
                self._touched = self._build = None
                self._pointer.sweep(self._folder)

    def _start(self) -> edge_build.Build | None:
        """Do a small job at once, or copy the shard and begin a large one."""
        self.flush()  # else the child would read the whole log again, row by row
        have = set(self._call(lambda s: s.info().payload_schema))
        fields = sorted(self._wanted - have)
        if self._kilobytes(self.count) < _GRAPH_KB / 4:
            self._call(lambda s: _optimise(s, fields))  # few enough to stand still for
            self._written = self._removed = 0
            self._point(replace(self._pointer, built=self.count))
            return None
        if self._closing or not (fields or self._worth_building()):
            return None
        self._touched = set()
        copy = self._pointer.path(self._folder, ahead=1)
        self._pointer.sweep(self._folder)  # a child of a process that died may have written on
        with writing(copy):
            shutil.copytree(self._pointer.path(self._folder), copy)
        self._build = edge_build.Build(
            copy, self._space, self._exact, fields, self._kilobytes(self.count) >= _GRAPH_KB
        )
        if self._closing:  # `close` came while the copy was made and saw no build
            self._build.stop()
        return self._build

    def _worth_building(self) -> bool:
        """Whether the engine will, by our thresholds, find something to do."""
        if self._written + self._removed < self._declined:
            return False
        built = self._pointer.built
        grown = (
            not self._exact
            and self._kilobytes(self.count) >= _GRAPH_KB
            and self._kilobytes(self._written) >= _PART_KB
            and self._written >= _WORTH * self.count
        )
        return grown or (built >= _LEAST and self._removed >= _DELETED * built)

    def _kilobytes(self, rows: int) -> float:
        return rows * self._space.dim * 4 / 1024

    def _take_over(self, changed: bool) -> Any:
        """Let the copy be the shard, with what came meanwhile; answers the one before, if any."""
        if not changed:  # our counts are upper bounds; ask again when they have grown
            self._declined = (self._written + self._removed) * 5 // 4
            return None
        path = self._pointer.path(self._folder, ahead=1)
        with translated(str(path)):
            fresh = _load(path, self._space, self._exact)
            touched = sorted(self._touched or ())
            for start in range(0, len(touched), _READ):
                self._carry(touched[start : start + _READ], fresh)
        # Not flushed, for which searches would stand still: its log has what was carried.
        edge_build.keep(path)  # the other one goes as soon as this one counts
        self._written = self._removed = len(touched)
        self._point(
            replace(self._pointer, generation=self._pointer.generation + 1, built=self.count)
        )
        with self._gate:
            old, self._shard = self._shard, fresh
        self._declined, self._unflushed = 0, len(touched)
        return old

    def _carry(self, keys: list[str], fresh: Any) -> None:
        operation, point = self._engine.UpdateOperation, self._engine.Point
        points = [point(r.id, r.vector, r.payload) for r in self.read(keys, True, True)]
        fresh.update(operation.delete_points(keys))
        fresh.update(operation.upsert_points(points))

    def close(self, writing: threading.RLock) -> None:
        """Flush and let go; a build that is running is given up.

        Args:
            writing: As for `tend`; must not be held by this thread.
        """
        self._closing = True
        if (build := self._build) is not None:
            build.stop()
        with self._tending, writing:
            if self._shard is None:
                return
            try:
                self.flush()
                with suppress(StoreError):  # a full disk: then nobody compares
                    if self._pointer.rows == UNKNOWN:
                        self._point(replace(self._pointer, rows=self._counted()))
            finally:
                with self._gate, translated(str(self._folder)):
                    old, self._shard = [self._shard], None
                    old.pop().close()  # kept by no name: dropped, it lets go of the folder anyway


def rebuild() -> None:
    """What the child process of `edge_build.Build` does."""
    task = json.loads(sys.argv[1])
    edge_build.become_child(task["parent"])
    threshold = _PART_KB if task["large"] else _GRAPH_KB
    shard = _load(Path(task["path"]), Space.from_json(task["space"]), task["exact"], threshold)
    changed = _optimise(shard, task["fields"])
    shard.flush()
    shard.close()
    raise SystemExit(edge_build.CHANGED if changed else edge_build.NOTHING_TO_DO)


def _engine() -> ModuleType:
    """The engine is a core dependency, but loading the package must not load it."""
    import qdrant_edge

    return qdrant_edge


def _config(space: Space, exact: bool, threshold: int = _GRAPH_KB) -> Any:
    engine = _engine()
    # Rows of a cosine space come as unit rows, whose product is the cosine: the engine need
    # not scale them again, and what was stored is read back bit for bit.
    distance = engine.Distance.Euclid if space.metric == "euclidean" else engine.Distance.Dot
    return engine.EdgeConfig(
        vectors=engine.EdgeVectorParams(size=space.dim, distance=distance),
        hnsw_config=engine.HnswIndexConfig(_M, _EF_CONSTRUCT, _GRAPH_KB),
        optimizers=engine.EdgeOptimizersConfig(
            deleted_threshold=_DELETED,
            vacuum_min_vector_number=_LEAST,
            default_segment_number=1,
            indexing_threshold=_NEVER if exact else threshold,
        ),
    )


def _load(path: Path, space: Space, exact: bool, threshold: int = _GRAPH_KB) -> Any:
    return _engine().EdgeShard.load(str(path), _config(space, exact, threshold))


def _rendered(plain: Plain) -> Any:
    """A filter as the engine takes it."""
    engine = _engine()
    if "key" not in plain:
        return engine.Filter(**{n: [_rendered(part) for part in ps] for n, ps in plain.items()})
    if "range" in plain:
        return engine.FieldCondition(plain["key"], range=engine.RangeFloat(**plain["range"]))
    return engine.FieldCondition(plain["key"], match=engine.MatchAny(plain["match"]["any"]))


def _optimise(shard: Any, fields: list[str]) -> bool:
    """Index fields, then let the engine do what it finds; whether anything changed."""
    engine = _engine()
    kinds = engine.PayloadSchemaType
    for field in fields:
        kind = kinds.Keyword if field.startswith("s-") else kinds.Float
        shard.update(engine.UpdateOperation.create_field_index(field, kind))
    return bool(shard.optimize()) or bool(fields)
