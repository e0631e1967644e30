"""A store on a Qdrant server or cluster, or in a folder by the client's own local mode.

Each space has a collection of its own. With `pair` both spaces of an upgrade share one: an
item is one point with a vector for each space it is in, its payload is stored once, and the
second vector is added to the collection while it is searched.

    {"i": id, "p": JSON text, "s-lang": "en", "r-VECTOR": revision, "h-VECTOR": true}

Revision and hiding belong to a vector, not to the point. In a pair the old side must not be
searched where the new vector is there and counts; but during a rollback, or after a write
whose new model failed, it is there and does not count. So hiding is a mark that says which
vector counts, and a search leaves out what is marked.

A write says which stored revision it may replace, and the server looks at that as it writes: of
two programs that write one item at once, the newer revision wins. Everybody else may write to
the collection too; what does not carry the marks above is not seen.
"""

from __future__ import annotations

import re
import threading
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import FloatArray, IntArray, Vectors, VectorsLike, as_vectors, ids_given
from ..errors import StoreError
from ..hits import Hits
from ..space import Space
from .base import NO_REVISION, Limits, Page, Rows
from .edge_answer import as_hits, start_of
from .edge_archive import place_of
from .edge_payload import ID, PACKED, REVISION, Plain, condition, key_of, packed
from .lately import Lately
from .memory import check_batch, check_k
from .payloads import Payloads
from .qdrant_collection import Collection, Point
from .qdrant_connection import Place
from .qdrant_marks import hidden_of, is_mark, newest, revision_of, unchanged, vector_of
from .where import WhereLike, parse

_PIECE = 1_000  # rows that are read, changed and written back at once
_FRESH = 1.0  # seconds for which counts are believed: others may write too
_TRIES = 5  # of a write beside which another program changed the same points
_SAFE = re.compile(r"[^A-Za-z0-9._-]+")
_STRANGE: Plain = {"is_empty": {"key": ID}}  # a point that Holdfast has not written


class QdrantStore:
    """Rows in a collection.

    Args:
        folder: Names the collection, and holds it in local mode.
        space: The space of every vector.
        url: Of a server, such as "http://localhost:6333"; without one, local mode.
        api_key_env: Name of the environment variable that holds the server's key.
        memory: Local mode without files; gone when the last store of the folder is closed.
        collection: Begins the names of collections; with `pair` it is the whole name.
        pair: Keep both spaces of an upgrade in one collection, as two named vectors.
        alias: A name that follows the collection which is read; others search by it.
        exact: Compare every query with every row.
        ef: Candidates that a search in the server's graph keeps.
        shards: Of a new collection on a cluster.
        replicas: Of each shard of a new collection.
    Raises:
        ConfigError: The environment variable of the key is not set.
        MissingExtra: qdrant-client is not installed.
        OccupiedStore: The collection holds vectors of another space.
        StoreHeld: Another process has the folder of local mode.
        StoreError: The server does not answer, or is too old.
    """

    def __init__(  # noqa: PLR0913 - a setting each
        self,
        folder: Path | str,
        space: Space,
        *,
        url: str | None = None,
        api_key_env: str | None = None,
        memory: bool = False,
        collection: str = "holdfast",
        pair: bool = False,
        alias: str | None = None,
        exact: bool = False,
        ef: int = 128,
        shards: int | None = None,
        replicas: int | None = None,
    ) -> None:
        self.space, self._alias = space, alias
        self._exact = exact or url is None
        self.limits = Limits(
            exact=self._exact,
            recall_floor=1.0 if self._exact else 0.95,
            persistent=not memory,
            pair=pair,
            remote=url is not None,
        )
        self._owner = f"QdrantStore of {space.name}"
        self._ef = check_k(ef, self._owner, "ef")
        home = Path(folder)
        local = home.parent / "pair" if pair else home
        made = {"shard_number": shards, "replication_factor": replicas}
        self._collection: Collection | None = Collection(
            Place(url, api_key_env, local, memory),
            collection if pair else f"{collection}-{_SAFE.sub('-', home.name)}",
            vector_of(space),
            space,
            pair,
            {name: value for name, value in made.items() if value is not None},
        )
        self._pair = pair
        self._shared = url is not None  # with other programs
        self._revision = revision_of(self._collection.vector)
        self._mark = hidden_of(self._collection.vector)
        self._writing = threading.RLock()
        self._counts = Lately(self._count, _FRESH)
        self._wanted: set[str] = set()
        # Whether points of others are known to be here: leaving them out costs a look at each.
        self._strangers = self._collection.count({"must": [_STRANGE]}) > 0
        if pair:
            self._collection.mend([self._revision, self._mark])
        if url is not None:
            self._collection.index({self._mark: "bool"})

    @property
    def _points(self) -> Collection:
        if self._collection is None:
            raise StoreError(self._owner, "an open store", "a closed one", "Open it again.")
        return self._collection

    # counts

    @property
    def _mine(self) -> Plain:
        """Which points have a row of this store."""
        mine: dict[str, Any] = {"must_not": [_STRANGE]} if self._strangers else {}
        return {**mine, "must": [{"has_vector": self._points.vector}]} if self._pair else mine

    @property
    def _hidden(self) -> Plain:
        return {"must": [{"key": self._mark, "match": {"value": True}}]}

    def _count(self) -> tuple[int, int]:
        """Rows, and hidden ones."""
        total = self._points.count(self._mine)
        return total, self._points.count(self._hidden) if total else 0

    @property
    def visible(self) -> int:
        total, hidden = self._counts.now()
        return total - hidden

    def __len__(self) -> int:
        return self._counts.now()[0]

    # writing

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
            for start in range(0, len(names), _PIECE):
                piece = slice(start, start + _PIECE)
                self._write(
                    names[piece],
                    rows.array[piece],
                    given[piece],
                    None if numbers is None else numbers[piece],
                )

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One write at a time; it may have come to something even where it failed."""
        with self._writing:
            try:
                yield
            finally:
                self._counts.forget()

    def _write(
        self,
        names: list[str],
        rows: FloatArray,
        payloads: Sequence[Mapping[str, Any]],
        numbers: IntArray | None,
    ) -> None:
        for _ in range(_TRIES):
            there = self._there(names)
            stored = np.array([self._number(there.get(n)) for n in names], dtype=np.int64)
            numbers = stored + 1 if numbers is None else numbers
            current = np.flatnonzero(numbers >= stored).tolist()
            packs = list(packed(names, payloads, [0] * len(names)))
            points = [
                self._point(names[i], rows[i], packs[i], int(numbers[i]), there.get(names[i]))
                for i in current
            ]
            others = [revision_of(vector) for vector in self._points.others]
            replaces = partial(unchanged, there=there, mine=self._revision, others=others)
            self._points.put(points, replaces)
            if not self._pair or self._arrived([names[i] for i in current], numbers[current]):
                return
        raise StoreError(
            self._owner,
            "points that stand still for a moment",
            f"{_TRIES} tries beside another writer",
            "Let one program at a time write these items.",
        )

    def _there(self, names: Iterable[str]) -> dict[str, Any]:
        """The points of these ids, with what of them a write must keep."""
        self._points.look()
        keys = [key_of(name) for name in names]
        fields = True if self._pair else [ID, self._revision, self._mark]
        found = self._points.read(keys, fields, self._points.others)
        return {record.payload[ID]: record for record in found}

    def _number(self, record: Any) -> int:
        return NO_REVISION if record is None else record.payload.get(self._revision, NO_REVISION)

    def _point(
        self, name: str, row: FloatArray, pack: dict[str, Any], number: int, old: Any
    ) -> Point:
        """A row as a point; what other spaces have there stays."""
        pack.pop(REVISION)
        vectors: dict[str, Any] = {self._points.vector: array("f", row.tobytes()).tolist()}
        if old is not None:
            marks = {key: value for key, value in old.payload.items() if is_mark(key)}
            if number < newest(marks):  # another space has a newer content
                pack = {k: v for k, v in old.payload.items() if not is_mark(k)}
            pack = {**pack, **marks}
            vectors = {**(old.vector or {}), **vectors}
        pack[self._revision] = number
        return Point(key_of(name), vectors, pack)

    def _arrived(self, names: list[str], numbers: IntArray) -> bool:
        return not names or bool((self.revisions(names) >= numbers).all())

    def delete(self, ids: Sequence[str]) -> None:
        self._each(ids, self._remove)

    def _remove(self, keys: list[str]) -> None:
        self._points.look()
        others = [revision_of(vector) for vector in self._points.others]
        found = self._points.read(keys, others, ()) if others else []
        kept = [_key(record) for record in found if record.payload]  # others have them still
        if kept:
            self._points.strip(kept, [self._revision, self._mark])
        gone = sorted(set(keys) - set(kept))
        if gone:
            self._points.drop(gone)

    def hide(self, ids: Sequence[str]) -> None:
        self._each(ids, lambda keys: self._points.mark(self._present(keys), {self._mark: True}))

    def unhide(self, ids: Sequence[str]) -> None:
        self._each(ids, lambda keys: self._points.unmark(keys, [self._mark]))

    def _present(self, keys: list[str]) -> list[str]:
        """Of a pair's points, those that have a row here: only rows are hidden."""
        if not self._pair:
            return keys
        found = self._points.read(keys, [self._revision], ())
        return [_key(record) for record in found if record.payload]

    def _each(self, ids: Sequence[str], do: Any) -> None:
        keys = [key_of(name) for name in dict.fromkeys(ids_given(ids, self._owner))]
        with self._changing():
            for start in range(0, len(keys), _PIECE):
                do(keys[start : start + _PIECE])

    # reading

    def revisions(self, ids: Sequence[str]) -> IntArray:
        names = ids_given(ids, self._owner)
        keys = [key_of(name) for name in dict.fromkeys(names)]
        found = self._points.read(keys, [ID, self._revision], ())
        known = {record.payload[ID]: self._number(record) for record in found}
        return np.array([known.get(name, NO_REVISION) for name in names], dtype=np.int64)

    def get(self, ids: Sequence[str], vectors: bool = True) -> Rows:
        names = ids_given(ids, self._owner)
        unique = list(dict.fromkeys(names))
        wanted = [self._points.vector] if vectors else []
        records = self._points.read([key_of(name) for name in unique], True, wanted)
        found = self._rows([r for r in records if self._revision in r.payload], vectors)
        return found.ordered(names, self.space.name)

    def _rows(self, records: list[Any], vectors: bool) -> Rows:
        stored = [record.payload for record in records]
        kept = [{k: v for k, v in p.items() if not is_mark(k)} for p in stored]
        array = np.zeros((len(records), self.space.dim), dtype=np.float32)
        if vectors:
            for i, record in enumerate(records):
                array[i] = record.vector[self._points.vector]
        return Rows(
            [p[ID] for p in stored],
            np.array([p[self._revision] for p in stored], dtype=np.int64),
            Payloads(kept, PACKED),
            np.array([self._mark in p for p in stored], dtype=bool),
            Vectors(self.space, array) if vectors else None,
        )

    def search(self, queries: VectorsLike, k: int, where: WhereLike = None) -> Hits:
        owner = f"search in {self.space.name}"
        asked, k, tree = as_vectors(queries, self.space, owner), check_k(k, owner), parse(where)
        passing: dict[str, Any] = {"must_not": []}
        if self._shared or self._counts.now()[1]:
            passing["must_not"] += self._hidden["must"]
        if tree is not None:
            passing["must"] = [condition(tree, self._wanted)]
        answers = self._seen(lambda: self._found(asked.array, k, passing))
        return as_hits(answers, len(asked), k, self.space.metric)

    def _found(self, queries: FloatArray, k: int, where: dict[str, Any]) -> list[list[Any]]:
        left_out = [*where["must_not"], *([_STRANGE] if self._strangers else [])]
        some = {**where, "must_not": left_out} if left_out or len(where) > 1 else {}
        return list(self._points.search(queries, k, some, self._exact, self._ef))

    def _seen(self, ask: Callable[[], list[list[Any]]]) -> list[list[Any]]:
        """Groups of points that are ours: asked for again where others' were among them."""
        found = ask()
        if all(point.payload and ID in point.payload for group in found for point in group):
            return found
        self._strangers = True
        self._counts.forget()
        return ask()

    def scan(self, after: str | None = None, limit: int = 1000, vectors: bool = False) -> Page:
        """See the protocol. The order is that of the ids' digests."""
        owner = f"scan of {self.space.name}"
        limit = check_k(limit, owner, "limit")
        start, scroll = start_of(after, owner), self._points.scroll
        [records] = self._seen(lambda: [scroll(start, limit + 2, vectors, self._mine)])
        records = [r for r in records if after is None or place_of(r.payload[ID]) > after]
        found = self._rows(records[:limit], vectors)
        return Page(found, place_of(found.ids[-1]) if len(records) > limit else None)

    # upkeep

    def tend(self) -> None:
        """See the protocol. The server builds its graph by itself; this indexes the fields that
        filters asked for, and waits for the server to finish.
        """
        kinds = {"s": "keyword", "n": "float", "f": "float"}
        self._points.index({field: kinds[field[0]] for field in sorted(self._wanted)})
        self._points.settle()

    def lead(self) -> None:
        """Let the alias, if there is one, name the collection of this store."""
        if self._alias is not None:
            self._points.lead(self._alias)

    def drop(self) -> None:
        """Delete the collection, or in a pair this space's vector, and close."""
        with self._writing:
            self._points.look()
            others = [revision_of(vector) for vector in self._points.others]
            self._points.give_up([self._revision, self._mark], others)
            self.close()

    def close(self) -> None:
        collection, self._collection = self._collection, None
        self._counts.forget()  # of a closed store nothing is told
        if collection is not None:
            collection.close()


def _key(record: Any) -> str:
    key: str = record.id.replace("-", "")
    return key
