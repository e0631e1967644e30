"""Which rows are hidden: any order of changes, against a set, across reopening and rollback."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.arrays import as_vectors
from holdfast.space import Space
from holdfast.store import flags
from holdfast.store.flags import TABLE, Flags
from holdfast.store.rows import RowFile

SPACE = Space("flags", 2, "dot")
names = st.lists(st.integers(0, 11).map(str), min_size=1, max_size=6, unique=True)
deeds = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "read", "hide", "show", "delete", "compact", "reopen"]),
        names,
    ),
    max_size=20,
)


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(flags, "_PAGE", 8)


@settings(max_examples=150, deadline=None)
@given(deeds=deeds)
def test_flags_follow_their_rows(deeds):
    there, hidden = set(), set()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(flags, "_PAGE", 8)  # so that there are several
        file = RowFile(Path(folder), SPACE, tidy=False)
        for verb, ids in deeds:
            if verb == "put":
                array = as_vectors([[1.0, 2.0]] * len(ids), SPACE, "test")
                written = file.upsert(ids, array, [{}] * len(ids), None)
                assert written.hidden.tolist() == [name in hidden for name in ids]
                there |= set(ids)
            elif verb == "read":  # what was read is hidden without looking it up again
                file.get(sorted(there))
            elif verb in ("hide", "show"):
                before = set(hidden)
                hidden = hidden | (set(ids) & there) if verb == "hide" else hidden - set(ids)
                changed = file.set_hidden(ids, verb == "hide")
                assert set(file.ids_at(changed).values()) == before ^ hidden
            elif verb == "delete":
                file.delete(ids)
                there, hidden = there - set(ids), hidden - set(ids)
            elif verb == "compact":
                file.compact(force=True)
            else:
                file.close()
                file = RowFile(Path(folder), SPACE, tidy=False)
            rows = file.scan(None, 100).rows
            assert {n for n, h in zip(rows.ids, rows.hidden, strict=True) if h} == hidden
            _, listed, flagged = file.roster()
            assert set(listed[flagged]) == hidden
            assert (file.total, file.visible) == (len(there), len(there - hidden))
        file.close()


def test_a_change_that_is_rolled_back_is_forgotten(small_pages, tmp_path):
    with sqlite3.connect(tmp_path / "db", isolation_level=None) as db:
        db.execute(TABLE)
        held = Flags(db)
        held.put(np.array([2, 31]), True)
        db.execute("BEGIN")
        held.put(np.array([2]), False)
        held.put(np.array([3, 99]), True)
        db.execute("ROLLBACK")
        held.load()
        assert np.flatnonzero(held.of(np.arange(200))).tolist() == [2, 31]
        held.put(np.array([500]), False)
        assert not held.of(np.array([500, -1])).any()
    db.close()


def test_hiding_many_rows_writes_few_pages(tmp_path):
    file = RowFile(tmp_path, SPACE)
    ids = [f"{i:05d}" for i in range(20_000)]
    array = as_vectors(np.ones((len(ids), 2)), SPACE, "test")
    file.upsert(ids, array, [{}] * len(ids), None)
    file._data.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    file.set_hidden(ids[::20], True)
    assert (tmp_path / "rows.sqlite-wal").stat().st_size < 20 * 4096
    file.close()


def put(file, *ids):
    array = as_vectors([[1.0, 2.0]] * len(ids), SPACE, "test")
    file.upsert(ids, array, [{}] * len(ids), None)


def delete_and_compact(file):
    file.delete(["a", "b"])
    file.compact()


def come_back(file):
    file.delete(["d"])
    put(file, "d")
    file.get(["a"])


@pytest.mark.parametrize(
    "change", [lambda file: put(file, "c", "d"), delete_and_compact, come_back, RowFile.compact]
)
def test_what_was_read_before_a_change_is_hidden_where_it_is_after(tmp_path, change):
    file = RowFile(tmp_path, SPACE, tidy=False)
    put(file, *"abcd")
    put(file, *"dcba")
    put(file, "a")  # five of nine are dead
    file.get(list("abcd"))
    change(file)
    assert len(file.set_hidden(["d"], True)) == 1
    rows = file.scan().rows
    assert [n for n, h in zip(rows.ids, rows.hidden, strict=True) if h] == ["d"]
    file.get(["d"])
    file.delete(["d"])
    assert len(file.set_hidden(["d"], True)) == 0
    put(file, "d")
    assert not file.get(["d"]).hidden[0]
    assert file.visible == file.total
    file.close()
