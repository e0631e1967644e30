"""The SQLite database behind a file of rows: its tables, counts, transactions and errors."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..arrays import IntArray
from ..errors import InvalidInput, OccupiedStore, StoreError
from ..space import Space
from ..sqlite import way_out
from . import flags, sums

FORMAT = 3
_CHUNK = 900  # values in one statement; old SQLite takes 999
ROWS = (
    "CREATE TABLE {} (slot INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
    " revision INTEGER NOT NULL, payload TEXT NOT NULL)"
)
_META = "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID"
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "cache_size=-32000", "busy_timeout=5000")
_TOO_LARGE = "An id, or a payload as JSON, of a gigabyte is too large."
_RESTORE = "Restore the folder from a copy, or delete it and fill it again."


@dataclass(frozen=True, slots=True)
class Counts:
    """What the database says about its rows.

    Args:
        generation: Which file of vectors is the current one.
        slots: Slots in use or dead.
        total: Rows, hidden ones included.
        hidden: Hidden rows.
    """

    generation: int = 0
    slots: int = 0
    total: int = 0
    hidden: int = 0


def broken(path: Path, expected: str, got: str) -> StoreError:
    """The error for a folder that cannot be trusted."""
    return StoreError(str(path), expected, got, _RESTORE)


class Database:
    """A connection that any thread may use under its owner's lock, and one more for reading
    beside a change: it sees what was there before.

    Args:
        path: Made if it is not there.
        space: The space of the rows.
    Raises:
        OccupiedStore: It holds rows of another space.
        StoreError: It cannot be read, or is of a newer format.
    """

    def __init__(self, path: Path, space: Space) -> None:
        self.path, self._process = path, os.getpid()
        self._counts: Counts | None = Counts()
        with self.reported():
            self.connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._open(space)
                self._reader.execute("PRAGMA query_only=1")
            except BaseException:
                self.close()
                raise

    def _open(self, space: Space) -> None:
        tables = {name for (name,) in self.connection.execute("SELECT name FROM sqlite_master")}
        if tables and not {"meta", "rows"} <= tables:
            raise broken(self.path, "tables of Holdfast", f"tables {', '.join(sorted(tables))}")
        for pragma in _PRAGMAS:
            self.connection.execute(f"PRAGMA {pragma}")
        if not tables:
            meta = {"format": FORMAT, "space": json.dumps(space.to_json()), **asdict(Counts())}
            with self.transaction():
                self.connection.execute(ROWS.format("rows"))
                self.connection.execute(_META)
                self.connection.execute(flags.TABLE)
                self.connection.execute(sums.TABLE)
                self.connection.executemany("INSERT INTO meta VALUES (?, ?)", [*meta.items()])
        self._check(space)
        self._counts = self._read_counts()
        self.flags, self.sums = flags.Flags(self.connection), sums.Sums(self.connection)

    @property
    def counts(self) -> Counts:
        """What is known of the rows. Another process may change it once this one has closed."""
        self._refuse_forked()
        if self._counts is None:
            raise StoreError(str(self.path), "an open store", "a closed one", "Open it again.")
        return self._counts

    @property
    def reader(self) -> sqlite3.Connection:
        """The connection that reads beside a change."""
        self._refuse_forked()
        return self._reader

    def _refuse_forked(self) -> None:
        """A forked process hears of no change, nor may it use what its parent opened in SQLite."""
        if os.getpid() != self._process:
            got = "one that was opened before this process forked"
            raise StoreError(str(self.path), "an open store", got, "Open it again.")

    def close(self) -> None:
        """Let go of the file. Calling it twice is fine."""
        self._counts = None
        self._reader.close()
        self.connection.close()

    def _check(self, space: Space) -> None:
        meta = self._meta()
        if meta.get("format") != FORMAT:
            raise StoreError(
                str(self.path),
                f"format {FORMAT}",
                f"format {meta.get('format')}",
                "Open it with the version of Holdfast that wrote it.",
            )
        try:
            held = Space.from_json(json.loads(meta["space"]))
        except (KeyError, TypeError, ValueError) as cause:
            raise broken(self.path, "the space of the rows", f"{cause!r}") from cause
        if held != space:
            raise OccupiedStore(
                str(self.path.parent),
                f"vectors of {space}",
                f"vectors of {held}",
                "Open it with that space, or choose another folder.",
            )

    def _meta(self) -> dict[str, Any]:
        return dict(self.connection.execute("SELECT key, value FROM meta"))

    def _read_counts(self) -> Counts:
        meta = self._meta()
        try:
            return Counts(**{name: int(meta[name]) for name in asdict(Counts())})
        except (KeyError, TypeError, ValueError) as cause:
            raise broken(self.path, "counts of rows", f"{cause!r}") from cause

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Failures of SQLite and of the disk as our own, so that callers know one kind."""
        who = str(self.path)
        try:
            yield
        except sqlite3.ProgrammingError as cause:
            raise StoreError(who, "an open store", f"{cause}", "Open it again.") from cause
        except sqlite3.DataError as cause:
            raise InvalidInput(who, "rows that SQLite can keep", f"{cause}", _TOO_LARGE) from cause
        except (sqlite3.OperationalError, OSError) as cause:
            raise StoreError(
                who, "files that can be read and written", f"{cause}", way_out(cause, _RESTORE)
            ) from cause
        except sqlite3.DatabaseError as cause:
            raise broken(self.path, "a database of Holdfast", f"{cause}") from cause

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; `counts` and `flags` follow the database either way."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            # The error on its way says it already; a file that is only made has no flags yet.
            with suppress(sqlite3.Error, AttributeError):
                self._counts = self._read_counts()
                self.flags.load()
            raise

    def count(self, **changed: int) -> None:
        """Write new counts, inside a transaction."""
        self._counts = replace(self.counts, **changed)
        self.connection.executemany(
            "UPDATE meta SET value = ? WHERE key = ?",
            [(value, name) for name, value in changed.items()],
        )

    def renumber(self, alive: IntArray) -> None:
        """Slot i is what was slot `alive[i]`, in the next generation; inside a transaction."""
        run = self.connection.execute
        run(ROWS.format("fresh"))
        run(
            "INSERT INTO fresh SELECT row_number() OVER (ORDER BY slot) - 1,"
            " id, revision, payload FROM rows ORDER BY slot"
        )
        run("DROP TABLE rows")
        run("ALTER TABLE fresh RENAME TO rows")
        self.flags.renumber(alive)
        self.sums.renumber(alive)
        self.count(generation=self.counts.generation + 1, slots=len(alive))


def chunks(values: list[Any]) -> Iterator[list[Any]]:
    """As many values at once as one statement takes."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def marks(chunk: Sequence[Any]) -> str:
    """Their places in the statement."""
    return ",".join("?" * len(chunk))


def storable(ids: Sequence[str]) -> list[str]:
    """Without what is no text: SQLite would not take it, so it was never let in."""
    names = list(ids)
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        return [name for name in names if is_text(name)]
    return names


def is_text(name: str) -> bool:
    """Whether it can be written as UTF-8."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
