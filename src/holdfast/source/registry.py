"""Sources by name, as configuration files write them.

A package of its own adds a source by an entry point of the group `holdfast.sources`; a
name of ours always means ours.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, cast

from ..errors import ConfigError
from ..settings import among, check_options
from .base import Source

GROUP = "holdfast.sources"

# kind -> (module beside this one, class)
SOURCES = MappingProxyType(
    {
        "jsonl": ("jsonl", "JsonlSource"),
        "memory": ("memory", "MemorySource"),
        "parquet": ("parquet", "ParquetSource"),
        "pictures": ("pictures", "PictureSource"),
        "sql": ("sql", "SqlSource"),
        "standard-library": ("python_code", "StandardLibrarySource"),
        "store-payload": ("store_payload", "StorePayloadSource"),
    }
)


def kinds() -> list[str]:
    """Every kind that `open_source` knows here, sorted."""
    return sorted({*SOURCES, *entry_points(group=GROUP).names})


def open_source(kind: str, **options: Any) -> Source:
    """Open a source by its kind.

    Args:
        kind: One of `kinds()`.
        options: What its class takes.
    Raises:
        ConfigError: An unknown kind, or options that the class does not take, or not of that type.
    Example:
        >>> len(open_source("memory"))
        0
    """
    make = _find(kind)
    taken_by = inspect.signature(make)
    try:
        taken_by.bind_partial(**options)  # names what is foreign before what is missing
        taken_by.bind(**options)
    except TypeError as cause:
        got = str(cause).removeprefix("got ")
        raise ConfigError(f"source {kind!r}", among(taken_by.parameters), got) from cause
    check_options(make, options, f"source {kind!r}")
    return make(**options)


def _find(kind: str) -> Callable[..., Source]:
    if kind in SOURCES:
        module, name = SOURCES[kind]
        return cast(
            "Callable[..., Source]", getattr(import_module(f".{module}", __package__), name)
        )
    found: list[EntryPoint] = list(entry_points(group=GROUP, name=kind))
    if not found:
        raise ConfigError(
            "source",
            f"a kind among {', '.join(kinds())}",
            repr(kind),
            f"Packages add kinds by entry points of the group {GROUP!r}.",
        )
    try:
        return cast("Callable[..., Source]", found[0].load())
    except (ImportError, AttributeError) as cause:
        raise ConfigError(
            f"source {kind!r}", f"an entry point that loads ({found[0].value})", str(cause)
        ) from cause
