"""The pace of a running backfill, kept in the ledger for `status` in other processes."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..upgrade.ledger import Ledger
    from ..upgrade.status import Status

KEY = "pace"  # of the ledger
_EVERY = 2.0  # seconds: each note is one durable write


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
