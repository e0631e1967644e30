"""Save and load arrays with a description: one safetensors file whose header is JSON.

Never pickle: loading a file can not run code. Every file says what it is, in which format
and by which version of the library; what is not understood is refused.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .errors import ArtifactError

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a file holds.

    Args:
        kind: What it is ("bridge", "rotation").
        arrays: Named arrays.
        meta: JSON description.
        version: Version of Holdfast that wrote it.
    """

    kind: str
    arrays: Mapping[str, npt.NDArray[Any]]
    meta: Mapping[str, Any]
    version: str = ""


def save(path: Path | str, artifact: Artifact) -> None:
    """Write the file whole or not at all: a neighbour is written, synced and renamed.

    Args:
        path: Where; an existing file is replaced.
        artifact: What.
    """
    from safetensors.numpy import save as to_bytes

    from . import __version__

    path = Path(path)
    header = {"kind": artifact.kind, "format": FORMAT, "version": __version__}
    body = json.dumps({**header, "meta": dict(artifact.meta)})
    # not ascontiguousarray, which gives a scalar an axis
    arrays = {name: np.asarray(a, order="C") for name, a in artifact.arrays.items()}
    write_whole(path, to_bytes(arrays, metadata={"holdfast": body}))


def write_whole(path: Path, content: bytes, keep: bool = False) -> bool:
    """Replace a file, or make it with its folder, in one step; what is read is whole.

    Who dies half way leaves a neighbour behind, always of the same name: the next one to write
    this file writes over it.

    Args:
        path: Where.
        content: What.
        keep: Whether to leave a file alone that is there.
    Returns:
        Whether it was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with _alone(partial) as file:
        try:
            if keep and path.exists():
                return False
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            partial.replace(path)
            return True
        finally:
            if _is_at(partial, file):  # else it was renamed, and the name is another's
                partial.unlink()


@contextmanager
def _alone(partial: Path) -> Iterator[BinaryIO]:
    """The empty file, which nobody else writes; the system lets go of it for who dies."""
    while True:
        with partial.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(partial, file):  # else who had it has renamed it meanwhile
                file.truncate(0)
                yield file
                return


def _is_at(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def load(path: Path | str, kind: str) -> Artifact:
    """Read a file and refuse what is not understood.

    Args:
        path: Where.
        kind: What it must be.
    Raises:
        ArtifactError: Missing, corrupt, of another kind, or of a newer format.
    """
    path = Path(path)
    header = _header(path)
    if header.get("kind") != kind:
        raise ArtifactError(str(path), f"a {kind}", f"a {header.get('kind')}")
    if header.get("format") != FORMAT:
        raise ArtifactError(
            str(path),
            f"format {FORMAT}",
            f"format {header.get('format')}, written by holdfast {header.get('version')}",
            "Load it with that version, or make it again.",
        )
    from safetensors.numpy import load_file

    return Artifact(kind, load_file(path), header["meta"], str(header.get("version", "")))


def _header(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError, safe_open

    again = "Make it again, or restore it from a copy."
    if not path.is_file():
        raise ArtifactError(str(path), "a file", "nothing there", again)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        header = json.loads(metadata["holdfast"])
    except (SafetensorError, OSError, ValueError) as cause:
        raise ArtifactError(
            str(path), "a safetensors file written by Holdfast", f"{cause}", again
        ) from cause
    except KeyError as cause:
        raise ArtifactError(
            str(path), "a file written by Holdfast", "safetensors of another program", again
        ) from cause
    if not isinstance(header, dict) or not isinstance(header.get("meta"), dict):
        raise ArtifactError(str(path), "a header of Holdfast", repr(header)[:80], again)
    return header
