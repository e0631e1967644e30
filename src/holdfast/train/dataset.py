"""Labelled data from disk: a folder of pictures by class, an .npz, or JSON Lines."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import IntArray
from ..errors import ConfigError, EncoderError
from ..settings import json_of
from .batches import generator
from .blueprint import PicturesConfig
from .interface import Interface
from .memory import Names
from .tensors import Tensor, torch
from .trained import Opened, as_inputs

_FIX = "An .npz has arrays `vectors` and `labels`, a line of JSON keys `vector` and `label`."
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class Labelled:
    """Inputs and their classes.

    Args:
        inputs: (n, ...) float32.
        names: (n,) class of each.
        pictures: How pictures became inputs; None for vectors.
    """

    inputs: Tensor
    names: Names
    pictures: PicturesConfig | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return tuple(self.inputs.shape[1:])

    @cached_property
    def known(self) -> list[str]:
        """Its classes, sorted."""
        return sorted(set(self.names.tolist()))

    def only(self, classes: list[str] | None) -> Labelled:
        """The items of some classes.

        Raises:
            ConfigError: A class that has no item.
        """
        if classes is None:
            return self
        missing = sorted(set(classes) - set(self.known))
        if missing:
            shown = ", ".join(missing[:5])
            raise ConfigError("classes", f"some of {', '.join(self.known)[:100]}", shown)
        kept = np.flatnonzero(np.isin(self.names, classes))
        return Labelled(self.inputs[torch.from_numpy(kept)], self.names[kept], self.pictures)

    def labels(self, table: Interface) -> IntArray:
        """(n,) vertices."""
        return table.vertices_of(self.names.tolist())

    def split(self, share: float, seed: int) -> tuple[IntArray, IntArray]:
        """Places to train on, and places that judge: a share of each class, in file order.

        Which ones judge of a class depends on no other class. So what judges a model of more
        classes was not trained on by the model before it, at the same seed. A class of one item
        is trained on.
        """
        judging = []
        _, numbers, sizes = np.unique(self.names, return_inverse=True, return_counts=True)
        by_class = np.split(np.argsort(numbers, kind="stable"), np.cumsum(sizes)[:-1])
        for name, places in zip(self.known, by_class, strict=True):
            count = min(round(share * len(places)), len(places) - 1)
            own = name.encode("utf-8", "surrogatepass")
            drawn = generator(seed, 1, *own).random(len(places))
            judging.append(places[np.argsort(drawn, kind="stable")[:count]])
        judges = np.sort(np.concatenate(judging)).astype(np.int64)
        return np.setdiff1d(np.arange(len(self.names)), judges), judges


def read_data(path: Path, pictures: PicturesConfig, opened: Opened | None) -> Labelled:
    """Whatever lies at a path.

    Args:
        path: A folder, an .npz or a .jsonl file.
        pictures: How pictures become inputs.
        opened: Opens one.
    Raises:
        ConfigError: Nothing that can be read.
    """
    if path.is_dir():
        return _folder(path, pictures, opened)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as read:
                return _vectors(read["vectors"], read["labels"].tolist(), path)
        if path.suffix == ".jsonl":
            records = _records(path)
            rows = [record["vector"] for record in records]
            return _vectors(rows, [record["label"] for record in records], path)
    except ConfigError:
        raise
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as cause:
        raise ConfigError(
            str(path),
            "vectors and labels",
            f"{type(cause).__name__}: {cause}",
            _FIX,
        ) from cause
    raise ConfigError(str(path), "a folder of pictures, an .npz or a .jsonl file", "neither")


def _records(path: Path) -> list[dict[str, Any]]:
    """An object with a vector and a label of each line."""
    found = []
    # not splitlines, which also cuts at signs that a text may hold
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        who = f"{path}, line {number}"
        try:
            record = json_of(line)
        except ValueError as cause:
            raise ConfigError(who, "JSON", str(cause), _FIX) from cause
        if not isinstance(record, dict) or not {"vector", "label"} <= set(record):
            raise ConfigError(who, "an object with a vector and a label", line[:60], _FIX)
        found.append(record)
    return found


def _vectors(rows: Any, labels: list[Any], path: Path) -> Labelled:
    if np.iscomplexobj(rows):  # of which numpy would keep the real part, with a warning
        raise ConfigError(str(path), "real numbers", "complex ones")
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        array = np.asarray(rows, dtype=np.float32)
    if array.ndim != 2 or len(array) != len(labels) or not array.size:
        raise ConfigError(
            str(path), "(n, d) vectors and n labels", f"{array.shape} and {len(labels)}"
        )
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(1))[0])
        raise ConfigError(str(path), "finite numbers of float32", f"others in vector {row}")
    names = [_named(label, place, path) for place, label in enumerate(labels)]
    return Labelled(torch.from_numpy(array), np.array(names))


def _named(label: Any, place: int, path: Path) -> str:
    """The class that a label names: text, or a number."""
    if isinstance(label, bytes):
        label = label.decode("utf-8")
    empty = label == "" or (isinstance(label, float) and math.isnan(label))
    if empty or not isinstance(label, str | int | float):
        raise ConfigError(
            str(path), "a label that is a text or a number", f"{label!r} at place {place}"
        )
    return str(label)


def _folder(path: Path, config: PicturesConfig, opened: Opened | None) -> Labelled:
    files = [
        (file, folder.name)
        for folder in sorted(path.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in PICTURES and not file.name.startswith(".") and file.is_file()
    ]
    if not files:
        raise ConfigError(str(path), "a folder of pictures for each class", "no picture")
    try:
        inputs = as_inputs([file for file, _ in files], config, opened, str(path))
    except EncoderError as cause:
        raise ConfigError(cause.who, cause.expected, cause.got, cause.fix) from cause
    return Labelled(inputs, np.array([name for _, name in files]), config)
