"""The interface that models agree on: which class sits on which vertex of which figure.

Models trained apart, at different times and places, stay comparable as far as they agree on
nothing but this. A table of classes only grows: a class keeps its vertex for ever, so vectors
made earlier stay valid. Three kinds:

    simplex    fixed capacity K, vectors of K - 1 coordinates; may be filled from the front
               by one party and from the back by another, who never have to talk
    one-hot    a coordinate a class; older vectors are the first coordinates of newer ones
    centred    the same, for the centred logits of ordinary classifiers (see `centred`)

Needs numpy only. Source: Pernici et al. 2021 and Biondi et al. 2024 (pre-allocated classes,
    IAM-CL2R: two parties fill one simplex from both ends). Departs from them: the table is an
    object with a version and a digest, and vectors of different interfaces are different
    spaces, which nothing here compares.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from operator import index
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np

from .. import artifact
from ..arrays import FloatArray, IntArray
from ..errors import ArtifactError, InvalidInput, WrongSpace
from ..space import Space, fingerprint
from .vertices import axes, coefficients, simplex

Kind = Literal["simplex", "one-hot", "centred"]
Side = Literal["front", "back"]


class Interface:
    """Which class sits on which vertex. Never changes: `filled` answers a new one.

    Args:
        name: What the parties call it. Two interfaces of one name are one interface, so
            choose a name that only those use who mean this table.
        kind: "simplex", "one-hot" or "centred".
        capacity: Number of vertices of a simplex. The others have one a class.
        places: Class -> vertex.
        version: How often classes were added.
    Raises:
        InvalidInput: Two classes on one vertex, or a vertex that is not there.
    Example:
        >>> shared = Interface("animals", capacity=1024)
        >>> server = shared.filled(["cat", "dog"])
        >>> client = shared.filled(["newt"], side="back")
        >>> server.joined(client).vertices_of(["dog", "newt"]).tolist()
        [1, 1023]
        >>> server.space("a") == client.space("b")
        True
    """

    def __init__(
        self,
        name: str,
        kind: Kind = "simplex",
        capacity: int | None = None,
        places: Mapping[str, int] | None = None,
        version: int = 0,
    ) -> None:
        self.name, self.kind, self.version = name, kind, version
        # As JSON says them, whose text is digested: numpy's integers and texts are made plain.
        who, given = f"Interface {name!r}", dict(places or {})
        table = {text: _whole(given[text], who) for text in _names(given, who)}
        self.places: Mapping[str, int] = MappingProxyType(table)
        self.capacity = len(self.places) if capacity is None else _whole(capacity, who)
        self._check(capacity)

    def _check(self, capacity: int | None) -> None:
        who = f"Interface {self.name!r}"
        if not self.name:
            raise InvalidInput("Interface", "a name", "an empty one", "Name what is agreed on.")
        if self.kind not in get_args(Kind):
            raise InvalidInput(who, f"a kind among {', '.join(get_args(Kind))}", repr(self.kind))
        if self.kind == "simplex":
            if capacity is None:
                raise InvalidInput(
                    who, "a capacity", "none", "A simplex does not grow: choose it large."
                )
            coefficients(self.capacity)
        elif self.capacity != len(self.places):
            raise InvalidInput(who, f"a capacity of {len(self.places)}", str(self.capacity))
        used = sorted(self.places.values())
        if len(set(used)) != len(used):
            raise InvalidInput(who, "one class a vertex", f"vertices {used}"[:120])
        if used and (used[0] < 0 or used[-1] >= self.capacity):
            raise InvalidInput(
                who, f"vertices from 0 to {self.capacity - 1}", f"{used[0]} to {used[-1]}"
            )

    def __repr__(self) -> str:
        return (
            f"Interface({self.name!r}, {self.kind!r}, {len(self)} of {self.capacity}, "
            f"version {self.version})"
        )

    def __len__(self) -> int:
        return len(self.places)

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Interface) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.capacity - 1 if self.kind == "simplex" else self.capacity

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over the figure and the table; the version does not count."""
        table = json.dumps(sorted(self.places.items()), ensure_ascii=True)
        text = json.dumps([self.name, self.kind, self.capacity, table], ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def fingerprint(self) -> str:
        """Of the space of all models that keep to this interface.

        A simplex stays one space while its table grows. A figure with a coordinate a class
        is another space with every class, and its table is what the coordinates mean.
        """
        table = "" if self.kind == "simplex" else self.digest
        figure = f"{self.kind} {self.capacity}"
        return fingerprint(self.name, revision=table, figure=figure, interface=1)

    def filled(self, classes: Iterable[str], side: Side = "front") -> Interface:
        """The interface with more classes; those it has keep their vertex.

        Args:
            classes: Their names, in the order in which they take free vertices.
            side: "front" takes the lowest free vertex next, "back" the highest.
        Raises:
            InvalidInput: More classes than free vertices, or names that are no names.
        """
        who = f"Interface {self.name!r}"
        new = [name for name in dict.fromkeys(_names(classes, who)) if name not in self.places]
        if side not in get_args(Side):
            raise InvalidInput(who, "side as front or back", repr(side))
        if self.kind != "simplex":
            if side == "back":
                raise InvalidInput(who, "side as front", "back", "A growing table has no back.")
            vertices = range(len(self), len(self) + len(new))
        else:
            vertices = range(self.capacity)
            free = self.capacity - len(self)
            if len(new) > free:
                raise InvalidInput(
                    who,
                    f"at most {free} more classes of {self.capacity}",
                    f"{len(new)} new ones",
                    "A simplex does not grow: start another interface, or a one-hot one.",
                )
        used = set(self.places.values())
        order = (v for v in (vertices if side == "front" else reversed(vertices)) if v not in used)
        places = {**self.places, **dict(zip(new, order, strict=False))}
        capacity = self.capacity if self.kind == "simplex" else None
        return Interface(self.name, self.kind, capacity, places, self.version + bool(new))

    def joined(self, other: Interface) -> Interface:
        """Both tables in one.

        Raises:
            WrongSpace: Another figure, or tables that contradict each other.
        """
        who = f"Interface {self.name!r}"
        if (self.name, self.kind) != (other.name, other.kind):
            raise WrongSpace(who, f"the same {self.kind} interface", repr(other))
        if self.kind == "simplex":
            if self.capacity != other.capacity:
                raise WrongSpace(who, f"capacity {self.capacity}", f"capacity {other.capacity}")
            capacity: int | None = self.capacity
        else:
            capacity = None
        self._agree(other, who)
        version = max(self.version, other.version)
        grown = len(set(self.places) | set(other.places)) > max(len(self), len(other))
        places = {**self.places, **other.places}
        return Interface(self.name, self.kind, capacity, places, version + grown)

    def _agree(self, other: Interface, who: str) -> None:
        fix = "Vectors of the two models are not comparable: retrain one of them."
        classes = {vertex: name for name, vertex in self.places.items()}
        for name, vertex in other.places.items():
            mine = self.places.get(name, vertex)
            if mine != vertex:
                raise WrongSpace(who, f"{name!r} on vertex {mine}", f"on vertex {vertex}", fix)
            there = classes.get(vertex, name)
            if there != name:
                raise WrongSpace(who, f"{there!r} on vertex {vertex}", f"{name!r} there", fix)

    def vertices_of(self, classes: Sequence[str]) -> IntArray:
        """(m,) vertices of classes: the targets of a classifier on this interface.

        Raises:
            InvalidInput: A class without a vertex.
        """
        who = f"Interface {self.name!r}"
        names = _names(classes, who)
        unknown = [name for name in dict.fromkeys(names) if name not in self.places]
        if unknown:
            shown = ", ".join(map(repr, unknown[:5]))
            raise InvalidInput(
                who, "classes of its table", f"{len(unknown)} others: {shown}", "Call `filled`."
            )
        return np.array([self.places[name] for name in names], dtype=np.int64)

    def prototypes(self, classes: Sequence[str] | None = None) -> FloatArray:
        """(m, dim) unit rows where classes sit; of all vertices, in order, without classes."""
        vertices = None if classes is None else self.vertices_of(classes)
        figure = simplex if self.kind == "simplex" else axes
        return figure(self.capacity, vertices).astype(np.float32)

    def space(self, name: str, gallery: Interface | None = None) -> Space:
        """The space of a model that keeps to this interface; its metric is the cosine.

        Two models on one simplex answer in the same space, so that one searches the
        other's gallery. Whether it does so well is for `measure` to say.

        Args:
            name: Label for people.
            gallery: The smaller interface that stored vectors were made with, where it grew;
                the space then extends theirs.
        Raises:
            WrongSpace: `gallery` is not an earlier state of this interface, or on a simplex has
                other classes on its vertices.
        """
        extends = None
        both = self if gallery is None else self.joined(gallery)  # or they contradict each other
        if gallery is not None and gallery.fingerprint != self.fingerprint:
            if both.digest != self.digest:
                raise WrongSpace(
                    f"Interface {self.name!r}", "an earlier state of it", repr(gallery)
                )
            extends = gallery.fingerprint
        return Space(name, self.dim, "cosine", self.fingerprint, extends)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        capacity = self.capacity if self.kind == "simplex" else None
        return {
            "name": self.name,
            "kind": self.kind,
            "capacity": capacity,
            "places": dict(self.places),
            "version": self.version,
            "digest": self.digest,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Interface:
        """Read what `to_json` wrote.

        Raises:
            ArtifactError: The table is not the one the digest was made of.
        """
        fields = dict(data)
        digest = fields.pop("digest")
        made = cls(**fields)
        if made.digest != digest:
            raise ArtifactError(
                f"Interface {made.name!r}",
                f"digest {digest}",
                f"a table of digest {made.digest}",
                "The table was edited. Restore it from a copy.",
            )
        return made

    def save(self, path: Path | str) -> None:
        """Write to a file."""
        artifact.save(path, artifact.Artifact("interface", {}, self.to_json()))

    @classmethod
    def load(cls, path: Path | str) -> Interface:
        """Read what `save` wrote.

        Raises:
            ArtifactError: Missing, of another kind, or changed since.
        """
        return cls.from_json(artifact.load(path, "interface").meta)


def _names(classes: Iterable[str], who: str) -> list[str]:
    names = [classes] if isinstance(classes, str) else list(classes)
    if isinstance(classes, str) or not all(isinstance(n, str) and n for n in names):
        raise InvalidInput(who, "a list of non-empty names of classes", repr(classes)[:80])
    return [str(name) for name in names]


def _whole(value: Any, who: str) -> int:
    try:
        return int(index(value))
    except TypeError as cause:
        raise InvalidInput(who, "whole numbers of vertices", repr(value)) from cause
