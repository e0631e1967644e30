"""Changes of two stores as one: announced, applied, closed; replayed after a crash.

Every `_apply_...` may run again after it ran wholly or in part. Callers are the only ones who
change anything, so entries never overlap and the state does not change under one. Searches go on
beside `move` alone, which therefore shows items on the new side before it hides them on the old
one. Between two tables of one database an entry is one transaction, so that others who read
them never see an item on both sides or on none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...arrays import IntArray, Vectors
from ...errors import HoldfastError
from ...space import Space
from ...store.base import NO_REVISION, Rows, VectorStore, get_known
from ...store.pair import together
from ..ledger import Ledger
from ..record.records import READS, Entry
from .halving import halve
from .refusal import NotTaken, put, refuses


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
    ) -> HoldfastError | None:
        """Insert or replace items; without new vectors they stay, or return, to the old side.

        So they do while items still move if the new store refuses them.

        Returns:
            What to tell the writer where a store refused them, the old one or the new one that
            is read alone; then both are as they were before.
        Raises:
            StoreError: A store failed; they are written as soon as it works.
        """
        alone = new is not None and not self._reads_both()
        before = get_known(self._old, ids) if alone else None
        number = self._ledger.write_entry(
            "write",
            ids,
            revisions,
            payloads,
            old.array.tobytes(),
            None if new is None else new.array.tobytes(),
        )
        told = self._carry_out(_as_rows(ids, revisions, payloads), old, new)
        if told is not None and told.store is self._new and before is not None:
            number = self._take_back(number, ids, before)
        elif told is None and new is not None:
            self._settle(ids)
        self._ledger.close_entry(number)
        return None if told is None else told.error

    def _settle(self, ids: Sequence[str]) -> None:
        """What was quarantined is not any more: it was written to both sides, or deleted."""
        if self._ledger.counts()["quarantined"]:
            self._ledger.settle(self._ledger.aside(ids))

    def _take_back(self, number: int, ids: list[str], before: Rows) -> int:
        """Announce that a write is undone, in its place, and undo it on the old side."""
        there = set(before.ids)
        names = [*before.ids, *(name for name in ids if name not in there)]
        vectors = b"" if before.vectors is None else before.vectors.array.tobytes()
        flags = np.asarray(before.hidden, dtype=bool).tobytes()
        numbers = before.revisions.tolist()
        with self._ledger.together():
            self._ledger.close_entry(number)
            number = self._ledger.write_entry(
                "restore", names, numbers, before.payloads, vectors, flags
            )
        self._apply_restore(names, before)
        return number

    def delete(self, ids: Sequence[str]) -> None:
        """Remove items from both sides."""
        number = self._ledger.write_entry("delete", ids)
        with together(self._old, self._new):
            self._apply_delete(ids)
        self._settle(ids)
        self._ledger.close_entry(number)

    def move(self, rows: Rows, vectors: Vectors | None, places: Sequence[int]) -> dict[str, str]:
        """Show rows on the new side instead of the old one, and close their places.

        Without vectors the new side has them already, of the same revision. What the new store
        refuses stays on the old side, in quarantine.

        Returns:
            Why, by id, where it refused any.
        """
        number = self._ledger.write_entry("move", rows.ids) if len(rows) else None
        refused = self._arrive(rows, vectors)
        if not refused:
            self._ledger.done(places, number)
            return refused
        with self._ledger.together():
            left = self._ledger.places(list(refused))
            self._ledger.quarantine(refused)  # nobody can have queued them again
            self._ledger.done([place for place in places if place not in left], number)
        return refused

    def _arrive(self, rows: Rows, vectors: Vectors | None) -> dict[str, str]:
        """Show rows on the new side; answers which it refuses, and why."""

        def show(places: IntArray) -> None:
            whole = len(places) == len(rows)
            some = rows if whole else rows.take(places)
            with together(self._old, self._new):
                if vectors is not None:
                    put(self._new, some, vectors if whole else vectors.take(places))
                self._show_new(some.ids)
                self._old.hide(some.ids)

        def blames(told: HoldfastError) -> bool:
            before = self._ledger.failed_before(rows.ids)
            return vectors is not None and refuses(told, (rows, vectors), before)

        try:
            errors = halve(len(rows), show, blames).errors
        except NotTaken as told:
            raise told.error from told.error.__cause__
        return {rows.ids[place]: str(error) for place, error in errors.items()}

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
            if entry.kind == "write":
                self._write_again(entry)
            else:
                with together(self._old, self._new):
                    self._replay(entry)
            self._ledger.close_entry(entry.number)
        return len(entries)

    def _write_again(self, entry: Entry) -> None:
        rows = _as_rows(entry.ids, entry.revisions or [], entry.payloads or [])
        old = _vectors(entry.old or b"", self._old.space)
        new = None if entry.new is None else _vectors(entry.new, self._new.space)
        self._carry_out(rows, old, new)  # of a refusal its writer was told, or died before

    def _replay(self, entry: Entry) -> None:
        match entry.kind:
            case "delete":
                self._apply_delete(entry.ids)
            case "move":
                self._finish_move(entry.ids)
            case "back":
                self._apply_back(entry.ids)
            case "requeue":
                self._apply_requeue(entry.ids)
            case "restore":
                numbers = entry.revisions or []
                rows = _as_rows(entry.ids[: len(numbers)], numbers, entry.payloads or [])
                hidden = np.frombuffer(entry.new or b"", dtype=bool)
                vectors = _vectors(entry.old or b"", self._old.space)
                self._apply_restore(entry.ids, replace(rows, hidden=hidden, vectors=vectors))

    def _carry_out(self, rows: Rows, old: Vectors, new: Vectors | None) -> NotTaken | None:
        """Write rows through to both sides; answers who can never take them, and why, if so.

        What only the new store refuses need not go there while items still move.
        """
        try:
            self._apply_write(rows, old, new)
        except NotTaken as told:
            if not refuses(told):
                raise told.error from told.error.__cause__
            if told.store is self._old or not self._reads_both():
                return told
            self._apply_write(rows, old, None)
        return None

    def _reads_both(self) -> bool:
        upgrade = self._ledger.upgrade()
        return upgrade is not None and READS[upgrade.state] == "both"

    def _apply_write(self, rows: Rows, old: Vectors, new: Vectors | None) -> None:
        with together(self._old, self._new):
            put(self._old, rows, old)
            if new is not None:
                put(self._new, rows, new)
                self._show_new(rows.ids)
                if not self._both:
                    self._old.hide(rows.ids)
            elif self._forward:
                self._apply_requeue(rows.ids)
            else:
                self._apply_back(rows.ids)

    def _apply_restore(self, ids: Sequence[str], before: Rows) -> None:
        with together(self._old, self._new):
            self._old.delete(ids)  # else an older revision would be ignored
            if before.vectors is not None and len(before):
                self._old.upsert(before.ids, before.vectors, before.payloads, before.revisions)
            hidden = [before.ids[i] for i in np.flatnonzero(before.hidden)]
            self._old.hide(hidden)

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


def _as_rows(
    ids: list[str], revisions: Sequence[int], payloads: Sequence[Mapping[str, Any]]
) -> Rows:
    numbers = np.array(revisions, dtype=np.int64)
    return Rows(ids, numbers, payloads, np.zeros(len(ids), dtype=bool))


def _vectors(data: bytes, space: Space) -> Vectors:
    return Vectors(space, np.frombuffer(data, dtype=np.float32).reshape(-1, space.dim))
