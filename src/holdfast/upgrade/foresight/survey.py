"""The survey: what is gathered before a verdict, for a tenth of the price at most.

Queries come from your judgements, else from the documents (`questions.py`). They are encoded
by both models; of the documents the new model reads a sample only, in rounds (`sampling.py`).
What it answers is kept beside the gallery, so that a later backfill does not pay for it again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...arrays import FloatArray, IdArray, IntArray, Vectors
from ...encode.cache import CachedEncoder
from ...errors import UpgradeError
from ...hits import Hits
from ...space import Space
from ...store.base import VectorStore
from ...store.topk import scores
from ..price import characters
from ..project import Project
from .forecast import Measure
from .sampling import gather
from .scope import Scope
from .unseen import LEAST, Known

_BATCH = 256


@dataclass(frozen=True, eq=False)
class Survey:
    """What was gathered.

    Args:
        scope: What was asked of what.
        known: For the forecast.
        bridged: The queries over a bridge into the old space; None where none can be fitted.
        length: Mean characters of a sampled item; None where items are not text.
        paid: Contents that the new model was really asked for.
        rate: Of these a second; None where all were kept already.
        notes: What to know when reading the results.
    """

    scope: Scope
    known: Known
    bridged: Vectors | None
    length: float | None
    paid: int
    rate: float | None
    notes: Sequence[str]


class _Asked:
    """An encoder whose answers are kept, with what it was paid for."""

    def __init__(self, encoder: Any, path: Path) -> None:
        kept = isinstance(encoder, CachedEncoder) and encoder.keep
        self._cache = encoder if kept else CachedEncoder(encoder, path)
        self._before = self._cache.misses
        self.seconds = 0.0

    @property
    def space(self) -> Space:
        return self._cache.space

    @property
    def paid(self) -> int:
        return self._cache.misses - self._before

    def encode(self, contents: Sequence[Any], role: Literal["query", "document"]) -> Vectors:
        begun = time.monotonic()
        parts = [
            self._cache.encode(contents[start : start + _BATCH], role)
            for start in range(0, len(contents), _BATCH)
        ]
        self.seconds += time.monotonic() - begun
        space = self._cache.space
        return Vectors(space, np.concatenate([part.array for part in parts]))


class _Documents:
    """Documents of a scope, as far as the new model has read them."""

    def __init__(self, scope: Scope, source: Any, model: _Asked) -> None:
        self._scope, self._source, self._model = scope, source, model
        self._contents: dict[int, Any] = {}  # None: it is gone
        self._vectors: dict[int, FloatArray] = {}
        self.paid, self.seconds = 0, 0.0

    @property
    def contents(self) -> list[Any]:
        """Of all that was read."""
        return [content for content in self._contents.values() if content is not None]

    @property
    def notes(self) -> list[str]:
        """How many are gone."""
        gone = len(self._contents) - len(self.contents)
        return [f"The content of {gone} sampled items is gone."] if gone else []

    def first(self) -> IntArray:
        """Places to begin with.

        Raises:
            UpgradeError: Too much of the sampled content is gone.
        """
        rows, size = self._scope.rows, self._scope.size
        self._look_up(rows)
        if len(self.contents) < LEAST:  # as many others as there may be, instead of the best
            others = np.setdiff1d(np.arange(len(self._scope.ids)), rows)
            others = np.random.default_rng(2).permutation(others)[: size - len(rows)]
            rows = np.sort(np.concatenate([rows, others]))
            self._look_up(rows)
        if len(self.contents) < LEAST:
            raise UpgradeError(
                "assess",
                f"content for at least {LEAST} sampled items",
                f"{len(self.contents)} of {len(rows)}",
                "Is the source the one that the gallery was built from?",
            )
        return rows

    def read(self, rows: IntArray) -> tuple[IntArray, Vectors]:
        """Those whose content is there, and their new vectors."""
        self._look_up(rows)
        there = [row for row in rows.tolist() if self._contents[row] is not None]
        fresh = [row for row in there if row not in self._vectors]
        paid, seconds = self._model.paid, self._model.seconds
        if fresh:
            told = self._model.encode([self._contents[row] for row in fresh], "document")
            self._vectors.update(zip(fresh, told.array, strict=True))
        self.paid += self._model.paid - paid
        self.seconds += self._model.seconds - seconds
        table = np.stack([self._vectors[row] for row in there])
        return np.array(there, dtype=np.int64), Vectors(self._model.space, table)

    def _look_up(self, rows: IntArray) -> None:
        fresh = [row for row in rows.tolist() if row not in self._contents]
        items = self._source.get([self._scope.ids[row] for row in fresh])
        for row, item in zip(fresh, items, strict=True):
            name = self._scope.ids[row]
            self._contents[row] = (
                None if item is None else self._scope.answers.get(name, item.content)
            )


def conduct(
    project: Project, store: VectorStore, scope: Scope, kept: Path, measure: Measure
) -> Survey:
    """Ask the models.

    Args:
        project: The project.
        store: What is served now.
        scope: From `scope_of`.
        kept: File in which the new model's answers are kept.
        measure: What will be forecast: which documents are read depends on it.
    Raises:
        EncoderError: A model does not answer.
        UpgradeError: Too much of the sampled content is gone.
    """
    asked, own = scope.asked, None
    model = _Asked(project.new_encoder, kept)
    documents = _Documents(scope, project.content(store), model)
    first = documents.first()
    new_queries = model.encode(asked, "query")
    old_docs = _old_docs(project, store, scope)
    if project.old_encoder is not None:
        own = project.old_encoder.encode(asked, "query")

    def known_with(rows: IntArray) -> Known:
        there, new_docs = documents.read(rows)
        old = _over(new_docs, old_docs.take(there), new_queries) if own is None else own
        paired = own is not None
        return Known(old, new_queries, old_docs, there, new_docs, scope.relevant, paired)

    known = gather(known_with, first, scope.size, measure, project.config.upgrade.seed)
    bridged = _over(known.new_docs, old_docs.take(known.rows), new_queries)
    notes = [*documents.notes, *_notes(scope)]
    rate = documents.paid / documents.seconds if documents.paid and documents.seconds else None
    scope, length = replace(scope, rows=known.rows), characters(documents.contents)
    return Survey(scope, known, bridged, length, model.paid, rate, notes)


def _over(new_docs: Vectors, old_docs: Vectors, new_queries: Vectors) -> Vectors:
    """The queries over the bridge of these pairs."""
    from ...align.choose import choose

    return choose(new_docs, old_docs, side="query", floor=False).bridge.transform(new_queries)


def _notes(scope: Scope) -> list[str]:
    notes = [scope.absent] if scope.absent else []
    if scope.made:
        notes.append(
            f"{len(scope.judgements)} questions were made from documents: first sentences, taken "
            "out of their answers. They compare models; they do not say how good either is."
        )
    if len(scope.ids) < scope.items:
        notes.append(
            f"Ranked among {len(scope.ids):,} of {scope.items:,} items: all figures are higher "
            "than those of the whole gallery, for both models."
        )
    return notes


def _old_docs(project: Project, store: VectorStore, scope: Scope) -> Vectors:
    """(n, d) old vectors; of answers to made questions those without the question."""
    names, parts = scope.ids.tolist(), []
    for start in range(0, len(names), 4096):
        found = store.get(names[start : start + 4096]).vectors
        if found is not None:
            parts.append(found.array)
    table = np.concatenate(parts)
    if scope.answers:
        place = {name: at for at, name in enumerate(names)}
        told = list(scope.answers)
        again = project.old_encoder.encode([scope.answers[name] for name in told], "document")
        table[[place[name] for name in told]] = again.array
    return Vectors(store.space, table)


def hits_of(ids: IdArray, places: IntArray, k: int) -> Hits:
    """Ranked places as hits whose scores are their order; of k columns, if places are fewer."""
    count, width = places.shape
    hits = Hits.empty(count, max(k, width))
    hits.ids[:, :width] = ids[places]
    hits.scores[:, :width] = -np.arange(width)
    return hits


def table_of(asked: Vectors, docs: Vectors) -> Any:
    """(q, n) scores in one space."""
    return scores(asked.array, docs.array, docs.space.metric)
