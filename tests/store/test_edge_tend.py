"""Upkeep of the embedded store: what is built, when, and that nothing stands still or is lost."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from holdfast.errors import StoreError
from holdfast.space import Space
from holdfast.store import edge_build, edge_pointer, edge_shard
from holdfast.store.edge import EdgeStore
from holdfast.store.memory import MemoryStore
from tests.background import in_background

SPACE = Space("grown", 16)
CENTRES = np.random.default_rng(7).normal(size=(40, 16))


def clustered(count, seed):
    chance = np.random.default_rng(seed)
    near = CENTRES[chance.integers(0, len(CENTRES), count)]
    return (near + 0.5 * chance.normal(size=(count, 16))).astype(np.float32)


@pytest.fixture
def small_graphs(monkeypatch):
    """Build graphs from 1,600 rows of 16-d on; the child reads the same number."""
    monkeypatch.setattr(edge_shard, "_GRAPH_KB", 100)
    monkeypatch.setattr(edge_shard, "_PART_KB", 100)
    monkeypatch.setattr(
        edge_build,
        "_CHILD",
        "from holdfast.store import edge_shard as e; e._GRAPH_KB = e._PART_KB = 100; e.rebuild()",
    )


@pytest.fixture
def store(tmp_path, small_graphs):
    store = EdgeStore(tmp_path / "edge", SPACE)
    yield store
    store.close()


def fill(store, count, seed=0, start=0):
    names = [f"r{i}" for i in range(start, start + count)]
    store.upsert(names, clustered(count, seed), [{"n": i % 10} for i in range(count)])
    return names


def graph_rows(store):
    return store._engine._call(lambda s: s.info().indexed_vectors_count)


def recall(store, truth, where=None):
    queries = clustered(100, seed=99)
    got, want = store.search(queries, 10, where), truth.search(queries, 10, where)
    return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(got.ids, want.ids, strict=True)])


def shards(store):
    return sorted(path.name for path in store.folder.glob("*shard*"))


def test_a_graph_is_built_kept_and_rebuilt_on_survivors(store):
    truth = MemoryStore(SPACE)
    for each in (store, truth):
        fill(each, 8000)
    assert graph_rows(store) == 0
    store.tend()
    assert graph_rows(store) == 8000
    assert shards(store) == ["shard-1", "shard.json"]
    assert recall(store, truth) >= store.limits.recall_floor
    assert recall(store, truth, {"n": 3}) >= store.limits.recall_floor
    for left, generation in ((4000, 2), (2000, 3)):
        gone = [f"r{i}" for i in range(left, 2 * left)]
        for each in (store, truth):
            each.hide(gone)
        store.tend()
        assert graph_rows(store) == left
        assert shards(store)[0] == f"shard-{generation}"
        assert recall(store, truth) >= store.limits.recall_floor
    store.close()
    again = EdgeStore(store.folder, SPACE)
    assert (again.visible, len(again), graph_rows(again)) == (2000, 8000, 2000)
    again.close()


def test_nothing_to_do_starts_no_child(store, monkeypatch):
    fill(store, 3000)
    store.tend()

    def refuse(*_):
        raise AssertionError("a child was started")

    monkeypatch.setattr(edge_build, "Build", refuse)
    store.tend()
    store.hide([f"r{i}" for i in range(500)])
    fill(store, 500, start=5000)
    store.tend()
    store.close()
    again = EdgeStore(store.folder, SPACE)  # the counts are kept
    again.tend()
    fill(again, 2000, start=9000)
    with pytest.raises(AssertionError, match="a child"):
        again.tend()
    again.close()


def test_an_exact_store_builds_no_graph(tmp_path, small_graphs):
    store = EdgeStore(tmp_path, SPACE, exact=True)
    truth = MemoryStore(SPACE)
    for each in (store, truth):
        fill(each, 4000)
    store.tend()
    assert graph_rows(store) == 0
    assert store.limits.exact
    assert recall(store, truth) == 1.0
    store.close()


def first(monkeypatch, do):
    """Let the child do something before it builds."""
    monkeypatch.setattr(edge_build, "_CHILD", f"{do}\n{edge_build._CHILD}")


def waiting(gate):
    """Until a file is there."""
    return f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)"


def wait_for_child(store):
    end = time.monotonic() + 240
    while store._engine._build is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    return store._engine._build._child


def test_what_is_written_while_the_graph_is_built_is_in_the_result(store, monkeypatch, tmp_path):
    first(monkeypatch, waiting(tmp_path / "written"))
    truth = MemoryStore(SPACE)
    for each in (store, truth):
        fill(each, 4000)
    thread, problems = in_background(store.tend)
    wait_for_child(store)
    for each in (store, truth):
        fill(each, 50, seed=5, start=100)  # changed
        fill(each, 50, seed=6, start=9000)  # new
        each.delete([f"r{i}" for i in range(300)][200:])
        each.hide([f"r{i}" for i in range(1000, 1100)])
    for _ in range(25):
        assert store.search(clustered(1, 3), 1).ids[0, 0]
    assert thread.is_alive()
    (tmp_path / "written").touch()
    while thread.is_alive():
        assert store.search(clustered(1, 3), 1).ids[0, 0]
    thread.join()
    assert problems == []
    assert graph_rows(store) >= 3800
    assert (len(store), store.visible) == (len(truth), truth.visible)
    names = truth.scan(limit=9999).rows.ids
    np.testing.assert_array_equal(store.revisions(names), truth.revisions(names))
    np.testing.assert_array_equal(store.get(names).hidden, truth.get(names).hidden)
    np.testing.assert_array_equal(store.get(names).vectors, truth.get(names).vectors)
    assert recall(store, truth) >= store.limits.recall_floor


def test_what_was_built_is_on_disk_before_it_counts(store, monkeypatch):
    fill(store, 2_000)
    fresh, synced, left = store.folder / "shard-1", set(), {}
    sync, write = os.fsync, edge_pointer.write_lasting

    def noted(handle):
        synced.add(Path(os.readlink(f"/proc/self/fd/{handle}")))
        sync(handle)

    def counts(path, text):
        if json.loads(text)["generation"] == 1:
            there = {fresh, fresh / "segments", *(fresh / "segments").rglob("*")}
            left["segments"] = there - synced
            left["log"] = {fresh / "wal", fresh / "wal" / "open-1"} - synced
        return write(path, text)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(edge_pointer, "write_lasting", counts)
    store.tend()
    assert graph_rows(store) == 2_000
    assert left == {"segments": set(), "log": set()}


def test_closing_gives_a_running_build_up(store, monkeypatch):
    first(monkeypatch, "import time; time.sleep(600)")
    fill(store, 4000)
    thread, problems = in_background(store.tend)
    wait_for_child(store)
    store.close()
    thread.join(240)
    assert not thread.is_alive()
    assert problems == []
    again = EdgeStore(store.folder, SPACE)
    assert (len(again), shards(again)) == (4000, ["shard-0", "shard.json"])
    again.close()


def test_a_signal_to_all_processes_of_a_service_is_no_failure_of_the_child(
    store, monkeypatch, tmp_path
):
    """Ctrl-C goes to a group of processes, and a stop of systemd to all that a service began."""
    with monkeypatch.context() as patch:
        first(patch, waiting(tmp_path / "never"))
        fill(store, 4000)
        thread, problems = in_background(store.tend)
        child = wait_for_child(store)
        assert os.getpgid(child.pid) != os.getpgrp()
        child.terminate()
        thread.join(240)
    assert problems == []
    assert (shards(store), graph_rows(store)) == (["shard-0", "shard.json"], 0)
    store.tend()
    assert (shards(store), graph_rows(store)) == (["shard-1", "shard.json"], 4000)


def test_what_a_dying_child_writes_on_does_not_stop_the_next_build(store):
    """A process that was killed is gone, and its folder swept, a little before its child is."""
    fill(store, 4000)
    (store.folder / "shard-1" / "segments").mkdir(parents=True)
    store.tend()
    assert (shards(store), graph_rows(store)) == (["shard-1", "shard.json"], 4000)


def test_a_child_that_fails_leaves_the_store_as_it_was(store, monkeypatch):
    first(monkeypatch, "raise SystemExit('out of luck')")
    names = fill(store, 4000)
    with pytest.raises(StoreError, match="out of luck"):
        store.tend()
    assert shards(store) == ["shard-0", "shard.json"]
    assert (store.revisions(names) == 0).all()
    fill(store, 4000)
    assert (store.revisions(names) == 1).all()


def test_fields_that_filters_ask_for_are_indexed(store):
    fill(store, 3000)
    store.search(clustered(1, 0), 1, {"n": {"lt": 2.5}, "lang": "en"})
    store.tend()
    schema = store._engine._call(lambda s: s.info().payload_schema)
    assert sorted(schema) == [
        "f-n",
        "n-n",
        "s-lang",
        "s-n",
    ]  # a bound looks at all kinds of numbers


def test_upkeep_of_a_store_that_is_closed_meanwhile_ends_in_peace(store, monkeypatch):
    fill(store, 10)
    monkeypatch.setattr(store._engine, "tend", lambda lock: store.close())
    store.tend()
    again = EdgeStore(store.folder, SPACE)
    assert len(again) == 10
    again.close()
