"""SQLite: what it does not do by itself where several processes open one file."""

from __future__ import annotations

import sqlite3
import time

_PAUSE = 0.01  # seconds between two attempts
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_LOCKED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
MACHINE = "Make room, or let this process open and write it; then do the same again."


def way_out(cause: BaseException, restore: str) -> str:
    """What to do about a failure: a full disk, a lock or a missing right damages no file.

    Args:
        cause: Of SQLite, or of the system.
        restore: What to do about a file that is damaged.
    Example:
        >>> way_out(OSError(28, "No space left on device"), "Restore it.")
        'Make room, or let this process open and write it; then do the same again.'
    """
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    if code in _LOCKED:
        return "Another program has it locked: let that end, then do the same again."
    return restore if code in _DAMAGED else MACHINE


def write_ahead(file: sqlite3.Connection, seconds: float) -> None:
    """Turn to a write-ahead log, however busy the neighbours are.

    SQLite waits for them in any other statement, but gives this one up where another writes.

    Args:
        file: Open.
        seconds: After which it is given up all the same.
    """
    last = time.monotonic() + seconds
    while True:
        try:
            file.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > last:
                raise
            time.sleep(_PAUSE)
        else:
            return
