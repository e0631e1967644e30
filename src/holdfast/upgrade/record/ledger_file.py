"""The ledger's file: opened, written in transactions, and its audit, which only grows."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any

from ...artifact import write_whole
from ...errors import LedgerError
from ...sqlite import way_out, write_ahead
from .deed import COLUMNS, Deed, deed_of
from .deed import SCHEMA as AUDIT
from .records import FORMAT, SCHEMA

_BUSY_SECONDS = 30.0  # for neighbours
_RESTORE = "Restore it from a copy; the stores themselves are untouched."
_CLOSED = "The folder must be writable; status, audit and report read it as it is."


class LedgerFile:
    """Opens, or creates, the ledger file.

    Args:
        path: The SQLite file; its folder is created.
        clock: Answers seconds since 1970, for the times of events.
        readonly: Look only; the file must exist.
    Raises:
        LedgerError: Not a ledger, damaged, or of another format; by every method, where the disk
            refuses to read or to write it: what was to be written together was not written then.
    """

    def __init__(
        self, path: Path | str, clock: Callable[[], float] = time.time, readonly: bool = False
    ) -> None:
        self.path = Path(path)
        self._clock = clock
        self._lock = threading.RLock()
        self._closed = False
        if readonly and not self.path.exists():
            raise LedgerError(
                str(self.path), "a ledger", "no file", "Plan an upgrade first: holdfast plan."
            )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                write_whole(self.path, _first(), keep=True)
            self._connect(readonly)
        except (sqlite3.DatabaseError, OSError) as cause:
            raise self._trouble(cause) from cause

    def _trouble(self, cause: BaseException) -> LedgerError:
        """What SQLite, or the system, refuses, with what can be done about it."""
        folder = self.path.parent
        closed = folder.is_dir() and not os.access(folder, os.W_OK)
        whose = "the system's" if isinstance(cause, OSError) else "SQLite's"
        return LedgerError(
            str(self.path),
            "a ledger that can be written" if closed else "a readable ledger",
            "a folder that is read-only" if closed else f"{whose} word: {cause}",
            _CLOSED if closed else way_out(cause, _RESTORE),
        )

    def _connect(self, readonly: bool) -> None:
        modes = ["ro", "ro&immutable=1"] if readonly else ["rwc"]
        for mode in modes:
            made: sqlite3.Connection | None = None
            try:
                made = self._db = self._connection(mode)
                self._open(readonly)
            except (sqlite3.OperationalError, LedgerError):
                if made is not None:
                    made.close()
                if mode == modes[-1] or not self._at_rest():
                    raise
            else:
                return

    def _connection(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.resolve().as_uri()}?mode={mode}",
            uri=True,
            check_same_thread=False,
            isolation_level=None,
            timeout=_BUSY_SECONDS,
        )

    def _at_rest(self) -> bool:
        """Whether the file alone says everything, in a folder that takes no file beside it.

        SQLite wants one there even for looking, unless it is told that nobody writes.
        """
        log = self.path.with_name(f"{self.path.name}-wal")
        empty = not log.exists() or not log.stat().st_size
        return empty and not os.access(self.path.parent, os.W_OK)

    def _open(self, readonly: bool) -> None:
        if not readonly:
            write_ahead(self._db, _BUSY_SECONDS)
            if self._empty():
                self._make()
        elif self._empty():
            raise LedgerError(
                str(self.path), "a readable ledger", "an empty file", "Begin again: holdfast build."
            )
        found = self.meta("format")
        if found != str(FORMAT):
            raise LedgerError(
                str(self.path),
                f"a ledger of format {FORMAT}",
                f"format {found}",
                "Use the version of Holdfast that wrote it.",
            )

    def _empty(self) -> bool:
        """Whether there is nothing yet: who makes a file may die before it has tables."""
        return not self._rows("SELECT 1 FROM sqlite_master LIMIT 1")

    def _make(self) -> None:
        with self._change():
            if not self._empty():  # another process was faster
                return
            _begin(self._db)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """All that is read inside of this is of one moment; nothing is written meanwhile."""
        with self._opened():
            if self._db.in_transaction:
                yield
                return
            try:
                self._db.execute("BEGIN")
                yield
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _change(self, hasty: bool = False) -> Iterator[None]:
        """One transaction; the outermost block commits.

        A hasty one reaches the disk with the next that is not, and never out of turn: for
        changes whose loss, in a power failure, costs no more than doing them again.
        """
        with self._opened():
            if self._db.in_transaction:
                yield
                return
            self._db.execute(f"PRAGMA synchronous={'NORMAL' if hasty else 'FULL'}")
            try:  # an interrupt may come right after the beginning
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite ends some of itself
                    self._db.execute("ROLLBACK")
                raise

    def together(self) -> AbstractContextManager[None]:
        """All that is written inside of this is written at once, or not at all."""
        return self._change()

    def _rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._opened():
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """The connection to oneself; what the disk refuses of it becomes ours."""
        with self._lock:
            if self._closed:
                found = "a closed one"
                raise LedgerError(str(self.path), "an open ledger", found, "Open it again.")
            try:
                yield
            except sqlite3.DatabaseError as cause:
                if type(cause) not in (sqlite3.OperationalError, sqlite3.DatabaseError):
                    raise  # of what was given, not of the file
                raise self._trouble(cause) from cause

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            self._db.close()

    # what is known about the gallery

    def meta(self, key: str) -> str | None:
        """A remembered word."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", key)
        return str(rows[0][0]) if rows else None

    def set_meta(self, key: str, value: str) -> None:
        """Remember a word."""
        with self._change():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    @property
    def now(self) -> float:
        """Seconds since 1970."""
        return self._clock()

    # who did what

    def keep(self, deed: Deed) -> Deed:
        """Add a deed to the audit; when this returns it is on disk. Answers the row."""
        with self._change():
            found = self._rows(f"SELECT {COLUMNS} FROM audit ORDER BY number DESC LIMIT 1")
            row = deed.after(deed_of(found[0]) if found else None, self.now)
            values = row.number, row.time, row.who, row.what, row.why, row.gate, row.outcome
            sql = f"INSERT INTO audit ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            self._db.execute(sql, (*values, row.hash))
            return row

    def deeds(self, after: int = 0, limit: int | None = None) -> list[Deed]:
        """What is in the audit behind a number, oldest first."""
        sql = f"SELECT {COLUMNS} FROM audit WHERE number > ? ORDER BY number LIMIT ?"
        return [deed_of(row) for row in self._rows(sql, after, -1 if limit is None else limit)]


def _begin(db: sqlite3.Connection) -> None:
    for statement in (*SCHEMA.split(";"), *AUDIT):
        db.execute(statement)
    counts = "('queued', 0), ('open', 0), ('aside', 0)"
    db.execute(f"INSERT INTO meta VALUES ('format', ?), {counts}", (str(FORMAT),))


def _first() -> bytes:
    """A ledger that says nothing yet. Written at once, nobody ever sees one without tables."""
    # In memory: closing a file tells nobody that the disk took only a part of it.
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        _begin(db)
        return db.serialize()
