"""Which generation of a shard counts: `shard.json`, replaced in one step."""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import OccupiedStore, StoreError, StoreHeld, said
from ..space import Space
from ..sqlite import MACHINE
from .vectorfile import write_lasting

FORMAT = 1
UNKNOWN = -1
RESTORE = "Restore the folder from a copy, or delete it and fill it again."

# What the machine refuses leaves the files as they are.
_REFUSED = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
        *(errno.EROFS, errno.EACCES, errno.EPERM),
    }
)


def way_out_of(words: str) -> str:
    """What to do about a failure of the engine, by what it says.

    Example:
        >>> way_out_of("Failed to flush: No space left on device (os error 28)") == MACHINE
        True
    """
    told = re.findall(r"(?:\(os error|Os \{ code:) (\d+)", words)
    refused = "Not enough space" in words or (told and int(told[-1]) in _REFUSED)
    return MACHINE if refused else RESTORE


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the disk refuses of a file, as our own error."""
    try:
        yield
    except OSError as cause:
        raise StoreError(
            str(path),
            "a disk that takes it",
            said(cause),
            MACHINE,
        ) from cause


@contextmanager
def translated(who: str) -> Iterator[None]:
    """The engine raises bare `Exception`s, and panics; both become ours."""
    try:
        yield
    except BaseException as cause:
        if type(cause) is not Exception and type(cause).__name__ != "PanicException":
            raise
        if "WouldBlock" in str(cause):
            raise StoreHeld(
                who, "a folder that no other process holds", "one held by another", "Stop it first."
            ) from cause
        raise StoreError(who, "a shard that works", f"{cause}", way_out_of(f"{cause}")) from cause


@dataclass(frozen=True, slots=True)
class Pointer:
    """The content of `shard.json`.

    Args:
        space: As JSON.
        generation: Number in the name of the shard's folder.
        built: Rows at the last rebuilding.
        written: Rows written since, at most.
        removed: Rows removed or replaced since, at most.
        rows: Rows when it was closed; UNKNOWN once it is written to, and where nobody closed it.
        format: Of this file.
    """

    space: dict[str, Any]
    generation: int = 0
    built: int = 0
    written: int = 0
    removed: int = 0
    rows: int = UNKNOWN
    format: int = FORMAT

    def save(self, folder: Path) -> None:
        """Write it whole or not at all."""
        path = folder / "shard.json"
        with writing(path):
            write_lasting(path, json.dumps(asdict(self)))

    def path(self, folder: Path, ahead: int = 0) -> Path:
        """Where the shard is, or the one `ahead` generations later will be."""
        return folder / f"shard-{self.generation + ahead}"

    def sweep(self, folder: Path) -> None:
        """Remove shards that do not count, which a process that died has left; or leave them to the
        next time, where the system does not let us look. Without the one that counts, as in a copy
        that was made meanwhile, the others are all there is, and stay.
        """
        with suppress(OSError):
            others = [*folder.glob("shard-*")] if self.path(folder).exists() else []
            for path in [*others, folder / "new-shard"]:
                if path != self.path(folder):
                    shutil.rmtree(path, ignore_errors=True)


def read_pointer(folder: Path, space: Space) -> Pointer:
    """Read `shard.json`, or write the first one.

    Raises:
        OccupiedStore: The folder holds vectors of another space.
        StoreError: What is there cannot be understood.
    """
    path = folder / "shard.json"
    if not path.exists():
        for stray in folder.glob("shard-*"):
            raise StoreError(str(folder), "a shard.json", f"{stray.name} without one", RESTORE)
        pointer = Pointer(space.to_json())
        pointer.save(folder)
        return pointer
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise StoreError(
                str(path), f"format {FORMAT}", f"format {data['format']}", "Update Holdfast."
            )
        pointer = Pointer(**data)
        stored = Space.from_json(pointer.space)
    except (OSError, ValueError, TypeError, KeyError) as cause:
        raise StoreError(str(path), "a description of a shard", f"{cause!r}", RESTORE) from cause
    if stored != space:
        raise OccupiedStore(
            str(folder), f"vectors of {space}", f"vectors of {stored}", "Choose another folder."
        )
    return pointer
