"""PostgreSQL: the one place that imports psycopg, for the store and for the source.

Where the server is, and with which password, is told by an environment variable; settings carry
its name only. Connections are opened as threads need them and kept for the next one.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from .errors import ConfigError, HoldfastError, StoreError
from .optional import need

DSN_ENV = "HOLDFAST_POSTGRES_DSN"
T = TypeVar("T")
Connection: TypeAlias = Any  # psycopg's

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_IDLE = 8  # connections kept for later
_TRIES = 5  # of work that others got in the way of
_SECONDS = 10  # to reach the server
_AWAY = frozenset({"57P01", "57P02", "57P03"})  # it ends, it crashed, it is not ready yet
_FIXES = {  # by what sqlstate begins with
    "25006": "It is a standby, or set to read only: name the server that takes writes.",
    "40": "Others were in the way: do the same again.",
    "42501": "Give the role that right.",
    "42P01": "Was the table dropped? Restore it from a copy.",
    "42703": "Was the table altered? Restore it from a copy.",
    "53": "The server has too little room, memory or connections: give it more, then try again.",
    "55P03": "Another session keeps a lock: let it end, then do the same again.",
    "57014": "Raise statement_timeout for this role, or see who cancelled it; then try again.",
}
_SETTINGS = (("jit", "off"), ("plan_cache_mode", "force_custom_plan"))


def sql(text: str) -> Any:
    """A piece of SQL written by us; what comes from elsewhere goes in by `format` or as values."""
    return need("psycopg.sql").SQL(text)


def name(*parts: str) -> Any:
    """A name of a table or column, quoted whatever is in it."""
    return sql(".").join([_quoted(part) for part in parts])


def _quoted(part: str) -> Any:
    if "%" not in part:
        return need("psycopg.sql").Identifier(part)
    # psycopg would take it for the place of a parameter, so it is written by its number.
    coded = part.replace("\\", "\\\\").replace('"', '""').replace("%", "\\0025")
    return sql(f'U&"{coded}"')


def literal(value: Any) -> Any:
    """A value as SQL, for statements that take no parameters."""
    return need("psycopg.sql").Literal(value)


def check_name(value: Any, who: str, longest: int = 63) -> str:
    """A name that PostgreSQL keeps as it is: not empty, no NUL, and not cut off.

    Raises:
        ConfigError: It would not.
    """
    fine = isinstance(value, str) and value and "\0" not in value
    if not fine or len(value.encode("utf-8", "surrogatepass")) > longest or not _encodes(value):
        raise ConfigError(who, f"a name of 1 to {longest} bytes", ascii(value)[:80])
    return str(value)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_dsn(dsn_env: str, who: str) -> str:
    """What the environment says about the server.

    Args:
        dsn_env: Name of the variable.
        who: Who asks, for the message.
    Raises:
        ConfigError: Not a name, or nothing usable there. The message repeats neither.
    """
    if not isinstance(dsn_env, str) or not _NAME.fullmatch(dsn_env):
        raise ConfigError(
            f"{who}: dsn_env",
            "the name of an environment variable",
            "something else (not repeated here, since it may hold a password)",
            f"Put the connection string into the environment, and its name here: {DSN_ENV}.",
        )
    dsn = os.environ.get(dsn_env, "")
    fix = f"export {dsn_env}='postgresql://user@host/database'"
    if not dsn:
        raise ConfigError(who, f"a connection string in ${dsn_env}", "none", f"Set it: {fix}")
    try:
        need("psycopg.conninfo").conninfo_to_dict(dsn)
    except need("psycopg").Error:
        # Its message quotes what it could not read.
        raise ConfigError(
            who, f"a connection string in ${dsn_env}", "something else", f"Such as: {fix}"
        ) from None
    return dsn


class Postgres:
    """Connections to one database, for any number of threads.

    Args:
        dsn_env: Name of the environment variable that holds the connection string.
        who: Who asks, for messages.
        error: What failures of the database are raised as.
        settings: Of every connection: name to value.
        greet: Called with every new connection.
    Raises:
        MissingExtra: psycopg is not installed.
        ConfigError: The environment does not say where the database is.
    """

    def __init__(
        self,
        dsn_env: str,
        who: str,
        error: type[HoldfastError] = StoreError,
        settings: Mapping[str, str] | None = None,
        greet: Callable[[Connection], None] | None = None,
    ) -> None:
        self._driver = need("psycopg")
        self._dsn = read_dsn(dsn_env, who)
        self._env, self.who, self._error = dsn_env, who, error
        self._settings = [*_SETTINGS, *(settings or {}).items()]
        self._greet = greet
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._mine = threading.local()  # the connection of a transaction that a thread is in
        self._closed, self._process = False, os.getpid()

    def same_database(self, other: Postgres) -> bool:
        """Whether both were told of the same place."""
        return self._dsn == other._dsn

    # connections

    def connect(self) -> Connection:
        """A new connection, which commits each statement; it is the caller's to close."""
        title = f"holdfast {os.getpid()}@{socket.gethostname()}"[:63]
        with self.reported():
            connection = self._driver.connect(
                self._dsn, autocommit=True, application_name=title, connect_timeout=_SECONDS
            )
            try:
                settings = ", ".join(["set_config(%s, %s, false)"] * len(self._settings))
                values = [word for setting in self._settings for word in setting]
                connection.execute(f"SELECT {settings}", values)
                # A server that notices when a client died stops working for it.
                with _ignored(self._driver.Error):
                    connection.execute("SET client_connection_check_interval = '1s'")
            except BaseException:
                connection.close()
                raise
        return connection

    @property
    def forked(self) -> bool:
        """Whether this process was forked from the one that opened it.

        Both have the same connections then: each would read what the server answers the other.
        """
        return os.getpid() != self._process

    def _take(self) -> Connection:
        self._refuse_closed()
        with self._lock:
            if self._idle and not self._closed:
                return self._idle.pop()
        return self._open()

    def _refuse_closed(self) -> None:
        if self._closed or self.forked:
            forked = "one that was opened before this process forked"
            got = forked if self.forked else "a closed one"
            raise self._error(self.who, "an open store", got, "Open it again.")

    def _open(self) -> Connection:
        self._refuse_closed()
        connection = self.connect()
        if self._greet is not None:
            try:
                with self.reported():
                    self._greet(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    @contextmanager
    def outside(self) -> Iterator[Connection]:
        """A connection of one's own for what no transaction can hold; closed afterwards.

        A new one: what takes long should not fail since one that was kept has been lost.
        """
        connection = self._open()
        try:
            with self.reported():
                yield connection
        finally:
            connection.close()

    def _give(self, connection: Connection) -> None:
        idle = connection.info.transaction_status == self._driver.pq.TransactionStatus.IDLE
        with self._lock:
            if idle and not self._closed and len(self._idle) < _IDLE:
                self._idle.append(connection)
                return
        connection.close()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction: all or nothing. Within another one of this thread, a part of that."""
        mine = getattr(self._mine, "connection", None)
        if mine is not None:
            with self.reported():
                yield mine
            return
        connection = self._take()
        try:
            with self.reported(), connection.transaction():
                self._mine.connection = connection
                try:
                    yield connection
                finally:
                    self._mine.connection = None
        finally:
            self._give(connection)

    @contextmanager
    def joined(self, other: Postgres) -> Iterator[None]:
        """One transaction for what this thread does here and through `other`."""
        with self.transaction() as connection:
            held = getattr(other._mine, "connection", None)
            other._mine.connection = connection
            try:
                yield
            finally:
                other._mine.connection = held

    @contextmanager
    def _statement(self) -> Iterator[Connection]:
        """A connection for one statement, which is a transaction by itself: two messages less."""
        if self.inside:
            with self.transaction() as connection:
                yield connection
            return
        connection = self._take()
        try:
            with self.reported():
                yield connection
        finally:
            self._give(connection)

    @property
    def inside(self) -> bool:
        """Whether this thread is in a transaction."""
        return getattr(self._mine, "connection", None) is not None

    def run(self, work: Callable[[Connection], T], single: bool = False) -> T:
        """Do work in one transaction, again when a connection was lost or others were in the way.

        Args:
            work: May be called several times; what it did before a failure is undone.
            single: It is one statement.
        Raises:
            HoldfastError: Of the kind given; the database failed.
        """
        inside = self.inside
        for attempt in range(_TRIES):
            try:
                with self._statement() if single else self.transaction() as connection:
                    return work(connection)
            except self._error as error:
                if inside or attempt + 1 == _TRIES or not self._passes(error.__cause__, attempt):
                    raise
        raise self._error(self.who, "an answer", "none")  # pragma: no cover

    def _passes(self, cause: BaseException | None, attempt: int) -> bool:
        """Whether trying again may help."""
        errors = self._driver.errors
        if isinstance(cause, errors.DeadlockDetected | errors.SerializationFailure):
            return True
        lost = isinstance(cause, self._driver.OperationalError) and cause.sqlstate is None
        if not (lost or isinstance(cause, errors.AdminShutdown)) or attempt:
            return False
        self._drop_idle()  # what one connection suffered the others did
        return True

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Failures of the database as errors of ours; none of them names the password."""
        try:
            yield
        except self._driver.Error as cause:
            said = getattr(cause.diag, "message_primary", None) or str(cause) or repr(cause)
            raise self._error(
                self.who,
                f"a database that does as it is told (${self._env})",
                f"{type(cause).__name__}: {' '.join(said.split())}",
                self._way_out(cause),
            ) from cause

    def _way_out(self, cause: Any) -> str:
        """What to do about a failure of the database, by the kind that it says it is of."""
        state = cause.sqlstate or ""
        lost = isinstance(cause, self._driver.OperationalError) and not state
        if lost or state in _AWAY:
            return "Look whether the server runs and takes us; then do the same again."
        return next((fix for start, fix in _FIXES.items() if state.startswith(start)), "")

    def answers(self, connection: Connection) -> bool:
        """Whether the server is still there at the other end."""
        try:
            connection.execute("SELECT 1")
        except self._driver.OperationalError:
            return False
        return True

    def cannot_keep(self, error: HoldfastError) -> bool:
        """Whether a failure was about the values that were to be written."""
        errors = self._driver.errors
        return isinstance(error.__cause__, self._driver.DataError | errors.ProgramLimitExceeded)

    def broke(self, error: HoldfastError) -> bool:
        """Whether a failure was one inside the server, where an index is not in order."""
        return isinstance(error.__cause__, self._driver.errors.InternalError_)

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def close(self) -> None:
        """Close all connections; those in use, when they are given back. Twice is fine.

        A forked process leaves them to the one that opened them.
        """
        self._closed = True
        if not self.forked:
            self._drop_idle()


@contextmanager
def _ignored(kind: type[BaseException]) -> Iterator[None]:
    try:
        yield
    except kind:
        return
