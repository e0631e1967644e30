"""A side of a gallery: a store, and the ways that lead into its space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..arrays import Vectors
from ..errors import ConfigError
from ..items import Content, Role
from ..space import Space
from ..store.base import VectorStore


class Encodes(Protocol):
    """What a side needs of an encoder."""

    @property
    def space(self) -> Space: ...

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors: ...


class Maps(Protocol):
    """What a side needs of a bridge."""

    @property
    def origin(self) -> Space: ...

    @property
    def target(self) -> Space: ...

    def transform(self, vectors: Vectors) -> Vectors: ...


@dataclass(frozen=True, slots=True)
class Bridged:
    """A dead model's stand-in: a living model, then the bridge into the dead one's space.

    Args:
        encoder: The living model.
        bridge: From its space.
    """

    encoder: Encodes
    bridge: Maps

    @property
    def space(self) -> Space:
        """The dead model's space."""
        return self.bridge.target

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        """Encode and map."""
        return self.bridge.transform(self.encoder.encode(contents, role))


@dataclass(frozen=True, slots=True)
class Side:
    """A store and how queries and documents come into its space.

    Args:
        store: Where the vectors are.
        encoder: The model of this space; None when it is dead.
        bridge: Leads from the other side's space into this one, for when it is.
    Raises:
        ConfigError: An encoder or a bridge of another space than the store.
    """

    store: VectorStore
    encoder: Encodes | None = None
    bridge: Maps | None = None

    def __post_init__(self) -> None:
        for part, space in (
            ("encoder", self.encoder and self.encoder.space),
            ("bridge", self.bridge and self.bridge.target),
        ):
            if space and space != self.store.space:
                raise ConfigError(
                    f"the {part} of {self.store.space.name}",
                    f"one that answers vectors of {self.store.space}",
                    f"one for {space}",
                    "Pass the one that belongs to this store.",
                )

    @property
    def space(self) -> Space:
        """The space of the store."""
        return self.store.space

    def reach(
        self, contents: Sequence[Content], role: Role, other: Callable[[], Vectors]
    ) -> Vectors:
        """Bring contents into this space.

        Args:
            contents: What to encode.
            role: "query" or "document".
            other: Answers the same contents in the other side's space, for the bridge.
        Raises:
            ConfigError: Neither a model nor a bridge leads here.
        """
        if self.encoder is not None:
            return self.encoder.encode(contents, role)
        if self.bridge is not None:
            return self.bridge.transform(other())
        raise ConfigError(
            f"the side of {self.space.name}",
            "an encoder, or a bridge from the other side",
            "neither",
            "Give the model, or plan an upgrade, which fits a bridge into this space.",
        )
