"""Rows on disk: ids, revisions, payloads and flags in SQLite, vectors in a file beside it.

A batch is written in two steps: its vectors are appended and synced, then one transaction
says which slots they took. Only the transaction makes rows exist, so that a batch is whole
or absent after a crash at any instruction; what lies behind the last known slot is garbage
and the next batch writes over it.

A known slot is never written again: an update takes a new slot and leaves the old one dead.
So whatever is derived from slots (an index, a cache) stays true until `compact`, which
copies the living slots to the file of the next generation; one transaction moves to it.
For the same reason reading need not wait for a change, which waits for the disk.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, IdArray, IntArray, Vectors, id_array, ids_given
from ..errors import InvalidInput
from ..space import Space
from .base import NO_REVISION, Page, Rows, refuse_absent
from .database import Database, broken, chunks, is_text, marks, storable
from .memory import check_k
from .payloads import TEXT, Payloads, read, texts
from .sums import sums_of
from .vectorfile import VectorFile, sync_folder

NO_SLOT = -1

BoolArray: TypeAlias = npt.NDArray[np.bool_]

_TOLD = 5  # ids in a message
_SEEN = 10_000  # ids whose slots are remembered
_FIELDS = "slot, revision, payload"


@dataclass(frozen=True, slots=True)
class Written:
    """What an upsert did; rows that were too old are not in here.

    Args:
        names: n ids.
        slots: (n,) where the vectors went.
        replaced: (n,) slots that died, -1 for new rows.
        hidden: (n,) bool; a row that was hidden stays so.
        places: (n,) positions in the batch that was passed.
    """

    names: list[str]
    slots: IntArray
    replaced: IntArray
    hidden: BoolArray
    places: IntArray


class RowFile:
    """Durable rows of one space in a folder. Every method may be called from any thread.

    What has returned is synced to disk. The caller holds the folder, see `hold.py`.

    Args:
        folder: Must exist; `rows.sqlite` and `vectors.N.f32` are made in it.
        space: The space of every vector.
        tidy: Compact at once when more than half of the slots are dead.
        prefix: Letters before each id that nobody else knows.
    Raises:
        OccupiedStore: The folder holds rows of another space.
        StoreError: What is there cannot be read, is of another format, or is not what was written.
    """

    def __init__(self, folder: Path, space: Space, tidy: bool = True, prefix: int = 0) -> None:
        self.folder, self.space, self._prefix = folder, space, prefix
        self._lock = threading.RLock()  # held by who changes something
        self._reading = threading.RLock()  # held by who reads; for changing slots, both
        self._seen: dict[str, int] = {}  # slots of ids read lately: what is read is soon hidden
        path = folder / "rows.sqlite"
        orphans = any(file.stat().st_size for file in folder.glob("vectors.*.f32"))
        if orphans and not (path.exists() and path.stat().st_size):
            raise broken(path, "the database of the vectors beside it", "nothing there")
        self._data = Database(path, space)
        try:
            self._vectors = self._open_vectors()
            try:
                with self._data.reported():
                    self._refuse_turned()
                if tidy:
                    self.compact()
            except BaseException:
                self._vectors.close()
                raise
        except BaseException:
            self._data.close()
            raise

    def _path(self, generation: int) -> Path:
        return self.folder / f"vectors.{generation}.f32"

    def _open_vectors(self) -> VectorFile:
        counts, path = self._data.counts, self._path(self._data.counts.generation)
        files = [*self.folder.glob("vectors.*.f32")]
        with self._data.reported():
            if counts.slots == 0 and not path.exists():
                path.touch()
                sync_folder(self.folder)
            try:
                opened = VectorFile(path, self.space.dim, counts.slots)
            except (EOFError, FileNotFoundError) as cause:
                raise broken(self._data.path, f"{counts.slots} vectors", f"{cause}") from cause
            for file in files:
                if file != path:  # a compaction died before its end, or right after it
                    file.unlink()
        return opened

    def _refuse_turned(self) -> None:
        """Refuse to answer by rows that are not what was written."""
        turned = self._data.sums.turned(self._vectors, self.slots)
        names = sorted(self.ids_at(turned).values())  # nobody reads dead slots
        if names:
            some = ", ".join(repr(name[self._prefix :]) for name in names[:_TOLD])
            told = f"{len(names):,} of {self.total:,} that are not, such as {some}"
            raise broken(self._vectors.path, "rows as they were written", told)

    @property
    def total(self) -> int:
        """Rows, hidden ones included."""
        return self._data.counts.total

    @property
    def visible(self) -> int:
        """Rows that search can return."""
        counts = self._data.counts
        return counts.total - counts.hidden

    @property
    def slots(self) -> int:
        """Slots in use or dead; the next row gets this one."""
        return self._data.counts.slots

    @property
    def generation(self) -> int:
        """Grows with each compaction: slots of two generations do not compare."""
        return self._data.counts.generation

    def upsert(
        self,
        names: Sequence[str],
        vectors: Vectors,
        payloads: Sequence[Mapping[str, Any]],
        revisions: IntArray | None,
    ) -> Written:
        """Write a batch that `check_batch` passed; a row older than the stored one is ignored.

        Args:
            names: n distinct ids.
            vectors: (n, d) rows of this file's space.
            payloads: n JSON objects.
            revisions: (n,) int64; None for the stored revision plus one.
        Raises:
            StoreError: The disk refused; nothing was written.
        """
        written = texts(payloads)
        with self._lock, self._data.reported():
            slots, stored, hidden = self._find(names)
            numbers = stored + 1 if revisions is None else revisions
            places = np.flatnonzero(numbers >= stored)
            first, count, array = self.slots, len(places), vectors.array
            if count < len(names):
                kept = places.tolist()
                names, written = [names[i] for i in kept], [written[i] for i in kept]
                slots, hidden, numbers = slots[places], hidden[places], numbers[places]
                array = array[places]
            fresh = np.arange(first, first + count, dtype=np.int64)
            if count:
                self._vectors.write(first, array)
                columns = (fresh.tolist(), names, numbers.tolist(), written)
                new, sums = int((slots == NO_SLOT).sum()), sums_of(array)
                # Who reads a row as it was must not see its flag where it goes.
                with self._reading if hidden.any() else nullcontext(), self._transaction():
                    self._data.connection.executemany(
                        "REPLACE INTO rows VALUES (?, ?, ?, ?)", zip(*columns, strict=True)
                    )
                    self._data.sums.put(first, sums)
                    if hidden.any():
                        self._data.flags.put(slots[hidden], False)
                        self._data.flags.put(fresh[hidden], True)
                    self._data.count(slots=first + count, total=self.total + new)
            return Written(list(names), fresh, slots, hidden, places)

    def delete(self, ids: Sequence[str]) -> IntArray:
        """Remove rows; absent ids are fine. Returns the slots that died."""
        statement = "DELETE FROM rows WHERE id IN ({}) RETURNING slot"
        with self._lock, self._data.reported(), self._transaction():
            died = self._slots(statement, ids)
            hidden = died[self._data.flags.of(died)]
            self._data.flags.put(hidden, False)
            counts = self._data.counts
            self._data.count(total=counts.total - len(died), hidden=counts.hidden - len(hidden))
        return died

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One that lets slots die: those read before it are not remembered after it."""
        try:
            with self._data.transaction():
                yield
        finally:  # an interrupt may come right after the commit
            with self._reading:
                self._seen.clear()

    def set_hidden(self, ids: Sequence[str], hidden: bool) -> IntArray:
        """Flag rows; absent ids are fine. Returns the slots of rows whose flag changed."""
        with self._lock, self._data.reported():
            names = ids_given(ids, self.space.name)
            seen = [self._seen.get(name, NO_SLOT) for name in names]
            slots = np.unique(np.array(seen, dtype=np.int64))
            if NO_SLOT in seen:
                slots = np.unique(self._slots("SELECT slot FROM rows WHERE id IN ({})", names))
            changed: IntArray = slots[self._data.flags.of(slots) != hidden]
            if len(changed):
                change = len(changed) if hidden else -len(changed)
                with self._data.transaction():
                    self._data.flags.put(changed, hidden)
                    self._data.count(hidden=self._data.counts.hidden + change)
        return changed

    def _slots(self, statement: str, ids: Sequence[str]) -> IntArray:
        found = self._run(statement, ids)
        return np.fromiter((slot for (slot,) in found), dtype=np.int64, count=len(found))

    def _run(
        self, statement: str, ids: Sequence[str], connection: sqlite3.Connection | None = None
    ) -> list[Any]:
        """All answers of one statement with a place for ids, over chunks of them."""
        found: list[Any] = []
        connection = connection or self._data.connection
        for chunk in chunks(storable(ids_given(ids, f"rows of {self.space.name}"))):
            found += connection.execute(statement.format(marks(chunk)), chunk).fetchall()
        return found

    @contextmanager
    def _beside(self) -> Iterator[sqlite3.Connection]:
        """A connection that reads beside a change."""
        with self._reading, self._data.reported():
            yield self._data.reader

    def _find(
        self, names: Sequence[str], connection: sqlite3.Connection | None = None
    ) -> tuple[IntArray, IntArray, BoolArray]:
        """Slots, revisions and flags of ids; -1, -1 and False where absent."""
        sql = "SELECT id, slot, revision FROM rows WHERE id IN ({})"
        found = {row[0]: row[1:] for row in self._run(sql, names, connection)} if self.total else {}
        if not found:
            absent = np.full(len(names), NO_SLOT, dtype=np.int64)
            return absent, np.full_like(absent, NO_REVISION), np.zeros(len(names), dtype=bool)
        nothing = (NO_SLOT, NO_REVISION)
        table = np.array([found.get(name, nothing) for name in names], dtype=np.int64)
        slots, revisions = table[:, 0].copy(), table[:, 1].copy()
        return slots, revisions, self._data.flags.of(slots)

    def revisions(self, ids: Sequence[str]) -> IntArray:
        """(n,) revisions, -1 for ids that are not stored."""
        with self._beside() as reader:
            return self._find(ids_given(ids, f"revisions of {self.space.name}"), reader)[1]

    def slots_of(self, ids: Sequence[str]) -> IntArray:
        """(n,) slots, -1 for ids that are not stored."""
        with self._beside() as reader:
            return self._find(ids, reader)[0]

    def get(self, ids: Sequence[str], vectors: bool = True) -> Rows:
        """Rows in the order asked for, hidden ones included.

        Raises:
            MissingIds: An id is not stored.
        """
        with self._beside() as reader:
            sql = f"SELECT id, {_FIELDS} FROM rows WHERE id IN ({{}})"
            found = {row[0]: row for row in self._run(sql, ids, reader)}
            missing = [name for name in ids if name not in found]
            refuse_absent(missing, len(ids), self.space.name)
            if len(self._seen) > _SEEN:
                self._seen.clear()
            self._seen.update((row[0], row[1]) for row in found.values())
            return self._rows([found[name] for name in ids], vectors)

    def scan(self, after: str | None = None, limit: int = 1000, vectors: bool = False) -> Page:
        """Rows ordered by id, piece by piece; see `VectorStore.scan`."""
        owner = f"scan of {self.space.name}"
        limit = check_k(limit, owner, "a limit")
        if after is not None and not is_text(after):
            raise InvalidInput(owner, "what the page before answered", ascii(after)[:80])
        with self._beside() as reader:
            found = reader.execute(
                f"SELECT id, {_FIELDS} FROM rows WHERE id > ? ORDER BY id LIMIT ?",
                (after or "", limit + 1),
            ).fetchall()
            rows = self._rows(found[:limit], vectors)
            return Page(rows, rows.ids[-1] if len(found) > limit else None)

    def _rows(self, found: Sequence[tuple[Any, ...]], vectors: bool) -> Rows:
        slots = np.array([row[1] for row in found], dtype=np.int64)
        return Rows(
            [row[0] for row in found],
            np.array([row[2] for row in found], dtype=np.int64),
            Payloads([row[3] for row in found], TEXT),
            self._data.flags.of(slots),
            Vectors(self.space, self._vectors.read(slots)) if vectors else None,
        )

    def vectors_at(self, slots: IntArray) -> FloatArray:
        """(n, d) copies of the vectors in slots, in the order asked for; dead ones too."""
        with self._beside():
            return self._vectors.read(slots)

    def roster(self) -> tuple[IntArray, IdArray, BoolArray]:
        """Slots, rising, with the ids and the flags of all rows."""
        with self._beside() as reader:
            sql = "SELECT slot, id FROM rows ORDER BY slot"
            found = reader.execute(sql).fetchall()
            slots, ids = zip(*found, strict=True) if found else ((), ())
            places = np.array(slots, dtype=np.int64)
            return places, id_array(ids), self._data.flags.of(places)

    def ids_at(self, slots: IntArray) -> dict[int, str]:
        """Ids by slot; dead slots are left out."""
        found: list[tuple[int, str]] = []
        with self._beside() as reader:
            for chunk in chunks(slots.tolist()):
                sql = f"SELECT slot, id FROM rows WHERE slot IN ({marks(chunk)})"
                found += reader.execute(sql, chunk).fetchall()
        return dict(found)

    def payloads_between(self, first: int, last: int) -> list[tuple[int, Mapping[str, Any]]]:
        """Living slots from `first` up to, not including, `last`, with their payloads."""
        sql = "SELECT slot, payload FROM rows WHERE slot >= ? AND slot < ? ORDER BY slot"
        with self._beside() as reader:
            found = reader.execute(sql, (first, last)).fetchall()
        return [(slot, read(text)) for slot, text in found]

    def compact(self, force: bool = False) -> IntArray | None:
        """Give up dead slots when more than half of all are dead, or, by `force`, any.

        Returns:
            (n,) old slots of the living rows, rising: row i of them is now slot i. None
            where nothing was done.
        """
        with self._lock, self._data.reported():
            counts = self._data.counts
            dead = counts.slots - counts.total
            if dead == 0 or not (force or 2 * dead > counts.slots):
                return None
            slots = self._data.connection.execute("SELECT slot FROM rows ORDER BY slot").fetchall()
            alive = np.array(slots, dtype=np.int64).reshape(-1)
            path = self._path(counts.generation + 1)
            try:
                self._vectors.copy(alive, path)
                # Opened before it counts: what cannot be opened must not.
                fresh = VectorFile(path, self.space.dim, len(alive))
            except BaseException:
                with suppress(OSError):
                    path.unlink(missing_ok=True)  # or it would keep what room there is
                raise
            self._renumber(alive, fresh)
            return alive

    def _renumber(self, alive: IntArray, fresh: VectorFile) -> None:
        """Slot i is what was slot `alive[i]`, in the file of the next generation."""
        before = self.generation
        with self._reading:
            self._seen.clear()
            try:
                with self._data.transaction():
                    self._data.renumber(alive)
            finally:  # an interrupt may come right after the commit
                if self.generation > before:
                    self._vectors, fresh = fresh, self._vectors
                fresh.close()
        with suppress(OSError):  # the next opening removes it
            fresh.path.unlink()

    def close(self) -> None:
        """Let go of the files. Calling it twice is fine."""
        with self._lock, self._reading:
            self._data.close()
            self._vectors.close()
