"""An index on disk: what faiss wrote, and a description by which it is trusted or not.

The description is renamed into place last. It names the file of the index, its length and
checksum, and the generation of the rows: only what agrees with all of that is read, so that
a half-written, foreign or outdated index is never searched. It can always be built again.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from pathlib import Path

from .. import artifact
from ..errors import ArtifactError, StoreError, said
from ..space import Space
from ..sqlite import MACHINE
from .faiss_index import Graph, Lists, load

_KIND = "faiss index"
_NAME = "index.safetensors"
_NUMBERS = ("effort", "added", "tuned", "built")
_CHUNK = 1 << 24


def save_index(folder: Path, index: Lists | Graph, space: Space, generation: int) -> None:
    """Write the index whole or not at all.

    Raises:
        StoreError: The disk refused; what was there before is still there.
    """
    partial = folder / "index.partial"
    try:
        index.write(partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        checksum = _checksum(partial)
        name = f"index.{checksum:08x}.faiss"
        meta = {
            "kind": index.kind,
            **{name: getattr(index, name) for name in _NUMBERS},
            "space": space.to_json(),
            "generation": generation,
            "file": name,
            "bytes": partial.stat().st_size,
            "checksum": checksum,
        }
        partial.replace(folder / name)
        described = artifact.Artifact(_KIND, {"slots": index.slots()}, meta)
        artifact.save(folder / _NAME, described)
    except (OSError, RuntimeError) as cause:
        with suppress(OSError):
            partial.unlink(missing_ok=True)  # or half an index would keep what room there is
        raise StoreError(str(folder), "room for an index", f"{cause}") from cause
    forget_index(folder, but=name)


def load_index(
    folder: Path, kinds: tuple[str, ...], space: Space, generation: int
) -> Lists | Graph | None:
    """The saved index, or None where there is none that can be trusted."""
    try:
        described = artifact.load(folder / _NAME, _KIND)
        meta, slots = described.meta, described.arrays["slots"]
        path = folder / str(meta["file"])
        if (
            meta["kind"] not in kinds
            or Space.from_json(meta["space"]) != space
            or meta["generation"] != generation
            or path.stat().st_size != meta["bytes"]
            or _checksum(path) != meta["checksum"]
        ):
            return None
        index = load(path, meta["kind"], space.metric, slots)
        for name in _NUMBERS:
            setattr(index, name, int(meta[name]))
    except (ArtifactError, OSError, KeyError, TypeError, ValueError, RuntimeError):
        return None  # of another version, or damaged: it is built again
    return index


def forget_index(folder: Path, but: str | None = None) -> None:
    """Delete what was saved, or all but the named file.

    Raises:
        StoreError: The system does not let us.
    """
    try:
        if but is None:
            (folder / _NAME).unlink(missing_ok=True)
        for path in folder.glob("index.*.faiss"):
            if path.name != but:
                path.unlink()
    except OSError as cause:
        raise StoreError(
            str(folder), "a folder that can be read and written", said(cause), MACHINE
        ) from cause


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            value = zlib.crc32(chunk, value)
    return value
