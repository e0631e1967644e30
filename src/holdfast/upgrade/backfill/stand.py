"""Where an upgrade stands, for processes that have only the ledger, and the pace of a backfill.

The process that moves items notes every other second how fast it goes, so that others can
tell a backfill that runs from one that was cut off.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ..ledger import Ledger
from ..record.breach import standing
from ..record.records import Upgrade
from ..sides.sides import STAGE
from ..sides.stage import Stage
from .status import Status
from .turns import held_over

KEY = "pace"  # of the ledger
_EVERY = 2.0  # seconds: each note is one durable write
_EVENTS = 5  # that are told


class Pace:
    """Notes how fast the backfill of this process goes, every other second.

    Args:
        ledger: Open for writing.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._next = 0.0
        self._note(0.0)

    def keep(self, status: Status) -> None:
        """Note the rate, unless that was done a moment ago."""
        if time.monotonic() >= self._next:
            self._note(status.rate)

    def end(self) -> None:
        """This process does not run it any more."""
        self._ledger.set_meta(KEY, json.dumps(None))

    def _note(self, rate: float) -> None:
        self._next = time.monotonic() + _EVERY
        self._ledger.set_meta(KEY, json.dumps({"pid": os.getpid(), "rate": rate}))


def read_pace(ledger: Ledger) -> dict[str, Any] | None:
    """What the process that runs the backfill noted last; None when it ended well."""
    text = ledger.meta(KEY)
    found: dict[str, Any] | None = json.loads(text) if text else None
    return found


def alive(pace: dict[str, Any]) -> bool:
    """Whether the process that noted this is still there."""
    try:
        os.kill(int(pace["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def drop_stale(ledger: Ledger) -> None:
    """Commands that were left when nobody was there must not stop a new run."""
    for number, _, _ in ledger.asked():
        ledger.answer(number, "refused: no backfill was running")


def stand(ledger: Ledger) -> dict[str, Any]:
    """All that the ledger knows about the latest upgrade, at one moment, as JSON."""
    with ledger.looking():
        return _stand(ledger)


def still_open(ledger: Ledger) -> dict[str, int]:
    """How many items are to move and how many are quarantined; nothing moves after a rollback."""
    counts, upgrade = ledger.counts(), ledger.upgrade()
    over = upgrade is not None and upgrade.state == "rolled back"
    return {**counts, "todo": 0} if over else counts


def _stand(ledger: Ledger) -> dict[str, Any]:
    upgrade, counts, pace = ledger.upgrade(), still_open(ledger), read_pace(ledger)
    running = bool(pace and alive(pace) and upgrade and upgrade.state == "copying")
    total, events = ledger.total(), ledger.events()
    rate = float(pace["rate"]) if running and pace else None
    return {
        "state": upgrade.state if upgrade else None,
        "upgrade": upgrade.number if upgrade else None,
        "old": upgrade.old.to_json() if upgrade else None,
        "new": upgrade.new.to_json() if upgrade else None,
        "share": _share(upgrade.state if upgrade else None, total, counts),
        "queued": total,
        "todo": counts["todo"],
        "quarantined": counts["quarantined"],
        "stage": _stage(ledger, upgrade),
        "held_over": held_over(ledger, upgrade),
        "breach": standing(events),
        "running": running,
        "pid": pace["pid"] if running and pace else None,
        "rate": rate,
        "seconds_left": counts["todo"] / rate if rate else None,
        "findings": [record["finding"] for record in ledger.findings()],
        "events": [
            {"time": moment, "kind": kind, "detail": detail}
            for moment, kind, detail in events[-_EVENTS:]
        ],
    }


def asked_rate(ledger: Ledger) -> float | None:
    """Items a second that were asked for since the plan, 0 for no limit; None where nobody has."""
    found: float | None = None
    for _, kind, detail in ledger.events():
        if kind == "planned":
            found = None
        elif kind == "rate":
            found = float(detail.get("items_per_second", 0.0))
    return found


def _stage(ledger: Ledger, upgrade: Upgrade | None) -> dict[str, Any] | None:
    """Who reads the new side, while a cut-over goes in stages."""
    kept = ledger.meta(STAGE)
    if kept is None or upgrade is None or upgrade.state != "cutting over":
        return None
    stage = Stage.from_json(json.loads(kept))
    return {**stage.to_json(), "words": str(stage)}


def _share(state: str | None, total: int, counts: dict[str, int]) -> float:
    """What the queue says about the share in the new space; what was left behind is not there."""
    read_alone = state in ("cutting over", "cut over", "finished")
    if total and (read_alone or state in ("copying", "paused", "ready")):
        return (total - counts["todo"] - counts["quarantined"]) / total
    return float(read_alone)
