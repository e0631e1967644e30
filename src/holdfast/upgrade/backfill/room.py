"""Room on the disk: work stops in good order while there is some left.

A store that maps its files into memory cannot be told that the disk is full: the system ends
the process. Nothing acknowledged is lost by that, but nobody is told why.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Protocol

from ...errors import StoreError
from ...measure.finding import Finding
from ..record.breach import BREACH
from .status import Status

LEAST = 64 * 2**20  # bytes: two of the largest files that a store makes at once
ROOM = "room, MB"  # metric of the finding
_WHO = "room"  # in the audit


def free(folder: Path) -> int:
    """Bytes that are free on the disk of a folder, which need not exist yet."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def refuse_short(
    who: str, folder: Path, fix: str = "Make room, then give the same command again: it goes on."
) -> None:
    """Refuse to write where there is no room.

    Args:
        who: What refuses.
        folder: Of the gallery.
        fix: What the reader can do.
    Raises:
        StoreError: The disk is nearly full.
    """
    left = free(folder)
    if left < LEAST:
        raise _short(who, folder, left, fix)


def _short(who: str, folder: Path, left: int, fix: str) -> StoreError:
    return StoreError(
        who, f"{_megabytes(LEAST)} of room on the disk of {folder}", _megabytes(left), fix
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"


class Pauses(Protocol):
    """What a watch over the disk needs of an engine."""

    @property
    def gallery(self) -> Any: ...

    def pause(self, why: str = ..., by: str | None = None) -> None: ...


class Room:
    """Watches the disk while items move: pauses them before it is full, and says why.

    Args:
        folder: Of the gallery.
        engine: Is paused.
    """

    def __init__(self, folder: Path, engine: Pauses) -> None:
        self._folder, self._engine = folder, engine

    def __call__(self, status: Status) -> None:
        """Look, after a batch; what is found stands as a breach until items move again.

        Args:
            status: Where the upgrade stands.
        """
        if status.state != "copying":
            return
        left = free(self._folder)
        if left >= LEAST:
            return
        error = _short("room", self._folder, left, "Make room, then resume")
        ledger = self._engine.gallery.ledger
        if ledger is not None:
            size = left / 1e6
            cell = f"live@{round(100.0 * status.share, 1):g}%"
            note = f"must be at least {_megabytes(LEAST)} on the disk of {self._folder}"
            finding = Finding(ROOM, cell, size, size, size, 1, verdict="fail", note=note)
            told = {"why": str(error), "finding": finding.to_json(), "did": "paused"}
            ledger.event(BREACH, told)
        self._engine.pause(why=f"breach: {error}", by=_WHO)
