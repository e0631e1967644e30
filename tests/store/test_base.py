"""Rows of which others may delete some meanwhile."""

import numpy as np
import pytest

from holdfast.errors import MissingIds, StoreError
from holdfast.space import Space
from holdfast.store.base import get_known
from holdfast.store.memory import MemoryStore

SPACE = Space("letters", 2)
NAMES = [f"i{n}" for n in range(60)]


@pytest.fixture
def store():
    store = MemoryStore(SPACE)
    store.upsert(NAMES, np.ones((len(NAMES), 2)))
    return store


def test_each_look_may_come_upon_a_deletion(store, monkeypatch):
    """Sixty in a row, one a look: what is left is answered."""
    get, left = store.get, list(NAMES)

    def meddle(ids, vectors=True):
        if len(left) > 3:
            store.delete([left.pop(0)])
        return get(ids, vectors)

    monkeypatch.setattr(store, "get", meddle)
    rows = get_known(store, ["absent", *NAMES])
    assert rows.ids == NAMES[-3:]
    assert rows.vectors_read.array.shape == (3, 2)


def test_a_store_that_says_it_has_what_it_has_not_is_named(store, monkeypatch):
    revisions = store.revisions
    monkeypatch.setattr(store, "revisions", lambda ids: np.maximum(revisions(ids), 0))
    with pytest.raises(
        StoreError, match=r"from letters: expected .*'gone' \(1 of 2 are not\), 20 times"
    ) as told:
        get_known(store, ["i0", "gone"])
    assert isinstance(told.value.__cause__, MissingIds)
    assert get_known(store, ["i1", "i0"]).ids == ["i1", "i0"]
