"""What the ledger's rows are, and how SQLite keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from ...errors import UpgradeError
from ...space import Space

FORMAT = 3

State: TypeAlias = Literal[
    "planned",
    "copying",
    "paused",
    "ready",
    "cutting over",
    "cut over",
    "finished",
    "rolling back",
    "rolled back",
]

BEFORE_FINISHED: tuple[State, ...] = (
    *("planned", "copying", "paused", "ready", "cutting over", "cut over"),
    *("rolling back", "rolled back"),
)

# Which side answers; the table in `sides.py` says what is written.
READS: dict[State | None, str] = {
    None: "old",
    "planned": "old",
    "copying": "both",
    "paused": "both",
    "ready": "both",
    "cutting over": "new",
    "cut over": "new",
    "rolling back": "both",
    "rolled back": "old",
    "finished": "new",
}
# Items belong to the new side once they are there.
FORWARD: tuple[State, ...] = ("copying", "paused", "ready", "cut over")

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE upgrade (
    number INTEGER PRIMARY KEY, plan TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL,
    state TEXT NOT NULL, queued INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE queue (
    place INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    status TEXT NOT NULL DEFAULT 'todo', reason TEXT NOT NULL DEFAULT ''
);
CREATE INDEX queue_aside ON queue (place) WHERE status = 'quarantined';
CREATE TABLE journal (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, ids TEXT NOT NULL,
    revisions TEXT, payloads TEXT, old BLOB, new BLOB
);
CREATE TABLE event (
    number INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE command (
    number INTEGER PRIMARY KEY, time REAL NOT NULL, name TEXT NOT NULL, detail TEXT NOT NULL,
    answer TEXT
);
CREATE TABLE finding (
    number INTEGER PRIMARY KEY, time REAL NOT NULL, upgrade INTEGER NOT NULL, body TEXT NOT NULL
);
"""


@dataclass(frozen=True, slots=True)
class Upgrade:
    """One row of the table of upgrades.

    Args:
        number: Counts from 1.
        plan: The plan as it was accepted, as JSON.
        old: Space that is left.
        new: Space that is entered.
        state: See `engine.py`.
        queued: Whether the queue has been filled.
    """

    number: int
    plan: Mapping[str, Any]
    old: Space
    new: Space
    state: State
    queued: bool


def refuse_under_way(who: str, last: Upgrade | None) -> None:
    """Refuse what must not be done while an upgrade goes on."""
    if last and last.state not in ("finished", "rolled back"):
        raise UpgradeError(
            who,
            "no upgrade under way",
            f"one from {last.old.name} to {last.new.name} that is {last.state}",
            "Go on with it, or roll it back.",
        )


def refuse_given_up(who: str, last: Upgrade | None, old: Space) -> None:
    """Refuse to leave from another space than the one that the last upgrade left served.

    The side that it gave up, or did not fill, lacks what was written since.
    """
    if last is None:
        return
    served = last.new if last.state == "finished" else last.old
    if old != served:
        raise UpgradeError(
            who,
            f"an upgrade from {served}, which is served",
            f"one from {old}",
            "Plan from the space that the last upgrade left served.",
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One journal entry.

    Args:
        number: Where it stands in the journal.
        kind: "write", "delete", "move", "back", "requeue" or "restore".
        ids: The items it touches.
        revisions: One for each item of a write; of a restore, for each of the first ones, which
            were there before.
        payloads: Likewise.
        old: Their vectors for the old side, as bytes of float32 rows.
        new: Likewise for the new side; of a restore, who was hidden, as bytes of bools.
    """

    number: int
    kind: str
    ids: list[str]
    revisions: list[int] | None = None
    payloads: list[dict[str, Any]] | None = None
    old: bytes | None = None
    new: bytes | None = None


def runs(places: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of places without a gap, rising."""
    rising = np.unique(np.asarray(places, dtype=np.int64))
    ends = np.flatnonzero(np.diff(rising) > 1)
    firsts = rising[np.concatenate([[0], ends + 1]).astype(np.intp)] if len(rising) else rising
    lasts = (
        rising[np.concatenate([ends, [len(rising) - 1]]).astype(np.intp)] if len(rising) else rising
    )
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))
