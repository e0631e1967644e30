"""What the system refuses while nothing is written for a caller: opening, upkeep, and closing."""

import resource
from contextlib import contextmanager
from operator import methodcaller
from pathlib import Path

import numpy as np
import pytest

from holdfast.errors import StoreError
from holdfast.space import Space
from holdfast.store.base import NO_REVISION
from holdfast.store.hold import Hold
from holdfast.store.registry import open_store

SPACE = Space("small", 8)
NAMES = [f"n{i}" for i in range(12)]
ROWS = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)


@contextmanager
def full(size):
    """No file may grow beyond so many bytes: a disk that is full, to who writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def unlisted(monkeypatch):
    """Folders cannot be listed, as where too many files are open."""

    def glob(self, pattern):
        raise OSError(24, "Too many open files", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "glob", glob)
        yield


@pytest.mark.parametrize("kind", ["edge", "faiss", "qdrant"])
def test_a_folder_that_cannot_be_made_is_an_error_of_the_store(tmp_path, kind):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    for folder in (tmp_path / "file", tmp_path / "file" / "store", tmp_path / ("n" * 300)):
        with pytest.raises(StoreError, match=r"expected a folder that can be written.*Make room"):
            open_store(kind, folder, SPACE)


def test_a_disk_without_room_for_a_word_leaves_the_folder_to_the_next_one(tmp_path):
    with full(0), pytest.raises(StoreError, match="expected a folder that can be written"):
        Hold(tmp_path)
    Hold(tmp_path).release()


def test_an_index_that_cannot_be_looked_for_is_an_error_of_the_store(tmp_path, monkeypatch):
    store = open_store("faiss", tmp_path, SPACE)
    store.upsert(NAMES, ROWS)
    with unlisted(monkeypatch):
        with pytest.raises(StoreError, match="Too many open files"):
            store.tend()
        with pytest.raises(StoreError, match="Too many open files"):
            store.close()
    store = open_store("faiss", tmp_path, SPACE)  # it was let go of all the same
    assert store.search(ROWS, 1).ids[:, 0].tolist() == NAMES
    store.close()


def test_left_shards_that_cannot_be_looked_for_are_left_to_the_next_time(tmp_path, monkeypatch):
    store = open_store("edge", tmp_path, SPACE)
    store.upsert(NAMES, ROWS)
    left = tmp_path / "shard-7"
    left.mkdir()
    with unlisted(monkeypatch):
        store.tend()
    assert left.exists()
    store.tend()
    assert not left.exists()
    assert store.search(ROWS, 1).ids[:, 0].tolist() == NAMES
    store.close()


def test_a_full_disk_under_local_qdrant_is_an_error_of_the_store(tmp_path):
    store = open_store("qdrant", tmp_path / "store", SPACE)
    store.upsert(NAMES[:6], ROWS[:6])
    with full(4096), pytest.raises(StoreError, match=r"disk I/O error\. Make room"):
        store.upsert(NAMES[6:], ROWS[6:])
    store.upsert(NAMES[6:], ROWS[6:])
    store.close()
    store = open_store("qdrant", tmp_path / "store", SPACE)
    assert store.search(ROWS, 1).ids[:, 0].tolist() == NAMES
    store.close()


def test_a_full_disk_keeps_no_folder_held_that_was_closed(tmp_path):
    store = open_store("edge", tmp_path, SPACE)
    store.upsert(NAMES, ROWS)
    with full(100), pytest.raises(StoreError, match="Make room") as told:
        store.close()
    store.close()
    store = open_store("edge", tmp_path, SPACE)  # whoever keeps the error keeps nothing open
    assert store.search(ROWS, 1).ids[:, 0].tolist() == NAMES
    store.close()
    assert told.tb is not None


def test_a_write_that_failed_in_the_engine_does_not_come_true_when_it_is_opened_again(tmp_path):
    """The engine logs a change before it makes it, and follows its log when it is opened."""
    store = open_store("edge", tmp_path, SPACE)
    with full(4096), pytest.raises(StoreError, match="Make room"):
        store.upsert(NAMES, ROWS)
    store.tend()  # of a large store it makes a copy, log and all
    assert not store._engine._unsure
    store.close()  # which notes how many rows there are
    store = open_store("edge", tmp_path, SPACE)
    assert (len(store), store.visible, store.revisions(NAMES).max()) == (0, 0, NO_REVISION)
    store.upsert(NAMES, ROWS)
    assert store.search(ROWS, 1).ids[:, 0].tolist() == NAMES
    store.close()


def test_rows_that_failed_to_change_are_as_they_were_before(tmp_path, monkeypatch):
    store = open_store("edge", tmp_path, SPACE)
    store.upsert(NAMES[:6], ROWS[:6], [{"n": 0.1}] * 6)
    wanted = store.get(NAMES[:6]).vectors.array
    call, failing = store._engine._call, methodcaller("update", None)

    def fails(do):
        if isinstance(do, type(failing)) and "update" in repr(do):
            raise StoreError("Edge", "room", "none")
        return call(do)

    with monkeypatch.context() as patch:
        patch.setattr(store._engine, "_call", fails)
        for change in (lambda: store.upsert(NAMES, -ROWS), lambda: store.delete(NAMES[:3])):
            with pytest.raises(StoreError, match="room"):
                change()
    store.upsert(NAMES[6:8], ROWS[6:8])
    store.close()
    store = open_store("edge", tmp_path, SPACE)
    rows = store.get(NAMES[:6])
    np.testing.assert_array_equal(rows.vectors.array, wanted)
    assert list(rows.payloads) == [{"n": 0.1}] * 6
    assert rows.revisions.tolist() == [0] * 6
    assert len(store) == 8
    store.close()


def test_a_shard_is_not_removed_for_one_that_is_not_there(tmp_path):
    """As in a copy of a folder that was made while a graph took over."""
    store = open_store("edge", tmp_path, SPACE)
    store.upsert(NAMES, ROWS)
    store.close()
    pointer = tmp_path / "shard.json"
    right = pointer.read_text()
    pointer.write_text(right.replace('"generation": 0', '"generation": 1'))
    with pytest.raises(StoreError, match="shard-1 does not exist"):
        open_store("edge", tmp_path, SPACE)
    pointer.write_text(right)
    store = open_store("edge", tmp_path, SPACE)
    assert store.search(ROWS, 1).ids[:, 0].tolist() == NAMES
    store.close()
