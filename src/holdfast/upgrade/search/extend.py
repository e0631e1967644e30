"""Old vectors under a space that extends theirs: pad with zeros, exactly, without padding.

If `new = [old, extra]`, an old vector stands in the new space with zeros behind it. Its score
for a new query follows from the query's first coordinates alone, so the old store answers
as it is and its scores are corrected by a strictly increasing map: the ranking among
old items is the old store's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arrays import Vectors, as_vectors, squared_norms
from ...hits import Hits
from ...store.base import VectorStore


def search_extended(store: VectorStore, queries: Vectors, k: int, where: Any) -> Hits:
    """Search old vectors with queries of the space that extends theirs.

    Args:
        store: Holds vectors of the first coordinates.
        queries: (q, d + e) rows of the extending space.
        k: At least 1.
        where: Filter over payloads.
    Returns:
        Hits with the scores that the padded vectors would have.
    """
    first = np.array(queries.array[:, : store.space.dim])
    lengths = np.sqrt(squared_norms(first))
    if store.space.metric == "cosine":
        # A query without old part is equally far from all old items: any direction will do.
        first[lengths == 0.0, 0] = 1.0
    hits = store.search(as_vectors(first, store.space, "extended query"), k, where)
    if store.space.metric == "cosine":
        scores = np.where(np.isfinite(hits.scores), hits.scores * lengths[:, None], -np.inf)
    elif store.space.metric == "euclidean":
        extra = squared_norms(queries.array[:, store.space.dim :])[:, None]
        scores = -np.sqrt(hits.scores.astype(np.float64) ** 2 + extra)
    else:
        return hits
    return Hits(hits.ids, scores.astype(np.float32))
