"""Routes: how the contents of one call come into the spaces that are read or written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from pathlib import PurePath
from typing import Any, TypeAlias

import numpy as np

from ...arrays import Vectors
from ...encode.base import as_answer
from ...errors import ConfigError, EncoderUnavailable, InvalidInput, WrongSpace
from ...items import Content
from ..side import Side
from .promise import begun

Queries: TypeAlias = Sequence[Content] | Vectors | Sequence[Vectors]


def _as_queries(given: Any) -> Queries:
    """Check the queries of a call, and copy whatever holds them into a list.

    Raises:
        InvalidInput: Bare arrays: they do not say which space they are of; or one content.
    """
    if isinstance(given, Vectors):
        return given
    if isinstance(given, np.ndarray):
        raise InvalidInput(
            "Gallery.search",
            "contents, or Vectors, which know their space",
            "a bare array",
            "Write Vectors through as_vectors(array, space, 'query').",
        )
    if isinstance(given, str | bytes | PurePath | Mapping) or not isinstance(given, Iterable):
        kind = "picture" if isinstance(given, bytes | PurePath) else type(given).__name__
        one = "string" if isinstance(given, str) else kind
        raise InvalidInput(
            "Gallery.search", "a sequence of contents", f"one {one}", "Put it in a list."
        )
    return list(given)


def some(queries: Queries, rows: Any) -> Queries:
    """Those queries of a call, as checked, that stand at these places."""
    if isinstance(queries, Vectors):
        return queries.take(rows)
    if len(queries) and isinstance(queries[0], Vectors):
        return [vectors.take(rows) for vectors in queries if isinstance(vectors, Vectors)]
    return [queries[row] for row in rows]


class Routes:
    """Brings one call's contents into the spaces that turn out to be needed, each once."""

    def __init__(self, old: Side, new: Side | None, given: Any, role: Any = "query") -> None:
        self._old, self._new, self._role = old, new, role
        self.given = given = _as_queries(given)
        self._ready: list[Vectors] = []
        self._begun: list[tuple[Side, Future[Vectors]]] = []
        self._contents: Sequence[Content] | None = None
        if isinstance(given, Vectors):
            self._ready = [given]
        elif len(given) and all(isinstance(v, Vectors) for v in given):
            self._ready = list(given)
            counts = [len(vectors) for vectors in given]
            if len(set(counts)) > 1:
                raise InvalidInput(
                    "Gallery.search",
                    "the same queries in each space",
                    f"{' and '.join(map(str, counts))} vectors",
                    "Row i of each must be query i.",
                )
        else:
            self._contents = given

    def take(self, rows: Any) -> Routes:
        """Some of the contents, with what is known of them."""
        ready = [vectors.take(rows) for vectors in self._ready]
        taken = Routes(self._old, self._new, ready, self._role)
        if self._contents is not None:
            taken._contents = [self._contents[row] for row in rows]
            taken._ready = ready
        return taken

    @property
    def first(self) -> Content | None:
        """The first of the contents."""
        return self._contents[0] if self._contents else None

    @property
    def text(self) -> str | None:
        """The first of the contents, if it is text."""
        return self.first if isinstance(self.first, str) else None

    @property
    def plain(self) -> bool:
        """Whether they are contents, which any model can be asked for, and no vectors."""
        return self._contents is not None

    def knows(self, side: Side) -> bool:
        """Whether the vectors of a side are there already."""
        return self._known(side) is not None

    def begin(self, side: Side) -> None:
        """Ask the model of a side now, beside what is asked meanwhile; `into` waits for it.

        A call that needs two models takes as long as the slower one then, not as both.
        """
        if self._contents is None or side.encoder is None or self.knows(side):
            return
        self._begun.append((side, begun(lambda: self._made(side))))

    def into(self, side: Side, patience: float | None = None) -> Vectors:
        """The contents in the space of a side.

        Args:
            side: Whose.
            patience: Seconds to wait for a model that was begun; None for as long as it takes.
        Raises:
            EncoderUnavailable: It took longer.
        """
        ready = self._known(side)
        if ready is not None:
            return ready
        promise = next((promise for known, promise in self._begun if known is side), None)
        if promise is None:
            made = self._made(side)
        else:
            # An error of the model may be a TimeoutError too.
            if not wait([promise], patience).done:
                owner = f"the model of {side.space.name}"
                raise EncoderUnavailable(owner, f"an answer within {patience:g} s", "none")
            made = promise.result()
        self._ready.append(made)
        return made

    def _known(self, side: Side) -> Vectors | None:
        return next((vectors for vectors in self._ready if vectors.space == side.space), None)

    def _made(self, side: Side) -> Vectors:
        if self._contents is None:
            return self._bridged(side)
        made = side.reach(self._contents, self._role, lambda: self.into(self._other(side)))
        owner = f"the model of {side.space.name}"
        return as_answer(made, len(self._contents), side.space, owner)

    def _other(self, side: Side) -> Side:
        # Not by the old side: a newly fitted bridge may have replaced it meanwhile.
        other = self._old if side is self._new else self._new
        if other is None or other.encoder is None:
            raise ConfigError(
                f"the side of {side.space.name}",
                "a model on at least one side",
                "none",
                "Give the encoder of either space.",
            )
        return other

    def _bridged(self, side: Side) -> Vectors:
        bridge = side.bridge
        for vectors in self._ready:
            if bridge is not None and bridge.origin == vectors.space:
                return bridge.transform(vectors)
        raise WrongSpace(
            "Gallery.search",
            f"vectors of {side.space}",
            f"vectors of {', '.join(str(v.space) for v in self._ready)}",
            "Pass Vectors of both spaces while two are read, or give that side a bridge.",
        )
