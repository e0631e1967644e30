"""Change the embedding model behind a vector search while the search keeps answering.

The names below are loaded on first use: importing the package alone costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .align.bridge import Bridge
    from .align.linear import Ridge
    from .align.procrustes import Procrustes
    from .arrays import Vectors, as_vectors
    from .encode.callable import CallableEncoder
    from .errors import HoldfastError
    from .hits import Hits
    from .items import Item
    from .measure.judgements import Judgements
    from .source.memory import MemorySource
    from .space import Space, fingerprint, relation
    from .store.edge import EdgeStore
    from .store.memory import MemoryStore
    from .upgrade.engine import Engine
    from .upgrade.gallery import Gallery
    from .upgrade.ledger import Ledger
    from .upgrade.mover import ReEmbed
    from .upgrade.plan import Plan
    from .upgrade.project import Project
    from .upgrade.side import Side

__version__ = "0.1.0"

# public name -> module that holds it
_HOMES = MappingProxyType(
    {
        "Bridge": ".align.bridge",
        "CallableEncoder": ".encode.callable",
        "EdgeStore": ".store.edge",
        "Engine": ".upgrade.engine",
        "Gallery": ".upgrade.gallery",
        "Hits": ".hits",
        "HoldfastError": ".errors",
        "Item": ".items",
        "Judgements": ".measure.judgements",
        "Ledger": ".upgrade.ledger",
        "MemorySource": ".source.memory",
        "MemoryStore": ".store.memory",
        "Plan": ".upgrade.plan",
        "Procrustes": ".align.procrustes",
        "Project": ".upgrade.project",
        "ReEmbed": ".upgrade.mover",
        "Ridge": ".align.linear",
        "Side": ".upgrade.side",
        "Space": ".space",
        "Vectors": ".arrays",
        "as_vectors": ".arrays",
        "fingerprint": ".space",
        "relation": ".space",
    }
)

__all__ = [
    "Bridge",
    "CallableEncoder",
    "EdgeStore",
    "Engine",
    "Gallery",
    "Hits",
    "HoldfastError",
    "Item",
    "Judgements",
    "Ledger",
    "MemorySource",
    "MemoryStore",
    "Plan",
    "Procrustes",
    "Project",
    "ReEmbed",
    "Ridge",
    "Side",
    "Space",
    "Vectors",
    "as_vectors",
    "fingerprint",
    "relation",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
