"""The gallery: what an application holds before, during and after an upgrade.

Every item is visible on exactly one side. Before the upgrade that is the old side; the
backfill moves items over batch by batch (`move`); a rollback moves them back (`back`).
The old side keeps what left it, hidden, so that going back computes nothing. `sides.py` says what
is read and written in which state.

Models run outside of the turnstile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack

import numpy as np

from ..arrays import Vectors, VectorsLike, as_vectors, check_ids
from ..errors import EncoderError, HoldfastError, InvalidInput
from ..items import Item, Payload, as_items
from ..store.base import Rows, VectorStore
from ..store.memory import as_payloads
from ..store.where import WhereLike, matches, parse
from .ledger import Ledger
from .merge import Calibrator, Mode
from .mover import Moved, Mover
from .record.records import State
from .search.beside import Follows
from .search.routes import Routes
from .search.searches import Searches
from .side import Side

_PAGE = 4_096  # rows of a scan
_KEPT_UP = (
    "Until the upgrade is finished writes need the old model too, so that there is a way back; "
)
_GIVE_UP = "holdfast finish gives that up."
_IF_DEAD = "once it is gone for good, name encoder = 'none' under [old] in its place."


def microseconds() -> int:
    """The clock of revisions."""
    return time.time_ns() // 1_000


class Gallery(Searches):
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
        ConfigError: An unknown mode, or "compatible" between spaces that are not.
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
        clock: Callable[[], int] = microseconds,
    ) -> None:
        super().__init__(old, new, ledger, mode, calibrator, mover)
        self._clock, self._latest = clock, 0
        self._refused: set[str] = set()  # items that the new store did not take
        self.follower: Follows | None = None

    # reading

    def get(self, ids: Sequence[str]) -> Rows:
        """Payloads and revisions of items.

        Raises:
            MissingIds: An id is not in the gallery.
        """
        names = check_ids(ids, "Gallery.get")
        with self._gate.shared():
            return self.keeper.get(names, vectors=False)

    def find(self, where: WhereLike) -> list[str]:
        """Ids of all items whose payload passes; None for every item. Looks at each of them.

        An item that is there all the while is found, whatever becomes of the sides meanwhile.
        """
        tree = parse(where)
        found: list[str] = []
        keeper: VectorStore | None = None
        after: str | None = None
        while True:
            with self._gate.shared():
                if keeper is not self.keeper:  # its places mean nothing to another store
                    keeper, found, after = self.keeper, [], None
                page = keeper.scan(after, _PAGE)
            rows = zip(page.rows.ids, page.rows.payloads, strict=True)
            found += [name for name, payload in rows if matches(tree, payload)]
            after = page.after
            if after is None:
                return found

    # writing

    def upsert(self, items: Iterable[Item]) -> None:
        """Insert or replace items; when this returns they are found, also after a crash.

        A model that fails on the new side does not fail the write while the old side
        still serves: the items stay there and queue for the backfill.

        Raises:
            EncoderError: A model that is needed gave no answer; nothing was written.
            InvalidInput: Neither was anything where items cannot be stored.
        """
        batch = as_items(items, "Gallery.upsert")
        names = check_ids([item.id for item in batch], "Gallery.upsert")
        payloads = as_payloads([item.payload for item in batch], "Gallery.upsert")
        routes = Routes(self.old, self.new, [item.content for item in batch], "document")
        while batch:
            state = self._state
            old, new = self._encoded(state, routes)
            with self.alone():
                if self._state != state:
                    continue
                refusal = self._write(names, payloads, old, new)
            if refusal is not None:  # an error within would be taken for one that cut it off
                raise refusal
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
        if self.new.encoder is not None:
            routes.begin(self.old)
        try:
            new = routes.into(self.new)
        except (EncoderError, InvalidInput):
            if state in ("cutting over", "cut over") or self.old.encoder is None:
                raise
            return routes.into(self.old), None
        try:
            return routes.into(self.old), new
        except EncoderError as error:
            said = _KEPT_UP + (_GIVE_UP if state == "cut over" else _IF_DEAD)
            if said not in error.fix:  # a model may raise the same one again
                error.fix = f"{error.fix} {said}".lstrip()
            raise

    def _write(
        self,
        names: list[str],
        payloads: Sequence[Payload],
        old: Vectors | None,
        new: Vectors | None,
    ) -> HoldfastError | None:
        revisions = self._next_revisions(names)
        if self.new is None or self._state in (None, "planned", "rolled back", "finished"):
            store, rows = (self.keeper, new if old is None else old)
            if rows is not None:
                store.upsert(names, rows, payloads, revisions)
            return None
        if old is None:
            return None
        return self._journal().write(names, payloads, revisions, old, new)

    def _next_revisions(self, names: list[str]) -> list[int]:
        """One greater than anything stored, and never behind the clock."""
        stored = self.keeper.revisions(names)
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
    ) -> dict[str, str]:
        """Make rows visible on the new side instead of the old one.

        Rows that were deleted or written since they were read are left as they are; a write
        has brought its own vectors, or queued its items again. Rows that the new store refuses
        stay where they are, and are quarantined.

        Args:
            rows: As read from the old store.
            vectors: Their vectors in the new space; None where the new store has them.
            places: Their places in the queue; closed with the move.
            since: What `changes` was when the rows were read.
        Returns:
            Why rows were refused, by their ids.
        Raises:
            StoreError: A store cannot write at all; nothing is quarantined then.
        """
        new = self._new()
        checked = (
            None
            if vectors is None
            else as_vectors(vectors, new.space, f"backfill of {new.space.name}")
        )
        # A batch whose items all failed moves nothing: only their places are closed.
        with self._moving() if len(rows) else self._gate.steady():
            if not self._forward() or self._whole:
                return {}
            if since != self.changes:
                same = np.flatnonzero(self.old.store.revisions(rows.ids) == rows.revisions)
                rows = rows.take(same)
                checked = None if checked is None else checked.take(same)
            refused = self._journal().move(rows, checked, places)
        self._moves = True
        if self._refused or refused:
            self._refused.difference_update(rows.ids)
            self._refused.update(refused)
        if self._mixed is not None:
            self._learn(self._mixed)
        return refused

    def _keep(self, moved: Moved, since: int) -> None:
        """Let items arrive that were embedded for a search, but for those refused before."""
        fresh = [i for i, name in enumerate(moved.rows.ids) if name not in self._refused]
        if fresh:
            self.move(moved.rows.take(fresh), moved.vectors.take(fresh), [], since)

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
        for beside in (self.follower, self.watch):
            if beside is not None:
                beside.close()
        with self._gate.closing(), ExitStack() as parts:  # each, whatever becomes of the others
            if self.ledger is not None:
                parts.callback(self.ledger.close)
            if self.new is not None:
                parts.callback(self.new.store.close)
            parts.callback(self.old.store.close)
