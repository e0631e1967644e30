"""What a build takes in: documents embedded and stored; what cannot be is left out, with a reason.

A model that can embed nothing any more is at fault itself. So before items are blamed it is asked
for others alone: one that it has embedded before, and several that lie far apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import IntArray, Vectors
from ..encode.base import Encoder
from ..encode.cache import uncached
from ..errors import HoldfastError, SourceError
from ..items import Item
from ..store.base import Rows, VectorStore
from .mover import is_of_items
from .sides.halving import halve
from .sides.refusal import NotTaken, put, refuses

_APART = 8  # documents asked for alone; a model that can embed none of them is at fault
_SHOWN = 60  # signs of a content in an error


@dataclass(frozen=True, slots=True)
class Built:
    """What a build came to.

    Args:
        items: In the gallery.
        left_out: Why others of the source could not be embedded or stored, by their ids.
    """

    items: int
    left_out: Mapping[str, str]


class Intake:
    """Embeds and stores documents. Nothing is noted of those left out: the next build tries them.

    Args:
        encoder: The old model.
        store: Where they go.
        limit: How many may be left out.
        begin: Called before anything is stored.
        clock: Answers revisions.
    Attributes:
        left_out: Reasons by id.
    """

    def __init__(
        self,
        encoder: Encoder,
        store: VectorStore,
        limit: int,
        begin: Callable[[], None],
        clock: Callable[[], int],
    ) -> None:
        self._encoder, self._store, self._limit = encoder, store, limit
        self._begin, self._clock = begin, clock
        self._embedded: Item | None = None  # what the model was seen to embed
        self.left_out: dict[str, str] = {}

    def take(
        self, items: Sequence[Item], stored: Sequence[Item], passed: Collection[str] = ()
    ) -> None:
        """Embed and store documents.

        Args:
            items: Perhaps none.
            stored: Neighbours that are stored already.
            passed: Ids of those that an earlier build came by: if they are not stored, it left
                them out, so that the store refuses them proves nothing against the store.
        Raises:
            SourceError: The model can embed none of the items, or too many are left out.
            EncoderError: The model is at fault, and says so.
            StoreError: The store cannot write at all.
        """
        self._embedded = self._embedded or next(iter(stored), None)
        if not items:
            return
        kept, vectors = self._embed(items)
        if kept:
            self._begin()
            self._keep(kept, vectors, {*self.left_out, *passed})
            self._embedded = kept[-1]
        if len(self.left_out) > self._limit:
            name, reason = next(reversed(self.left_out.items()))
            raise SourceError(
                "build",
                f"at most {self._limit} items that cannot be embedded or stored",
                f"{len(self.left_out)}; the last one, {name!r}: {reason.removesuffix('.')}",
                "Mend the cause, or raise max_quarantined under [upgrade]; then build again: "
                "it goes on.",
            )

    def _embed(self, items: Sequence[Item]) -> tuple[list[Item], Vectors]:
        sound = False

        def make(places: IntArray) -> Vectors:
            return self._encoder.encode([items[i].content for i in places], "document")

        def blames(error: HoldfastError) -> bool:
            nonlocal sound
            if is_of_items(error) and not sound:
                self._refuse_outage(items)
                sound = True
            return is_of_items(error)

        found = halve(len(items), make, blames)
        self.left_out |= {items[i].id: str(error) for i, error in found.errors.items()}
        space = self._encoder.space
        none = np.zeros((0, space.dim), dtype=np.float32)
        array = np.concatenate([none, *(part.array for part in found.answers)])
        return [items[i] for i in found.kept], Vectors(space, array)

    def _refuse_outage(self, items: Sequence[Item]) -> None:
        """Stop where the model embeds nothing; what a cache remembers proves nothing."""
        model: Encoder = uncached(self._encoder)
        places = np.unique(np.linspace(0, len(items) - 1, _APART).round().astype(int))
        errors: list[HoldfastError] = []
        for item in (*(items[i] for i in places), self._embedded):
            if item is None:
                continue
            try:
                model.encode([item.content], "document")
            except HoldfastError as error:
                if not is_of_items(error):
                    raise
                errors.append(error)
            else:
                return
        raise SourceError(
            "build",
            "contents that the old model can embed",
            f"item {items[0].id!r} with {str(items[0].content)[:_SHOWN]!r}",
            f"{errors[0]} No item that was asked alone can be: mend them, or look at what the "
            "model answers, and give the same command again: it goes on.",
        ) from errors[0]

    def _keep(self, items: Sequence[Item], vectors: Vectors, before: Collection[str]) -> None:
        rows = Rows(
            [item.id for item in items],
            np.full(len(items), self._clock(), dtype=np.int64),
            [item.payload for item in items],
            np.zeros(len(items), dtype=bool),
        )

        def write(places: IntArray) -> None:
            put(self._store, rows.take(places), vectors.take(places))

        try:
            told = halve(len(rows), write, lambda error: refuses(error, (rows, vectors), before))
        except NotTaken as error:
            raise error.error from error.error.__cause__
        self.left_out |= {rows.ids[i]: str(error) for i, error in told.errors.items()}
