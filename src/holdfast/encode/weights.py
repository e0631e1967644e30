"""Weights: digests that tell two versions of a model apart, whatever they are called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_READ_BY_MODELS = frozenset({".json", ".txt", ".model", ".jinja"})
_WEIGHTS = (".safetensors", ".bin")  # of one folder, the first kind that is there is read
_OTHER_ENGINES = frozenset({"onnx", "openvino"})


def files_digest(files: Mapping[str, Path]) -> str:
    """Digest of the contents of files under the names given; about a second per gigabyte.

    Args:
        files: Name, the same on every machine, to path.
    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in sorted(files):
        with files[name].open("rb") as file:
            digest.update(f"{name}\n".encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def folder_digest(folder: Path) -> str:
    """Digest of the files of a model's folder that decide its numbers.

    Weights, settings and tokenizers count; read-me files, code, versions for other engines
    and hidden files do not.
    """
    found: dict[str, Path] = {}
    weights: dict[Path, dict[str, dict[str, Path]]] = {}  # by folder and suffix
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts)
        if hidden or _OTHER_ENGINES & set(parts) or not path.is_file():
            continue
        name = "/".join(parts)
        if path.suffix in _WEIGHTS:
            weights.setdefault(path.parent, {}).setdefault(path.suffix, {})[name] = path
        elif path.suffix in _READ_BY_MODELS:
            found[name] = path
    for kinds in weights.values():
        found |= next(kinds[suffix] for suffix in _WEIGHTS if suffix in kinds)
    return files_digest(found)


def arrays_digest(arrays: Iterable[tuple[str, Any]]) -> str:
    """Digest of named arrays in memory, for a model that was not read from a known place.

    Args:
        arrays: Pairs of a name and an array of any numeric type.
    """
    parts = []
    for name, values in arrays:
        array = np.ascontiguousarray(values)
        head = f"{name} {array.dtype.str} {array.shape}\n".encode()
        parts.append(hashlib.sha256(head + array.tobytes()).digest())
    return hashlib.sha256(b"".join(sorted(parts))).hexdigest()[:16]
