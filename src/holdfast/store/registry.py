"""Names of stores: what a plan or a command writes, and where the class behind it lives.

A store is imported when it is opened, never before. A package of yours adds one by an entry
point in the group `holdfast.stores`; it names a callable that takes (folder, space, **options):

    [project.entry-points."holdfast.stores"]
    mine = "my_package.store:MyStore"
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from ..errors import ConfigError
from ..settings import among, check_options
from ..space import Space
from .base import VectorStore

GROUP = "holdfast.stores"
Opener: TypeAlias = Callable[..., VectorStore]

# name -> module of this package and callable in it
STORES = MappingProxyType(
    {
        "edge": ("edge", "EdgeStore"),
        "faiss": ("faiss", "FaissStore"),
        "memory": ("registry", "open_memory"),
        "pgvector": ("pgvector", "PgvectorStore"),
        "qdrant": ("qdrant", "QdrantStore"),
    }
)


def known_stores() -> list[str]:
    """Sorted names, those of other packages included; imports none of them."""
    return sorted({*STORES, *(point.name for point in entry_points(group=GROUP))})


def open_store(kind: str, folder: Path | str, space: Space, **options: Any) -> VectorStore:
    """Open or create a store by name.

    Args:
        kind: One of `known_stores()`.
        folder: Where it keeps its files; a store in memory ignores it.
        space: The space of every vector.
        options: What this kind takes, such as `index="ivf"` for faiss.
    Raises:
        ConfigError: Nobody knows the name, its package is broken, or it does not take an option,
            or takes one of another type.
        MissingExtra: The name is ours and its optional dependency is not installed.
    Example:
        >>> len(open_store("memory", "unused", Space("demo", 2)))
        0
    """
    make = _opener(kind)
    try:
        inspect.signature(make).bind(folder, space, **options)
    except TypeError as cause:
        taken = [name for name in inspect.signature(make).parameters if name not in _GIVEN]
        raise ConfigError(
            f"store {kind!r}",
            among(taken),
            ", ".join(options) or "none",
            f"{cause}.".capitalize(),
        ) from cause
    check_options(make, options, f"store {kind!r}")
    return make(folder, space, **options)


def drop_store(kind: str, folder: Path | str, space: Space, **options: Any) -> bool:
    """Delete what a store keeps elsewhere than in its folder; nobody may have it open.

    A store on a server does it by a method `drop`; others have none.

    Args:
        kind: One of `known_stores()`.
        folder: As it was opened with; it is not touched.
        space: Likewise.
        options: Likewise.
    Returns:
        Whether this kind keeps anything elsewhere.
    Example:
        >>> drop_store("memory", "unused", Space("demo", 2))
        False
    """
    if not hasattr(_opener(kind), "drop"):
        return False
    store: Any = open_store(kind, folder, space, **options)
    try:
        store.drop()
    finally:
        store.close()
    return True


_GIVEN = ("folder", "space")


def _opener(kind: str) -> Opener:
    if kind in STORES:
        module, name = STORES[kind]
        ours: Opener = getattr(import_module(f"{__package__}.{module}"), name)
        return ours
    for point in entry_points(group=GROUP):
        if point.name == kind:
            return _load(point)
    raise ConfigError(
        "store",
        f"one of {', '.join(known_stores())}",
        repr(kind),
        f"A package of yours can add one, by an entry point in the group {GROUP!r}.",
    )


def _load(point: EntryPoint) -> Opener:
    try:
        theirs: Opener = point.load()
    except (ImportError, AttributeError) as cause:
        raise ConfigError(
            f"store {point.name!r}",
            f"{point.value} to be there",
            f"{type(cause).__name__}: {cause}",
            "Install or repair the package that registers it.",
        ) from cause
    return theirs


def open_memory(folder: Path | str, space: Space) -> VectorStore:
    """A store in memory, called like the others; the folder is not touched."""
    del folder
    from .memory import MemoryStore

    return MemoryStore(space)
