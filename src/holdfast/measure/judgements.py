"""Judgements: which documents answer which query, and how well."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from ..errors import InvalidInput
from ..hits import Hits
from ..items import Item
from .grades import Grades, check_distinct, check_rows
from .read import read_qrels, read_texts

Unanswerable: TypeAlias = Literal["refuse", "drop"]

_STRING = "Use str(id)."


@dataclass(frozen=True, slots=True, eq=False)
class Judgements:
    """Queries with their relevant documents.

    Relevance is an integer: 1 and above is relevant, 0 and below is not, as in trec_eval.
    Documents that nobody judged are not relevant. Every query has at least one relevant
    document, so no metric here ever divides zero by zero.

    Args:
        query_ids: The queries in order; row i of any hits must answer query i.
        qrels: Query id to {document id: relevance}.
        texts: The text of each query, where known.
        dropped: How many judged queries were left out since no document answers them.
    Raises:
        InvalidInput: No query, a query twice, or one without a relevant document.
    Example:
        >>> Judgements.from_dict({"q": {"a": 2, "b": 0}}).query_ids
        ('q',)
    """

    query_ids: tuple[str, ...]
    qrels: Mapping[str, Mapping[str, int]]
    texts: tuple[str, ...] | None = None
    dropped: int = 0

    def __post_init__(self) -> None:
        if not self.query_ids:
            raise InvalidInput(
                "Judgements",
                "at least one query with a relevant document",
                "none",
                "Relevance 1 and above counts.",
            )
        if len(set(self.query_ids)) != len(self.query_ids):
            twice = Counter(self.query_ids).most_common(1)[0][0]
            raise InvalidInput("Judgements", "each query once", f"{twice!r} twice")
        if self.texts is not None and len(self.texts) != len(self.query_ids):
            raise InvalidInput(
                "Judgements", f"{len(self.query_ids)} query texts", str(len(self.texts))
            )
        empty = [q for q in self.query_ids if not _answered(self.qrels.get(q, {}))]
        if empty:
            raise InvalidInput(
                "Judgements",
                "at least one relevant document for each query",
                f"none for {empty[0]!r} ({len(empty)} of {len(self.query_ids)} queries)",
                'Pass unanswerable="drop" to leave them out; the count is kept.',
            )

    def __len__(self) -> int:
        return len(self.query_ids)

    @classmethod
    def from_dict(
        cls,
        qrels: Mapping[str, Mapping[str, int]],
        texts: Mapping[str, str] | None = None,
        unanswerable: Unanswerable = "refuse",
    ) -> Judgements:
        """From query id to {document id: relevance}, in the order of the mapping.

        Args:
            qrels: Integers; 1 and above is relevant.
            texts: Query id to its text; must cover the judged queries, may hold more.
            unanswerable: Whether queries without a relevant document are refused or dropped.
        Raises:
            InvalidInput: Ids that are no strings or empty, relevance that is no integer, a query
                without a text, or without a relevant document.
        """
        _check_relevance(qrels)
        names = tuple(qrels)
        if unanswerable == "drop":
            names = tuple(q for q in qrels if _answered(qrels[q]))
        missing = [] if texts is None else [q for q in names if q not in texts]
        if missing:
            raise InvalidInput(
                "Judgements",
                "a text for each judged query",
                f"none for {missing[0]!r} ({len(missing)} of {len(names)})",
                "Do the queries and the judgements belong together?",
            )
        return cls(
            names,
            {q: dict(qrels[q]) for q in names},
            None if texts is None else tuple(texts[q] for q in names),
            len(qrels) - len(names),
        )

    @classmethod
    def from_qrels(cls, path: str | Path, unanswerable: Unanswerable = "refuse") -> Judgements:
        """From a file of TREC qrels, a tsv with or without BEIR's header, or JSONL."""
        return cls.from_dict(read_qrels(Path(path)), None, unanswerable)

    @classmethod
    def from_files(
        cls, queries: str | Path, qrels: str | Path, unanswerable: Unanswerable = "refuse"
    ) -> Judgements:
        """From BEIR's pair of files, in the order of the queries.

        Queries without any line in `qrels` belong to another split and are left out; they
        do not count as dropped.

        Args:
            queries: JSONL with an id (`_id`, `id` or `query_id`) and `text`; may be .gz.
            qrels: See `from_qrels`.
            unanswerable: Whether judged queries without a relevant document are refused
                or dropped.
        """
        texts, judged = read_texts(Path(queries)), read_qrels(Path(qrels))
        ordered = {q: judged[q] for q in texts if q in judged}
        ordered.update(judged)  # adds the ones without a text, which `from_dict` then names
        return cls.from_dict(ordered, texts, unanswerable)

    def items(self) -> list[Item]:
        """The queries as items, for an encoder.

        Raises:
            InvalidInput: The texts are not known.
        """
        if self.texts is None:
            raise InvalidInput(
                "Judgements", "queries with texts", "ids only", "Load them with `from_files`."
            )
        return [Item(q, text) for q, text in zip(self.query_ids, self.texts, strict=True)]

    def relevant(self) -> list[str]:
        """The documents that are relevant to any of the queries, each once."""
        judged = (self.qrels[query].items() for query in self.query_ids)
        return list(dict.fromkeys(name for pairs in judged for name, grade in pairs if grade > 0))

    def take(self, rows: Sequence[int]) -> Judgements:
        """Some of the queries, for a slice or a sample."""
        names = tuple(self.query_ids[i] for i in rows)
        texts = None if self.texts is None else tuple(self.texts[i] for i in rows)
        return Judgements(names, {q: self.qrels[q] for q in names}, texts)

    def look_up(self, hits: Hits) -> Grades:
        """Grade the hits in one pass over their ids.

        Args:
            hits: (q, k) hits, row i for `query_ids[i]`; unjudged ids get grade 0.
        Raises:
            InvalidInput: Another number of rows than queries.
            DuplicateIds: A relevant document twice in one row.
        """
        check_rows(hits, self)
        found = np.empty(hits.ids.shape, dtype=np.int64)
        for row, (query, ids) in enumerate(zip(self.query_ids, hits.ids.tolist(), strict=True)):
            grade = self.qrels[query].get
            found[row] = [grade(name, 0) for name in ids]
        np.maximum(found, 0, out=found)
        check_distinct(hits.ids, found > 0, self.query_ids)
        falling = [
            sorted((g for g in self.qrels[q].values() if g > 0), reverse=True)
            for q in self.query_ids
        ]
        counts = np.array([len(grades) for grades in falling], dtype=np.int64)
        if all(grades[0] == 1 for grades in falling):
            return Grades(found, counts)
        ideal = np.zeros((len(self), counts.max()), dtype=np.int64)
        for row, grades in enumerate(falling):
            ideal[row, : len(grades)] = grades
        return Grades(found, counts, ideal)


def _answered(grades: Mapping[str, int]) -> bool:
    return any(grade > 0 for grade in grades.values())


def _check_relevance(qrels: Mapping[str, Mapping[str, int]]) -> None:
    if not isinstance(qrels, Mapping):
        fix = 'Write {"query": {"id": 1}} for each.'
        raise InvalidInput("Judgements", "grades by query id", f"a {type(qrels).__name__}", fix)
    for query, grades in qrels.items():
        if not isinstance(query, str):
            raise InvalidInput("Judgements", "query ids that are strings", repr(query), _STRING)
        if not isinstance(grades, Mapping):
            got = f"a {type(grades).__name__}"
            who = f"judgements of {query!r}"
            raise InvalidInput(who, "relevance by document id", got, 'Write {"id": 1} for each.')
        for document, grade in grades.items():
            if "" in (query, document):
                raise InvalidInput("Judgements", "non-empty ids", repr((query, document)))
            if not isinstance(document, str):  # it would be found nowhere, and count as missed
                who = f"judgements of {query!r}"
                raise InvalidInput(who, "document ids that are strings", repr(document), _STRING)
            if isinstance(grade, bool) or not isinstance(grade, int | np.integer):
                raise InvalidInput(
                    f"relevance of {document!r} for {query!r}", "an integer", repr(grade)
                )
