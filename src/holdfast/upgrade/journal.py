"""Changes of two stores as one: announced, applied, closed; replayed after a crash.

Every `_apply_...` may run again after it ran wholly or in part. Callers are the only ones who
change anything, so entries never overlap and the state does not change under one. Searches go on
beside `move` alone, which therefore shows items on the new side before it hides them on the old
one. Between two tables of one database an entry is one transaction, so that others who read
them never see an item on both sides or on none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..arrays import Vectors
from ..errors import InvalidInput
from ..space import Space
from ..store.base import NO_REVISION, Rows, VectorStore
from ..store.pair import together
from .ledger import Ledger
from .records import READS, Entry


class Journal:
    """Writes through to both stores.

    Args:
        ledger: Keeps the entries.
        old: The old store.
        new: The new store.
        forward: Whether items belong to the new side once they are there.
        both: Whether what is written is visible on both sides.
    """

    def __init__(
        self,
        ledger: Ledger,
        old: VectorStore,
        new: VectorStore,
        forward: bool,
        both: bool = False,
    ) -> None:
        self._ledger, self._old, self._new, self._forward = ledger, old, new, forward
        self._both = both

    def write(
        self,
        ids: list[str],
        payloads: Sequence[Mapping[str, Any]],
        revisions: Sequence[int],
        old: Vectors,
        new: Vectors | None,
    ) -> None:
        """Insert or replace items; without new vectors they stay, or return, to the old side.

        So they do while items still move if the new store refuses them.

        Raises:
            InvalidInput: A store refused them: the old one before anything was written, or the
                new one that is read alone, and then the old one keeps them.
        """
        number = self._ledger.write_entry(
            "write",
            ids,
            revisions,
            payloads,
            old.array.tobytes(),
            None if new is None else new.array.tobytes(),
        )
        with together(self._old, self._new):
            try:
                self._old.upsert(ids, old, payloads, revisions)
                self._follow(ids, payloads, revisions, new)
            except InvalidInput:  # nor ever could it be written: a replay must not try
                self._ledger.close_entry(number)
                raise
        self._ledger.close_entry(number)

    def delete(self, ids: Sequence[str]) -> None:
        """Remove items from both sides."""
        number = self._ledger.write_entry("delete", ids)
        with together(self._old, self._new):
            self._apply_delete(ids)
        self._ledger.close_entry(number)

    def move(self, rows: Rows, vectors: Vectors | None, places: Sequence[int]) -> None:
        """Show rows on the new side instead of the old one, and close their places.

        Without vectors the new side has them already, of the same revision.
        """
        number = self._ledger.write_entry("move", rows.ids) if len(rows) else None
        with together(self._old, self._new):
            if vectors is not None and len(rows):
                self._new.upsert(rows.ids, vectors, rows.payloads, rows.revisions)
            if len(rows):
                self._show_new(rows.ids)
                self._old.hide(rows.ids)
        self._ledger.done(places, number)

    def back(self, ids: Sequence[str]) -> None:
        """Show items on the old side instead of the new one."""
        number = self._ledger.write_entry("back", ids)
        with together(self._old, self._new):
            self._apply_back(ids)
        self._ledger.close_entry(number)

    def requeue(self, ids: Sequence[str]) -> None:
        """Give up new vectors; the items return to the old side and are to be moved again."""
        number = self._ledger.write_entry("requeue", ids)
        with together(self._old, self._new):
            self._apply_requeue(ids)
        self._ledger.close_entry(number)

    def replay(self) -> int:
        """Finish what was announced and not closed; answers how many entries there were."""
        entries = self._ledger.journal()
        for entry in entries:
            with together(self._old, self._new):
                self._replay(entry)
            self._ledger.close_entry(entry.number)
        return len(entries)

    def _replay(self, entry: Entry) -> None:
        match entry.kind:
            case "write":
                payloads, revisions = entry.payloads or [], entry.revisions or []
                old = _rows(entry.old or b"", self._old.space)
                new = None if entry.new is None else _rows(entry.new, self._new.space)
                with suppress(InvalidInput):  # whoever wrote it was told, or died before
                    self._old.upsert(entry.ids, old, payloads, revisions)
                    self._follow(entry.ids, payloads, revisions, new)
            case "delete":
                self._apply_delete(entry.ids)
            case "move":
                self._finish_move(entry.ids)
            case "back":
                self._apply_back(entry.ids)
            case "requeue":
                self._apply_requeue(entry.ids)

    def _follow(
        self,
        ids: list[str],
        payloads: Sequence[Mapping[str, Any]],
        revisions: Sequence[int],
        new: Vectors | None,
    ) -> None:
        """What a write does once the old side has it."""
        if new is not None and self._takes(ids, payloads, revisions, new):
            self._show_new(ids)
            if not self._both:
                self._old.hide(ids)
        elif self._forward:
            self._apply_requeue(ids)
        else:
            self._apply_back(ids)

    def _takes(
        self,
        ids: list[str],
        payloads: Sequence[Mapping[str, Any]],
        revisions: Sequence[int],
        new: Vectors,
    ) -> bool:
        """Write to the new side; answers whether it takes them, if it need not."""
        try:
            self._new.upsert(ids, new, payloads, revisions)
        except InvalidInput:  # a store of another kind has other limits
            upgrade = self._ledger.upgrade()
            if upgrade is None or READS[upgrade.state] != "both":
                raise
            return False
        return True

    def _apply_requeue(self, ids: Sequence[str]) -> None:
        self._old.unhide(ids)
        # The stale vectors must not be shown again, nor be taken for up to date.
        self._new.delete(ids)
        self._ledger.enqueue(ids)

    def _show_new(self, ids: Sequence[str]) -> None:
        if self._new.visible < len(self._new):  # hidden rows are left by an earlier upgrade
            self._new.unhide(ids)

    def _apply_delete(self, ids: Sequence[str]) -> None:
        self._old.delete(ids)
        self._new.delete(ids)

    def _apply_back(self, ids: Sequence[str]) -> None:
        # Within one entry the order is free: no search runs, and a replay does both.
        self._old.unhide(ids)
        self._new.hide(ids)

    def _finish_move(self, ids: list[str]) -> None:
        old, new = self._old.revisions(ids), self._new.revisions(ids)
        arrived = [ids[i] for i in np.flatnonzero((old == new) & (new != NO_REVISION))]
        self._new.unhide(arrived)
        self._old.hide(arrived)


def _rows(data: bytes, space: Space) -> Vectors:
    return Vectors(space, np.frombuffer(data, dtype=np.float32).reshape(-1, space.dim))
