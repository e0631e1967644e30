"""Every store of ours under the contract, for every check and metric.

A store named here that cannot be opened fails; it is never skipped.
"""

from itertools import count

import pytest

from holdfast.store.check import store_checks
from holdfast.store.registry import STORES, open_store

KINDS = {
    "memory": ("memory", {}),
    "edge": ("edge", {}),
    "edge-exact": ("edge", {"exact": True}),
    "faiss-flat": ("faiss", {"index": "flat"}),
    # with so low a bound that the checks of an index meet one
    "faiss-ivf": ("faiss", {"index": "ivf", "exact_below": 1024}),
    "faiss-hnsw": ("faiss", {"index": "hnsw", "exact_below": 1024}),
    # in a folder, as a pair and on a server: test_qdrant_contract.py
    "qdrant": ("qdrant", {"memory": True}),
    "pgvector": ("pgvector", {"exact_below": 512}),
}

# A server answers each call from another process: fewer rows, still more than it scans. The
# local mode of Qdrant has no index, so that few rows do; nor have the exact stores.
SIZES = {
    "pgvector": {"rows": 1500},
    "qdrant": {"rows": 60},
    **{kind: {"rows": 600} for kind in ("memory", "edge-exact", "faiss-flat")},
}
SERVERS = {"pgvector": "postgres"}  # fixtures; without a server the kind is skipped, saying why

# Checks that a kind does not owe; whatever else declares itself out fails the test.
NOT_OWED = {
    "memory": ("check_reopen", "check_index_reopen"),
    "qdrant": ("check_reopen", "check_index_reopen"),
}
TOO_LONG = {("qdrant", "check_large_batch")}


@pytest.mark.parametrize("check", store_checks(), ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_contract(kind, check, tmp_path, request):
    if kind in SERVERS:
        request.getfixturevalue(SERVERS[kind])
    if (kind, check.name) in TOO_LONG:
        pytest.skip("twenty seconds of Python; tried on servers")
    reason = try_out(kind, check, tmp_path, **SIZES.get(kind, {}))
    owed = not check.name.startswith(NOT_OWED.get(kind, ("nothing",)))
    assert owed == (reason is None), reason


@pytest.mark.parametrize("name", ["check_recall", "check_index_hidden", "check_index_reopen"])
@pytest.mark.slow
def test_contract_of_the_graph_in_edge(name, tmp_path):
    # The engine scans parts below 10 MB, so it takes long vectors to see its graph.
    check = next(c for c in store_checks(["cosine"]) if c.name == name)
    assert try_out("edge", check, tmp_path, dim=384, rows=8000) is None


def try_out(kind, check, tmp_path, **sizes):
    name, options = KINDS[kind]
    folders, number = {}, count()

    def make(space):
        return open_at(tmp_path / str(next(number)), space)

    def open_at(folder, space):
        store = open_store(name, folder, space, **options)
        folders[store] = folder
        return store

    def reopen(store, space):
        return open_at(folders[store], space)

    return check(make, reopen, **sizes)


def test_every_kind_of_store_is_under_the_contract():
    assert {name for name, _ in KINDS.values()} == set(STORES)
