"""Hold a table for one process: the second one gets an error that names the first.

The server keeps two advisory locks for a table. *The hold* belongs to one connection of the
process that has the table open. *The work* is shared by all its other connections; whoever
takes the hold waits for it once, so that what a process that died has left running on the
server ends before anybody looks at the rows. A third one, *the upkeep*, belongs to whoever builds
an index meanwhile.

A server may take its time to see that a connection was closed, or to end one. So the hold and the
upkeep are given back in words; and one that goes by the name of this process, but is none of ours
any more, is waited for.
"""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from weakref import WeakSet

from ..errors import StoreError, StoreHeld
from ..postgres import Connection, Postgres
from .hold import way_on

_PATIENCE = 20.0  # seconds for the server to notice that a process died
_LOOK = 0.05  # seconds between two looks
_KEY = "hashtextextended(%s, {})"  # a number for a table and one of its locks
_OURS: set[int] = set()  # processes of servers that keep a hold for this one
_TENDING: set[int] = set()  # those that keep an upkeep


class Hold:
    """The hold of one table.

    Args:
        postgres: Where the table is.
        table: Its name, with the schema.
    Raises:
        StoreHeld: Another process has it, or this one has it open already.
    """

    def __init__(self, postgres: Postgres, table: str) -> None:
        self._postgres, self._table = postgres, table
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._backend = 0  # the server's process behind it
        self._working: WeakSet[Connection] = WeakSet()  # the others of this store
        self._take()

    def _take(self) -> None:
        connection = self._postgres.connect()
        try:
            with self._postgres.reported():
                self._wait(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._backend = connection, int(connection.info.backend_pid)
        _OURS.add(self._backend)

    def _wait(self, connection: Connection) -> None:
        until = time.monotonic() + _PATIENCE
        other = _lock(connection, self._table, 1, _OURS, until)
        if other is not None:
            raise self._held(other[0])
        # Where only the hold was lost, our own connections go on working.
        ours = [c.info.backend_pid for c in self._working if not c.closed]
        while (holder := _holder(connection, self._table, 2, ours))[1]:
            if time.monotonic() > until:
                raise self._held(holder[0])
            time.sleep(_LOOK)

    def _held(self, holder: str) -> StoreHeld:
        who = _described(holder)
        wanted = "a table that nobody holds"
        return StoreHeld(self._postgres.who, wanted, f"one held by {who}", way_on(who))

    def join(self, connection: Connection) -> None:
        """Let a connection of this process work on the table.

        Raises:
            StoreHeld: The server was away, and meanwhile another process took the table.
        """
        with self._lock:
            if self._connection is None:
                raise StoreError(
                    self._postgres.who, "an open store", "a closed one", "Open it again."
                )
            if not self._postgres.answers(self._connection):
                self._leave(self._connection)
                self._take()
        with self._postgres.reported():
            connection.execute(f"SELECT pg_advisory_lock_shared({_KEY.format(2)})", [self._table])
        with self._lock:
            self._working.add(connection)

    def release(self) -> None:
        """Let go. Calling it twice is fine. A forked process leaves it to the one that took it."""
        if self._postgres.forked:
            return
        with self._lock:
            if self._connection is not None:
                unlock = f"SELECT pg_advisory_unlock({_KEY.format(1)})"
                with suppress(StoreError), self._postgres.reported():  # what is lost holds nothing
                    self._connection.execute(unlock, [self._table])
                self._leave(self._connection)
                self._connection = None

    def _leave(self, connection: Connection) -> None:
        _OURS.discard(self._backend)
        connection.close()


@contextmanager
def upkeep(postgres: Postgres, connection: Connection, table: str) -> Iterator[bool]:
    """Tend a table alone: True inside of this, or False where somebody else is at it.

    What an upkeep that failed has left running on the server is waited for.

    Args:
        postgres: Where the table is.
        connection: That tends it.
        table: Its name, with the schema.
    Raises:
        StoreError: The server still goes on with what was left.
    """
    other = _lock(connection, table, 3, _TENDING, time.monotonic() + _PATIENCE)
    if other is not None and not other[1]:
        raise StoreError(
            postgres.who,
            "a table that nobody tends",
            "one that the server still tends for a connection that was lost",
            "Wait until it has ended, then try again.",
        )
    if other is not None:
        yield False
        return
    backend = int(connection.info.backend_pid)
    _TENDING.add(backend)
    try:
        yield True
    finally:
        _TENDING.discard(backend)
        with suppress(StoreError), postgres.reported():  # what is lost holds nothing for long
            connection.execute(f"SELECT pg_advisory_unlock({_KEY.format(3)})", [table])


def _lock(
    connection: Connection, table: str, key: int, ours: set[int], until: float
) -> tuple[str, bool] | None:
    """Take a lock of a table; what a connection that was lost has left is waited for.

    Args:
        connection: That takes it.
        table: Its name, with the schema.
        key: Which lock.
        ours: Processes of the server that keep it for this one.
        until: When waiting ends.
    Returns:
        None once it is taken, else who has it, and whether they are at it.
    """
    while not connection.execute(
        f"SELECT pg_try_advisory_lock({_KEY.format(key)})", [table]
    ).fetchone()[0]:
        holder, backend = _holder(connection, table, key)
        if _lives(holder) and (backend in ours or not _is_this(holder)):
            return holder, True
        if time.monotonic() > until:
            return holder, False
        time.sleep(_LOOK)
    return None


def _holder(
    connection: Connection, table: str, key: int, but: Sequence[int] = ()
) -> tuple[str, int]:
    """What a connection calls itself that has a lock, and the server's process behind it;
    "" and 0 when there is none any more but those that are left out.
    """
    query = (
        "SELECT a.application_name, pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
        f" AND (l.classid::bigint << 32) | l.objid::bigint = {_KEY.format(key)}"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND pid <> ALL(%s)"
    )
    found = connection.execute(query, [table, list(but)]).fetchone()
    return (str(found[0]), int(found[1])) if found else ("", 0)


def _parts(holder: str) -> tuple[int, str] | None:
    found = re.fullmatch(r"holdfast (\d+)@(.*)", holder)
    return (int(found[1]), found[2]) if found else None


def _lives(holder: str) -> bool:
    """Whether the process behind a connection is there; one on another machine is, as told."""
    parts = _parts(holder)
    if parts is None:
        return False
    pid, host = parts
    if not _is_here(host):
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_this(holder: str) -> bool:
    """Whether it goes by the name of this process."""
    parts = _parts(holder)
    return parts is not None and parts[0] == os.getpid() and _is_here(parts[1])


def _is_here(host: str) -> bool:
    """Whether this machine is meant, whose name may have been cut off."""
    return socket.gethostname().startswith(host)


def _described(holder: str) -> str:
    parts = _parts(holder)
    return f"process {parts[0]} on {parts[1]}" if parts else "another process"
