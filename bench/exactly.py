"""Exact searches in the place of a store's own, as the truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from holdfast.arrays import Vectors, id_array
from holdfast.hits import Hits
from holdfast.store.base import VectorStore
from holdfast.store.topk import best

from .twins import names_of, places_of


class Exactly:
    """A store whose searches compare with every row; all else is the store's own."""

    def __init__(self, store: VectorStore, vectors: Vectors) -> None:
        self._store, self._vectors = store, vectors

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def __len__(self) -> int:
        return len(self._store)

    def search(self, queries: Vectors, k: int, where: Any = None) -> Hits:
        """Exact hits among the visible rows."""
        del where
        shown = _shown(self._store)
        out = Hits.empty(len(queries), k)
        table = queries.array @ self._vectors.array[shown].T
        places, scores = best(table, k)
        width = places.shape[1]
        out.ids[:, :width] = id_array(names_of(len(self._vectors)))[shown[places]]
        out.scores[:, :width] = scores
        return out


def _shown(store: VectorStore) -> np.ndarray:
    """(v,) numbers of the visible rows."""
    found, after = [], None
    while True:
        page = store.scan(after, 20_000)
        names = [n for n, away in zip(page.rows.ids, page.rows.hidden, strict=True) if not away]
        found.append(places_of(names))
        after = page.after
        if after is None:
            return np.sort(np.concatenate(found))
