"""The hold of a folder: for one process at a time, and given back at once."""

import os

import pytest

from holdfast.errors import StoreHeld
from holdfast.store.hold import Hold


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
