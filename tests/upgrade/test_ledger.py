"""The ledger: what is written is there after a crash; what is not a ledger is refused."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing
from itertools import pairwise
from typing import get_args

import pytest

from holdfast.errors import LedgerError, UpgradeError
from holdfast.space import Space
from holdfast.upgrade.backfill.stand import stand
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.record.deed import Deed
from holdfast.upgrade.record.records import State, runs

OLD, NEW = Space("old", 3), Space("new", 5, "dot", extends="0123")


@pytest.fixture
def ledger(tmp_path):
    one = Ledger(tmp_path / "ledger.sqlite", lambda: 12.5)
    yield one
    one.close()


def test_an_upgrade_is_read_back_as_it_was_begun(ledger):
    assert ledger.upgrade() is None
    ledger.begin({"merge": "calibrated"}, OLD, NEW)
    ledger.set_state("copying", why="test")
    upgrade = ledger.upgrade()
    assert (upgrade.number, upgrade.state, upgrade.queued) == (1, "copying", False)
    assert upgrade.plan == {"merge": "calibrated"}
    assert upgrade.old == OLD
    assert upgrade.new.to_json() == NEW.to_json()
    assert [(t, kind) for t, kind, _ in ledger.events()] == [(12.5, "planned"), (12.5, "copying")]


def test_the_queue_keeps_its_order_and_says_what_is_open(ledger):
    ledger.begin({}, OLD, NEW)
    ledger.fill(["c", "a", "b", "d"])
    assert ledger.todo(2) == [(1, "c"), (2, "a")]
    assert ledger.todo(9, after=2) == [(3, "b"), (4, "d")]
    ledger.done([1, 3])
    ledger.quarantine({"a": "because"})
    assert ledger.todo(9) == [(4, "d")]
    assert ledger.counts() == {"todo": 1, "quarantined": 1}
    assert ledger.quarantined() == [("a", "because")]
    assert ledger.waiting(["a", "b", "c", "d", "e"]) == {"a", "d"}
    assert ledger.first_done(3) == ["c", "b"]
    ledger.enqueue(["c", "new"])
    assert ledger.todo(9) == [(4, "d"), (5, "c"), (6, "new")]
    ledger.settle(["a"])
    assert ledger.release() == 0


def test_a_place_is_never_given_twice(ledger):
    # A batch under way closes its place; that must not close a later write of the same item.
    ledger.begin({}, OLD, NEW)
    ledger.fill(["a", "b"])
    place = ledger.todo(9)[-1][0]
    ledger.enqueue(["b"])
    ledger.done([place])
    assert [name for _, name in ledger.todo(9)] == ["a", "b"]
    ledger.fill(["b", "x"])
    assert [name for _, name in ledger.todo(9)] == ["a", "b", "x"], "what is there keeps its place"
    ledger.set_state("rolled back")
    ledger.begin({}, OLD, NEW)
    ledger.fill(["x"])
    assert ledger.todo(9) == [(1, "x")], "the queue of another upgrade counts from one again"


@pytest.mark.parametrize("state", get_args(State))
def test_no_upgrade_is_begun_over_one_that_is_under_way(ledger, state):
    ledger.begin({}, OLD, NEW)
    ledger.fill(["a", "b"])
    ledger.set_state(state)
    served = {"finished": NEW, "rolled back": OLD}
    if state in served:
        gone = OLD if served[state] == NEW else NEW
        with pytest.raises(UpgradeError, match=f"from {served[state].name}.*which is served"):
            ledger.begin({}, gone, Space("third", 4))
        assert ledger.begin({}, served[state], Space("third", 4)).number == 2
        return
    with pytest.raises(UpgradeError, match=f"one from old to new that is {state}"):
        ledger.begin({}, OLD, NEW)
    assert ledger.upgrade().number == 1
    assert [name for _, name in ledger.todo(9)] == ["a", "b"]
    assert [kind for _, kind, _ in ledger.events()] == ["planned", state]


def test_a_failed_transaction_leaves_nothing(ledger):
    ledger.begin({}, OLD, NEW)
    with pytest.raises(sqlite3.IntegrityError):
        ledger.fill(["a", "b", None])
    assert ledger.todo(9) == []
    assert not ledger.upgrade().queued


def test_an_interrupt_right_after_a_transaction_began_ends_it(ledger, tmp_path):
    real = ledger._db

    class Interrupted:
        def __getattr__(self, name):
            return getattr(real, name)

        def execute(self, sql, *values):
            done = real.execute(sql, *values)
            if sql.startswith("BEGIN"):
                ledger._db = real
                raise KeyboardInterrupt
            return done

    ledger._db = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        ledger.set_meta("a", "1")
    ledger.set_meta("b", "2")
    other = Ledger(tmp_path / "ledger.sqlite", lambda: 1.0)
    assert (other.meta("a"), other.meta("b")) == (None, "2"), "what was written later is on disk"
    other.set_meta("c", "3")
    other.close()


def test_closing_a_batch_and_its_entry_is_one_transaction(ledger):
    ledger.begin({}, OLD, NEW)
    ledger.fill(["a", "b"])
    number = ledger.write_entry("move", ["a"])
    assert [(e.number, e.kind, e.ids) for e in ledger.journal()] == [(number, "move", ["a"])]
    ledger.done([1], number)
    assert ledger.journal() == []
    assert ledger.counts()["todo"] == 1


def test_another_process_reads_and_leaves_commands_while_one_writes(ledger, tmp_path):
    ledger.begin({}, OLD, NEW)
    script = textwrap.dedent(
        f"""
        from holdfast.upgrade.ledger import Ledger
        ledger = Ledger({str(tmp_path / "ledger.sqlite")!r}, lambda: 1.0)
        assert ledger.upgrade().state == "planned"
        print(ledger.ask("pause", why="maintenance"))
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert ledger.asked() == [(1, "pause", {"why": "maintenance"})]
    ledger.answer(1, "done")
    assert ledger.asked() == []


def test_what_was_committed_survives_the_death_of_the_process(tmp_path):
    path = tmp_path / "ledger.sqlite"
    script = textwrap.dedent(
        f"""
        import os, signal
        from holdfast.space import Space
        from holdfast.upgrade.ledger import Ledger
        ledger = Ledger({str(path)!r}, lambda: 1.0)
        ledger.begin({{}}, Space("a", 2), Space("b", 2))
        ledger.fill(f"i{{n}}" for n in range(1000))
        ledger.done(range(1, 501))
        ledger.write_entry("delete", ["x"])
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    ledger = Ledger(path, lambda: 2.0)
    assert ledger.counts()["todo"] == 500
    assert [e.ids for e in ledger.journal()] == [["x"]]
    ledger.close()


def test_a_long_queue_is_resumed_at_once(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, lambda: 1.0)
    ledger.begin({}, OLD, NEW)
    ledger.fill(f"item-{n}" for n in range(200_000))
    ledger.done(range(1, 100_001))
    ledger.close()
    started = time.process_time()  # what other processes do does not count
    ledger = Ledger(path, lambda: 2.0)
    assert ledger.upgrade().queued
    assert ledger.todo(1) == [(100_001, "item-100000")]
    assert ledger.counts()["todo"] == 100_000
    assert time.process_time() - started < 1.0, "the whole million is timed in bench/engine"
    ledger.close()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p.write_bytes(b"not a database" * 100), "a readable ledger"),
        (lambda p: p.write_bytes(p.read_bytes()[: 4096 * 2 + 100]), "a readable ledger"),
        (lambda p: _set_format(p, "99"), "expected a ledger of format 3, got format 99"),
    ],
)
def test_what_is_not_a_ledger_is_refused(tmp_path, spoil, message):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, lambda: 1.0)
    ledger.begin({}, OLD, NEW)
    ledger.close()
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=message):
        Ledger(path, lambda: 1.0)
    assert path.read_bytes() == before


def test_a_new_ledger_takes_no_other_disk(tmp_path, monkeypatch):
    """A folder for temporary files that is full left one that nobody could read."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    ledger = Ledger(tmp_path / "ledger.sqlite", lambda: 1.0)
    ledger.begin({}, OLD, NEW)
    assert ledger._rows("PRAGMA journal_mode") == [("wal",)]
    assert ledger._rows("PRAGMA integrity_check") == [("ok",)]
    ledger.close()


def _set_format(path, value):
    db = sqlite3.connect(path)
    db.execute("UPDATE meta SET value = ? WHERE key = 'format'", (value,))
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("pragma", "undo", "told"),
    [
        ("max_page_count = 1", "max_page_count = 100000", "disk is full. Make room"),
        ("query_only = 1", "query_only = 0", "readonly database. Make room, or let this process"),
    ],
)
def test_what_the_disk_refuses_is_an_error_that_says_what_to_do(ledger, pragma, undo, told):
    ledger.begin({}, OLD, NEW)
    ledger.fill(["a"])
    ledger._db.execute(f"PRAGMA {pragma}")
    writes = [
        lambda: ledger.fill([f"many {i}" for i in range(9_000)]),
        lambda: ledger.write_entry("write", ["a"], [1], [{"text": "long" * 90_000}]),
        lambda: ledger.keep(Deed("somebody", "start", "because" * 90_000)),
    ]
    for write in writes:
        with pytest.raises(LedgerError, match=told) as refused:
            write()
        assert refused.value.who == str(ledger.path)
        assert isinstance(refused.value.__cause__, sqlite3.OperationalError)
    ledger._db.execute(f"PRAGMA {undo}")
    assert (ledger.total(), ledger.journal(), ledger.deeds()) == (1, [], [])
    ledger.fill(["b"])
    assert [name for _, name in ledger.todo(9)] == ["a", "b"]


def test_a_ledger_whose_folder_cannot_be_made_says_so(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "ledger.sqlite", tmp_path / "file" / "more" / "ledger.sqlite"):
        with pytest.raises(LedgerError, match=r"got the system's word.*Make room, or let"):
            Ledger(path, lambda: 1.0)


def test_a_ledger_that_is_damaged_while_it_is_open_says_so(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with closing(Ledger(path, lambda: 1.0)) as ledger:
        ledger.begin({}, OLD, NEW)
        ledger.fill([f"item {i}" for i in range(9_000)])
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + bytes(len(whole) - 8192))
    with (
        closing(Ledger(path, lambda: 1.0, readonly=True)) as ledger,
        pytest.raises(LedgerError, match=r"malformed\. Restore it from a copy"),
    ):
        ledger.todo(9)


@pytest.mark.parametrize("pragma", [None, "PRAGMA journal_mode=WAL"])
def test_a_file_whose_maker_died_before_it_had_tables_is_made(tmp_path, pragma):
    path = tmp_path / "ledger.sqlite"
    path.touch()
    if pragma:
        db = sqlite3.connect(path)
        db.execute(pragma)
        db.close()
    with pytest.raises(LedgerError, match="a readable ledger"):
        Ledger(path, lambda: 1.0, readonly=True)
    ledger = Ledger(path, lambda: 1.0)
    ledger.begin({}, OLD, NEW)
    ledger._make()  # as another process does that found it empty as well
    assert ledger.upgrade().state == "planned"
    ledger.close()


def statements(monkeypatch, before):
    """Calls `before(n)` ahead of the nth statement of any ledger in this process."""
    said = []

    class Slow(sqlite3.Connection):
        def execute(self, *asked):
            said.append(asked[0])
            before(len(said))
            return super().execute(*asked)

    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *told, **more: connect(*told, **more, factory=Slow)
    )
    return said


LOOKS = """
import sys
from pathlib import Path
from holdfast.errors import LedgerError
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.backfill.stand import stand

for line in sys.stdin:
    if not Path(sys.argv[1]).exists():
        print("none yet", flush=True)
        continue
    try:
        ledger = Ledger(sys.argv[1], lambda: 1.0, readonly=True)
        print(stand(ledger)["state"], flush=True)
        ledger.close()
    except LedgerError as error:
        print(error, flush=True)
"""


def test_whoever_looks_while_a_ledger_is_made_sees_none_or_a_whole_one(tmp_path, monkeypatch):
    path = tmp_path / "ledger.sqlite"
    with subprocess.Popen(
        [sys.executable, "-c", LOOKS, path], stdin=-1, stdout=-1, text=True
    ) as other:
        seen = []

        def look(_=None):
            other.stdin.write("look\n")
            other.stdin.flush()
            seen.append(other.stdout.readline().strip())

        with monkeypatch.context() as patch:
            said = statements(patch, look)
            Ledger(path, lambda: 1.0).close()
        look()
    assert len(said) > 10
    assert seen == sorted(seen, key=lambda word: word == "None")  # first the one, then the other
    assert {*seen} == {"none yet", "None"}


def test_two_that_make_a_ledger_at_once_have_the_same_one(tmp_path, monkeypatch):
    path, made = tmp_path / "ledger.sqlite", []

    def beside(number):
        if number == 3 and not made:
            with monkeypatch.context() as patch:
                patch.undo()
                made.append(Ledger(path, lambda: 1.0))
                made[0].set_meta("who", "the other one")

    statements(monkeypatch, beside)
    ledger = Ledger(path, lambda: 1.0)
    assert ledger.meta("who") == "the other one"
    assert [left.name for left in tmp_path.glob(".*")] == []
    ledger.close()
    made[0].close()


def test_a_neighbour_that_writes_a_ledger_of_no_log_ahead_is_waited_for(tmp_path):
    """SQLite itself gives up at once where a file, brought back from a copy, has another mode."""
    path = tmp_path / "ledger.sqlite"
    Ledger(path, lambda: 1.0).close()
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
        other.execute("BEGIN IMMEDIATE")
        soon = threading.Timer(0.2, other.execute, ["COMMIT"])
        soon.start()
        ledger = Ledger(path, lambda: 1.0)
        soon.join()
        assert ledger.upgrade() is None
        ledger.close()


def test_what_stands_is_of_one_moment(ledger, tmp_path, monkeypatch):
    """Else an upgrade whose queue is filled meanwhile would be told to have moved everything."""
    ledger.begin({}, OLD, NEW)
    ledger.set_state("copying")
    other = Ledger(tmp_path / "ledger.sqlite", lambda: 1.0, readonly=True)
    counts = Ledger.counts

    def then_fill(self):
        found = counts(self)
        ledger.fill(["a", "b"])
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "counts", then_fill)
        told = stand(other)
    assert (told["queued"], told["todo"], told["share"]) == (0, 0, 0.0)
    told = stand(other)
    assert (told["queued"], told["todo"], told["share"]) == (2, 2, 0.0)
    with ledger.together():
        assert stand(ledger)["queued"] == 2  # within a change, too
    other.close()


def test_looking_at_a_ledger_that_is_not_there_makes_none(tmp_path):
    with pytest.raises(LedgerError, match="no file"):
        Ledger(tmp_path / "nowhere" / "ledger.sqlite", lambda: 1.0, readonly=True)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("seed", range(4))
def test_places_are_closed_with_any_gaps_between_them_and_no_others(ledger, seed):
    ledger.begin({}, OLD, NEW)
    ledger.fill(f"i{n}" for n in range(1, 61))
    chosen = random.Random(seed).sample(range(1, 61), 30)
    ledger.done(chosen)
    assert [place for place, _ in ledger.todo(99)] == sorted({*range(1, 61)} - {*chosen})
    ledger.done([])
    assert ledger.counts()["todo"] == 30
    first_last = [pair for run in runs(chosen) for pair in range(run[0], run[1] + 1)]
    assert first_last == sorted(chosen)
    assert len(runs(chosen)) == 1 + sum(b > a + 1 for a, b in pairwise(sorted(chosen)))
    assert runs([]) == []
