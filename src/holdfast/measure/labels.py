"""Labels: items of one class answer each other, as in image retrieval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import InvalidInput
from ..hits import NO_ID, Hits
from .grades import Grades, check_distinct, check_rows
from .judgements import Unanswerable


class Labels:
    """Class labels as relevance: every gallery item of the query's class is relevant.

    A query that is itself in the gallery (the same id) is not its own answer: it is taken
    out of its hits, and later ranks move up. The last column is then used up, so ask the
    search for one hit more than the metric needs.

    Args:
        queries: Query id to its label, in the order in which the hits come.
        gallery: Id to label of every item that a search can return.
        unanswerable: Whether queries without another item of their class are refused or
            dropped; `dropped` counts them.
    Raises:
        InvalidInput: No query left, one without an answer, or labels without ids.
    Example:
        >>> Labels({"a": "cat"}, {"a": "cat", "b": "cat", "c": "dog"}).counts.tolist()
        [1]
    """

    def __init__(
        self,
        queries: Mapping[str, Any],
        gallery: Mapping[str, Any],
        unanswerable: Unanswerable = "refuse",
    ) -> None:
        for side in (queries, gallery):
            if not isinstance(side, Mapping):
                raise InvalidInput("Labels", "labels by id, on both sides", type(side).__name__)
        sizes = Counter(gallery.values())
        count = {
            q: sizes[label] - (q in gallery and gallery[q] == label) for q, label in queries.items()
        }
        kept = [q for q in queries if count[q] > 0]
        if not kept or (unanswerable != "drop" and len(kept) < len(queries)):
            raise InvalidInput(
                "Labels",
                "for each query another gallery item of its class",
                f"none for {len(queries) - len(kept)} of {len(queries)} queries",
                'Pass unanswerable="drop" to leave them out; the count is kept.',
            )
        self.query_ids = tuple(kept)
        self.dropped = len(queries) - len(kept)
        self.counts = np.array([count[q] for q in kept], dtype=np.int64)
        code = {label: number for number, label in enumerate(sizes)}
        self._own = np.array([code[queries[q]] for q in kept], dtype=np.int64)
        self._gallery = {name: code[label] for name, label in gallery.items()}
        self._gallery[NO_ID] = -1

    def __len__(self) -> int:
        return len(self.query_ids)

    def take(self, rows: Sequence[int]) -> Labels:
        """Some of the queries, for a slice, a sample or a batch; the gallery stays whole."""
        part = object.__new__(Labels)
        part.query_ids = tuple(self.query_ids[i] for i in rows)
        part.dropped = 0
        part.counts, part._own = self.counts[list(rows)], self._own[list(rows)]
        part._gallery = self._gallery
        return part

    def look_up(self, hits: Hits) -> Grades:
        """Grade the hits 1 where the class agrees, else 0.

        Args:
            hits: (q, k) hits, row i for `query_ids[i]`.
        Raises:
            InvalidInput: Another number of rows, or an id without a label.
            DuplicateIds: A relevant item twice in one row.
        """
        check_rows(hits, self)
        hits = without_self(hits, self.query_ids, self._gallery)
        label = self._gallery
        try:
            codes = np.array(
                [[label[name] for name in row] for row in hits.ids.tolist()], dtype=np.int64
            ).reshape(hits.ids.shape)
        except KeyError as cause:
            raise InvalidInput(
                "Labels", "a label for every hit", f"none for {cause.args[0]!r}"
            ) from cause
        same = codes == self._own[:, None]
        check_distinct(hits.ids, same, self.query_ids)
        return Grades(same.astype(np.int64), self.counts)


def without_self(hits: Hits, query_ids: Sequence[str], stored: Mapping[str, Any]) -> Hits:
    """Hits with each query's own id taken out and the later ones moved up.

    Args:
        hits: (q, k) hits.
        query_ids: The q ids.
        stored: Holds the ids of the gallery; where it holds none of the queries, nothing
            is taken out.
    Returns:
        (q, k - 1) hits; the (q, k) ones unchanged when no query is stored.
    """
    if not any(q in stored for q in query_ids):
        return hits
    own = np.empty((len(hits), 1), dtype=object)
    own[:, 0] = list(query_ids)
    order = np.argsort(hits.ids == own, axis=1, kind="stable")[:, : max(hits.k - 1, 0)]
    return Hits(
        np.take_along_axis(hits.ids, order, axis=1), np.take_along_axis(hits.scores, order, axis=1)
    )
