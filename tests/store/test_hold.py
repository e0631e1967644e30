"""The hold of a folder: for one process at a time, and given back at once."""

import os

import pytest

from holdfast.errors import StoreError, StoreHeld
from holdfast.space import Space
from holdfast.store.hold import Hold
from holdfast.store.registry import open_store


@pytest.fixture
def held(tmp_path):
    """A hold, and the same file as a process has it that was forked from this one."""
    hold = Hold(tmp_path)
    inherited = os.dup(hold._file.fileno())
    yield hold
    os.close(inherited)
    hold.release()


def test_the_second_is_told_of_the_first(tmp_path, held):
    with pytest.raises(StoreHeld, match=f"one held by process {os.getpid()} on "):
        Hold(tmp_path)


def test_who_holds_it_itself_is_not_told_to_stop_itself(tmp_path, held, monkeypatch):
    with pytest.raises(StoreHeld, match="That is this process: close what it has opened there"):
        Hold(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        with pytest.raises(StoreHeld, match="Let that process do the work, or stop it first"):
            Hold(tmp_path)


def test_a_forked_process_does_not_keep_what_was_given_back(tmp_path, held):
    held.release()
    held.release()
    Hold(tmp_path).release()


def test_a_forked_process_does_not_give_back_what_is_not_its_own(tmp_path, held, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: 1)
        held.release()
    with pytest.raises(StoreHeld):
        Hold(tmp_path)


@pytest.mark.parametrize("kind", ["edge", "faiss"])
def test_nothing_is_acknowledged_that_a_folder_would_not_keep(tmp_path, kind):
    """Files that are open stay so where their folder is deleted, and are gone with the process."""
    folder, rows = tmp_path / "store", [[1.0, 2.0]]
    store = open_store(kind, folder, Space("small", 2))
    store.upsert(["a", "b"], rows * 2)
    folder.rename(tmp_path / "elsewhere")
    changes = (
        lambda: store.upsert(["c"], rows),
        lambda: store.delete(["a"]),
        lambda: store.hide(["a"]),
    )
    for got in ("none", "another one"):
        for change in changes:
            with pytest.raises(StoreError, match=f"the folder that was opened, got {got}"):
                change()
        assert folder.exists() == (got == "another one")
        folder.mkdir(exist_ok=True)
        (folder / "holder.json").touch()
    (folder / "holder.json").unlink()
    folder.rmdir()
    (tmp_path / "elsewhere").rename(folder)
    store.upsert(["c"], rows)
    store.close()
    store = open_store(kind, folder, Space("small", 2))
    assert sorted(store.scan().rows.ids) == ["a", "b", "c"]
    store.close()
