"""The embedded store against the exact one, and what is particular to it."""

import json
import random
import subprocess
import sys
import threading

import numpy as np
import pytest

from holdfast.errors import InvalidInput, MissingIds, OccupiedStore, StoreError, StoreHeld
from holdfast.hits import difference
from holdfast.space import Space
from holdfast.store.edge import EdgeStore
from holdfast.store.memory import MemoryStore

SPACE = Space("small", 8)


def rows_of(count, dim=8, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


@pytest.fixture
def store(tmp_path):
    store = EdgeStore(tmp_path / "edge", SPACE)
    yield store
    store.close()


def everything(store, limit=1000):
    """id -> (revision, payload, hidden, vector bytes), by a scan; no id twice."""
    found, after = {}, None
    while True:
        page = store.scan(after, limit, vectors=True)
        rows = page.rows
        for i, name in enumerate(rows.ids):
            assert name not in found
            vector = rows.vectors.array[i].tobytes()
            found[name] = (int(rows.revisions[i]), rows.payloads[i], bool(rows.hidden[i]), vector)
        if page.after is None:
            return found
        after = page.after


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_any_sequence_of_writes_leaves_what_the_exact_store_has(tmp_path, metric):
    space = Space("any", 8, metric)
    truth, chance = MemoryStore(space), random.Random(metric)
    store = EdgeStore(tmp_path / "edge", space)
    names = [f"id {i}" for i in range(40)]
    for step in range(150):
        some = chance.sample(names, chance.randint(1, 12))
        match chance.choice(["upsert", "upsert", "delete", "hide", "hide", "unhide", "open"]):
            case "upsert":
                payloads = [{"step": step, "name": n} for n in some]
                given = chance.choice([None, [chance.randint(0, 9) for _ in some]])
                for each in (truth, store):
                    each.upsert(some, rows_of(len(some), seed=step), payloads, given)
            case "open":
                if chance.random() < 0.5:
                    store.tend()
                store.close()
                store = EdgeStore(tmp_path / "edge", space)
            case verb:
                for each in (truth, store):
                    getattr(each, verb)(some)
        assert (len(store), store.visible) == (len(truth), truth.visible)
        assert store.revisions(names).tolist() == truth.revisions(names).tolist()
        queries = rows_of(3, seed=1000 + step)
        assert difference(store.search(queries, 5), truth.search(queries, 40)) is None
    assert everything(store, 7) == everything(truth)
    there = [n for n in names if truth.revisions([n])[0] >= 0]
    np.testing.assert_array_equal(
        store.get(there).vectors.array, truth.get(there).vectors.array, strict=True
    )
    store.close()


@pytest.mark.parametrize(
    ("metric", "scores"),
    [("cosine", [1.0, 0.6, 0.0]), ("dot", [10.0, 3.0, 0.0]), ("euclidean", [0.0, -1.0, -3.0])],
)
def test_scores_of_each_metric(tmp_path, metric, scores):
    rows = {
        "cosine": [[5.0, 0.0], [3.0, 4.0], [0.0, 2.0]],
        "dot": [[10.0, 0.0], [3.0, 4.0], [0.0, 2.0]],
        "euclidean": [[1.0, 0.0], [2.0, 0.0], [1.0, 3.0]],
    }[metric]
    store = EdgeStore(tmp_path, Space("m", 2, metric))
    store.upsert(["a", "b", "c"], rows)
    hits = store.search([[1.0, 0.0]], 5)
    assert hits.ids.tolist() == [["a", "b", "c", "", ""]]
    np.testing.assert_allclose(hits.scores[0, :3], scores, atol=1e-6)
    assert np.isneginf(hits.scores[0, 3:]).all()
    store.close()


def test_cosine_rows_come_back_as_unit_rows_and_the_callers_stay(store):
    given = rows_of(5) * 7
    before = given.copy()
    store.upsert(list("abcde"), given)
    got = store.get(list("abcde")).vectors.array
    truth = given.astype(np.float64) / np.linalg.norm(given.astype(np.float64), axis=1)[:, None]
    np.testing.assert_allclose(got, truth, atol=1e-7)
    np.testing.assert_array_equal(given, before)
    store.upsert(list("abcde"), got)
    np.testing.assert_array_equal(store.get(list("abcde")).vectors.array, got)
    store.hide(["b"])
    store.unhide(["b"])
    np.testing.assert_array_equal(store.get(list("abcde")).vectors.array, got)


PAYLOADS = [
    {},
    {"i": 1, "r": "x", "p": None, "s": {"a": 1}, "n": [[1], {}]},  # our own keys
    {'q"uote': 1, "a.b": 2, "a[0]": 3, "": 4, "é\n": 5, "\ud800": "\udfff"},
    {"big": 2**70, "edge": [2**63 - 1, -(2**63), 2**64], "huge": 10**400, "tiny": 5e-324},
    {"t": True, "f": False, "one": 1, "float": 1.0, "minus": -0.0},
    {"text": "x" * 5000, "nul": "a\0b", "mark": "\x01true"},
]


def test_any_json_payload_comes_back_unchanged_also_from_hiding(store):
    names = [f"p{i}" for i in range(len(PAYLOADS))]
    store.upsert(names, rows_of(len(names)), PAYLOADS)
    for _ in range(2):
        assert list(map(repr, store.get(names).payloads)) == list(map(repr, PAYLOADS))
        store.hide(names)


def test_get_keeps_order_and_repeats_and_names_what_is_missing(store):
    store.upsert(["a", "b", "c"], rows_of(3), [{"n": n} for n in "abc"])
    store.hide(["b"])
    rows = store.get(["c", "b", "c", "a"])
    assert rows.ids == ["c", "b", "c", "a"]
    assert [p["n"] for p in rows.payloads] == ["c", "b", "c", "a"]
    assert rows.hidden.tolist() == [False, True, False, False]
    np.testing.assert_array_equal(rows.vectors.array[0], rows.vectors.array[2])
    with pytest.raises(MissingIds, match="'x'") as caught:
        store.get(["a", "x", "b", "y"])
    assert "2 of 4" in str(caught.value)


def test_strange_ids(store):
    names = ["é", "a b", "ÿ\U0001f33f", "x" * 3000, "0" * 32, "\n", "'", "\0"]
    store.upsert(names, rows_of(len(names)))
    store.hide(names[:4])
    assert sorted(everything(store, 3)) == sorted(names)
    with pytest.raises(InvalidInput):
        store.upsert(["fine", "\ud800"], rows_of(2))
    assert store.revisions(["fine", "\ud800"]).tolist() == [-1, -1]
    store.delete(["\ud800"])
    assert len(store) == len(names)


def test_a_scan_visits_each_row_once_while_rows_are_hidden_and_shown(store):
    chance = random.Random(0)
    names = [f"row {i}" for i in range(200)]
    store.upsert(names, rows_of(200))
    seen, after = [], None
    while True:
        page = store.scan(after, 11)
        seen += page.rows.ids
        if page.after is None:
            break
        after = page.after
        store.hide(chance.sample(names, 40))
        store.unhide(chance.sample(names, 30))
        store.delete([f"extra {i}" for i in range(20)])
        store.upsert([f"extra {i}" for i in range(20)], rows_of(20))
    assert sorted(n for n in seen if n.startswith("row")) == sorted(names)
    with pytest.raises(InvalidInput):
        store.scan("not a place")


def test_a_folder_of_another_space_is_refused_by_both_names(tmp_path):
    EdgeStore(tmp_path, SPACE).close()
    with pytest.raises(OccupiedStore, match=r"other.*small"):
        EdgeStore(tmp_path, Space("other", 8))
    EdgeStore(tmp_path, SPACE).close()  # the refusal let go of the folder


@pytest.mark.parametrize(
    "harm",
    [
        lambda f: (f / "shard.json").write_text("{"),
        lambda f: (f / "shard.json").unlink(),
        lambda f: (f / "shard.json").write_text(
            json.dumps({**json.loads((f / "shard.json").read_text()), "format": 99})
        ),
        lambda f: [p.write_bytes(b"no") for p in (f / "shard-0").rglob("*.json")],
        lambda f: (f / "intent").write_text("no"),
        lambda f: (f / "archive" / "rows.sqlite").write_text("no" * 5000),
    ],
    ids=["half a pointer", "no pointer", "newer format", "engine", "intent", "archive"],
)
def test_a_folder_that_cannot_be_read_is_a_store_error(tmp_path, harm):
    store = EdgeStore(tmp_path, SPACE)
    store.upsert(["a"], rows_of(1))
    store.close()
    harm(tmp_path)
    with pytest.raises(StoreError):
        EdgeStore(tmp_path, SPACE)
    with pytest.raises(StoreError):  # and not StoreHeld: the failed opening let go
        EdgeStore(tmp_path, SPACE)


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("No space left on device (os error 28)", "Make room, or let this process"),
        ("Too many open files (os error 24)", "Make room, or let this process"),
        ("source: Os { code: 24, kind: TooManyOpenFiles }", "Make room, or let this process"),
        ("Not enough space available for optimization", "Make room, or let this process"),
        ("No such file or directory (os error 2)", "Restore the folder from a copy"),
        ("wrong magic number", "Restore the folder from a copy"),
    ],
)
def test_nobody_is_told_to_delete_what_only_found_no_room(store, monkeypatch, said, fix):
    def fails(_):
        raise Exception(f"Service runtime error: {said}")

    store.upsert(["a"], rows_of(1))
    with monkeypatch.context() as patched:
        patched.setattr("holdfast.store.edge_shard.methodcaller", lambda *_: fails)
        with pytest.raises(StoreError, match=said.split(" (", maxsplit=1)[0]) as told:
            store.get(["a"])
    assert told.value.fix.startswith(fix)


def test_rows_that_the_engine_passes_over_are_missed(tmp_path):
    """A file that was cut off, as by a copy that was, is a shorter list of rows to the engine."""
    folder = tmp_path / "edge"

    def opened(do=lambda store: None):
        store = EdgeStore(folder, SPACE)
        do(store)
        rows = len(store)
        store.close()
        return rows

    names = [f"id {i}" for i in range(300)]
    opened(lambda store: store.upsert(names, rows_of(300)))
    assert opened(lambda store: store.hide(names[:100])) == 300
    assert opened(lambda store: store.delete(names[250:])) == 250
    assert opened() == 250
    for path in folder.rglob("mutable_id_tracker.*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])
    with pytest.raises(StoreError, match=r"expected the 150 rows it had, got \d+\. Restore"):
        opened()


def test_a_second_process_is_told_who_holds_the_folder(store):
    code = (
        "import sys; from holdfast.store.edge import EdgeStore; from holdfast.space import Space\n"
        "from holdfast.errors import StoreHeld\n"
        "try: EdgeStore(sys.argv[1], Space('small', 8))\n"
        "except StoreHeld as held: print(held)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.folder)], capture_output=True, text=True, check=True
    )
    from os import getpid

    assert f"process {getpid()} " in done.stdout
    with pytest.raises(StoreHeld):
        EdgeStore(store.folder, SPACE)


def test_a_closed_store_says_so(tmp_path):
    store = EdgeStore(tmp_path, SPACE)
    store.close()
    store.close()
    for use in (
        lambda: store.upsert(["a"], rows_of(1)),
        lambda: store.search(rows_of(1), 1),
        lambda: store.get(["a"]),
        store.tend,
        lambda: len(store),
        lambda: store.hide(["a"]),
    ):
        with pytest.raises(StoreError, match="closed"):
            use()


def test_readers_beside_a_writer_see_whole_batches(store):
    # A batch gives all its rows one direction: a search must never see two.
    names = [f"n{i}" for i in range(50)]
    store.upsert(names, np.tile(rows_of(1, seed=0), (50, 1)))
    wrong, done = [], threading.Event()

    def read():
        while not done.is_set():
            hits = store.search(rows_of(1, seed=99), 50)
            spread = float(np.ptp(hits.scores[0]))
            if len(set(hits.ids[0])) != 50 or spread > 1e-6:
                wrong.append((len(set(hits.ids[0])), spread))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for seed in range(60):
        store.upsert(names, np.tile(rows_of(1, seed=seed), (50, 1)))
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []


def test_importing_the_store_leaves_the_engine_alone():
    code = "import sys, holdfast.store.edge; sys.exit('qdrant_edge' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_get_does_not_wait_for_hiding_nor_miss_what_is_hidden(store, monkeypatch):
    names, table = [f"i{n}" for n in range(40)], rows_of(40)
    store.upsert(names, table)
    wanted = store.get(names).vectors.array
    reached, go, put = threading.Event(), threading.Event(), store._archive.put

    def held(rows):
        reached.set()
        assert go.wait(240)
        put(rows)

    monkeypatch.setattr(store._archive, "put", held)
    hiding = threading.Thread(target=store.hide, args=(names[:20],))
    hiding.start()
    try:
        assert reached.wait(240)
        assert np.array_equal(store.get(names).vectors.array, wanted)  # would wait for ever
    finally:
        go.set()
        hiding.join()
    assert np.array_equal(store.get(names).vectors.array, wanted)


def test_get_finds_every_row_while_rows_are_hidden_and_shown(store):
    names, table = [f"i{n}" for n in range(60)], rows_of(60)
    store.upsert(names, table)
    wanted = store.get(names).vectors.array
    stop, wrong = threading.Event(), []

    def read():
        while not stop.is_set():
            try:
                if not np.array_equal(store.get(names).vectors.array, wanted):
                    wrong.append("vectors")
            except MissingIds as error:
                wrong.append(str(error))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for turn in range(25):
            some = names[turn % 5 :: 3]
            store.hide(some)
            store.unhide(some)
    finally:
        stop.set()
        reader.join()
    assert wrong == []
