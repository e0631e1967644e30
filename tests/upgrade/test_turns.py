"""Commands from other threads and engines while one runs, and parts that break their promise."""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np
import pytest

from holdfast.errors import (
    InvalidInput,
    LedgerError,
    SourceError,
    StoreError,
    Throttled,
    UpgradeError,
)
from holdfast.hits import difference
from holdfast.items import Item
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.executor import Inline, Threads
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.merge import Quantile, ScoreSample
from holdfast.upgrade.mover import Moved, ReEmbed
from holdfast.upgrade.side import Side
from tests.upgrade.test_half_done import NEW, OLD, World
from tests.upgrade.toys import ToyEncoder


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.ledger.close()


def another(world):
    mover = ReEmbed(world.source, world.new_model)
    return Engine(world.gallery, mover, world.plan, sleep=lambda s: None)


@pytest.mark.parametrize("executor", [Inline, lambda: Threads(2)])
@pytest.mark.parametrize(("command", "state"), [("pause", "paused"), ("roll_back", "rolled back")])
def test_a_run_ends_when_another_engine_turns_the_gallery(world, executor, command, state):
    engine = Engine(world.gallery, ReEmbed(world.source, world.new_model), world.plan, executor())
    turned = []

    def turn(status):
        if status.share >= 0.3 and not turned:
            turned.append(status)
            getattr(another(world), command)()

    engine._listener = turn
    done = threading.Thread(target=engine.run)
    done.start()
    done.join(240)
    engine._stop = True  # should it still run
    assert not done.is_alive()
    assert world.gallery.state == state
    assert world.gallery.share < 0.9
    assert world.sound(world.items)
    engine.executor.close()


def test_a_rollback_that_comes_too_late_changes_nothing(world):
    world.engine.run()
    world.engine.cut_over()
    allow = world.engine._allow

    def finish_first(*given):
        allow(*given)
        world.engine._allow = allow
        another(world).finish()

    world.engine._allow = finish_first
    with pytest.raises(UpgradeError, match="finished"):
        world.engine.roll_back()
    assert world.gallery.state == "finished"


@pytest.mark.parametrize("how", ["short", "turned round"])
def test_a_source_that_answers_other_items_moves_none_of_them(world, how):
    get = world.source.get
    world.source.get = lambda ids: get(ids)[:-1] if how == "short" else get(ids)[::-1]
    with pytest.raises(SourceError):
        world.engine.run()
    assert world.gallery.state == "paused"
    assert len(world.new) == 0


def test_a_mover_that_says_nothing_of_a_row_is_stopped(world):
    class Forgetful(ReEmbed):
        def move(self, rows):
            moved = super().move(rows)
            first = np.array([0])
            return Moved(moved.rows.take(first), moved.vectors.take(first))

    engine = Engine(world.gallery, Forgetful(world.source, world.new_model), world.plan)
    with pytest.raises(UpgradeError, match="every row of a batch"):
        engine.run()
    assert world.sound(world.items)


@pytest.mark.parametrize("rate", ["fast", float("nan"), -1.0, None])
def test_a_command_nobody_can_follow_is_answered_and_forgotten(world, rate):
    world.ledger.ask("rate", rate=rate)
    assert world.engine.run().state == "ready"
    assert world.ledger.asked() == []
    assert world.engine._limit.rate == 0.0


def test_a_pause_while_the_model_is_throttled_is_a_pause(world):
    def asked(seconds):
        world.engine.pause()

    world.engine._sleep = asked
    world.new_model.fail = [Throttled("model", "room", "429")]
    assert world.engine.run().state == "paused"
    assert not world.new_model.fail  # and it was not asked again
    assert world.engine.run().state == "ready"


class Bustle:
    """Two writers, a commander and a searcher, while threads compute batches."""

    def __init__(self, world):
        self.world, self.stop, self.wrong = world, threading.Event(), []
        self.truth, self.turns = [{}, {}], 0

    def write(self, number):
        rng, truth = np.random.default_rng(number), self.truth[number]
        while not self.stop.is_set():
            name = f"w{number}-{rng.integers(12)}"
            content = tuple(map(float, rng.normal(size=4)))
            if rng.random() < 0.3:
                truth.pop(name, None)
                self.world.gallery.delete([name])
            else:
                self.world.source.items[name] = truth[name] = content
                self.world.gallery.upsert([Item(name, content)])

    def search(self):
        queries, all_along = list(self.world.items.values())[:3], set(self.world.items)
        while not self.stop.is_set():
            for row in self.world.gallery.search(queries, 80).ids:
                names = [n for n in row if n]
                if len(set(names)) != len(names) or not all_along <= set(names):
                    self.wrong.append(names)

    def command(self):
        rng = np.random.default_rng(9)
        while not self.stop.is_set():
            time.sleep(float(rng.random()) / 10)
            with contextlib.suppress(UpgradeError):
                getattr(another(self.world), "pause" if rng.random() < 0.8 else "roll_back")()

    def upgrade(self, executor):
        """To the end and back, or as far as the commander lets it."""
        world = self.world
        if world.gallery.state == "rolled back":
            with world.gallery.alone():
                world.ledger.begin(world.plan.model_dump(), OLD, NEW)
            world.gallery.recover()
        mover = ReEmbed(world.source, world.new_model)
        engine = Engine(world.gallery, mover, world.plan, executor)
        with contextlib.suppress(UpgradeError):
            engine.run()
            engine.cut_over()
            self.turns += 1
            engine.roll_back()

    def guarded(self, work, *given):
        try:
            work(*given)
        except BaseException as error:
            self.wrong.append(error)
            raise

    def __enter__(self):
        jobs = [(self.write, 0), (self.write, 1), (self.search,), (self.command,)]
        self.threads = [threading.Thread(target=self.guarded, args=job) for job in jobs]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def test_writers_and_commands_beside_a_backfill_lose_nothing(world):
    executor, end = Threads(2), time.monotonic() + 90.0
    with Bustle(world) as bustle:
        while bustle.turns < 4 and time.monotonic() < end and not bustle.wrong:
            bustle.upgrade(executor)
    executor.close()
    assert not bustle.wrong
    assert bustle.turns
    everything = {**world.items, **bustle.truth[0], **bustle.truth[1]}
    assert world.gallery.reads != "both" or world.sound(everything)
    assert world.true(everything)
    world.engine.roll_back()
    assert world.shown() == [set(everything), set()]
    assert world.true(everything)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_smallest_galleries_live_a_whole_life(tmp_path, count):
    world = World(tmp_path, count=2)
    world.gallery.delete([f"i{n}" for n in range(count, 2)])
    world.items = {n: world.items[n] for n in list(world.items)[:count]}
    names = sorted(world.items)

    def found():
        hits = world.gallery.search([(0.1, 0.2, 0.3, 0.4)] * 2, 10)
        assert hits.ids.shape == (2, 10)
        return [sorted(n for n in row if n) for row in hits.ids]

    assert found() == [names] * 2
    for until in (0.3, 0.5, 1.0):
        status = world.engine.run(until)
        assert found() == [names] * 2
    assert status.state == "ready"
    world.engine.cut_over()
    assert found() == [names] * 2
    world.engine.roll_back()
    assert found() == [names] * 2
    world.plan_again()
    world.engine.run()
    world.engine.cut_over()
    world.engine.finish()
    assert found() == [names] * 2
    assert world.gallery.search([], 10).ids.shape == (0, 10)
    world.ledger.close()


@pytest.mark.parametrize("until", [0.3, 0.6, 0.9])
def test_filters_meet_hidden_rows_on_both_sides(tmp_path, until):
    world = World(tmp_path)
    names = list(world.items)
    items = [Item(n, world.items[n], {"even": i % 2 == 0}) for i, n in enumerate(names)]
    world.gallery.upsert(items)
    world.engine.run(until)
    for even in (True, False):
        wanted = {n for i, n in enumerate(names) if (i % 2 == 0) == even}
        for where in ({"even": even}, {"not": {"even": not even}}):
            row = world.gallery.search([(0.1, 0.2, 0.3, 0.4)], 100, where).ids[0]
            found = [n for n in row if n]
            assert len(found) == len(wanted)
            assert set(found) == wanted
    world.ledger.close()


@pytest.mark.parametrize("how", ["written", "deleted"])
def test_items_left_behind_that_came_over_or_went_do_not_hold_up_the_finish(world, how):
    del world.source.items["i7"]
    world.engine.run()
    world.engine.cut_over(leave_behind=True)
    if how == "written":
        world.gallery.upsert([Item("i7", (0.9, -0.8, 0.7, -0.6))])
    else:
        world.gallery.delete(["i7"])
    world.engine.finish()
    assert world.gallery.state == "finished"


def test_a_retry_that_comes_too_late_for_the_cut_over_queues_nothing(world):
    """Else a finish would take what only the old side has for moved."""
    del world.source.items["i7"]
    world.engine.run()
    allow = world.engine._allow

    def late(*given):
        world.engine._allow = allow
        allow(*given)
        world.engine.cut_over(leave_behind=True)

    world.engine._allow = late
    with pytest.raises(UpgradeError, match="one that is cut over"):
        world.engine.retry()
    assert world.ledger.counts() == {"todo": 0, "quarantined": 1}
    with pytest.raises(UpgradeError, match="1 quarantined ones, left behind"):
        world.engine.finish()
    assert world.engine.audit.check() is None


def test_what_waits_on_the_old_side_alone_holds_up_the_finish(world):
    """However it came to be there."""
    world.engine.run()
    world.engine.cut_over()
    world.ledger.enqueue(["i7"])
    with pytest.raises(UpgradeError, match="no items that only the old side has"):
        world.engine.finish()
    assert world.gallery.state == "cut over"
    world.engine.finish(leave_behind=True)


@pytest.mark.parametrize("accepted", [False, True])
def test_what_is_quarantined_at_the_last_moment_is_not_left_behind_unasked(world, accepted):
    world.engine.run()
    counts = world.ledger.counts

    def late():
        told = counts()
        world.ledger.counts = counts
        world.gallery.requeue(["i7"])
        world.ledger.quarantine({"i7": "refused"})
        return told

    world.ledger.counts = late
    if accepted:
        world.engine.cut_over(leave_behind=True)
        assert world.ledger.events()[-1][2] == {"left_behind": 1}
    else:
        with pytest.raises(UpgradeError, match="no quarantined items, got 1"):
            world.engine.cut_over()
        assert world.gallery.state == "ready"


def test_the_name_by_which_others_search_stays_with_the_side_that_is_read(world):
    """A store may take its time to be given the name, and another turn come in between."""
    told, reached, go = [], threading.Event(), threading.Event()

    def slow():
        reached.set()
        assert go.wait(240)
        told.append("new")

    world.new.lead, world.old.lead = slow, lambda: told.append("old")
    world.engine.run()
    turns = [threading.Thread(target=t) for t in (world.engine.cut_over, world.engine.roll_back)]
    turns[0].start()
    assert reached.wait(240)
    turns[1].start()
    turns[1].join(0.3)  # as far as it comes
    go.set()
    for turn in turns:
        turn.join(240)
        assert not turn.is_alive()
    assert world.gallery.state == "rolled back"
    assert told[-1] == "old"


@pytest.mark.parametrize("broken", ["old", "new"])
def test_a_store_that_cannot_be_closed_keeps_nobody_else_open(world, broken):
    world.engine.run(0.5)
    closed = []

    def close(name):
        closed.append(name)
        if name == broken:
            raise StoreError("disk", "room", "none")

    world.old.close, world.new.close = (lambda: close("old")), (lambda: close("new"))
    with pytest.raises(StoreError, match="room"):
        world.gallery.close()
    assert closed == ["old", "new"]
    with pytest.raises(LedgerError, match="a closed one"):
        world.ledger.counts()


def test_one_string_is_no_list_of_contents(world):
    with pytest.raises(InvalidInput, match="one string"):
        world.gallery.search("kelp")
    for call in (world.gallery.get, world.gallery.delete):
        with pytest.raises(InvalidInput, match="one string"):
            call("i1")
    assert len(world.gallery) == 40


@pytest.mark.parametrize("sides", [1, 2])
def test_a_closed_gallery_says_so(world, sides):
    gallery = world.gallery if sides == 2 else Gallery(world.gallery.old, clock=world.clock)
    if sides == 2:
        world.engine.run(0.5)
    gallery.close()
    gallery.close()
    calls = (
        lambda: gallery.search([(0.1, 0.2, 0.3, 0.4)], 3),
        lambda: gallery.get(["i1"]),
        lambda: gallery.upsert([Item("x", (0.1, 0.2, 0.3, 0.4))]),
        lambda: gallery.delete(["i1"]),
    )
    asked = (world.engine.step, world.engine.run, world.engine.cut_over, world.engine.roll_back)
    for call in asked if sides == 2 else ():
        with pytest.raises((LedgerError, StoreError), match=r"open .*, got a closed one"):
            call()
    for call in calls:
        with pytest.raises(StoreError, match="got a closed one"):
            call()
    assert len(world.old) == 40


def test_quantiles_are_never_seen_half_learned(monkeypatch):
    """Searches share a calibrator, and one of them may be fitting it."""
    rng = np.random.default_rng(0)
    many, few = (ScoreSample(*rng.normal(size=(2, 4, width))) for width in (60, 2))
    quantile, asked = Quantile().fit(many), rng.normal(size=(4, 6))
    before, during, cumsum = quantile(asked, many), [], np.cumsum

    def and_search(values):
        during.append(quantile(asked, many))
        return cumsum(values)

    monkeypatch.setattr(np, "cumsum", and_search)
    quantile.fit(few)
    assert np.array_equal(during[0], before)
    assert not np.array_equal(quantile(asked, many), before)


def test_one_space_merges_as_one_store(tmp_path):
    """`compatible`, where the new store has the same space: the answer of one store, always."""
    world = World(tmp_path)
    new = MemoryStore(OLD)
    model = ToyEncoder(OLD, seed=1)
    world.ledger.set_state("rolled back")
    world.ledger.begin(world.plan.model_dump(), OLD, OLD)
    gallery = Gallery(
        Side(world.old, world.old_model),
        Side(new, model),
        world.ledger,
        mode="compatible",
        clock=world.clock,
    )
    alone = world.old.search(model.encode([(0.1, 0.2, 0.3, 0.4)], "query"), 40)
    engine = Engine(gallery, ReEmbed(world.source, model), world.plan)
    for until in (0.2, 0.7, 1.0):
        engine.run(until)
        assert difference(gallery.search([(0.1, 0.2, 0.3, 0.4)], 40), alone) is None
    world.ledger.close()
