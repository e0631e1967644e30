"""A damaged SQLite file is set aside, with the files that belong to it, while nobody opens it.

Who has it open already goes on with what was set aside, until it meets the damage itself.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_BESIDE = ("-wal", "-shm", "")  # in this order: cut off in between, it is only damaged still
_NAMES = (".db", ".sqlite", ".sqlite3")


def is_damage(error: sqlite3.DatabaseError, path: Path) -> bool:
    """Whether a file is damaged, and not locked, closed to us, on a full disk, or another's.

    Where even its head is none of SQLite's, its name has to say that it was meant to be one.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB and path.suffix not in _NAMES:
        return False
    if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return False
    return path.exists() and os.access(path, os.W_OK)


def identity(path: Path) -> tuple[int, int] | None:
    """Tells a file from another of its name; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """While this lasts, nobody sets the file aside."""
    with ExitStack() as held:
        with suppress(OSError):  # where nobody can lock, nobody sets aside
            held.enter_context(_locked(path.parent, fcntl.LOCK_SH))
        yield


def set_aside(path: Path, which: tuple[int, int] | None) -> Path | None:
    """Rename a file and what belongs to it.

    Args:
        path: The file; this process has closed it.
        which: Its `identity`.
    Returns:
        Where it is now; None if there is another by now, since a neighbour was faster.
    Raises:
        OSError: It cannot be renamed.
    """
    with _locked(path.parent, fcntl.LOCK_EX):
        if which is None or identity(path) != which:
            return None
        name, number = f"{path.name}.damaged", 1
        while path.with_name(name).exists():
            number += 1
            name = f"{path.name}.damaged-{number}"
        for end in _BESIDE:
            there = path.with_name(path.name + end)
            if there.exists():
                there.rename(path.with_name(name + end))
        return path.with_name(name)


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, kind)
        try:
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)  # in words: who was forked meanwhile has it too
    finally:
        os.close(handle)
