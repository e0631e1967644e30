"""The old side in full: what it would answer had nothing moved.

Items that have moved are hidden on the old side, and most stores keep them apart from their
index. So they are compared with the query one by one, as a scan brings them: right, and as slow
as that is long. It is for a sample of queries, asked together, beside the traffic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arrays import Vectors
from ...hits import Hits, merge
from ...store.base import Rows, VectorStore, pages
from ...store.topk import top
from ...store.where import Where, matches

_PAGE = 4_096  # rows


def search_in_full(store: VectorStore, queries: Vectors, k: int, where: Where | None) -> Hits:
    """The k best rows for each query, hidden ones included.

    Nobody need be kept out: what is hidden meanwhile is found by the search before the scan, what
    is shown meanwhile by the one after it, and what is found twice counts once.

    Args:
        store: Of the queries' space.
        queries: (q, d) rows.
        k: At least 1.
        where: Filter over payloads.
    """
    whole = _is_whole(store)
    found = store.search(queries, k, where)
    if whole and _is_whole(store):
        return found
    for rows in pages(store, _PAGE, vectors=True):
        best = _best(rows, queries, k, where)
        if best is not None:
            found = _joined(found, best, k)
    return _joined(found, store.search(queries, k, where), k)


def _is_whole(store: VectorStore) -> bool:
    return store.visible == len(store)


def _best(rows: Rows, queries: Vectors, k: int, where: Where | None) -> Hits | None:
    """The best of the hidden rows of a page."""
    keep = np.flatnonzero(np.asarray(rows.hidden, dtype=bool))
    if where is not None:
        keep = np.array(
            [i for i in keep.tolist() if matches(where, rows.payloads[i])], dtype=np.intp
        )
    if not len(keep):
        return None
    places, scores = top(queries.array, rows.vectors_read.array[keep], k, queries.space.metric)
    names = np.array([rows.ids[i] for i in keep], dtype=object)
    out = Hits.empty(len(queries), k)
    out.ids[:, : places.shape[1]] = names[places]
    out.scores[:, : places.shape[1]] = scores
    return out


def _joined(first: Hits, second: Hits, k: int) -> Hits:
    """Merged, each id once."""
    both = merge(first, second, 2 * k)
    out = Hits.empty(len(both), k)
    for row in range(len(both)):
        once: dict[Any, float] = {}
        for name, score in both.row(row):
            once.setdefault(name, score)
        for place, (name, score) in enumerate(list(once.items())[:k]):
            out.ids[row, place], out.scores[row, place] = name, score
    return out
