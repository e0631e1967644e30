"""What an assessment asks of what, before any model is asked.

Queries come from your judgements, else from the documents (`questions.py`). A large gallery is
ranked in part, all answers included. How many documents the new model may read is settled
here, and which ones it reads first (`sampling.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from ...arrays import IdArray, IntArray
from ...errors import UpgradeError
from ...measure.judgements import Judgements
from ...store.base import VectorStore
from ..order import read_rows
from ..project import Project
from .questions import questions
from .rivals import Bools
from .sampling import RANDOM, first_sample
from .unseen import LEAST

QUERIES = 500  # judged queries that are asked, drawn where there are more
DOCUMENTS = 10_000  # of a larger gallery, that are ranked: all answers, the rest at random


Most: TypeAlias = Callable[[Sequence[Any]], int]


@dataclass(frozen=True, eq=False)
class Scope:
    """What is asked of what.

    Args:
        judgements: The queries, with texts.
        made: Whether they were made from documents.
        ids: (n,) the documents that are ranked.
        revisions: (n,) theirs.
        items: Of the whole gallery.
        rows: (m,) places of those that the new model reads first; of all that it has read,
            when it has.
        size: How many it may read; which ones depends on what the first ones say.
        answers: Contents that stand for a document, where a question was taken out of it.
        absent: What to know of relevant items that the gallery does not have.
    """

    judgements: Judgements
    made: bool
    ids: IdArray
    revisions: IntArray
    items: int
    rows: IntArray
    size: int
    answers: dict[str, str] = field(default_factory=dict)
    absent: str = ""

    @property
    def asked(self) -> list[Any]:
        """Contents of the queries, which the new model reads like items."""
        return [item.content for item in self.judgements.items()]

    @property
    def kept(self) -> int:
        """How many of `rows` are read whole, as a backfill reads them: it pays only for others."""
        return sum(name not in self.answers for name in self.ids[self.rows].tolist())

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
    absent = _absent(judgements, present, len(judgements) - len(asked))
    drawn = np.sort(np.random.default_rng(seed).permutation(asked)[:QUERIES])
    judgements = judgements.take(drawn.tolist())
    kept = _ranked(ids, judgements, seed)
    none = np.zeros(0, np.int64)
    scope = Scope(
        judgements, False, ids[kept], revisions[kept], len(ids), none, size, absent=absent
    )
    size = min(_afforded(size, scope.asked, most, len(ids)), len(kept))
    return replace(scope, rows=first_sample(scope.relevant, size, seed), size=size)


def _absent(judgements: Judgements, present: set[str], left_out: int) -> str:
    wanted = judgements.relevant()
    count = sum(name not in present for name in wanted)
    words = f"{count:,} of {len(wanted):,} relevant items are not in the gallery"
    if left_out:
        words += f"; {left_out:,} of {len(judgements):,} queries have no other and are left out"
    return f"{words}." if count else ""


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
            f"Allow a larger one: --sample {math.ceil(100 * LEAST / items)}%, or a larger budget.",
        )
    return size


def _afforded(size: int, asked: Sequence[Any], most: Most | None, items: int) -> int:
    """The size of the sample that a budget pays for once these queries are paid."""
    return size if most is None else _large_enough(min(size, most(asked)), items)


def _ranked(ids: IdArray, judgements: Judgements, seed: int) -> IntArray:
    """Places of the documents that are ranked: all, or all answers and others at random."""
    if len(ids) <= DOCUMENTS:
        return np.arange(len(ids))
    qrels = map(judgements.qrels.__getitem__, judgements.query_ids)
    answers = {name for one in qrels for name, grade in one.items() if grade > 0}
    shuffled = np.random.default_rng(seed).permutation(len(ids))
    first = np.array([name in answers for name in ids[shuffled]])
    most = max(DOCUMENTS, int(first.sum()))
    return np.sort(np.concatenate([shuffled[first], shuffled[~first]])[:most])


def _made(
    project: Project,
    store: VectorStore,
    ids: IdArray,
    revisions: IntArray,
    size: int,
    most: Most | None,
) -> Scope:
    """Questions from a half of the sample; the rest is chosen as for judged ones."""
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
    size, taken = min(size, len(ids)), int(asking.sum())
    background = turned[: min(max(round(RANDOM * size), LEAST - taken), size - taken)]
    rows = np.sort(np.concatenate([np.flatnonzero(asking), background]))
    return Scope(judgements, True, ids, revisions, total, rows, size, answers)
