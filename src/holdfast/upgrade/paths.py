"""Paths among the settings of an encoder: relative to the file that names them.

A setting that takes a name on a hub takes a folder too. What begins with a dot or a ~ is a path;
anything else is one where such a folder lies beside the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import ConfigError
from ..settings import path_of

# kind -> the setting that is a name or a path
NAMES = MappingProxyType(
    {"clip": "model", "open-clip": "pretrained", "sentence-transformers": "model"}
)
_TABLES = ("first", "second")  # of encoder "joined"


def located(kind: str, options: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """Settings of an encoder, with paths that lead there from anywhere.

    Args:
        kind: Of the encoder.
        options: Its settings.
        home: The folder that they are relative to.
    Raises:
        ConfigError: What can only be a path leads nowhere.
    """
    told = dict(options)
    if isinstance(told.get("path"), str):  # of an encoder that is kept in a file
        told["path"] = path_of(told["path"], home, f"encoder {kind!r}: path").resolve()
    setting = NAMES.get(kind, "")
    if isinstance(told.get(setting), str):
        told[setting] = str(find(kind, told[setting], home) or told[setting])
    for which in _TABLES if kind == "joined" else ():
        table = told.get(which)
        if isinstance(table, Mapping):
            told[which] = located(str(table.get("encoder")), table, home)
    return told


def find(kind: str, word: str, home: Path) -> Path | None:
    """Where a name or path leads; None for a name.

    Args:
        kind: Of the encoder, one of `NAMES`.
        word: As it was given.
        home: The folder that a path is relative to.
    Raises:
        ConfigError: What can only be a path leads nowhere.
    """
    from ..encode.sentence_transformers import CARRIED

    file = NAMES[kind] == "pretrained"
    place = path_of(word, home, f"encoder {kind!r}: {NAMES[kind]}").resolve()
    there = place.is_file() if file else place.is_dir()
    dotted = word in (".", "..") or word.startswith(("./", "../", "~"))
    if dotted and not there:
        raise ConfigError(
            f"encoder {kind!r}: {NAMES[kind]}",
            "a file" if file else "a folder with a model",
            f"{word!r}, which would be {place}",
            f"Paths are relative to {home.resolve()}.",
        )
    return place if there and word != CARRIED else None
