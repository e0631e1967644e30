"""The engine's own search of a store, without the library around it: a floor for its price."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.arrays import Vectors
from holdfast.store.base import VectorStore
from holdfast.store.edge_payload import ID

Call = Callable[[Vectors], Any]


def bare(store: VectorStore, asked: Vectors, k: int) -> Call:
    """The one call into Qdrant Edge or faiss by which a store searches all that it shows.

    Its parameters are made once, by the store. What it answers is left as it is, without names.
    Where a store compares with every row, that is its own search.

    Args:
        store: An open one, with its index built; good until something is written to it.
        asked: A query, for which the store makes the parameters.
        k: Hits of each query.
    """
    shard: Any = getattr(store, "_engine", None)
    if shard is not None:
        return _edge(shard, k)
    index: Any = getattr(store, "_index", None)
    if not hasattr(index, "_how"):
        return lambda queries: store.search(queries, k)
    make, made = index._how, []

    def keep(effort: int, bits: Any) -> Any:
        made.append(make(effort, bits))
        return made[-1]

    index._how = keep
    try:
        store.search(asked, k)
    finally:
        index._how = make
    inner, parameters = index._index, made[-1]
    return lambda queries: inner.search(queries.array, k, params=parameters)


def _edge(shard: Any, k: int) -> Call:
    engine, inner = shard._engine, shard._shard
    how = engine.SearchParams(hnsw_ef=max(shard._effort(), k), exact=False)

    def search(queries: Vectors) -> Any:
        wanted = [
            engine.QueryRequest(
                limit=k, query=engine.Query.Nearest(query), with_payload=[ID], params=how
            )
            for query in queries.array.tolist()
        ]
        return inner.query_batch(engine.QueryBatchRequest(wanted))

    return search
