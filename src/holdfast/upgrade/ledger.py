"""The ledger: what was decided, what was done, and what is half done, in one SQLite file.

It is the only truth about an upgrade. One process writes it: the one that holds the
stores. Others read it while that goes on, and leave command rows.

    upgrade    one row an upgrade: plan, spaces, state
    queue      the items to move, in order, each `todo`, `done` or `quarantined`
    journal    what is being done to two stores at once; replayed after a crash
    event      what happened when
    command    what other processes ask for
    finding    what was measured
    audit      who did what, when and why, see `deed.py`
    meta       format, which space is served, and how many items are in the queue, are not done in
               it, and are quarantined

The journal is what makes a write to two stores one write: an entry is committed before
the first store is touched and goes away after the second; replaying an entry twice, or
after it was half done, ends in the same place.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import InvalidInput, LedgerError, spelled
from ..space import Space
from .record.deed import Deed
from .record.ledger_file import LedgerFile
from .record.records import Entry, State, Upgrade, refuse_given_up, refuse_under_way, runs

_CHUNK = 900  # values in one statement; old SQLite takes 999
_NOTHING_PASSED = -1, 0


class Ledger(LedgerFile):
    """The record of a gallery's upgrades; see `LedgerFile` for how it is opened."""

    _passed = _NOTHING_PASSED  # as of which version of the file nothing is to do up to which place

    # upgrades and their states

    def upgrade(self) -> Upgrade | None:
        """The latest upgrade, if there ever was one."""
        rows = self._rows(
            "SELECT number, plan, old, new, state, queued FROM upgrade ORDER BY number DESC LIMIT 1"
        )
        if not rows:
            return None
        number, plan, old, new, state, queued = rows[0]
        return Upgrade(
            number,
            json.loads(plan),
            Space.from_json(json.loads(old)),
            Space.from_json(json.loads(new)),
            state,
            bool(queued),
        )

    def named(self, space: Space) -> Space:
        """A space under the name that an upgrade has recorded it by, as its store's folder has it.

        A name is a label: another one for the same vectors must not make them be embedded anew.
        """
        for row in self._rows("SELECT new, old FROM upgrade ORDER BY number DESC"):
            for known in map(json.loads, row):
                if Space.from_json(known) == space:
                    return replace(space, name=known["name"])
        return space

    def begin(self, plan: Mapping[str, Any], old: Space, new: Space) -> Upgrade:
        """Record a new upgrade in state "planned"; the queue of the last one goes away.

        Raises:
            UpgradeError: The last one is still under way, or left another space served.
        """
        with self._change():
            last = self.upgrade()
            refuse_under_way("plan", last)
            refuse_given_up("plan", last, old)
            self._db.execute("DELETE FROM queue")
            self._db.execute("DELETE FROM sqlite_sequence WHERE name = 'queue'")
            self._db.execute("UPDATE meta SET value = 0 WHERE key IN ('queued', 'open', 'aside')")
            self._passed = _NOTHING_PASSED
            self._db.execute(
                "INSERT INTO upgrade (plan, old, new, state) VALUES (?, ?, ?, 'planned')",
                (json.dumps(plan), json.dumps(old.to_json()), json.dumps(new.to_json())),
            )
            self.event("planned", {"old": str(old), "new": str(new)})
        upgrade = self.upgrade()
        if upgrade is None:  # pragma: no cover - it was inserted above
            raise LedgerError(str(self.path), "the upgrade just written", "none")
        return upgrade

    def set_state(self, state: State, deed: Deed | None = None, **detail: Any) -> None:
        """Move the latest upgrade to another state, and say so among the events.

        Args:
            state: The one to enter.
            deed: Kept in the audit, in the same transaction.
            detail: For the event.
        """
        with self._change():
            if deed is not None:
                self.keep(deed)
            self._db.execute(
                "UPDATE upgrade SET state = ? WHERE number = (SELECT MAX(number) FROM upgrade)",
                (state,),
            )
            self.event(state, detail)

    def event(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Add to what happened when."""
        with self._change():
            self._db.execute(
                "INSERT INTO event (time, kind, detail) VALUES (?, ?, ?)",
                (self._clock(), kind, json.dumps(detail)),
            )

    def events(self) -> list[tuple[float, str, dict[str, Any]]]:
        """(time, kind, detail), oldest first."""
        rows = self._rows("SELECT time, kind, detail FROM event ORDER BY number")
        return [(time, kind, json.loads(detail)) for time, kind, detail in rows]

    # the queue

    def fill(self, ids: Iterable[str]) -> None:
        """Put the items that are not there into the queue, in this order; it is filled then."""
        with self._change():
            cursor = self._db.executemany(
                "INSERT INTO queue (id) VALUES (?) ON CONFLICT (id) DO NOTHING",
                ((name,) for name in ids),
            )
            self._count(queued=cursor.rowcount, open=cursor.rowcount)
            self._db.execute(
                "UPDATE upgrade SET queued = 1 WHERE number = (SELECT MAX(number) FROM upgrade)"
            )

    def enqueue(self, ids: Sequence[str]) -> None:
        """Put items at the end of the queue; those already in it are to be done again."""
        if not ids:
            return
        names = [(name,) for name in ids]
        with self._change():
            self._close("id = ?", names)
            known = self._db.executemany("DELETE FROM queue WHERE id = ?", names).rowcount
            self._db.executemany("INSERT INTO queue (id) VALUES (?)", names)
            self._count(queued=len(names) - known, open=len(names))

    def todo(self, limit: int, after: int = 0) -> list[tuple[int, str]]:
        """The next (place, id) pairs behind a place."""
        with self._opened():
            (version,) = self._rows("PRAGMA data_version")[0]  # changes with others' writing
            if self._passed[0] != version:
                self._passed = version, 0
            passed = self._passed[1]
            found = self._rows(
                "SELECT place, id FROM queue WHERE place > ? AND status = 'todo' "
                "ORDER BY place LIMIT ?",
                max(after, passed),
                limit,
            )
            # What a transaction has closed may be open again at its end.
            if after <= passed and limit > 0 and not self._db.in_transaction:
                last = found[0][0] - 1 if found else self._last_place()
                self._passed = version, last
            return found

    def _last_place(self) -> int:
        return int(self._rows("SELECT coalesce(MAX(place), 0) FROM queue")[0][0])

    def _count(self, **more: int) -> None:
        """So many more items are in the queue, are not done in it, or are quarantined."""
        self._db.executemany(
            "UPDATE meta SET value = value + ? WHERE key = ?", [(n, key) for key, n in more.items()]
        )

    def _close(self, which: str, values: Sequence[tuple[Any, ...]]) -> None:
        """Mark items as done that are not; SQLite does not say which of them were quarantined."""
        sql = f"UPDATE queue SET status = 'done', reason = '' WHERE {which} AND status = "
        aside = self._db.executemany(f"{sql}'quarantined'", values).rowcount
        todo = self._db.executemany(f"{sql}'todo'", values).rowcount
        self._count(open=-aside - todo, aside=-aside)

    def first_done(self, limit: int) -> list[str]:
        """Items among the first places that were moved: a random sample, see `order.py`."""
        rows = self._rows("SELECT id FROM queue WHERE place <= ? AND status = 'done'", limit)
        return [name for (name,) in rows]

    def done(self, places: Sequence[int], entry: int | None = None) -> None:
        """Mark places as done and close the journal entry that did it, in one transaction."""
        with self._change(hasty=True):
            self._close("place BETWEEN ? AND ?", runs(places))  # a third of place by place
            if entry is not None:
                self._db.execute("DELETE FROM journal WHERE number = ?", (entry,))

    def quarantine(
        self, reasons: Mapping[str, str], places: Mapping[str, int] | None = None
    ) -> None:
        """Set items aside, each with the reason why it cannot be moved.

        Args:
            reasons: By id.
            places: Where they stood; who was queued again since is not set aside.
        """
        rows = [(spelled(why), name, places and places[name]) for name, why in reasons.items()]
        with self._change():
            cursor = self._db.executemany(
                "UPDATE queue SET status = 'quarantined', reason = ? "
                "WHERE id = ? AND place = coalesce(?, place) AND status = 'todo'",
                rows,
            )
            self._count(aside=cursor.rowcount)
            self.event("quarantined", {"items": len(reasons)})

    def quarantined(self, limit: int = 1000) -> list[tuple[str, str]]:
        """(id, reason) of items set aside."""
        return self._rows(
            "SELECT id, reason FROM queue WHERE status = 'quarantined' ORDER BY place LIMIT ?",
            limit,
        )

    def waiting(self, ids: Sequence[str]) -> set[str]:
        """Those of some items that are in the queue and not done, quarantined ones included."""
        return set(self._of("SELECT id FROM queue WHERE status <> 'done' AND id IN ({})", ids))

    def aside(self, ids: Sequence[str]) -> set[str]:
        """Those of some items that are quarantined."""
        sql = "SELECT id FROM queue WHERE status = 'quarantined' AND id IN ({})"
        return set(self._of(sql, ids))

    def places(self, ids: Sequence[str]) -> set[int]:
        """Where some items stand in the queue, whatever their status."""
        return set(self._of("SELECT place FROM queue WHERE id IN ({})", ids))

    def _of(self, sql: str, ids: Sequence[str]) -> list[Any]:
        """What one statement with a place for ids answers, over chunks of them."""
        found: list[Any] = []
        for start in range(0, len(ids), _CHUNK):
            part = ids[start : start + _CHUNK]
            found += self._rows(sql.format(",".join("?" * len(part))), *part)
        return [value for (value,) in found]

    def settle(self, ids: Iterable[str]) -> None:
        """Items that need nothing more."""
        with self._change():
            self._close("id = ?", [(name,) for name in ids])

    def release(self) -> int:
        """Give all quarantined items another try; answers how many.

        The reasons stay with them until they have moved.
        """
        with self._change():
            self._passed = _NOTHING_PASSED
            cursor = self._db.execute(
                "UPDATE queue SET status = 'todo' WHERE status = 'quarantined'"
            )
            self._count(aside=-cursor.rowcount)
            return cursor.rowcount

    def failed_before(self, ids: Sequence[str]) -> set[str]:
        """Those of some items that were in quarantine and have not moved since."""
        sql = "SELECT id FROM queue WHERE status <> 'done' AND reason <> '' AND id IN ({})"
        return set(self._of(sql, ids))

    def counts(self) -> dict[str, int]:
        """How many items of the queue are open: {"todo": n, "quarantined": n}."""
        known = self._counted()
        return {"todo": known["open"] - known["aside"], "quarantined": known["aside"]}

    def total(self) -> int:
        """How many items were ever queued for the latest upgrade, whatever became of them."""
        return self._counted()["queued"]

    def _counted(self) -> dict[str, int]:
        sql = "SELECT key, value FROM meta WHERE key IN ('queued', 'open', 'aside')"
        return {key: int(value) for key, value in self._rows(sql)}

    # the journal

    def write_entry(
        self,
        kind: str,
        ids: Sequence[str],
        revisions: Sequence[int] | None = None,
        payloads: Sequence[Mapping[str, Any]] | None = None,
        old: bytes | None = None,
        new: bytes | None = None,
    ) -> int:
        """Announce a change of two stores; answers the number of the entry.

        Raises:
            InvalidInput: More than SQLite takes at once: a gigabyte of vectors, or of payloads.
        """
        row = (
            kind,
            json.dumps(list(ids)),
            None if revisions is None else json.dumps([int(r) for r in revisions]),
            None if payloads is None else json.dumps([dict(p) for p in payloads]),
            old,
            new,
        )
        sql = (
            "INSERT INTO journal (kind, ids, revisions, payloads, old, new) "
            "VALUES (?, ?, ?, ?, ?, ?)"
        )
        try:
            with self._change():
                return int(self._db.execute(sql, row).lastrowid or 0)
        except (sqlite3.DataError, OverflowError) as cause:
            raise InvalidInput(
                f"{kind} of {len(ids)} items",
                "at most a gigabyte in one call",
                str(cause),
                "Pass smaller pieces.",
            ) from cause

    def close_entry(self, number: int) -> None:
        """The change is complete on both sides."""
        with self._change(hasty=True):
            self._db.execute("DELETE FROM journal WHERE number = ?", (number,))

    def journal(self) -> list[Entry]:
        """Entries that were announced and not closed, oldest first."""
        rows = self._rows(
            "SELECT number, kind, ids, revisions, payloads, old, new FROM journal ORDER BY number"
        )
        return [
            Entry(
                number,
                kind,
                json.loads(ids),
                None if revisions is None else json.loads(revisions),
                None if payloads is None else json.loads(payloads),
                old,
                new,
            )
            for number, kind, ids, revisions, payloads, old, new in rows
        ]

    # commands from other processes

    def ask(self, name: str, **detail: Any) -> int:
        """Leave a command for the process that holds the stores."""
        with self._change():
            cursor = self._db.execute(
                "INSERT INTO command (time, name, detail) VALUES (?, ?, ?)",
                (self._clock(), name, json.dumps(detail)),
            )
            return int(cursor.lastrowid or 0)

    def asked(self) -> list[tuple[int, str, dict[str, Any]]]:
        """Commands nobody has answered yet: (number, name, detail)."""
        rows = self._rows(
            "SELECT number, name, detail FROM command WHERE answer IS NULL ORDER BY number"
        )
        return [(number, name, json.loads(detail)) for number, name, detail in rows]

    def answer(self, number: int, text: str) -> None:
        """Say what became of a command."""
        with self._change():
            self._db.execute("UPDATE command SET answer = ? WHERE number = ?", (text, number))

    # what was measured

    def record(self, finding: Mapping[str, Any]) -> None:
        """Keep a finding of the latest upgrade, as JSON."""
        with self._change():
            self._db.execute(
                "INSERT INTO finding (time, upgrade, body) "
                "VALUES (?, (SELECT MAX(number) FROM upgrade), ?)",
                (self._clock(), json.dumps(finding)),
            )

    def findings(self) -> list[dict[str, Any]]:
        """Findings of the latest upgrade, oldest first."""
        rows = self._rows(
            "SELECT body FROM finding WHERE upgrade = (SELECT MAX(number) FROM upgrade) "
            "ORDER BY number"
        )
        return [json.loads(body) for (body,) in rows]
