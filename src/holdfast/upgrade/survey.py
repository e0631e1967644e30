"""The survey: what is gathered before a verdict, for a tenth of the price at most.

Queries come from your judgements, else from the documents (`questions.py`). They are encoded
by both models; of the documents the new model reads a sample only (`sampling.py`). What it
answers is kept beside the gallery, so that a later backfill does not pay for it again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from ..align.choose import choose
from ..arrays import IdArray, IntArray, Vectors, id_array
from ..encode.cache import CachedEncoder
from ..errors import UpgradeError
from ..measure.judgements import Judgements
from ..store.base import VectorStore
from ..store.topk import scores
from .order import read_rows
from .price import characters
from .project import Project
from .questions import questions
from .sampling import choose_sample
from .unseen import LEAST, Bools, Known

QUERIES = 500  # judged queries that are asked, drawn where there are more
DOCUMENTS = 10_000  # of a larger gallery, that are ranked: all answers, the rest at random
_BATCH = 256


@dataclass(frozen=True, eq=False)
class Scope:
    """What is asked of what.

    Args:
        judgements: The queries, with texts.
        made: Whether they were made from documents.
        ids: (n,) the documents that are ranked.
        revisions: (n,) theirs.
        items: Of the whole gallery.
        rows: (m,) places of those that the new model will read; empty while unknown.
        answers: Contents that stand for a document, where a question was taken out of it.
    """

    judgements: Judgements
    made: bool
    ids: IdArray
    revisions: IntArray
    items: int
    rows: IntArray
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> list[Any]:
        """Contents of the queries, which the new model reads like items."""
        return [item.content for item in self.judgements.items()]

    @property
    def relevant(self) -> Bools:
        """(q, n) which document answers which query."""
        place = {name: at for at, name in enumerate(self.ids)}
        table = np.zeros((len(self.judgements), len(self.ids)), dtype=bool)
        for row, query in enumerate(self.judgements.query_ids):
            for name, grade in self.judgements.qrels[query].items():
                if grade > 0 and name in place:
                    table[row, place[name]] = True
        return table


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


Most: TypeAlias = Callable[[Sequence[Any]], int]


def scope_of(
    project: Project, store: VectorStore, sample: float, most: Most | None = None
) -> Scope:
    """Decide what is asked of what, without asking any model.

    Args:
        project: The project.
        store: What is served now.
        sample: Part of the gallery that the new model may read.
        most: For a budget: answers how many items it may read beside these queries.
    Raises:
        UpgradeError: Too small a sample to say anything, or no questions to ask.
    """
    ids, revisions = read_rows(store)
    size = _large_enough(int(sample * len(ids) + 1e-9), len(ids))
    seed = project.config.upgrade.seed
    judgements = project.judgements()
    if judgements is None:
        return _made(project, store, ids, revisions, size, most)
    present = set(ids.tolist())
    asked = [
        row
        for row, query in enumerate(judgements.query_ids)
        if any(g > 0 and name in present for name, g in judgements.qrels[query].items())
    ]
    if not asked:
        raise UpgradeError(
            "assess", "judged queries that the gallery can answer", "none", "Check [judgements]."
        )
    drawn = np.sort(np.random.default_rng(seed).permutation(asked)[:QUERIES])
    judgements = judgements.take(drawn.tolist())
    kept = _ranked(ids, judgements, seed)
    scope = Scope(judgements, False, ids[kept], revisions[kept], len(ids), np.zeros(0, np.int64))
    size = _afforded(size, scope.asked, most, len(ids))
    # Which neighbours are near costs a query; what answers is known without.
    rows = choose_sample(scope.relevant, _blank(scope), size, seed)
    return Scope(judgements, False, scope.ids, scope.revisions, len(ids), rows)


def _large_enough(size: int, items: int) -> int:
    """The size of a sample that says something."""
    if size < LEAST and items < LEAST:
        raise UpgradeError(
            "assess",
            f"a gallery of at least {LEAST} items",
            f"{items:,}",
            "So few are moved in no time: holdfast plan, then measure with [judgements].",
        )
    if size < LEAST:
        raise UpgradeError(
            "assess",
            f"a sample of at least {LEAST} items",
            f"{size} of {items:,}",
            "Allow a larger one: --sample 30%, or a larger budget.",
        )
    return size


def _afforded(size: int, asked: Sequence[Any], most: Most | None, items: int) -> int:
    """The size of the sample that a budget pays for once these queries are paid."""
    return size if most is None else _large_enough(min(size, most(asked)), items)


def _blank(scope: Scope) -> Any:
    shuffled = np.random.default_rng(0).random((1, len(scope.ids)), dtype=np.float32)
    return np.broadcast_to(shuffled, (len(scope.judgements), len(scope.ids)))


def _ranked(ids: IdArray, judgements: Judgements, seed: int) -> IntArray:
    """Places of the documents that are ranked: all, or all answers and others at random."""
    if len(ids) <= DOCUMENTS:
        return np.arange(len(ids))
    answers = {name for query in judgements.query_ids for name in judgements.qrels[query]}
    shuffled = np.random.default_rng(seed).permutation(len(ids))
    first = np.array([name in answers for name in ids[shuffled]])
    return np.sort(np.concatenate([shuffled[first], shuffled[~first]])[:DOCUMENTS])


def _made(
    project: Project,
    store: VectorStore,
    ids: IdArray,
    revisions: IntArray,
    size: int,
    most: Most | None,
) -> Scope:
    """Questions from a half of the sample; the other half is the background."""
    if project.old_encoder is None:
        raise UpgradeError(
            "assess",
            "judged queries, since the old model is dead and cannot answer made ones",
            "none",
            "Name some in holdfast.toml, under [judgements].",
        )
    shuffled = np.random.default_rng(project.config.upgrade.seed).permutation(len(ids))
    half = min(size // 2, QUERIES)
    tried = ids[shuffled[: 4 * half]].tolist()
    found = questions(project.content(store).get(tried), half)
    if len(found) < LEAST // 2:
        raise UpgradeError(
            "assess",
            "documents that questions can be made of: texts of more than one sentence",
            f"{len(found)} among {len(tried)}",
            "Name judged queries in holdfast.toml, under [judgements].",
        )
    size = _afforded(size, [one.text for one in found], most, len(ids))
    found = found[: size // 2]
    judgements = Judgements.from_dict(
        {f"question {one.id}": {one.id: 1} for one in found},
        {f"question {one.id}": one.text for one in found},
    )
    kept = _ranked(ids, judgements, project.config.upgrade.seed)
    ids, revisions, total = ids[kept], revisions[kept], len(ids)
    answers = {one.id: one.answer for one in found}
    asking = np.array([name in answers for name in ids])
    turned = np.random.default_rng(1).permutation(np.flatnonzero(~asking))
    rows = np.sort(np.concatenate([np.flatnonzero(asking), turned[: size - int(asking.sum())]]))
    return Scope(judgements, True, ids, revisions, total, rows, answers)


class _Asked:
    """An encoder whose answers are kept, with what it was paid for."""

    def __init__(self, encoder: Any, path: Path) -> None:
        kept = isinstance(encoder, CachedEncoder) and encoder.keep
        self._cache = encoder if kept else CachedEncoder(encoder, path)
        self._before = self._cache.misses
        self.seconds = 0.0

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


def conduct(project: Project, store: VectorStore, scope: Scope, kept: Path) -> Survey:
    """Ask the models.

    Args:
        project: The project.
        store: What is served now.
        scope: From `scope_of`.
        kept: File in which the new model's answers are kept.
    Raises:
        EncoderError: A model does not answer.
        UpgradeError: Too much of the sampled content is gone.
    """
    asked = scope.asked
    scope, contents, notes = _readable(scope, project.content(store))
    model = _Asked(project.new_encoder, kept)
    new_docs = model.encode(contents, "document")
    paid, seconds = model.paid, model.seconds
    new_queries = model.encode(asked, "query")
    old_docs = _old_docs(project, store, scope)
    pairs = old_docs.take(scope.rows)
    bridged = choose(new_docs, pairs, side="query", floor=False).bridge.transform(new_queries)
    alive = project.old_encoder is not None
    old_queries = project.old_encoder.encode(asked, "query") if alive else bridged
    known = Known(
        old_queries, new_queries, old_docs, scope.rows, new_docs, scope.relevant, paired=alive
    )
    if scope.made:
        notes.append(
            f"{len(asked)} questions were made from documents: first sentences, taken out of "
            "their answers. They compare models; they do not say how good either is."
        )
    if len(scope.ids) < scope.items:
        notes.append(
            f"Ranked among {len(scope.ids):,} of {scope.items:,} items: all figures are higher "
            "than those of the whole gallery, for both models."
        )
    rate = paid / seconds if paid and seconds > 0.0 else None
    return Survey(scope, known, bridged, characters(contents), model.paid, rate, notes)


def _readable(scope: Scope, source: Any) -> tuple[Scope, list[Any], list[str]]:
    """Without sampled items whose content is gone."""
    names = [scope.ids[row] for row in scope.rows]
    items = source.get(names)
    there = np.array([item is not None for item in items], dtype=bool)
    if there.sum() < LEAST:
        raise UpgradeError(
            "assess",
            f"content for at least {LEAST} sampled items",
            f"{int(there.sum())} of {len(names)}",
            "Is the source the one that the gallery was built from?",
        )
    contents = [scope.answers.get(item.id, item.content) for item in items if item is not None]
    gone = len(names) - len(contents)
    notes = [f"The content of {gone} sampled items is gone."] if gone else []
    rows = scope.rows[there]
    changed = Scope(
        scope.judgements,
        scope.made,
        scope.ids,
        scope.revisions,
        scope.items,
        rows,
        scope.answers,
    )
    return changed, contents, notes


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


def hits_of(ids: IdArray, places: IntArray) -> Any:
    """Ranked places as hits, whose scores are their order."""
    from ..hits import Hits

    order = -np.arange(places.shape[1], dtype=np.float32)
    named = id_array(ids.tolist())[places]
    return Hits(named, np.broadcast_to(order, places.shape).copy())


def table_of(asked: Vectors, docs: Vectors) -> Any:
    """(q, n) scores in one space."""
    return scores(asked.array, docs.array, docs.space.metric)
