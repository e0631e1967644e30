"""Change the embedding model behind a vector search while the search keeps answering.

The names below are loaded on first use: importing the package alone costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .arrays import Vectors
    from .errors import HoldfastError
    from .hits import Hits
    from .items import Item
    from .space import Space, fingerprint, relation
    from .store.memory import MemoryStore

__version__ = "0.1.0"

# public name -> module that holds it
_HOMES = MappingProxyType(
    {
        "Hits": ".hits",
        "HoldfastError": ".errors",
        "Item": ".items",
        "MemoryStore": ".store.memory",
        "Space": ".space",
        "Vectors": ".arrays",
        "fingerprint": ".space",
        "relation": ".space",
    }
)

__all__ = [
    "Hits",
    "HoldfastError",
    "Item",
    "MemoryStore",
    "Space",
    "Vectors",
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
