"""Room on the disk: work stops in good order while there is some left.

A store that maps its files into memory cannot be told that the disk is full: the system ends
the process. Nothing acknowledged is lost by that, but nobody is told why.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ..errors import StoreError

LEAST = 64 * 2**20  # bytes: two of the largest files that a store makes at once


def short(folder: Path) -> bool:
    """Whether the disk of a folder, which need not exist yet, is nearly full."""
    return _free(folder) < LEAST


def refuse_short(who: str, folder: Path) -> None:
    """Refuse to write where there is no room.

    Raises:
        StoreError: The disk is nearly full.
    """
    free = _free(folder)
    if free < LEAST:
        raise StoreError(
            who,
            f"{LEAST / 1e6:,.0f} MB of room on the disk of {folder}",
            f"{free / 1e6:,.0f} MB",
            "Make room, then give the same command again: it goes on.",
        )


def _free(folder: Path) -> int:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free
