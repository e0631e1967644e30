"""Save and load arrays with a description: one safetensors file whose header is JSON.

Never pickle: loading a file can not run code. Every file says what it is, in which format
and by which version of the library; what is not understood, or not what was written, is refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from .errors import ArtifactError, HoldfastError

FORMAT = 1
_AGAIN = "Make it again, or restore it from a copy."


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
    about = {"holdfast": body, "digest": _digest(body, arrays)}
    write_whole(path, to_bytes(arrays, metadata=about))


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
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise ArtifactError(str(path), "a file", "nothing there", _AGAIN)
    try:
        # Opened once: a neighbour may put another file in its place meanwhile.
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            header = _header(about, kind, str(path))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError) as cause:
        raise ArtifactError(
            str(path), "a safetensors file written by Holdfast", f"{cause}", _AGAIN
        ) from cause
    if about.get("digest") != _digest(about["holdfast"], arrays):
        raise ArtifactError(str(path), "the bytes that were saved", "others", _AGAIN)
    return Artifact(kind, arrays, header["meta"], str(header.get("version", "")))


@contextmanager
def understood(path: Path | str, what: str, fix: str) -> Iterator[None]:
    """Name the file where making something of its description fails within.

    Args:
        path: Of the file.
        what: It is: "a bridge".
        fix: What to do about it.
    Raises:
        ArtifactError: An error of the house or of Python that says so; its own pass.
    """
    try:
        yield
    except ArtifactError:
        raise
    except (HoldfastError, KeyError, TypeError, ValueError, AttributeError) as cause:
        raise ArtifactError(
            str(path),
            f"{what} that this version of Holdfast understands",
            f"{type(cause).__name__}: {cause}",
            fix,
        ) from cause


def _header(about: Mapping[str, str], kind: str, owner: str) -> dict[str, Any]:
    """What a file says of itself, where that is understood."""
    if "holdfast" not in about:
        raise ArtifactError(
            owner, "a file written by Holdfast", "safetensors of another program", _AGAIN
        )
    header = json.loads(about["holdfast"])
    if not isinstance(header, dict) or not isinstance(header.get("meta"), dict):
        raise ArtifactError(owner, "a header of Holdfast", repr(header)[:80], _AGAIN)
    if header.get("kind") != kind:
        raise ArtifactError(owner, f"a {kind}", f"a {header.get('kind')}")
    if header.get("format") != FORMAT:
        raise ArtifactError(
            owner,
            f"format {FORMAT}",
            f"format {header.get('format')}, written by holdfast {header.get('version')}",
            "Load it with that version, or make it again.",
        )
    return header


def _digest(body: str, arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Of the description, and of names, types, shapes and numbers: nothing else would tell that
    a bit in a weight has flipped.
    """
    digest = hashlib.sha256(body.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.name} {array.shape} ".encode())
        plain = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        digest.update(plain.reshape(-1).view(np.uint8).data)  # as it lies, not a copy
    return digest.hexdigest()
