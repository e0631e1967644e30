"""SQLite: what it does not do by itself where several processes open one file."""

from __future__ import annotations

import sqlite3
import time

_PAUSE = 0.01  # seconds between two attempts


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
