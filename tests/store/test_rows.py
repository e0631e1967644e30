"""The file of rows: what it keeps, what it refuses, what a crash leaves."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest

from holdfast.arrays import as_vectors
from holdfast.errors import InvalidInput, MissingIds, OccupiedStore, StoreError
from holdfast.space import Space
from holdfast.store.rows import RowFile

SPACE = Space("rows", 4, "dot")


def vectors(*firsts: float):
    return as_vectors([[x, 0.0, 0.0, 1.0] for x in firsts], SPACE, "test")


def numbers(*values: int):
    return np.array(values, dtype=np.int64)


@pytest.fixture
def rows(tmp_path):
    opened = RowFile(tmp_path, SPACE)
    yield opened
    opened.close()


def reopen(rows: RowFile, **options) -> RowFile:
    rows.close()
    return RowFile(rows.folder, SPACE, **options)


def contents(rows: RowFile) -> dict[str, tuple]:
    """Everything, read page by page."""
    out, after = {}, None
    while True:
        page = rows.scan(after, 2, vectors=True)
        firsts = page.rows.vectors.array[:, 0].tolist()
        for i, name in enumerate(page.rows.ids):
            known = (page.rows.revisions[i], page.rows.payloads[i], page.rows.hidden[i])
            out[name] = (firsts[i], *known)
        if page.after is None:
            return out
        after = page.after


def test_an_older_revision_is_ignored_row_by_row_and_an_equal_one_overwrites(rows):
    rows.upsert(["a", "b", "c"], vectors(1, 2, 3), [{"v": 1}] * 3, numbers(5, 5, 5))
    written = rows.upsert(
        ["c", "d", "a", "b"], vectors(30, 40, 10, 20), [{}] * 4, numbers(6, 0, 4, 5)
    )
    assert written.names == ["c", "d", "b"]
    assert written.places.tolist() == [0, 1, 3]
    assert written.slots.tolist() == [3, 4, 5]
    assert written.replaced.tolist() == [2, -1, 1]
    assert contents(rows) == {
        "a": (1.0, 5, {"v": 1}, False),
        "b": (20.0, 5, {}, False),
        "c": (30.0, 6, {}, False),
        "d": (40.0, 0, {}, False),
    }


def test_without_revisions_each_row_gets_the_next_one(rows):
    rows.upsert(["a"], vectors(1), [{}], numbers(7))
    rows.upsert(["a", "b"], vectors(2, 3), [{}] * 2, None)
    assert rows.revisions(["b", "a", "none"]).tolist() == [0, 8, -1]


def test_the_flag_survives_an_update_and_the_counts_follow(rows):
    rows.upsert(["a", "b", "c"], vectors(1, 2, 3), [{}] * 3, None)
    assert rows.set_hidden(["b", "a", "none"], True).tolist() == [0, 1]
    assert rows.set_hidden(["b"], True).tolist() == []
    assert rows.upsert(["a", "d"], vectors(4, 5), [{}] * 2, None).hidden.tolist() == [True, False]
    assert (rows.total, rows.visible) == (4, 2)
    assert rows.delete(["a", "c", "none"]).tolist() == [2, 3]
    assert (rows.total, rows.visible) == (2, 1)
    assert rows.set_hidden(["b"], False).tolist() == [1]
    assert (rows.total, rows.visible) == (2, 2)
    again = reopen(rows)
    assert (again.total, again.visible) == (2, 2)
    again.close()


def test_get_answers_in_the_order_asked_for_and_names_what_is_missing(rows):
    rows.upsert(["a", "b"], vectors(1, 2), [{"n": "é"}, {"n": [1, None]}], numbers(1, 2**62))
    found = rows.get(["b", "a", "b"])
    assert found.vectors.array[:, 0].tolist() == [2.0, 1.0, 2.0]
    assert found.payloads == [{"n": [1, None]}, {"n": "é"}, {"n": [1, None]}]
    assert found.revisions.tolist() == [2**62, 1, 2**62]
    assert rows.get(["a"], vectors=False).vectors is None
    assert found.vectors_read is found.vectors
    with pytest.raises(InvalidInput, match="vectors=True"):
        _ = rows.get(["a"], vectors=False).vectors_read
    with pytest.raises(MissingIds, match=r"'none' \(1 of 2 are not\)"):
        rows.get(["a", "none"])


def test_lookups_by_slot_leave_out_what_died(rows):
    rows.upsert(["a", "b", "c"], vectors(1, 2, 3), [{"n": i} for i in range(3)], None)
    rows.upsert(["a"], vectors(4), [{"n": 9}], None)
    rows.set_hidden(["c"], True)
    assert rows.ids_at(numbers(0, 1, 3)) == {1: "b", 3: "a"}
    assert rows.payloads_between(0, 3) == [(1, {"n": 1}), (2, {"n": 2})]
    assert rows.slots_of(["a", "none", "c"]).tolist() == [3, -1, 2]
    slots, ids, hidden = rows.roster()
    assert (slots.tolist(), ids.tolist(), hidden.tolist()) == (
        [1, 2, 3],
        ["b", "c", "a"],
        [False, True, False],
    )


def test_more_ids_than_one_statement_takes(rows):
    names = [f"{i:05d}" for i in range(5000)]
    array = np.arange(20000, dtype=np.float32).reshape(5000, 4)
    rows.upsert(names, as_vectors(array, SPACE, "test"), [{}] * 5000, None)
    shuffled = np.random.default_rng(0).permutation(5000)
    found = rows.get([names[i] for i in shuffled])
    np.testing.assert_array_equal(found.vectors.array, array[shuffled])
    rows.set_hidden(names[::2], True)
    assert rows.visible == 2500
    rows.delete(names[1:])
    assert contents(rows) == {"00000": (0.0, 0, {}, True)}


@pytest.mark.parametrize(
    "name", ["nul\x00byte", "nul\x00", "quote'\"", " ", "日本", "\U0001f600", "%"]
)
def test_any_text_is_an_id(rows, name):
    rows.upsert([name, "other"], vectors(1, 2), [{}] * 2, None)
    assert rows.get([name]).vectors.array[0, 0] == 1.0
    assert rows.scan().rows.ids == sorted([name, "other"])
    assert len(rows.delete([name])) == 1
    assert rows.scan().rows.ids == ["other"]


def test_half_a_surrogate_is_never_found(rows):
    rows.upsert(["a"], vectors(1), [{}], None)
    assert rows.revisions(["\ud800"]).tolist() == [-1]
    assert len(rows.delete(["\ud800"])) == 0
    with pytest.raises(InvalidInput, match="what the page before answered"):
        rows.scan("\ud800")


def test_a_compaction_that_finds_no_room_leaves_none_of_itself(rows, monkeypatch):
    rows.upsert([f"{i:02d}" for i in range(40)], vectors(*range(40)), [{}] * 40, None)
    rows.delete([f"{i:02d}" for i in range(30)])
    before, there = contents(rows), sorted(rows.folder.glob("vectors.*"))

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="No space left"):
            rows.compact()
    assert sorted(rows.folder.glob("vectors.*")) == there
    assert contents(rows) == before
    assert rows.compact().tolist() == list(range(30, 40))
    assert contents(rows) == before


def test_compaction_moves_the_living_and_changes_nothing_else(rows):
    names = [f"{i:02d}" for i in range(40)]
    rows.upsert(names, vectors(*range(40)), [{"n": i} for i in range(40)], None)
    rows.set_hidden(names[:3], True)
    rows.delete(names[1:21])
    assert rows.compact() is None  # exactly half
    rows.upsert(["39"], vectors(99), [{}], None)
    before = contents(rows)
    alive = rows.compact()
    assert alive.tolist() == [0, *range(21, 39), 40]
    assert (rows.slots, rows.total, rows.visible, rows.generation) == (20, 20, 19, 1)
    assert contents(rows) == before
    rows.upsert(["new"], vectors(7), [{}], None)
    again = reopen(rows)
    assert contents(again) == before | {"new": (7.0, 0, {}, False)}
    assert [path.name for path in rows.folder.glob("vectors.*")] == ["vectors.1.f32"]
    again.close()


@pytest.mark.parametrize("how", ["open", "commit", "interrupt", "remove"])
def test_a_compaction_that_fails_leaves_every_row_with_its_own_vector(rows, monkeypatch, how):
    rows.upsert(["a", "b", "c", "d"], vectors(1, 2, 3, 4), [{}] * 4, numbers(1, 1, 1, 1))
    rows.get(["d"])
    rows.delete(["a", "b"])
    whole = rows._data.transaction

    def fail(*_, **__):
        raise OSError("too many open files")

    @contextmanager
    def uncommitted():
        with whole():
            yield
            fail()

    @contextmanager
    def interrupted():
        with whole():
            yield
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if how == "open":
            patch.setattr("holdfast.store.rows.VectorFile", fail)
        elif how == "remove":
            patch.setattr("pathlib.Path.unlink", fail)
        else:
            transaction = uncommitted if how == "commit" else interrupted
            patch.setattr(rows._data, "transaction", transaction)
        if how == "remove":
            assert rows.compact(force=True).tolist() == [2, 3]
        else:
            with pytest.raises(KeyboardInterrupt if how == "interrupt" else StoreError):
                rows.compact(force=True)
    assert contents(rows) == {"c": (3.0, 1, {}, False), "d": (4.0, 1, {}, False)}
    assert rows.slots == (4 if how in ("open", "commit") else 2)
    rows.upsert(["e"], vectors(5), [{}], numbers(1))
    rows = reopen(rows, tidy=False)
    assert contents(rows)["e"] == (5.0, 1, {}, False)
    assert contents(rows)["c"] == (3.0, 1, {}, False)
    assert [p.name for p in rows.folder.glob("vectors.*")] == [rows._path(rows.generation).name]
    rows.compact(force=True)
    assert contents(rows)["d"] == (4.0, 1, {}, False)
    rows.close()


def test_opening_compacts_when_more_than_half_is_dead(rows):
    rows.upsert(["a", "b", "c"], vectors(1, 2, 3), [{}] * 3, None)
    rows.delete(["a", "b"])
    untidy = reopen(rows, tidy=False)
    assert (untidy.slots, untidy.generation) == (3, 0)
    tidy = reopen(untidy)
    assert (tidy.slots, tidy.generation) == (1, 1)
    assert contents(tidy) == {"c": (3.0, 0, {}, False)}
    tidy.delete(["c"])
    empty = reopen(tidy)
    assert (empty.slots, contents(empty)) == (0, {})
    empty.close()


def test_a_batch_that_fails_in_the_middle_leaves_nothing(rows, monkeypatch):
    rows.upsert(["a"], vectors(1), [{}], None)
    before = contents(rows)
    monkeypatch.setattr(rows._data, "count", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        rows.upsert(["a", "b"], vectors(2, 3), [{}] * 2, None)
    with pytest.raises(ZeroDivisionError):
        rows.delete(["a"])
    monkeypatch.undo()
    assert contents(rows) == before
    assert (rows.slots, rows.total) == (1, 1)
    rows.upsert(["c"], vectors(5), [{}], None)  # over what the failed batch appended
    assert contents(rows) == before | {"c": (5.0, 0, {}, False)}
    again = reopen(rows)
    assert contents(again) == before | {"c": (5.0, 0, {}, False)}
    again.close()


def test_what_a_crash_leaves_behind_the_last_slot_is_cut_off(rows):
    rows.upsert(["a"], vectors(1), [{}], None)
    before = contents(rows)
    rows.close()
    with (rows.folder / "vectors.0.f32").open("ab") as file:
        file.write(b"\x7f" * 21)
    (rows.folder / "vectors.1.f32").write_bytes(b"half a compaction")
    again = RowFile(rows.folder, SPACE)
    assert contents(again) == before
    assert sorted(p.name for p in rows.folder.glob("vectors.*")) == ["vectors.0.f32"]
    assert (rows.folder / "vectors.0.f32").stat().st_size == 16
    again.close()


def test_another_space_is_named(rows):
    rows.close()
    other = Space("other", 4, "dot")
    with pytest.raises(OccupiedStore) as caught:
        RowFile(rows.folder, other)
    assert caught.value.expected == f"vectors of {other}"
    assert caught.value.got == f"vectors of {SPACE}"


def test_a_database_that_cannot_be_read_is_refused_and_left_as_it_is(rows):
    rows.upsert(["a"], vectors(1), [{}], None)
    rows.close()
    path = rows.folder / "rows.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="not a database") as caught:
        RowFile(rows.folder, SPACE)
    assert "Restore" in caught.value.fix
    assert path.read_bytes() == b"not a database" * 100


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_vectors_without_their_database_are_not_thrown_away(rows, how):
    rows.upsert(["a"], vectors(1), [{}], None)
    rows.close()
    for path in rows.folder.glob("rows.sqlite*"):
        path.unlink()
    if how == "empty":
        (rows.folder / "rows.sqlite").touch()
    for _ in range(2):
        with pytest.raises(StoreError, match="database of the vectors"):
            RowFile(rows.folder, SPACE)
    assert (rows.folder / "vectors.0.f32").stat().st_size == 16


@pytest.mark.parametrize("size", [None, 3])
def test_a_database_without_its_vectors_is_refused(rows, size):
    rows.upsert(["a"], vectors(1), [{}], None)
    rows.close()
    path = rows.folder / "vectors.0.f32"
    path.unlink() if size is None else path.write_bytes(b"x" * size)
    with pytest.raises(StoreError, match="expected 1 vectors"):
        RowFile(rows.folder, SPACE)


def test_a_newer_format_and_a_foreign_database_are_refused(rows, tmp_path):
    rows.close()
    with sqlite3.connect(rows.folder / "rows.sqlite") as db:
        db.execute("UPDATE meta SET value = 4 WHERE key = 'format'")
    db.close()
    with pytest.raises(StoreError, match="expected format 3, got format 4"):
        RowFile(rows.folder, SPACE)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    with sqlite3.connect(foreign / "rows.sqlite") as db:
        db.execute("CREATE TABLE songs (name)")
    db.close()
    with pytest.raises(StoreError, match="got tables songs"):
        RowFile(foreign, SPACE)


def test_a_closed_file_says_so(rows):
    rows.upsert(["a"], vectors(1), [{}], None)
    rows.close()
    rows.close()
    with pytest.raises(StoreError, match="an open store"):
        rows.revisions(["a"])


def test_threads_share_one_file(rows):
    def work(number: int) -> None:
        for turn in range(10):
            rows.upsert([f"{number}-{turn}", "both"], vectors(number, turn), [{}] * 2, None)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows.total == 41
    assert rows.revisions(["both"]).tolist() == [39]
    assert [rows.get([f"{n}-9"]).vectors.array[0, 0] for n in range(4)] == [0, 1, 2, 3]


def test_the_callers_arrays_stay_as_they_were(rows):
    given, revisions = vectors(1, 2), numbers(3, 4)
    rows.upsert(["a", "b"], given, [{}] * 2, revisions)
    rows.get(["a"]).vectors.array[:] = 5.0
    assert given.array[:, 0].tolist() == [1.0, 2.0]
    assert revisions.tolist() == [3, 4]
    assert rows.get(["a"]).vectors.array[0, 0] == 1.0


def test_reading_does_not_wait_for_a_change(rows, monkeypatch):
    rows.upsert(["a", "b"], vectors(1, 2), [{"v": 1}] * 2, numbers(1, 1))
    reached, go, write = threading.Event(), threading.Event(), rows._vectors.write

    def held(slot, array):
        reached.set()
        assert go.wait(240)
        write(slot, array)

    monkeypatch.setattr(rows._vectors, "write", held)
    change = threading.Thread(target=rows.upsert, args=(["a"], vectors(10), [{"v": 2}], numbers(2)))
    change.start()
    try:
        assert reached.wait(240)
        before = {"a": (1.0, 1, {"v": 1}, False), "b": (2.0, 1, {"v": 1}, False)}
        assert contents(rows) == before  # would wait for ever
        assert rows.get(["b", "a"]).vectors.array[:, 0].tolist() == [2.0, 1.0]
        assert rows.revisions(["a", "x"]).tolist() == [1, -1]
    finally:
        go.set()
        change.join()
    assert contents(rows)["a"] == (10.0, 2, {"v": 2}, False)


def test_what_was_read_before_a_change_hides_no_other_row(rows):
    """Slots that are remembered from reading must not outlive an update or a removal."""
    rows.upsert(["a", "b"], vectors(1, 2), [{}] * 2, numbers(1, 1))
    rows.get(["a", "b"])
    rows.upsert(["a"], vectors(3), [{}], numbers(2))
    rows.delete(["b"])
    assert rows.set_hidden(["a", "b"], True).tolist() == [2]
    assert (rows.total, rows.visible) == (1, 0)


@pytest.mark.parametrize("verb", ["upsert", "delete"])
def test_an_interrupt_right_after_a_change_leaves_no_slot_that_died(rows, monkeypatch, verb):
    """Who hides the row next would hide the slot that it had, which index and counts let go of."""
    rows.upsert(["a", "b"], vectors(1, 2), [{}] * 2, numbers(1, 1))
    rows.get(["a", "b"])
    whole = rows._data.transaction

    @contextmanager
    def interrupted():
        with whole():
            yield
        raise KeyboardInterrupt

    updated = verb == "upsert"
    given = (["a"], vectors(3), [{}], numbers(2)) if updated else (["a"],)
    with monkeypatch.context() as patch:
        patch.setattr(rows._data, "transaction", interrupted)
        with pytest.raises(KeyboardInterrupt):
            getattr(rows, verb)(*given)
    assert rows.set_hidden(["a"], True).tolist() == ([2] if updated else [])
    assert (rows.total, rows.visible) == ((2, 1) if updated else (1, 1))


def test_an_interrupt_while_a_file_is_made_stays_one(tmp_path, monkeypatch):
    class Interrupted(sqlite3.Connection):
        def execute(self, *asked):
            done = super().execute(*asked)
            if asked[0] == "COMMIT":
                raise KeyboardInterrupt
            return done

    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=Interrupted))
        with pytest.raises(KeyboardInterrupt):
            RowFile(tmp_path, SPACE)
    rows = RowFile(tmp_path, SPACE)
    assert (rows.total, rows.slots) == (0, 0)
    rows.close()


def test_readers_beside_updates_and_compactions_see_whole_rows(tmp_path):
    """The vector, the revision and the payload of a row belong together, at any moment."""
    rows = RowFile(tmp_path, SPACE)
    names = [f"i{n}" for n in range(30)]
    rows.upsert(names, vectors(*[1] * 30), [{"v": 1}] * 30, numbers(*[1] * 30))
    stop, torn = threading.Event(), []

    def read():
        while not stop.is_set():
            got = rows.get(names[::3])
            for row, first in enumerate(got.vectors.array[:, 0].tolist()):
                told = first, int(got.revisions[row]), got.payloads[row]["v"]
                if len(set(told)) > 1:
                    torn.append(told)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    try:
        for version in range(2, 80):
            some = names[version % 7 :: 2]
            count = len(some)
            rows.upsert(
                some,
                vectors(*[version] * count),
                [{"v": version}] * count,
                numbers(*[version] * count),
            )
            rows.set_hidden(some[:3], version % 2 == 0)
            if version % 5 == 0:
                rows.compact(force=True)
    finally:
        stop.set()
        for thread in readers:
            thread.join()
    rows.close()
    assert torn == []


def test_a_hidden_row_is_hidden_to_who_reads_it_while_it_is_replaced(rows, monkeypatch):
    rows.upsert(["a", "b"], vectors(1, 2), [{}] * 2, None)
    rows.set_hidden(["a"], True)
    seen, flags = [], rows._data.flags
    reader = threading.Thread(
        target=lambda: seen.append((rows.get(["a"]).hidden[0], rows.scan().rows.hidden[0]))
    )
    put = flags.put

    def slowly(slots, hidden):
        put(slots, hidden)
        if not hidden:  # the old slot is none any more, and the new one is not known yet
            reader.start()
            reader.join(0.2)

    monkeypatch.setattr(flags, "put", slowly)
    rows.upsert(["a"], vectors(3), [{}], None)
    reader.join()
    assert seen == [(True, True)]
