"""Qdrant under the store contract: in a folder, as a pair, and on a server if one is named.

The local mode of the client has no index, so the checks of an index get few rows here.
"""

import os
from itertools import count
from uuid import uuid4

import pytest

from holdfast.space import Space
from holdfast.store.check import store_checks
from holdfast.store.checks.bench import names, sample
from holdfast.store.qdrant import QdrantStore

SERVER = os.environ.get("HOLDFAST_QDRANT_URL")
KEY = "HOLDFAST_QDRANT_KEY"
ROWS = 60
# 33,000 rows take the local mode twenty seconds; a server gets them.
LONG = "check_large_batch"


def opener(tmp_path, **options):
    folders, number = {}, count()

    def open_at(folder, space):
        store = QdrantStore(folder, space, **options)
        folders[store] = folder
        return store

    def make(space):
        return open_at(tmp_path / f"store {next(number)}" / "side", space)

    return make, lambda store, space: open_at(folders[store], space)


LASTING = [
    c
    for c in store_checks(["cosine", "euclidean"])
    if c.name.startswith(("check_reopen", "check_index_reopen"))
]


@pytest.mark.parametrize("check", LASTING, ids=str)
def test_in_a_folder_rows_last(check, tmp_path):
    assert check(*opener(tmp_path), rows=ROWS) is None


BESIDE = [c for c in store_checks(["cosine"]) if c.name != LONG and c not in LASTING]


@pytest.mark.parametrize("check", BESIDE, ids=str)
def test_a_side_of_a_pair_beside_rows_of_the_other_side(check, tmp_path):
    """The same ids are there already, in another space; this side must not notice."""
    other = Space("the other side", 5, "euclidean")
    rows, neighbours = sample(80, other, seed=9), []
    make, reopen = opener(tmp_path, pair=True, memory=True)

    def beside(space):
        store = make(space)
        neighbour = QdrantStore(
            tmp_path / f"store {len(neighbours)}" / "other", other, pair=True, memory=True
        )
        neighbour.upsert(names(80), rows)
        neighbours.append(neighbour)
        return store

    try:
        assert check(beside, reopen, rows=ROWS) is None
        for neighbour in neighbours:
            assert len(neighbour) == neighbour.visible == 80
            assert (neighbour.get(names(80)).vectors.array == rows).all()
    finally:
        for neighbour in neighbours:
            neighbour.close()


@pytest.mark.skipif(not SERVER, reason="needs a Qdrant server named by HOLDFAST_QDRANT_URL")
@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("check", store_checks() if SERVER else [None], ids=str)
def test_on_a_server(check, pair, tmp_path):
    opened = []
    options = {"url": SERVER, "pair": pair}
    if os.environ.get(KEY):
        options["api_key_env"] = KEY

    def open_at(folder, space, name):
        store = QdrantStore(folder, space, collection=name, exact=True, **options)
        opened.append((store, folder, name))
        return store

    def make(space):
        name = f"holdfast-test-{uuid4().hex}"
        return open_at(tmp_path / name, space, name)

    def reopen(store, space):
        folder, name = next((f, n) for s, f, n in opened if s is store)
        return open_at(folder, space, name)

    try:
        assert check(make, reopen) is None
    finally:
        for store, folder, name in opened:
            store.close()
            QdrantStore(folder, store.space, collection=name, **options).drop()
