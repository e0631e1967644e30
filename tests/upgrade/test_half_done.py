"""Changes that an error cut off, in a process that lives on: nothing later is undone by them."""

from __future__ import annotations

import sqlite3

import numpy as np
import pytest

from holdfast.arrays import Vectors
from holdfast.errors import (
    EncoderError,
    EncoderMisconfigured,
    EncoderUnavailable,
    InvalidInput,
    LedgerError,
    NotFinite,
    StoreError,
    UpgradeError,
    WrongCount,
)
from holdfast.items import Item
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.backfill import group
from holdfast.upgrade.backfill.reconcile import reconcile
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side
from holdfast.upgrade.sides.stage import Stage
from tests.upgrade.toys import Clock, ToyEncoder, ToySource, contents

OLD, NEW = Space("old", 8), Space("new", 12)
A, B = (0.9, -0.8, 0.7, -0.6), (-0.5, 0.6, 0.7, 0.8)


class World:
    """A gallery half of whose items have moved, over stores that can be told to fail."""

    def __init__(self, tmp_path, clock=None, count=40):
        self.path = tmp_path / "ledger.sqlite"
        self.items = contents(count)
        self.source = ToySource(dict(self.items))
        self.old_model, self.new_model = ToyEncoder(OLD, seed=1), ToyEncoder(NEW, seed=2)
        self.old, self.new = MemoryStore(OLD), MemoryStore(NEW)
        self.clock = clock or Clock(1000)
        vectors = self.old_model.encode(list(self.items.values()), "document")
        self.old.upsert(list(self.items), vectors, None, range(count))
        self.plan = Plan(batch_size=8, max_batch_size=8, backoff=0.0)
        self.ledger = Ledger(self.path, lambda: 0.0)
        self.ledger.begin(self.plan.model_dump(), OLD, NEW)
        self.open()

    def open(self):
        self.gallery = Gallery(
            Side(self.old, self.old_model),
            Side(self.new, self.new_model),
            self.ledger,
            clock=self.clock,
        )
        mover = ReEmbed(self.source, self.new_model)
        self.engine = Engine(self.gallery, mover, self.plan, sleep=lambda s: None)

    def clock_stands_still(self):
        """Nothing takes time, so batches wait for each other."""
        mover = ReEmbed(self.source, self.new_model)
        given = {"sleep": lambda s: None, "clock": lambda: 0.0}
        self.engine = Engine(self.gallery, mover, self.plan, **given)

    def restart(self):
        self.ledger.close()
        self.ledger = Ledger(self.path, lambda: 0.0)
        self.open()

    def plan_again(self):
        self.ledger.begin(self.plan.model_dump(), OLD, NEW)
        self.gallery.recover()

    def fail_once(self, store, method, after=False):
        """The next call of this method fails, before or after it did its work."""
        honest = getattr(store, method)

        def failing(*given):
            setattr(store, method, honest)
            if after:
                honest(*given)
            raise StoreError("disk", "room", "none")

        setattr(store, method, failing)

    def shown(self):
        pages = [store.scan(limit=1000).rows for store in (self.old, self.new)]
        return [{n for n, h in zip(rows.ids, rows.hidden, strict=True) if not h} for rows in pages]

    def sound(self, names):
        """Every item on exactly one side."""
        old, new = self.shown()
        return old | new == set(names) and not old & new

    def true(self, items):
        """The old store has every item as it was last written, the new one what it shows."""
        shown = sorted(self.shown()[1])
        pairs = ((self.old, self.old_model, sorted(items)), (self.new, self.new_model, shown))
        return len(self.old) == len(items) and all(
            np.array_equal(
                store.get(names).vectors.array,
                model.encode([items[n] for n in names], "document").array,
            )
            for store, model, names in pairs
        )


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.ledger.close()


@pytest.mark.parametrize(
    ("side", "method"), [("old", "upsert"), ("new", "upsert"), ("old", "hide")]
)
@pytest.mark.parametrize("after", [False, True])
def test_a_delete_after_a_write_that_failed_stays_a_delete(world, side, method, after):
    world.engine.run(0.5)
    world.fail_once(getattr(world, side), method, after)
    with pytest.raises(StoreError):
        world.gallery.upsert([Item("x", A)])
    world.gallery.delete(["x"])
    world.restart()
    assert world.old.revisions(["x"])[0] == world.new.revisions(["x"])[0] == -1
    assert world.sound(world.items)


def test_a_write_after_a_delete_that_failed_stays(world):
    world.engine.run(0.5)
    world.fail_once(world.new, "delete")
    with pytest.raises(StoreError):
        world.gallery.delete(["i1"])
    world.gallery.upsert([Item("i1", A)])
    world.restart()
    assert world.gallery.search([A], 1).ids.tolist() == [["i1"]]
    assert world.sound(world.items)


def test_a_batch_that_failed_is_not_moved_after_a_rollback(world):
    world.engine.run(0.5)
    world.fail_once(world.old, "hide")
    with pytest.raises(StoreError):
        world.engine.run()
    world.engine.roll_back()
    world.restart()
    world.plan_again()
    assert world.old.visible == 40
    assert len(set(world.gallery.search([A], 40).ids[0])) == 40


def test_a_batch_read_after_a_delete_that_failed_brings_nothing_back(world):
    world.engine.run(0.5)
    name = world.ledger.todo(1)[0][1]
    world.fail_once(world.old, "delete")
    with pytest.raises(StoreError):
        world.gallery.delete([name])
    world.engine.run()
    del world.items[name]
    assert world.new.revisions([name])[0] == -1
    assert world.sound(world.items)


def test_a_write_without_new_vectors_that_failed_does_not_empty_the_new_side_later(world):
    world.engine.run()
    world.new_model.fail = [EncoderError("model", "an answer", "none")]
    world.fail_once(world.new, "delete")
    with pytest.raises(StoreError):
        world.gallery.upsert([Item("i3", A)])
    world.gallery.upsert([Item("i3", B)])
    world.source.items["i3"] = B
    world.engine.run()
    world.engine.cut_over()
    world.restart()
    assert world.gallery.search([B], 1).ids.tolist() == [["i3"]]


@pytest.mark.parametrize("state", ["planned", "rolled back"])
def test_a_delete_outside_of_copying_leaves_nothing_to_replay(world, state):
    """Such a gallery may be opened as a plain one next, which has no journal to look at."""
    world.engine.run(0.5)
    world.engine.roll_back()
    if state == "planned":
        world.plan_again()
    for store, method in ((world.new, "delete"), (world.old, "delete")):
        for after in (False, True):
            world.fail_once(store, method, after)
            with pytest.raises(StoreError):
                world.gallery.delete(["i1"])
            assert world.ledger.journal() == []
            plain = Gallery(Side(world.old, world.old_model), clock=world.clock)
            plain.upsert([Item("i1", A)])
    world.restart()
    if state == "rolled back":
        world.plan_again()
    assert world.gallery.search([A], 1).ids.tolist() == [["i1"]]
    world.source.items["i1"] = A
    world.engine.run()
    world.engine.cut_over()
    assert world.gallery.search([A], 1).ids.tolist() == [["i1"]]


class Odd(ToyEncoder):
    """Answers what an encoder must not."""

    how = ""

    def encode(self, contents, role):
        made = super().encode(contents, role)
        if role == "document" and self.how == "count":
            return made.take(slice(0, len(made) - 1))
        if role == "document" and self.how == "space":
            return Vectors(Space("stranger", made.space.dim), made.array)
        if role == "document" and self.how == "nan":
            raise NotFinite("model", "finite numbers", "NaN")
        return made


@pytest.mark.parametrize(("how", "error"), [("count", WrongCount), ("space", EncoderMisconfigured)])
@pytest.mark.parametrize("side", ["old", "new"])
def test_an_answer_that_cannot_be_stored_is_refused_before_the_journal(tmp_path, how, error, side):
    world = World(tmp_path)
    world.old_model, world.new_model = Odd(OLD, seed=1), Odd(NEW, seed=2)
    world.open()
    world.engine.run()
    world.engine.cut_over()
    getattr(world, f"{side}_model").how = how
    with pytest.raises(error):
        world.gallery.upsert([Item("x", A), Item("y", B)])
    assert world.ledger.journal() == []
    world.restart()
    assert len(world.gallery) == 40
    world.ledger.close()


def test_a_content_that_only_the_new_model_cannot_place_stays_on_the_old_side(tmp_path):
    world = World(tmp_path)
    world.new_model = Odd(NEW, seed=2)
    world.open()
    world.engine.run(0.5)
    world.new_model.how = "nan"
    world.gallery.upsert([Item("x", A)])
    assert world.gallery.search([A], 1).ids.tolist() == [["x"]]
    assert world.ledger.waiting(["x"]) == {"x"}
    world.ledger.close()


@pytest.mark.parametrize(
    ("until", "cut", "told"),
    [
        (0.5, False, "once it is gone for good, name encoder = 'none' under"),
        (1.0, False, "once it is gone for good, name encoder = 'none' under"),
        (1.0, True, "holdfast finish gives that up"),
    ],
)
def test_a_write_that_the_old_model_holds_up_says_why_it_is_needed(world, until, cut, told):
    world.engine.run(until)
    if cut:
        world.engine.cut_over()
    error = EncoderUnavailable("model", "an answer", "none", "Try later.")
    for _ in range(2):
        world.old_model.fail = [error]
        with pytest.raises(EncoderUnavailable, match=f"Try later. Until the upgrade.*{told}") as no:
            world.gallery.upsert([Item("x", A)])
        assert str(no.value).count("Until") == 1
    world.gallery.upsert([Item("x", A)])
    assert len(world.gallery) == 41


@pytest.mark.parametrize("payload", [{"n": float("nan")}, {"n": {1, 2}}, {"n": b"x"}, "text"])
def test_a_payload_that_is_not_json_is_refused_before_the_journal(world, payload):
    world.engine.run(0.5)
    with pytest.raises(InvalidInput):
        world.gallery.upsert([Item("x", A, payload)])
    assert world.ledger.journal() == []


def test_an_id_that_is_no_text_is_refused_before_the_journal(world):
    world.engine.run(0.5)
    for name in ("", "\ud800", 5, None):
        with pytest.raises(InvalidInput):
            world.gallery.upsert([Item("fine", A), Item(name, A)])
        assert world.ledger.journal() == []
    assert len(world.gallery) == 40


def test_ids_of_any_letters_are_moved_found_and_deleted(world):
    odd = ["a\0b", "a\0c", "\n", "é", "e\u0301", "🦭", "'; DROP TABLE queue", '"', "a,b", "\u2028"]
    world.engine.run(0.5)
    for number, name in enumerate(odd):
        content = (1.0, -0.1 * number, 0.2, 0.3)
        world.items[name] = world.source.items[name] = content
        world.new_model.fail = [EncoderError("model", "an answer", "none")]
        world.gallery.upsert([Item(name, content)])
        assert world.ledger.waiting([name]) == {name}
    assert not reconcile(world.gallery)
    world.engine.run()
    assert world.sound(world.items)
    assert world.new.visible == 50
    world.gallery.delete(odd)
    world.restart()
    assert len(world.gallery) == 40


class Narrow(MemoryStore):
    """Refuses what other stores take, as a database may refuse a letter."""

    error = InvalidInput

    def upsert(self, ids, *given):
        if "bad" in ids:
            raise self.error("store", "rows it can keep", "a letter it cannot")
        super().upsert(ids, *given)


def narrowed(tmp_path):
    world = World(tmp_path)
    world.new = Narrow(NEW)
    world.open()
    return world


def test_what_only_the_new_store_refuses_waits_on_the_old_side_and_blocks_nobody(tmp_path):
    world = narrowed(tmp_path)
    world.engine.run(0.5)
    world.source.items |= {"bad": A, "good": B}
    world.gallery.upsert([Item("bad", A)])
    world.gallery.upsert([Item("good", B)])
    assert world.ledger.journal() == []
    assert world.ledger.waiting(["bad", "good"]) == {"bad"}
    everything = {**world.items, "bad": A, "good": B}
    assert world.sound(everything)
    assert world.true(everything)
    assert world.engine.run().state == "ready"
    assert [name for name, _ in world.ledger.quarantined()] == ["bad"]
    assert world.sound(everything)
    assert world.true(everything)
    world.gallery.delete(["bad"])
    world.engine.cut_over()
    world.ledger.close()


def test_after_the_cut_over_what_the_new_store_refuses_is_refused_once(tmp_path):
    world = narrowed(tmp_path)
    world.engine.run()
    world.engine.cut_over()
    for _ in range(2):
        with pytest.raises(InvalidInput, match="a letter it cannot"):
            world.gallery.upsert([Item("bad", A)])
    world.gallery.upsert([Item("good", B)])
    assert world.ledger.journal() == []
    assert "good" in world.gallery.search([B], 1).ids
    world.ledger.close()


@pytest.mark.parametrize("staged", [False, True])
@pytest.mark.parametrize("error", [InvalidInput, StoreError])
@pytest.mark.parametrize("died", [False, True])
def test_what_the_side_that_is_read_refuses_is_written_nowhere(tmp_path, error, staged, died):
    """Neither a new item, nor another content of one that is there, nor those beside them."""
    world = narrowed(tmp_path)
    del world.source.items["i5"]  # only the old side has it, and shows it
    world.engine.run()
    if staged:
        world.engine.stage(Stage(0.5), leave_behind=True)
    else:
        world.engine.cut_over(leave_behind=True)
    sides = world.old, world.new
    before = [store.scan(limit=100, vectors=True).rows for store in sides]
    world.new.error = error
    items = [Item("bad", A), Item("i3", A, {"n": 1}), Item("i5", A), Item("fine", B)]
    if died:  # in the midst of taking it back
        world.old.delete = lambda ids: 1 / 0
    with pytest.raises(ZeroDivisionError if died else error):
        world.gallery.upsert(items)
    if died:
        del world.old.delete
        world.restart()
    assert world.ledger.journal() == []
    for store, rows in zip(sides, before, strict=True):
        now = store.scan(limit=100, vectors=True).rows
        assert (now.ids, list(now.payloads)) == (rows.ids, list(rows.payloads))
        for name in ("revisions", "hidden"):
            assert np.array_equal(getattr(now, name), getattr(rows, name))
        assert np.array_equal(now.vectors.array, rows.vectors.array)
    assert len(world.gallery) == 40
    world.gallery.upsert(items[3:])
    world.engine.roll_back()
    found = world.gallery.search([A, B], 41).ids
    assert sorted(found[0]) == sorted([*world.items, "fine"])
    assert found[1, 0] == "fine"
    world.ledger.close()


@pytest.mark.parametrize("until", [0.5, 1.0])
def test_a_replay_of_what_a_store_refuses_does_not_keep_the_gallery_closed(tmp_path, until):
    world = narrowed(tmp_path)
    if world.engine.run(until).state == "ready":
        world.engine.cut_over()
    rows = [model.encode([A], "document").array for model in (world.old_model, world.new_model)]
    world.ledger.write_entry("write", ["bad"], [5000], [{}], *(row.tobytes() for row in rows))
    world.restart()
    assert world.ledger.journal() == []
    world.gallery.upsert([Item("good", B)])
    assert "good" in world.gallery.search([B], 1).ids
    world.ledger.close()


def test_a_batch_too_large_for_the_journal_is_refused_whole(world):
    world.engine.run(0.5)
    world.ledger._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 3_000)
    with pytest.raises(InvalidInput, match="smaller pieces"):
        world.gallery.upsert([Item(f"n{i}", A) for i in range(200)])
    assert len(world.gallery) == 40
    world.gallery.upsert([Item("x", A)])
    assert world.gallery.search([A], 1).ids.tolist() == [["x"]]


@pytest.mark.parametrize("clock", [lambda: 1000, iter([1000, 1000, 1000, 9, 8, 7]).__next__])
def test_a_clock_that_stands_still_or_runs_backwards_lets_no_stale_vector_in(tmp_path, clock):
    world = World(tmp_path, clock)
    world.engine.run(0.5)
    name = "i3"
    world.new_model.fail = [EncoderError("model", "an answer", "none")]
    world.gallery.upsert([Item(name, A)])  # it waits in the queue, on the old side
    world.source.items[name] = A
    encode = world.new_model.encode

    def meddle(contents, role):
        world.new_model.encode = encode
        made = encode(contents, role)
        world.gallery.delete([name])
        world.gallery.upsert([Item(name, B)])
        return made

    world.engine.start()
    while len(world.ledger.todo(100)) > 8:
        world.engine.step()
    world.new_model.encode = meddle  # the last batch, which has this item
    world.engine.step()
    assert np.array_equal(world.new.get([name]).vectors.array, encode([B], "document").array)
    world.ledger.close()


def test_leftovers_of_a_rolled_back_upgrade_that_are_newer_than_their_items_are_made_again(world):
    """The clock went back, or an item was deleted and inserted by someone without one."""
    world.gallery.upsert([Item("x", A)])
    world.source.items["x"] = A
    world.engine.run()
    world.engine.roll_back()
    world.old.delete(["x"])
    world.old.upsert(["x"], world.old_model.encode([B], "document"), None, [3])
    world.source.items["x"] = B
    world.plan_again()
    world.engine.run()
    wanted = world.new_model.encode([B], "document").array
    assert np.array_equal(world.new.get(["x"]).vectors.array, wanted)
    world.engine.cut_over()


def test_what_somebody_else_left_visible_on_the_new_side_hides_nothing_before_the_start(world):
    world.engine.run(0.5)
    world.engine.roll_back()
    left = world.new.scan(limit=100).rows.ids
    world.new.unhide(left)
    world.plan_again()
    begin = world.gallery.set_state
    found = []

    def and_search(*given, **more):
        found.append(len(set(world.gallery.search([A], 40).ids[0])))
        return begin(*given, **more)

    world.gallery.set_state = and_search
    world.engine.start()
    assert found[0] == 40
    assert world.sound(world.items)


@pytest.mark.parametrize("method", ["unhide", "delete"])
@pytest.mark.parametrize("after", [False, True])
def test_a_reconciling_scan_that_died_lost_nothing(world, method, after):
    world.engine.run(0.5)
    moved = sorted(world.shown()[1])[0]
    vectors = world.old_model.encode([B], "document")
    world.old.upsert([moved], vectors, None, [10_000])
    world.fail_once(world.old if method == "unhide" else world.new, method, after)
    with pytest.raises(StoreError):
        reconcile(world.gallery)
    world.restart()
    assert world.sound(world.items)
    assert moved in world.gallery.search([B], 40).ids


def test_an_open_ledger_of_other_spaces_is_refused(world):
    stranger = MemoryStore(Space("stranger", 12))
    with pytest.raises(UpgradeError, match="stranger"):
        Gallery(Side(world.old, world.old_model), Side(stranger), world.ledger, clock=world.clock)


def test_a_ledger_whose_commit_failed_goes_on_with_a_fresh_transaction(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite", lambda: 0.0)
    real = ledger._db

    class Full:
        def __getattr__(self, name):
            return getattr(real, name)

        def execute(self, sql, *values):
            if sql == "COMMIT":
                ledger._db = real
                raise sqlite3.OperationalError("database or disk is full")
            return real.execute(sql, *values)

    ledger._db = Full()
    with pytest.raises(LedgerError, match="disk is full"):
        ledger.set_meta("a", "1")
    ledger.set_meta("b", "2")
    ledger.close()
    again = Ledger(tmp_path / "ledger.sqlite", lambda: 0.0, readonly=True)
    assert (again.meta("a"), again.meta("b")) == (None, "2")
    again.close()


def test_a_late_reason_does_not_set_a_newer_write_aside(world):
    """The batch fails for an item that was meanwhile written and queued again."""
    world.engine.run(0.5)
    name = next(n for _, n in world.ledger.todo(1))
    world.source.items.pop(name)
    get = world.source.get

    def write_and_read(ids):
        world.source.get = get
        found = get(ids)
        world.new_model.fail = [EncoderError("model", "an answer", "none")]
        world.gallery.upsert([Item(name, B)])
        world.source.items[name] = B
        return found

    world.source.get = write_and_read
    world.engine.start()
    world.engine.step()
    assert world.ledger.quarantined() == []
    assert world.engine.run().state == "ready"
    world.engine.cut_over()


@pytest.mark.parametrize(
    ("side", "method"), [("new", "upsert"), ("old", "hide"), ("ledger", "done")]
)
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("restart", [False, True])
def test_batches_that_were_written_together_are_moved_again(
    world, monkeypatch, side, method, after, restart
):
    monkeypatch.setattr(group, "_SMALL", 1)
    monkeypatch.setattr(group, "_FIRST", 24)
    world.clock_stands_still()
    hidden, hide = [], world.old.hide

    def noted(ids):
        hidden.append(len(ids))
        hide(ids)

    world.old.hide = noted
    if method == "hide":  # what the first group wrote stays
        world.engine.run(0.5)
    world.fail_once(getattr(world, side), method, after)
    with pytest.raises(StoreError):
        world.engine.run()
    if restart:
        world.restart()
        world.clock_stands_still()
        assert world.ledger.journal() == []
    else:
        assert world.engine.status().state == "paused"
    assert world.sound(world.items) or not restart
    world.gallery.upsert([Item("i3", A), Item("x", B)])
    world.gallery.delete(["i5"])
    world.items |= {"i3": A, "x": B}
    del world.items["i5"]
    world.source.items = dict(world.items)
    world.engine.run()
    assert world.sound(world.items)
    assert world.true(world.items)
    assert world.new.visible == 40
    assert max(hidden) > 8, "no batches were written together"


def test_a_search_interrupted_at_the_turnstile_keeps_no_writer_waiting(world):
    gate = world.gallery._gate
    real = gate._turn

    class Interrupted:
        def __enter__(self):
            real.acquire()

        def __exit__(self, *_):
            real.release()
            gate._turn = real
            raise KeyboardInterrupt

    gate._turn = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        world.gallery.search([A], 1)
    assert gate._readers == 0, "or this would wait for ever"
    world.gallery.upsert([Item("after", A)])
    assert world.gallery.search([A], 1).ids.tolist() == [["after"]]


@pytest.mark.parametrize(
    ("side", "method", "after"),
    [("old", "hide", False), ("old", "hide", True), ("new", "upsert", True)],
)
def test_a_write_that_was_cut_off_is_found_once_until_it_is_finished(world, side, method, after):
    """Its item may be visible on both sides until the next change."""
    world.engine.run(0.5)
    world.fail_once(getattr(world, side), method, after)
    with pytest.raises(StoreError):
        world.gallery.upsert([Item("x", A)])
    for k in (1, 5, 41):
        found = [name for name in world.gallery.search([A, B], k).ids.ravel().tolist() if name]
        assert [found.count("x") <= 2, len(found)] == [True, 2 * k]
        for row in world.gallery.search([A, B], k).ids.tolist():
            assert len(set(row)) == k
    assert world.gallery.search([A], 1).ids.tolist() == [["x"]]


@pytest.mark.parametrize("method", ["delete", "hide"])
def test_items_on_their_way_back_that_were_cut_off_are_found_once(world, method):
    """Given up for another content, or by a rollback."""
    world.engine.run()
    world.fail_once(world.new, method)
    world.new_model.fail = [EncoderError("model", "an answer", "none")]
    turns = {
        "hide": world.engine.roll_back,
        "delete": lambda: world.gallery.upsert([Item("i1", A)]),
    }
    with pytest.raises(StoreError):
        turns[method]()
    world.new_model.fail = []
    for row in world.gallery.search([A, B], 40).ids.tolist():
        assert sorted(row) == sorted(world.items)


@pytest.mark.parametrize("error", [InvalidInput, StoreError])
def test_only_a_write_that_was_cut_off_makes_searches_ask_both_models(world, error):
    """One that was refused is done with: nothing is half there."""
    world.engine.start()

    def fail(*given):
        del world.old.upsert
        raise error("store", "another", "this")

    world.old.upsert = fail
    with pytest.raises(error):
        world.gallery.upsert([Item("x", A)])
    calls = world.new_model.calls
    assert world.gallery.search([A], 40).ids[0].tolist().count("x") <= (error is StoreError)
    assert (world.new_model.calls > calls) == (error is StoreError)
    world.gallery.upsert([Item("y", A)])
    assert world.gallery.search([A], 1).ids[0, 0] in ("x", "y")
