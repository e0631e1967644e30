"""The one file that imports qdrant-client: how a server, or a folder, is called.

The client is chosen by what is given: an address leads to a server, a folder to the client's
own *local mode*, which is the same interface in this process: exact, slow, written row by
row. A call that a server did not answer is made again a few times: every call here may be.
"""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from ..errors import ConfigError, StoreError, StoreHeld
from ..optional import need
from ..settings import check_variable
from ..sqlite import way_out
from .edge_fork import leave_when_forked
from .edge_payload import Plain
from .edge_pointer import RESTORE
from .hold import Hold

_SECONDS = 60  # for one request
_TRIES, _WAIT = 4, 0.25  # of a request that was not answered; the wait doubles
_AGAIN = frozenset({429, 500, 502, 503, 504})  # answers that may be better the next time
_SILENT = frozenset({401, 403, 404, 405})  # answers of a proxy that lets nobody ask for a version
_JOINS = ("must", "should", "must_not")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a collection is.

    Args:
        url: Of a server; None for local mode.
        api_key_env: Name of the environment variable that holds the key of the server.
        folder: For local mode.
        memory: Whether local mode keeps everything in memory, under the name of the folder.
    """

    url: str | None
    api_key_env: str | None
    folder: Path
    memory: bool = False

    @property
    def local(self) -> bool:
        """Whether the client does everything by itself."""
        return self.url is None

    def __str__(self) -> str:
        return self.url or str(self.folder)


class _Local:
    """Clients of local mode, which holds its folder: one for all stores of this process."""

    opened: ClassVar[dict[tuple[Path, bool], _Local]] = {}
    guard = threading.Lock()

    def __init__(self, folder: Path, memory: bool) -> None:
        make = need("qdrant_client").QdrantClient
        self._hold = None if memory else Hold(folder)  # names the process that has it
        try:
            if memory:
                self.client: Any = make(":memory:")
            else:
                self.client = make(path=str(folder), force_disable_check_same_thread=True)
        except BaseException:
            self.release()
            raise
        self.users, self.lock = 0, threading.RLock()
        if not memory:
            leave_when_forked(self)

    def leave(self) -> Any:
        """See `edge_fork.py`: files of SQLite must not be used on both sides of a fork, either."""
        _Local.guard = threading.Lock()  # another thread may have held it
        for where in [where for where, held in _Local.opened.items() if held is self]:
            del _Local.opened[where]
        left, self.client = self.client, None
        return left

    def release(self) -> None:
        """Let another process have the folder."""
        if self._hold is not None:
            self._hold.release()


class Connection:
    """A client, and what it takes to call it safely.

    Args:
        place: Where to.
    Raises:
        ConfigError: The environment variable of the key is not set, or the key stands there itself.
        StoreHeld: Another process has the folder of local mode.
        StoreError: No server answers.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._key: str | None = None
        if place.api_key_env is not None:
            check_variable(place.api_key_env, "store: api_key_env")
            self._key = os.environ.get(place.api_key_env)
            if not self._key:
                raise ConfigError(
                    "store: api_key_env",
                    f"the environment variable {place.api_key_env}",
                    "one that is not set",
                    "Export it; the key itself never stands in a file.",
                )
        # The client in this process is not made for threads; a server is.
        self._held: _Local | None = None
        self._client: Any = self._open()
        self._process = os.getpid()

    def _open(self) -> Any:
        make, place = need("qdrant_client").QdrantClient, self._place
        with self._translated():
            if place.url is not None:
                return make(
                    url=place.url, api_key=self._key, timeout=_SECONDS, check_compatibility=False
                )
            return self._share((place.folder.resolve(), place.memory))

    def _share(self, where: tuple[Path, bool]) -> Any:
        with _Local.guard:
            held = _Local.opened.get(where)
            if held is None:
                held = _Local.opened[where] = _Local(*where)
            held.users += 1
        self._held = held
        return held.client

    def call(self, method: str, *values: Any, **options: Any) -> Any:
        """Call a method of the client; again where no answer came."""
        for attempt in range(_TRIES - 1):
            try:
                return self._once(method, values, options)
            except StoreError as error:
                if not _passing(error.__cause__):
                    raise
                time.sleep(_WAIT * 2.0**attempt)
        return self._once(method, values, options)

    def require(self, least: tuple[int, int], fix: str) -> None:
        """Refuse an older server; one that keeps its version to itself is taken as it is.

        Args:
            least: The first version that will do: its first two numbers.
            fix: What the reader can do.
        Raises:
            StoreError: It is older.
        """
        if self._place.local:
            return
        try:
            told = str(self.call("info").version)
        except StoreError as error:
            if getattr(error.__cause__, "status_code", None) in _SILENT:
                return
            raise
        found = re.match(r"v?(\d+)\.(\d+)", told)
        if found and (int(found[1]), int(found[2])) < least:
            wanted = f"a Qdrant server of {least[0]}.{least[1]} or newer"
            raise StoreError(str(self._place), wanted, f"one of {told}", fix)

    def _once(self, method: str, values: tuple[Any, ...], options: dict[str, Any]) -> Any:
        client = self._client
        if client is None or self._forked:
            forked = client is not None
            got = "one that was opened before this process forked" if forked else "a closed one"
            raise StoreError(str(self._place), "an open store", got, "Open it again.")
        if self._held is None and self._process != os.getpid():  # it would read the other's answers
            client = self._client = self._open()
            self._process = os.getpid()
        with self._translated(), self._held.lock if self._held else nullcontext():
            return getattr(client, method)(*values, **options)

    @property
    def _forked(self) -> bool:
        return self._held is not None and self._held.client is None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What the client raises becomes ours, without the key."""
        failures = need("qdrant_client.http.exceptions").ApiException
        try:
            yield
        except sqlite3.Error as cause:  # in which the client keeps the points of local mode
            fix = way_out(cause, RESTORE)
            raise StoreError(
                str(self._place), "files that can be read and written", f"{cause}", fix
            ) from cause
        except (failures, ValueError, RuntimeError, OSError) as cause:
            told = f"{type(cause).__name__}: {cause}"[:500]
            if self._key:
                told = told.replace(self._key, "***")
            if "already accessed" in told:
                raise StoreHeld(
                    str(self._place),
                    "a folder that no other process holds",
                    "one held by another",
                    "Stop it first.",
                ) from cause
            raise StoreError(
                str(self._place), "an answer of Qdrant", told, "Is it there, and in order?"
            ) from cause

    def close(self) -> None:
        """Let go; the last user of a folder closes it."""
        client, self._client = self._client, None
        if client is None or self._forked:
            return
        if not self._place.local:
            with self._translated():
                client.close()
            return
        where = (self._place.folder.resolve(), self._place.memory)
        with _Local.guard:
            held = _Local.opened[where]
            held.users -= 1
            if not held.users:
                del _Local.opened[where]
                try:
                    with self._translated():
                        client.close()
                finally:
                    held.release()


def _passing(cause: BaseException | None) -> bool:
    """Whether the same call may succeed later."""
    status = getattr(cause, "status_code", None)
    if status is not None:
        return status in _AGAIN
    return type(cause).__name__ in {"ResponseHandlingException", "ResourceExhaustedResponse"}


def models() -> ModuleType:
    """The client's types."""
    return need("qdrant_client.models")


def uuid_of(key: str) -> str:
    """A key of 32 digits as servers write it: this form sorts like the key."""
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"


def has_id(keys: Sequence[str]) -> Plain:
    """The condition that a point is one of these."""
    return {"has_id": [uuid_of(key) for key in keys]}


def rendered(plain: Plain) -> Any:
    """A filter as qdrant-client takes it."""
    types = models()
    joins = {name: parts for name, parts in plain.items() if name in _JOINS}
    if joins:
        return types.Filter(**{n: [rendered(part) for part in ps] for n, ps in joins.items()})
    if "has_id" in plain:
        return types.HasIdCondition(has_id=plain["has_id"])
    if "has_vector" in plain:
        return types.HasVectorCondition(has_vector=plain["has_vector"])
    if "is_empty" in plain:
        return types.IsEmptyCondition(is_empty=types.PayloadField(**plain["is_empty"]))
    if "range" in plain:
        return types.FieldCondition(key=plain["key"], range=types.Range(**plain["range"]))
    match = plain["match"]
    kind = types.MatchAny if "any" in match else types.MatchValue
    return types.FieldCondition(key=plain["key"], match=kind(**match))
