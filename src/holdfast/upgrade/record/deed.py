"""Deeds: rows of the audit, each sealed by a hash of itself and of all before it.

A table that refuses to be changed, by triggers, keeps honest programs honest. Whoever edits
the file itself is found by the chain: a row that was changed, left out or put in breaks it from
there on. What no chain in one file can show is that its last rows are gone, or that all of it
was written anew: keep the last hash elsewhere for that.

Source: chained hashes as in Haber & Stornetta 1991. Departs from it: no outside witness.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...errors import spelled

COLUMNS = "number, time, who, what, why, gate, outcome, hash"
DONE = "done"

SCHEMA = (
    """
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY, time REAL NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
        why TEXT NOT NULL, gate TEXT NOT NULL, outcome TEXT NOT NULL, hash TEXT NOT NULL
    )
    """,
    """
    CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END
    """,
    """
    CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'the audit is only added to'); END
    """,
)


@dataclass(frozen=True, slots=True)
class Deed:
    """Who did what, when and why.

    Args:
        who: A person or a part: "alice (command line)", "watch".
        what: The command: "start", "pause", "cut over", "roll back", "finish".
        why: The reason that was given.
        gate: What the gate said of all that was measured by then; empty where none was asked.
        outcome: "done", or why it was not.
        number: Counts from 1; 0 until it is kept.
        time: Seconds since 1970.
        hash: Of this row and the hash before it, in hexadecimal.
    """

    who: str
    what: str
    why: str = ""
    gate: str = ""
    outcome: str = DONE
    number: int = 0
    time: float = 0.0
    hash: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)

    def after(self, last: Deed | None, time: float) -> Deed:
        """The same deed as the row that follows the last one."""
        number, before = (last.number + 1, last.hash) if last else (1, "")
        texts = "who", "what", "why", "gate", "outcome"
        told = {part: spelled(getattr(self, part)) for part in texts}
        made = replace(self, number=number, time=time, **told)
        return replace(made, hash=made.seal(before))

    def seal(self, before: str) -> str:
        """What the hash of this row has to be, after a row with that hash."""
        parts = self.number, self.time, self.who, self.what, self.why, self.gate, self.outcome
        return hashlib.sha256(json.dumps([before, *parts]).encode()).hexdigest()


def deed_of(row: tuple[Any, ...]) -> Deed:
    """A row of the table, its columns in the order of `COLUMNS`."""
    number, time, who, what, why, gate, outcome, seal = row
    return Deed(who, what, why, gate, outcome, number, time, seal)
