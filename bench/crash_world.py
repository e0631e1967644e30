"""The world of the crash trials: a model that is a hash, a gallery, and what writers swore to.

An item's text is "<id>@<version>" and its payload holds text, version and key, so that
every stored vector can be computed again from the row beside it. A writer owns the ids
"<writer>-<number>" and notes each call in its own file before and after; a note is one
`write` into the page cache, which outlives the process.

    ["B", version, "write" | "delete", [ids]]    a call begins; versions rise
    ["A", version]                               it returned
    ["F", version]                               it was refused: nothing was written
    ["S", {id: version | null}]                  what a check found of a call cut off
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.arrays import Vectors, as_vectors
from holdfast.errors import EncoderUnavailable
from holdfast.items import Item, Role
from holdfast.postgres import DSN_ENV
from holdfast.source.sql import SqlSource
from holdfast.space import Space
from holdfast.store.registry import open_store
from holdfast.upgrade.follow import Follower
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side

WRITERS = 4
OUTSIDE = "outside"  # ids of the table that others write into begin so
CENTRES = 200


class HashEncoder:
    """A vector near one of some centres, both chosen by a hash of the text.

    Args:
        space: The space it answers.
        fail: Part of all calls that fail and may be tried again.
    """

    def __init__(self, space: Space, fail: float = 0.0) -> None:
        self.space, self.fail = space, fail
        seed = int(space.fingerprint, 16) % 2**32
        self._centres = np.random.default_rng(seed).standard_normal((CENTRES, space.dim))

    def encode(self, contents: Sequence[Any], role: Role) -> Vectors:
        """(n, d) unit rows."""
        if self.fail and role == "document" and random.random() < self.fail:
            raise EncoderUnavailable(f"model of {self.space.name}", "an answer", "none, by design")
        salt, width = self.space.fingerprint.encode(), 2 * self.space.dim
        noise = b"".join(hashlib.shake_128(salt + t.encode()).digest(width) for t in contents)
        near = [hashlib.sha256(t.encode()).digest()[0] % CENTRES for t in contents]
        rows = np.frombuffer(noise, dtype=np.int16).reshape(-1, self.space.dim) / 2.0**15
        return as_vectors(self._centres[near] + rows, self.space, "hash encoder")


@dataclass(frozen=True)
class World:
    """What all processes of one series of trials agree on.

    Args:
        store: "edge", "faiss" or "pgvector".
        items: In the gallery at the beginning.
        dims: Of the old and of the new space.
        rate: Items a second that the backfill may move.
        options: Of the stores.
        content: A table into which others write who know nothing of the gallery; none without.
    """

    store: str
    items: int
    dims: tuple[int, int] = (160, 192)
    rate: float = 5000.0
    options: dict[str, Any] = field(default_factory=dict)
    content: str = ""

    @property
    def spaces(self) -> tuple[Space, Space]:
        """Old and new."""
        return Space("crash-old", self.dims[0]), Space("crash-new", self.dims[1])

    @property
    def plan(self) -> Plan:
        """How the backfill goes."""
        return Plan(rate=self.rate, batch_size=128, max_batch_size=512, backoff=0.01)

    def save(self, folder: Path) -> None:
        """Write it down for the other processes."""
        (folder / "world.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> World:
        """Read what `save` wrote."""
        told = json.loads((folder / "world.json").read_text(encoding="utf-8"))
        return cls(**{**told, "dims": tuple(told["dims"])})

    def open(self, folder: Path, fail: float = 0.0) -> Gallery:
        """The gallery, recovered; a first upgrade is planned where there is none."""
        old, new = self.spaces
        sides = []
        try:
            for space, part in ((old, 0.0), (new, fail)):
                store = open_store(self.store, folder / space.name, space, **self.options)
                sides.append(Side(store, HashEncoder(space, part)))
            ledger = Ledger(folder / "ledger.sqlite")
            if ledger.upgrade() is None:
                ledger.begin(self.plan.model_dump(), old, new)
            gallery = Gallery(*sides, ledger)
            if self.content:
                gallery.follower = Follower(gallery, outside(self.content), every=0.02)
            return gallery
        except BaseException:
            for side in sides:
                side.store.close()
            raise

    def found(self, folder: Path) -> None:
        """Make the gallery with its first items, all of version 0."""
        folder.mkdir(parents=True)
        self.save(folder)
        if self.content:
            make_content(self.content, self.items // WRITERS)
        gallery = self.open(folder)
        if gallery.follower is not None:
            gallery.follower.catch_up()
        names = list(first_ids(self.items))
        for start in range(0, len(names), 2000):
            gallery.upsert(item(name, 0) for name in names[start : start + 2000])
        gallery.old.store.tend()
        gallery.close()


def outside(content: str) -> SqlSource:
    """The table that others write into, as a source with a feed."""
    return SqlSource(
        content, text="text", payload=["text", "version", "key"], feed=f"{content}_feed"
    )


def make_content(content: str, items: int) -> None:
    """The table with its first items, written after the feed began."""
    import psycopg

    with psycopg.connect(os.environ[DSN_ENV], autocommit=True) as connection:
        connection.execute(
            f"CREATE TABLE {content} (id text PRIMARY KEY, text text, version bigint, key text);"
            f"CREATE SEQUENCE {content}_version;"
        )
        outside(content).close()
        rows = f"SELECT '{OUTSIDE}-' || n AS id FROM generate_series(0, {items - 1}) n"
        connection.execute(f"INSERT INTO {content} SELECT id, id || '@0', 0, id FROM ({rows}) t")


def first_ids(items: int) -> Iterable[str]:
    """The ids of the beginning; writer w owns those that start with it."""
    return (f"{number % WRITERS}-{number // WRITERS}" for number in range(items))


def item(name: str, version: int) -> Item:
    """The item of an id at a version."""
    text = f"{name}@{version}"
    return Item(name, text, {"text": text, "version": version, "key": name})


@dataclass(frozen=True)
class Call:
    """A call that began and whose end was not noted."""

    version: int
    kind: str
    ids: list[str]


class Log:
    """One writer's notes.

    Args:
        folder: Of the gallery.
        writer: Its number.
    """

    def __init__(self, folder: Path, writer: int) -> None:
        self.path, self.writer = folder / f"writer-{writer}.log", writer
        self._file: int | None = None

    def note(self, *words: Any) -> None:
        """Add a line; it is in the page cache when this returns."""
        if self._file is None:
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(self._file, json.dumps(words).encode() + b"\n")

    def read(self, items: int) -> tuple[dict[str, int], Call | None, int]:
        """Versions of the items that must be there, the call cut off, and the last version."""
        known = {n: 0 for n in first_ids(items) if n.startswith(f"{self.writer}-")}
        begun: Call | None = None
        last = 0
        if not self.path.exists():
            return known, None, last
        for line in self.path.read_text(encoding="utf-8").splitlines():
            mark, *words = json.loads(line)
            if mark == "B":
                begun = Call(*words)
                last = begun.version
            elif mark == "S":
                for name, version in words[0].items():
                    put(known, name, version)
                begun = None
            else:
                if mark == "A" and begun is not None:
                    for name in begun.ids:
                        put(known, name, begun.version if begun.kind == "write" else None)
                begun = None
        return known, begun, last


def put(known: dict[str, int], name: str, version: int | None) -> None:
    """Let an id stand at a version, or be gone."""
    if version is None:
        known.pop(name, None)
    else:
        known[name] = version
