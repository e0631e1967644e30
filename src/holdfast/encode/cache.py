"""Answers of a model kept in one SQLite file, so that nothing is computed twice."""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np

from ..arrays import FloatArray, Vectors
from ..errors import ArtifactError, EncoderError, EncoderUnavailable, InvalidInput
from ..items import Content, Role, as_contents
from ..space import Space
from ..sqlite import write_ahead
from .aside import identity, is_damage, opening, set_aside
from .base import Encoder, as_answer, nothing

Key: TypeAlias = Callable[[Content], str | bytes]
T = TypeVar("T")
_LOG = logging.getLogger("holdfast.encode")

_LOOKUP = 500  # keys in one statement; the oldest SQLite in use allows 999
_BUSY_SECONDS = 30.0
_VERSION = 1
_TABLES = {"answers", "total"}
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, vector BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS total (one INTEGER PRIMARY KEY CHECK (one = 1), bytes INTEGER NOT NULL);
INSERT OR IGNORE INTO total VALUES (1, 0);
PRAGMA user_version = {_VERSION};
"""


class CachedEncoder:
    """An encoder that remembers. Its space is that of the encoder within.

    An answer is kept under the content, the role and the space, so several encoders may
    share a file, and so may threads and processes. A crash loses at most the call it hits. What
    cannot be kept, since the disk is full or the file is held, is answered all the same, with a
    warning in the log `holdfast.encode`. A damaged file is set aside beside an empty one, with a
    warning likewise.

    Args:
        encoder: Computes what is not there yet.
        path: The file; made on first use.
        key: For contents that are neither text, bytes, files nor JSON: answers text or bytes that
            are equal only for equal contents.
        max_bytes: Bytes of vectors to keep; beyond, what was added first goes first. The file
            is about a tenth larger. None keeps everything.
        keep: Whether new answers are kept; without, the file is only read.
    Raises:
        InvalidInput: max_bytes below 0.
    Attributes:
        hits: Contents answered without the model.
        misses: Contents that the model was asked for.
    Example:
        >>> from holdfast.encode.callable import CallableEncoder
        >>> measure = lambda texts: [[len(text)] for text in texts]
        >>> encoder = CachedEncoder(CallableEncoder(Space("length", 1, "dot"), measure), ":memory:")
        >>> len(encoder.encode(["kelp", "kelp"], "document")), encoder.misses
        (2, 1)
    """

    def __init__(
        self,
        encoder: Encoder,
        path: Path | str,
        key: Key | None = None,
        max_bytes: int | None = None,
        keep: bool = True,
    ) -> None:
        if max_bytes is not None and max_bytes < 0:
            raise InvalidInput("CachedEncoder", "max_bytes of at least 0", str(max_bytes))
        self.encoder = encoder
        self.path = path
        self.key = key
        self.max_bytes = max_bytes
        self.keep = keep
        self.hits = self.misses = 0
        self._lock = threading.Lock()
        self._file: sqlite3.Connection | None = None
        self._which: tuple[int, int] | None = None  # of the files of that name

    def __repr__(self) -> str:
        return f"CachedEncoder({self.encoder!r}, {str(self.path)!r})"

    @property
    def space(self) -> Space:
        return self.encoder.space

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        owner, space = f"cache of {self.space.name}", self.space
        given = as_contents(contents, role, owner)
        if not given:
            return nothing(space)
        seed = _seed(space, role)
        digests = [_digest(seed, content, self.key, owner) for content in given]
        first: dict[bytes, int] = {}  # digest -> the place of its first content
        for place, digest in enumerate(digests):
            first.setdefault(digest, place)
        found = self._read(list(first), space.dim)
        missing = [digest for digest in first if digest not in found]
        with self._lock:
            self.hits += len(given) - len(missing)
            self.misses += len(missing)
        if missing:
            made = as_answer(
                self.encoder.encode([given[first[digest]] for digest in missing], role),
                len(missing),
                space,
                owner,
            )
            found |= dict(zip(missing, made.array, strict=True))
            if self.keep:
                self._try_to_keep(missing, made.array)
        return Vectors(space, np.stack([found[digest] for digest in digests]))

    def close(self) -> None:
        """Close the file, and the encoder within where it can be closed."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
        close = getattr(self.encoder, "close", None)
        if close is not None:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, digests: list[bytes], dim: int) -> dict[bytes, FloatArray]:
        def look(file: sqlite3.Connection) -> dict[bytes, FloatArray]:
            found: dict[bytes, FloatArray] = {}
            for key, blob in _select(file, "key, vector", digests):
                # A row that is not what was written counts as absent.
                if isinstance(blob, bytes) and len(blob) == 4 * dim:
                    row = np.frombuffer(blob, dtype="<f4")
                    if np.isfinite(row).all():
                        found[key] = row
            return found

        return self._do(look)

    def _try_to_keep(self, digests: list[bytes], rows: FloatArray) -> None:
        """What was computed, and maybe paid for, is worth more than its copy."""
        try:
            self._write(digests, rows)
        except EncoderUnavailable as error:
            _LOG.warning("%d answers were not kept: %s", len(digests), error)

    def _write(self, digests: list[bytes], rows: FloatArray) -> None:
        """One transaction: the vectors, the total, and what has to go."""
        packed = [
            (key, row.astype("<f4").tobytes()) for key, row in zip(digests, rows, strict=True)
        ]

        def write(file: sqlite3.Connection) -> None:
            file.execute("BEGIN IMMEDIATE")
            try:
                self._store(file, packed)
                file.execute("COMMIT")
            except BaseException:
                if file.in_transaction:  # SQLite ends some of itself
                    file.execute("ROLLBACK")
                raise

        self._do(write)

    def _store(self, file: sqlite3.Connection, packed: list[tuple[bytes, bytes]]) -> None:
        # A neighbour may have added the same; a row that was found unusable is replaced.
        (size,) = file.execute("SELECT bytes FROM total").fetchone()
        size += sum(len(blob) for _, blob in packed)
        size -= sum(old for (old,) in _select(file, "length(vector)", [key for key, _ in packed]))
        file.executemany(
            "INSERT INTO answers (key, vector) VALUES (?, ?) "
            "ON CONFLICT (key) DO UPDATE SET vector = excluded.vector",
            packed,
        )
        if self.max_bytes is not None and size > self.max_bytes:
            size -= _evict(file, size - self.max_bytes)
        file.execute("UPDATE total SET bytes = ?", (size,))

    def _do(self, what: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the open file, one thread at a time; again if it has to be another."""
        with self._lock:
            try:
                try:
                    return what(self._opened())
                except sqlite3.DatabaseError as error:
                    if not self._replaced(error):
                        raise
                    return what(self._opened())
            except (sqlite3.OperationalError, OSError) as cause:
                raise EncoderUnavailable(
                    f"cache {self.path}",
                    "a file to read and write",
                    str(cause),
                    "Check the folder, the space on the disk, and who else writes there.",
                ) from cause
            except sqlite3.DatabaseError as cause:
                raise ArtifactError(
                    f"cache {self.path}",
                    "a cache of Holdfast",
                    str(cause),
                    "Delete the file: it only saves time.",
                ) from cause

    def _opened(self) -> sqlite3.Connection:
        if self._file is None and str(self.path) == ":memory:":
            self._file = _open(self.path)
        elif self._file is None:
            path = Path(self.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with opening(path):
                self._which = identity(path)
                self._file = _open(path)
                self._which = identity(path)
        return self._file

    def _replaced(self, error: sqlite3.DatabaseError) -> bool:
        """Set a damaged file aside; whether another one takes its place."""
        path = Path(self.path)
        if not is_damage(error, path):
            return False
        if self._file is not None:
            self._file.close()
            self._file = None
        try:
            aside = set_aside(path, self._which)
        except OSError:
            return False
        if aside is not None:
            _LOG.warning(
                "cache %s was damaged (%s): it is %s now, and an empty one takes its place, so "
                "answers are computed again",
                *(path, error, aside),
            )
        return True


def _open(path: Path | str) -> sqlite3.Connection:
    file = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        # In this order: a neighbour may make the tables, and with them the version, meanwhile.
        tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master")}
        (version,) = file.execute("PRAGMA user_version").fetchone()
        ours = version == _VERSION and tables >= _TABLES
        if not ours and (tables or version not in (0, _VERSION)):
            raise sqlite3.DatabaseError(f"another kind of file, of version {version}")
        # With a write-ahead log a crash leaves whole transactions; syncing each of them
        # would only guard answers that can be computed again.
        write_ahead(file, _BUSY_SECONDS)
        file.execute("PRAGMA synchronous = NORMAL")
        if not ours:
            file.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
    except BaseException:
        file.close()
        raise
    return file


def _select(file: sqlite3.Connection, columns: str, keys: list[bytes]) -> Iterator[tuple[Any, ...]]:
    """Columns of the rows of these keys, as far as there are any, in no order."""
    for start in range(0, len(keys), _LOOKUP):
        part = keys[start : start + _LOOKUP]
        marks = ",".join("?" * len(part))
        yield from file.execute(f"SELECT {columns} FROM answers WHERE key IN ({marks})", part)


def _evict(file: sqlite3.Connection, excess: int) -> int:
    """Remove the oldest rows until `excess` bytes are gone; answers how many went."""
    gone = last = 0
    for number, size in file.execute("SELECT number, length(vector) FROM answers ORDER BY number"):
        gone, last = gone + size, number
        if gone >= excess:
            break
    file.execute("DELETE FROM answers WHERE number <= ?", (last,))
    return gone


def uncached(encoder: Any) -> Any:
    """The model behind an encoder that may be cached."""
    return encoder.encoder if isinstance(encoder, CachedEncoder) else encoder


def _seed(space: Space, role: Role) -> bytes:
    """What a vector depends on besides its content."""
    return f"{space.fingerprint}\n{space.dim}\n{space.metric}\n{role}\n".encode()


def _digest(seed: bytes, content: Content, key: Key | None, owner: str) -> bytes:
    """The key of a content; each kind of content has a letter, so that no two kinds meet."""
    if key is not None:
        named = key(content)
        kind, data = ("k", named) if isinstance(named, bytes) else ("K", _utf8(str(named)))
    elif isinstance(content, str):
        kind, data = "s", _utf8(content)
    elif isinstance(content, bytes):
        kind, data = "b", content
    elif isinstance(content, Path):  # the name of a file may come to mean another picture
        kind, data = "b", _file(content, owner)
    elif _is_json(content):
        kind, data = "j", json.dumps(content).encode()
    else:
        raise EncoderError(
            owner,
            "contents that are text, bytes, files or JSON",
            type(content).__name__,
            "Pass CachedEncoder a `key` function that names each content.",
        )
    return hashlib.sha256(seed + kind.encode() + data).digest()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _file(path: Path, owner: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as cause:
        raise EncoderError(owner, "a file that can be read", str(cause)) from cause


def _is_json(value: Any) -> bool:
    """Whether JSON tells this value from every other: no tuples, no keys but text."""
    kind = type(value)
    if kind is list:
        return all(map(_is_json, value))
    if kind is dict:
        return all(type(name) is str and _is_json(inner) for name, inner in value.items())
    return value is None or kind in (str, int, float, bool)
