"""The gallery: what an application holds before, during and after an upgrade.

Every item is visible on exactly one side. Before the upgrade that is the old side; the
backfill moves items over batch by batch (`move`); a rollback moves them back (`back`).
The old side keeps what left it, hidden, so that going back computes nothing.

    state           reads    writes
    (none), planned old      old
    copying, paused,
    ready           both     both: visible on the new side, hidden on the old one
    cut over        new      both
    rolling back    both     both: visible on the old side, hidden on the new one
    rolled back     old      old
    finished        new      new

A change of two stores is announced in the ledger's journal first; `Gallery` replays what
it finds there when it is opened. Searches share a turnstile; changes pass it alone,
so a search never sees an item change sides. Models run outside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import Vectors, VectorsLike, as_vectors, check_ids
from ..errors import ConfigError, EncoderError, InvalidInput, UpgradeError
from ..hits import Hits
from ..items import Item, Payload
from ..store.base import Rows, VectorStore
from ..store.memory import as_payloads, check_k
from ..store.where import WhereLike, parse
from .journal import Journal
from .ledger import Ledger
from .merge import Calibrator, Mode
from .mixed import Mixed
from .mover import Mover
from .records import FORWARD, READS, State
from .routes import Queries, Routes
from .side import Side
from .turnstile import Turnstile


class Gallery:
    """One search over one or two stores.

    Args:
        old: The side that served first.
        new: The side that is being filled; None outside an upgrade.
        ledger: The record; None for a plain gallery of one store.
        mode: How two ranked lists become one, see `merge.py`.
        calibrator: For mode "calibrated".
        mover: For mode "cascade": computes new vectors while a search waits.
        clock: Answers microseconds since 1970: the revisions of writes.
    Raises:
        ConfigError: Mode "compatible" between spaces that are not.
        UpgradeError: The ledger speaks of other spaces.
    """

    def __init__(
        self,
        old: Side,
        new: Side | None = None,
        ledger: Ledger | None = None,
        *,
        mode: Mode = "calibrated",
        calibrator: Calibrator | None = None,
        mover: Mover | None = None,
        clock: Callable[[], int],
    ) -> None:
        if (new is None) != (ledger is None):
            raise ConfigError("Gallery", "a new side and a ledger, or neither", "one of them")
        self.old, self.new, self.ledger, self.mode = old, new, ledger, mode
        self._clock, self._latest = clock, 0
        self._cut_off = False  # whether the last change may be half done
        self.changes = 0  # grows with every change but moves
        self._gate = Turnstile()
        self._mixed: Mixed | None = None
        if new is not None and ledger is not None:
            bridge = old.bridge if old.encoder is None else None
            self._mixed = Mixed(old.store, new.store, ledger, mode, calibrator, bridge)
        self._mover = mover if mode == "cascade" else None
        self._state: State | None = None
        self.recover()

    # state

    @property
    def state(self) -> State | None:
        """State of the upgrade; None without one."""
        return self._state

    @property
    def reads(self) -> str:
        """Which side answers: "old", "new" or "both"."""
        return READS[self._state] if self.new else "old"

    def set_state(
        self,
        state: State,
        since: State | None = None,
        unless: Callable[[], Any] | None = None,
        **detail: Any,
    ) -> bool:
        """Change what is read and written, for all threads at once.

        Args:
            state: The one to enter.
            since: Only from this one: another thread may have left it meanwhile.
            unless: Asked while nobody writes; anything but false forbids the change.
            detail: For the event.
        Returns:
            Whether it was changed.
        """
        with self.alone():
            if (since and self._state != since) or (unless and unless()):
                return False
            self._ledger().set_state(state, **detail)
            self._state = state
            return True

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else reads or writes inside of this; do not call the gallery from within.

        A change that an error cut off is finished first: replayed later, it would undo this.
        """
        with self._exclusively():
            self.changes += 1
            yield

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        with self._gate.writing():
            if self._cut_off:
                self._settle()
            self._cut_off = self.new is not None
            yield
            self._cut_off = False

    def steady(self) -> AbstractContextManager[None]:
        """Nobody writes inside of this, searches go on; do not call the gallery from within."""
        return self._gate.reading()

    def recover(self) -> int:
        """Finish what a dead process began; answers how many changes that were."""
        if self.new is None:
            return 0
        with self._gate.writing():
            self._cut_off = True
            count = self._settle()
            self._cut_off = False
            return count

    def _settle(self) -> int:
        upgrade, sides = self._ledger().upgrade(), (self.old.space, self._new().space)
        if upgrade and (upgrade.old, upgrade.new) != sides:
            raise UpgradeError(
                "Gallery",
                f"an upgrade from {sides[0]} to {sides[1]}",
                f"one from {upgrade.old} to {upgrade.new} in the ledger",
                "Open the stores of that upgrade, or plan one between these.",
            )
        self._state = upgrade.state if upgrade else None
        self.changes += 1
        return self._journal().replay()

    def _ledger(self) -> Ledger:
        if self.ledger is None:
            raise UpgradeError("Gallery", "an upgrade", "a plain gallery", "Plan one first.")
        return self.ledger

    def _journal(self) -> Journal:
        return Journal(self._ledger(), self.old.store, self._new().store, self._forward())

    def _new(self) -> Side:
        if self.new is None:
            raise UpgradeError("Gallery", "an upgrade", "a plain gallery", "Plan one first.")
        return self.new

    def _forward(self) -> bool:
        return self._state in FORWARD

    def __len__(self) -> int:
        return len(self._keeper())

    def _keeper(self) -> VectorStore:
        """The store that has every item."""
        return self._new().store if self._state == "finished" else self.old.store

    @property
    def share(self) -> float:
        """Part of the gallery that is read from the new side, in [0, 1]."""
        if self.new is None or self.reads == "old":
            return 0.0
        if self.reads == "new":
            return 1.0
        total = len(self.old.store)
        return self.new.store.visible / total if total else 1.0

    # reading

    def search(self, queries: Queries, k: int = 10, where: WhereLike = None) -> Hits:
        """The k best items for each query.

        Args:
            queries: Contents for the encoders; or `Vectors` in a space that is read, one
                `Vectors` per space while two are read and no bridge joins them.
            k: At least 1.
            where: Filter over payloads.
        Raises:
            WrongSpace: Vectors of a space that is not read here.
            InvalidInput: Bare arrays: they do not say which space they are of.
        """
        k, tree = check_k(k, "Gallery.search"), parse(where)
        routes = Routes(self.old, self.new, queries)
        while True:
            # Encoding happens outside the gate, so what is read may have changed meanwhile.
            needed = self._needed()
            asked = self._asked(routes, needed)
            with self._gate.reading():
                if self._needed() != needed:
                    continue
                if len(needed) == 1 or self._mixed is None:
                    return needed[0].store.search(asked[0], k, tree)
                both = asked[0], asked[1]
                if self._mover is None or not self._forward():
                    return self._mixed.search(both, k, tree)
                found, since = self._mixed.candidates(both, k, tree), self.changes
            hits, moved = self._mixed.cascaded(found, self._mover, k)
            if moved is not None:
                self.move(moved.rows, moved.vectors, [], since)
            return hits

    def _needed(self) -> list[Side]:
        """The sides that can have hits; at least one."""
        if self.new is None or self.reads == "old":
            return [self.old]
        if self.reads == "new" or not self.old.store.visible:
            return [self.new]
        new = self.new.store.visible or self._mover is not None
        return [self.old, self.new] if new else [self.old]

    def _asked(self, routes: Routes, sides: list[Side]) -> list[Vectors]:
        if len(sides) == 2 and self._mixed is not None and self._mixed.extends:
            return [routes.into(sides[1])] * 2  # new queries serve both sides
        return [routes.into(side) for side in sides]

    def get(self, ids: Sequence[str]) -> Rows:
        """Payloads and revisions of items.

        Raises:
            MissingIds: An id is not in the gallery.
        """
        names = check_ids(ids, "Gallery.get")
        with self._gate.reading():
            return self._keeper().get(names, vectors=False)

    # writing

    def upsert(self, items: Iterable[Item]) -> None:
        """Insert or replace items; when this returns they are found, also after a crash.

        A model that fails on the new side does not fail the write while the old side
        still serves: the items stay there and queue for the backfill.

        Raises:
            EncoderError: A model that is needed gave no answer; nothing was written.
            InvalidInput: Neither was anything where items cannot be stored.
        """
        batch = list(items)
        names = check_ids([item.id for item in batch], "Gallery.upsert")
        payloads = as_payloads([item.payload for item in batch], "Gallery.upsert")
        routes = Routes(self.old, self.new, [item.content for item in batch], "document")
        while batch:
            state = self._state
            old, new = self._encoded(state, routes)
            with self.alone():
                if self._state == state:
                    self._write(names, payloads, old, new)
                    return

    def _encoded(
        self, state: State | None, routes: Routes
    ) -> tuple[Vectors | None, Vectors | None]:
        if self.new is None or state in (None, "planned", "rolled back"):
            return routes.into(self.old), None
        if state == "finished":
            return None, routes.into(self.new)
        if state == "rolling back":
            return routes.into(self.old), None
        try:
            new = routes.into(self.new)
        except (EncoderError, InvalidInput):
            if state == "cut over" or self.old.encoder is None:
                raise
            return routes.into(self.old), None
        return routes.into(self.old), new

    def _write(
        self,
        names: list[str],
        payloads: Sequence[Payload],
        old: Vectors | None,
        new: Vectors | None,
    ) -> None:
        revisions = self._next_revisions(names)
        if self.new is None or self._state in (None, "planned", "rolled back", "finished"):
            store, rows = (self._keeper(), new if old is None else old)
            if rows is not None:
                store.upsert(names, rows, payloads, revisions)
            return
        if old is not None:
            self._journal().write(names, payloads, revisions, old, new)

    def _next_revisions(self, names: list[str]) -> list[int]:
        """One greater than anything stored, and never behind the clock."""
        stored = self._keeper().revisions(names)
        if self.new is not None and self._state != "finished":
            stored = np.maximum(stored, self.new.store.revisions(names))
        # A clock may stand still or go back, and a deleted item leaves no revision behind.
        revisions = np.maximum(stored + 1, max(self._clock(), self._latest + 1))
        self._latest = int(revisions.max(initial=self._latest))
        return [int(r) for r in revisions]

    def delete(self, ids: Sequence[str]) -> None:
        """Remove items; absent ids are fine. When this returns they stay gone."""
        names = check_ids(ids, "Gallery.delete")
        with self.alone():
            if self._state not in (None, "planned", "rolled back", "finished"):
                self._journal().delete(names)
                return
            # One side serves: what the other one loses ahead of it can be made again.
            if self.new is not None:
                self.new.store.delete(names)
            if self._state != "finished":
                self.old.store.delete(names)

    # moving, for the engine

    def move(
        self, rows: Rows, vectors: VectorsLike | None, places: Sequence[int], since: int
    ) -> None:
        """Make rows visible on the new side instead of the old one.

        Rows that were deleted or written since they were read are left as they are; a write
        has brought its own vectors, or queued its items again.

        Args:
            rows: As read from the old store.
            vectors: Their vectors in the new space; None where the new store has them.
            places: Their places in the queue; closed with the move.
            since: What `changes` was when the rows were read.
        """
        new = self._new()
        checked = (
            None
            if vectors is None
            else as_vectors(vectors, new.space, f"backfill of {new.space.name}")
        )
        with self._exclusively():
            if not self._forward():
                return
            if since != self.changes:
                same = np.flatnonzero(self.old.store.revisions(rows.ids) == rows.revisions)
                rows = rows.take(same)
                checked = None if checked is None else checked.take(same)
            self._journal().move(rows, checked, places)
        if self._mixed is not None:
            self._learn(self._mixed)

    def _learn(self, mixed: Mixed) -> None:
        with self._gate.reading():
            mixed.learn()
        if mixed.bridge is not None and mixed.bridge is not self.old.bridge:
            self.old = replace(self.old, bridge=mixed.bridge)

    def back(self, ids: Sequence[str]) -> None:
        """Make items visible on the old side instead of the new one."""
        with self.alone():
            self._journal().back(ids)

    def requeue(self, ids: Sequence[str]) -> None:
        """Give up items' new vectors, show them on the old side and queue them; call it `alone`."""
        if len(ids):
            self._journal().requeue(ids)

    def close(self) -> None:
        """Close the stores and the ledger."""
        with self._gate.closing():
            self.old.store.close()
            if self.new is not None:
                self.new.store.close()
            if self.ledger is not None:
                self.ledger.close()
