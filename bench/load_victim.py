"""The process that serves and upgrades under load, and is killed: searches over a socket.

python -m bench.load_victim FOLDER prints "open" once it answers.

A request is JSON: {"q": number of a query} or {"do": "start", "cut over" or "status"}.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.arrays import Vectors
from holdfast.errors import HoldfastError
from holdfast.items import Role
from holdfast.service.threads import share_cores
from holdfast.space import Space
from holdfast.store.registry import open_store
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side

from .twins import Ready

K = 10


@dataclass(frozen=True)
class World:
    """What the processes of one trial agree on.

    Args:
        store: Kind of both stores.
        items: In the gallery.
        dim: Of both spaces.
        plan: Settings of the upgrade.
        options: Of the stores.
    """

    store: str
    items: int
    dim: int = 384
    plan: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def spaces(self) -> tuple[Space, Space]:
        """Old and new."""
        return Space("twin-old", self.dim), Space("twin-new", self.dim)

    def save(self, folder: Path) -> None:
        """For the other processes."""
        (folder / "world.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> World:
        """What `save` wrote."""
        return cls(**json.loads((folder / "world.json").read_text(encoding="utf-8")))

    def vectors(self, folder: Path, what: str, side: int) -> Vectors:
        """Items or queries of a side, from a file."""
        rows = np.load(folder / f"{what}-{side}.npy", mmap_mode="r")
        return Vectors(self.spaces[side], rows)

    def open(self, folder: Path) -> tuple[Gallery, Engine]:
        """The gallery, recovered, and its engine."""
        plan, sides = Plan(**self.plan), []
        for number, space in enumerate(self.spaces):
            store = open_store(self.store, folder / space.name, space, **self.options)
            sides.append(Side(store, Asked(self.vectors(folder, "queries", number))))
        ledger = Ledger(folder / "ledger.sqlite")
        if ledger.upgrade() is None:
            ledger.begin(plan.model_dump(), *self.spaces)
        gallery = Gallery(*sides, ledger, mode=plan.merge)
        return gallery, Engine(gallery, Ready(self.vectors(folder, "items", 1)), plan)


class Asked:
    """A model that knows the queries by number."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    @property
    def space(self) -> Space:
        """Of the vectors."""
        return self.vectors.space

    def encode(self, contents: Sequence[Any], role: Role) -> Vectors:
        """Look them up."""
        del role
        return self.vectors.take(np.array(contents, dtype=np.intp))


class Server:
    """Answers connections, each in a thread of its own."""

    def __init__(self, gallery: Gallery, engine: Engine) -> None:
        self.gallery, self.engine = gallery, engine
        self.trouble = ""
        if gallery.state in ("copying", "paused"):
            self._start()

    def _start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self.engine.run()
        except Exception as error:  # noqa: BLE001 - told to who asks
            self.trouble = f"{type(error).__name__}: {error}"

    def serve(self, listener: Listener) -> None:
        """Until the process ends."""
        while True:
            connection = listener.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection) -> None:
        while True:
            try:
                asked = json.loads(connection.recv_bytes())
            except (EOFError, OSError):
                return
            connection.send_bytes(json.dumps(self._do(asked)).encode())

    def _do(self, asked: dict[str, Any]) -> dict[str, Any]:
        try:
            if "q" in asked:
                return {"ids": [n for n, _ in self.gallery.search([asked["q"]], K).row(0)]}
            if asked["do"] == "start":
                self._start()
            elif asked["do"] == "cut over":
                self.engine.cut_over()
        except HoldfastError as error:
            return {"error": str(error)}
        new = self.gallery.new
        return {
            "state": self.gallery.state,
            "share": self.gallery.share,
            "visible": new.store.visible if new else 0,
            "rest": self.engine._courtesy.rest,
            "error": self.trouble,
        }


def main(folder: Path) -> None:
    """Serve until killed."""
    share_cores()  # as `holdfast serve` does
    gallery, engine = World.load(folder).open(folder)
    address = folder / "socket"
    address.unlink(missing_ok=True)
    listener = Listener(str(address), family="AF_UNIX", backlog=64)
    server = Server(gallery, engine)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    server.serve(listener)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
