"""Stages of a cut-over: who reads the new side already, while the rest reads the old one.

A search belongs to a stage by its tenant, by the slice that its filter asks for, or by a share
of all keys. The key is who asks: a user, else the tenant, else the query itself. It has a fixed
place in [0, 1), so the same key is always on the same side, and a larger share keeps whom a
smaller one had.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from ...arrays import Vectors
from ...errors import InvalidInput
from ...store.where import And, Equals, Where, matches, parse

_SPAN = 2.0**64


@dataclass(frozen=True, slots=True)
class Stage:
    """Who reads the new side; one of the three is enough.

    Args:
        share: Of all keys, in [0, 1].
        tenants: All searches of these.
        where: All searches whose filter asks for this: values of payload fields.
        held: It was stepped back: nobody reads the new side until a stage is given again. Who
            else is named here says who did before.
    Raises:
        InvalidInput: A share that cannot be, a filter that is not one, or a stage of nobody.
    Example:
        >>> str(Stage(0.1, ("acme",)))
        '10 % of the traffic, tenants acme'
    """

    share: float = 0.0
    tenants: tuple[str, ...] = ()
    where: Mapping[str, Any] = field(default_factory=dict)
    held: bool = False

    def __post_init__(self) -> None:
        number = isinstance(self.share, Real) and not isinstance(self.share, bool)
        if not (number and 0.0 <= self.share <= 1.0):
            raise InvalidInput("stage", "a share between 0 and 1", repr(self.share))
        listed = isinstance(self.tenants, Iterable) and not isinstance(self.tenants, str)
        if not (listed and all(isinstance(t, str) and t for t in self.tenants)):
            raise InvalidInput("stage", "names of tenants", repr(self.tenants), "Pass a list.")
        if not self.share and not self.tenants and not self.where:
            raise InvalidInput(
                "stage", "a share, a tenant or a slice", "none", "To go back: step or roll back."
            )
        object.__setattr__(self, "tenants", tuple(self.tenants))
        object.__setattr__(self, "where", _equalities(self.where))

    def __str__(self) -> str:
        words = [f"{100.0 * self.share:g} % of the traffic"] if self.share else []
        words += [f"tenants {', '.join(self.tenants)}"] if self.tenants else []
        slices = ", ".join(f"{field} = {value!r}" for field, value in self.where.items())
        told = ", ".join(words + ([f"searches for {slices}"] if slices else []))
        return f"nobody, stepped back from {told}" if self.held else told

    def names(self, tenant: str | None, where: Where | None) -> bool:
        """Whether a search is in this stage whatever its key.

        Args:
            tenant: Who asks.
            where: The search's filter; the slice's fields must be asked for by their values.
        """
        if self.held:
            return False
        if tenant is not None and tenant in self.tenants:
            return True
        slices = self.where.items()
        return bool(slices) and all(_asks(where, name, value) for name, value in slices)

    def chosen(
        self, queries: Any, where: Where | None, key: str | None, tenant: str | None, salt: str
    ) -> npt.NDArray[np.bool_]:
        """(q,) which queries of one call read the new side.

        Args:
            queries: As they were given to the gallery.
            where: The call's filter.
            key: Who asks.
            tenant: On whose behalf.
            salt: Deals the places of keys.
        """
        keys = keys_of(queries)
        if self.names(tenant, where):
            return np.ones(len(keys), dtype=bool)
        asker = key if key is not None else tenant
        if asker is not None:
            return np.full(len(keys), self.takes(asker, salt))
        return np.array([self.takes(own, salt) for own in keys], dtype=bool)

    def takes(self, key: str | bytes, salt: str) -> bool:
        """Whether a key is in the share."""
        return not self.held and place(key, salt) < self.share

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {**asdict(self), "tenants": list(self.tenants)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Stage:
        """Read what `to_json` wrote."""
        return cls(data["share"], tuple(data["tenants"]), data["where"], data["held"])


def place(key: str | bytes, salt: str) -> float:
    """Where a key stands in [0, 1): the same for every process, and for ever.

    Args:
        key: Who asks, or what is asked.
        salt: Another one deals the places anew.
    """
    data = _bytes(key)
    digest = hashlib.blake2b(data, digest_size=8, key=salt.encode()[:64]).digest()
    return int.from_bytes(digest, "big") / _SPAN


def keys_of(given: Any) -> list[bytes]:
    """What stands for each query of one call where nobody says who asks.

    Args:
        given: Contents; or vectors, in one space or in several.
    """
    if isinstance(given, Vectors):
        return [row.tobytes() for row in np.ascontiguousarray(given.array)]
    if len(given) and isinstance(given[0], Vectors):
        # The same query has the same vector in each space, whichever comes first.
        first = min(given, key=lambda vectors: vectors.space.fingerprint)
        return keys_of(first)
    return [_bytes(content) for content in given]


def _bytes(content: Any) -> bytes:
    if isinstance(content, str):
        return content.encode("utf-8", "surrogatepass")
    if isinstance(content, bytes):
        return content
    return content.tobytes() if isinstance(content, np.ndarray) else repr(content).encode()


def _equalities(where: Mapping[str, Any]) -> dict[str, Any]:
    """The slice, once it is known to be a filter of plain values."""
    if not isinstance(where, Mapping):
        raise InvalidInput("stage", "a slice such as {'lang': 'en'}", repr(where))
    for name, value in where.items():
        if not isinstance(parse({name: value}), Equals):
            raise InvalidInput("stage", "values of payload fields", f"{name} = {value!r}")
    return dict(where)


def _asks(where: Where | None, name: str, value: Any) -> bool:
    """Whether a filter lets nothing pass whose field has not this value."""
    if isinstance(where, And):
        return any(_asks(part, name, value) for part in where.parts)
    asked = isinstance(where, Equals) and where.field == name
    return asked and isinstance(where, Equals) and matches(where, {name: value})
