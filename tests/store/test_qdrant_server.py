"""The store over HTTP: the same contract, keys, retries, indexes, and what is sent."""

import subprocess
import sys

import numpy as np
import pytest

from holdfast.errors import StoreError
from holdfast.space import Space
from holdfast.store import qdrant_connection
from holdfast.store.check import store_checks
from holdfast.store.qdrant import QdrantStore

pytest.importorskip("qdrant_client", reason="needs holdfast[qdrant]")
from tests.house.tree import ROOT
from tests.store.qdrant_server import Qdrant

SPACE = Space("served", 4)
# One check of each kind; all of them run against a real server, see test_qdrant_contract.py.
TRIED = {
    *("check_scores", "check_ties", "check_older_revision", "check_counted_revisions"),
    *("check_upsert_replaces", "check_read_and_write_back", "check_scan", "check_scan_resumes"),
    *("check_filter_joined", "check_filter_range", "check_filter_types", "check_hide"),
    *("check_update_hidden", "check_delete_hidden", "check_reopen", "check_threads"),
    *("check_reopen_as_another_space", "check_delete", "check_rejected_payloads"),
}
CHECKS = [c for c in store_checks(["cosine"]) if c.name in TRIED]
CHECKS += [c for c in store_checks(["euclidean"]) if c.name in ("check_scores", "check_scan")]


@pytest.fixture
def server():
    made = Qdrant()
    yield made
    made.stop()


def test_the_names_of_the_checks_are_known():
    assert {check.name for check in CHECKS} == TRIED


PAIRED = ("check_scores", "check_older", "check_update_hidden", "check_delete", "check_scan")
CASES = [(check, False) for check in CHECKS]
CASES += [(check, True) for check in CHECKS if check.name.startswith(PAIRED)]


@pytest.mark.parametrize(("check", "pair"), CASES, ids=str)
def test_contract_over_http(server, check, pair, tmp_path):
    folders = {}

    def open_at(folder, space):
        name = f"c-{folder.name}"
        store = QdrantStore(folder, space, url=server.url, pair=pair, collection=name, exact=True)
        folders[store] = folder
        return store

    def make(space):
        return open_at(tmp_path / str(len(folders)), space)

    assert check(make, lambda store, space: open_at(folders[store], space), rows=60) is None


def test_the_key_is_sent_and_a_wrong_one_is_refused(monkeypatch, tmp_path):
    server = Qdrant(key="open sesame")
    try:
        monkeypatch.setenv("TOY_KEY", "open sesame")
        with pytest.warns(UserWarning, match="insecure"):
            store = QdrantStore(tmp_path, SPACE, url=server.url, api_key_env="TOY_KEY")
        store.upsert(["a"], np.eye(4)[:1])
        assert len(store) == 1
        store.close()
        monkeypatch.setenv("TOY_KEY", "please")
        with pytest.warns(UserWarning, match="insecure"), pytest.raises(StoreError, match="403"):
            QdrantStore(tmp_path, SPACE, url=server.url, api_key_env="TOY_KEY")
    finally:
        server.stop()


@pytest.mark.parametrize(("version", "pair"), [("1.15.5", False), ("1.17.1", True)])
def test_a_server_that_would_overlook_what_is_asked_is_refused(server, version, pair, tmp_path):
    server.version = version
    with pytest.raises(StoreError, match=rf"1\.1[68] or newer, got one of {version}"):
        QdrantStore(tmp_path, SPACE, url=server.url, pair=pair)
    assert not server.client.get_collections().collections  # nothing was made


@pytest.mark.parametrize("version", ["1.16.0", "v1.18.2-dev", "2.0", "nightly", None])
def test_a_server_that_is_new_enough_or_does_not_say_is_taken(server, version, tmp_path):
    server.version = version
    QdrantStore(tmp_path, SPACE, url=server.url).close()


def test_a_server_that_stumbles_is_asked_again_and_one_that_stays_down_is_an_error(
    server, monkeypatch, tmp_path
):
    monkeypatch.setattr(qdrant_connection, "_WAIT", 0.0)
    store = QdrantStore(tmp_path, SPACE, url=server.url)
    server.fail = 3
    store.upsert(["a"], np.eye(4)[:1], [{"n": 1}], [3])
    assert store.revisions(["a"]).tolist() == [3]
    server.fail = 4
    with pytest.raises(StoreError, match="503"):
        store.revisions(["a"])
    assert store.search(np.eye(4)[:1], 1).ids[0, 0] == "a"
    store.close()


FORKED = """
import os, sys
import numpy as np
from holdfast.space import Space
from holdfast.store.qdrant import QdrantStore

store, rows = QdrantStore(sys.argv[1], Space("served", 4), url=sys.argv[2]), np.eye(4)
store.upsert(["a", "b", "c", "d"], rows)
child = os.fork()
if not child:
    os._exit(0 if store.search(rows, 1).ids[:, 0].tolist() == ["a", "b", "c", "d"] else 1)
assert os.waitpid(child, 0)[1] == 0
assert store.search(rows[1:], 1).ids[:, 0].tolist() == ["b", "c", "d"]
store.close()
"""


def test_a_forked_process_asks_over_a_connection_of_its_own(server, tmp_path):
    url = server.url.replace("127.0.0.1", "127.1")  # the client keeps none to its own machine
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(tmp_path), url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    *_, before, forked, after = server.callers
    assert before == after != forked


def test_writes_carry_their_condition_and_fields_that_filters_asked_for_are_indexed(
    server, tmp_path
):
    store = QdrantStore(tmp_path, SPACE, url=server.url, ef=77)
    vector = store._points.vector
    store.upsert(["a", "b", "c"], np.eye(4)[:3], [{"lang": "en", "year": 1999}] * 3, [5, 5, 7])
    (body,) = [b for verb, path, b in server.asked if verb == "PUT" and path.endswith("/points")]
    cases = body["update_filter"]["should"]
    bounds = [case["must"][1]["should"][0]["range"]["lte"] for case in cases]
    assert [len(case["must"][0]["has_id"]) for case in cases] == [2, 1]
    assert bounds == [5, 7]
    assert store.search(np.eye(4)[:1], 3, {"lang": "en", "year": {"gt": 1990}}).ids[0, 0] == "a"
    (searches,) = [b["searches"] for _, path, b in server.asked if path.endswith("query/batch")]
    assert searches[0]["params"] == {"hnsw_ef": 77, "exact": False}
    assert searches[0]["using"] == vector
    assert (store.limits.exact, store.limits.recall_floor) == (False, 0.95)
    store.tend()
    (kinds,) = server.indexes.values()
    years = {"n-year": "float", "f-year": "float", "s-year": "keyword"}
    assert kinds == {f"h-{vector}": "bool", "s-lang": "keyword", **years}
    store.drop()
    assert not server.client.get_collections().collections
