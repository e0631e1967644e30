"""Searches that go on while items move: none is missed, none comes twice, nobody waits."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from holdfast.arrays import as_vectors
from holdfast.errors import StoreError
from holdfast.hits import Hits, difference
from holdfast.space import Space
from holdfast.store.edge import EdgeStore
from holdfast.store.faiss import FaissStore
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import Moved
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.search.each_once import each_once
from holdfast.upgrade.side import Side
from holdfast.upgrade.sides.turnstile import Turnstile
from tests.background import beside

K = 4


def best(scores, k):
    ranked = sorted(scores.items(), key=lambda pair: -pair[1])[:k]
    return Hits.of([ranked], k)


def faults(hits, allowed, k):
    """What is wrong with an answer, if each item may have any of its allowed scores."""
    found = dict(hits)
    wrong = ["twice"] if len(found) < len(hits) else []
    if len(hits) < min(k, len(allowed)):
        wrong.append("too few")
    wrong += ["a score it never had" for name, score in hits if score not in allowed[name]]
    last = min(found.values(), default=np.inf)
    if len(found) == k:
        lost = [name for name in allowed if name not in found and min(allowed[name]) > last]
        wrong += ["lost"] * len(lost)
    return wrong


def interleaved(seed, search):
    """Faults of one search while items move at any moment between its two reads."""
    rng = np.random.default_rng(seed)
    names = [f"i{n}" for n in range(int(rng.integers(1, 14)))]
    scores = {name: np.float32(rng.normal(size=2)).tolist() for name in names}
    # When each item arrives on the new side, and when, later, it leaves the old one.
    arrives = rng.uniform(-1.0, 4.0, len(names))
    leaves = arrives + rng.uniform(0.0, 1.5, len(names))
    clock = iter(np.arange(0.0, 100.0))
    read = []

    def side(number, there):
        def ask(k):
            now = next(clock)
            read.append(now)
            return best({n: scores[n][number] for i, n in enumerate(names) if there(i, now)}, k)

        return ask

    old = side(0, lambda i, now: now < leaves[i])
    new = side(1, lambda i, now: now >= arrives[i])
    first, second = search(old, new)
    first_read, last_read = read[-2], read[-1]
    allowed = {}
    for i, name in enumerate(names):
        seen = {0} if first_read < leaves[i] else set()
        seen |= {1} if last_read >= arrives[i] else set()
        allowed[name] = [scores[name][number] for number in sorted(seen)]
    joined = sorted(first.row(0) + second.row(0), key=lambda pair: -pair[1])[:K]
    return faults(joined, allowed, K)


def test_whatever_moves_between_two_reads_counts_once():
    wrong = [
        interleaved(seed, lambda a, b: each_once(a, b, K, lambda: None)) for seed in range(2000)
    ]
    assert not any(wrong)


def test_the_check_sees_what_would_be_wrong():
    """Reading the new side first loses items; not looking for common ones shows them twice."""

    def hasty(a, b):
        return a(K), b(K)

    def backwards(a, b):
        second = b(K)
        return a(K), second

    def without_more(a, b):
        first, second = a(K), b(K)
        twice = {name for name, _ in first.row(0)} & {name for name, _ in second.row(0)}
        return Hits.of([[pair for pair in first.row(0) if pair[0] not in twice]], K), second

    def all_wrong(search):
        return {kind for seed in range(2000) for kind in interleaved(seed, search)}

    assert "twice" in all_wrong(hasty)
    assert "lost" in all_wrong(without_more)
    found = set()
    for seed in range(2000):
        # The check reads the order of the calls, so ask it as the search saw it.
        found |= set(interleaved_backwards(seed, backwards))
    assert "lost" in found


def interleaved_backwards(seed, search):
    """As `interleaved`, with allowed scores as of a search that reads the new side first."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(6, 14))
    arrives = rng.uniform(-1.0, 4.0, count)
    leaves = arrives + rng.uniform(0.0, 0.3, count)
    clock = iter(np.arange(0.0, 100.0))

    def side(there):
        def ask(k):
            now = next(clock)
            return best({f"i{n}": float(n) for n in range(count) if there(n, now)}, k)

        return ask

    first, second = search(side(lambda n, t: t < leaves[n]), side(lambda n, t: t >= arrives[n]))
    names = {name for name, _ in first.row(0) + second.row(0)}
    top = {f"i{n}" for n in range(count - K, count)}
    return ["lost"] if top - names else []


def test_a_search_that_met_no_move_reads_each_side_once():
    asked = []

    def side(name):
        def ask(k):
            asked.append((name, k))
            return best({name: 1.0}, k)

        return ask

    each_once(side("old"), side("new"), K, lambda: 3)
    assert asked == [("old", K), ("new", K)]


def at_once(seed):
    """Faults of one search that asks both sides at once, in either order, while items move."""
    rng = np.random.default_rng(seed)
    names = [f"i{n}" for n in range(int(rng.integers(1, 14)))]
    scores = {name: np.float32(rng.normal(size=2)).tolist() for name in names}
    arrives = rng.choice([-2.0, 0.1, 0.3, 0.5, 0.7, 0.9, 2.5, 9.0], len(names))
    leaves = arrives + 0.1 * rng.integers(1, 4)
    first, later = iter(rng.uniform(size=2)), iter([2.0, 3.0, 4.0, 5.0])
    times = {0: [float(next(first))], 1: [float(next(first))]}
    looks = iter([0.0, 1.0])

    def side(number, there):
        def ask(k):
            now = times[number].pop() if times[number] else next(later)
            return best({n: scores[n][number] for i, n in enumerate(names) if there(i, now)}, k)

        return ask

    def moves():
        now = next(looks)
        under_way = ((arrives <= now) & (now < leaves)).any()
        return None if under_way else int((leaves <= now).sum())

    old, new = side(0, lambda i, now: now < leaves[i]), side(1, lambda i, now: now >= arrives[i])
    found = each_once(old, new, K, moves, at_once=True)
    allowed = {}
    for i, name in enumerate(names):
        seen = ({0} if leaves[i] > 0.0 else set()) | ({1} if arrives[i] <= 5.0 else set())
        allowed[name] = [scores[name][number] for number in sorted(seen)]
    joined = sorted(found[0].row(0) + found[1].row(0), key=lambda pair: -pair[1])[:K]
    return faults(joined, allowed, K)


def test_sides_that_are_asked_at_once_lose_nothing_either():
    assert not any(at_once(seed) for seed in range(2000))


def test_sides_far_away_wait_for_each_other_only_while_something_moves():
    threads = []
    both = threading.Barrier(2, timeout=30.0)

    def meet(k):
        threads.append(threading.get_ident())
        both.wait()
        return best({str(len(threads)): 1.0}, k)

    each_once(meet, meet, K, lambda: 3, at_once=True)
    assert len(set(threads)) == 2
    one = []

    def note(k):
        one.append(threading.get_ident())
        return best({str(len(one)): 1.0}, k)

    each_once(note, note, K, lambda: None, at_once=True)
    assert one == [threading.get_ident()] * 2


def test_a_failed_side_is_told_of_when_the_other_one_is_done():
    """Else the other one would read a store that its caller closes."""
    failed, done = threading.Event(), threading.Event()

    def old(k):
        failed.set()
        raise StoreError("the old store", "an answer", "none")

    def new(k):
        assert failed.wait(30.0)
        time.sleep(0.05)
        done.set()
        return best({"a": 1.0}, k)

    with pytest.raises(StoreError, match="the old store"):
        each_once(old, new, K, lambda: 3, at_once=True)
    assert done.is_set()


# Galleries. The new space extends the old one by coordinates that are all zero, so that an item
# scores the same wherever it is: at any moment there is one right answer.

OLD = Space("old", 16)
NEW = Space("new", 18, extends=OLD.fingerprint)


class Far(MemoryStore):
    """As if it were another process."""

    limits = replace(MemoryStore.limits, remote=True)


STORES = {
    "memory": lambda folder, space: MemoryStore(space),
    "far": lambda folder, space: Far(space),
    "edge": lambda folder, space: EdgeStore(folder / space.name, space, exact=True),
    "flat": lambda folder, space: FaissStore(folder / space.name, space, index="flat"),
}


class Padded:
    """The new model: the old vector, and zeros."""

    def __init__(self, table):
        self.target, self.reads_vectors, self.table = NEW, False, table

    def move(self, rows):
        array = np.array([self.table[name] for name in rows.ids], dtype=np.float32)
        return Moved(rows, as_vectors(array.reshape(-1, NEW.dim), NEW, "padded"))


class World:
    def __init__(self, folder, kind, count=300, batch=7):
        rng = np.random.default_rng(5)
        self.names = [f"i{n}" for n in range(count)]
        rows = np.pad(rng.normal(size=(count, OLD.dim)), ((0, 0), (0, 2))).astype(np.float32)
        self.old, self.new = (STORES[kind](folder, space) for space in (OLD, NEW))
        self.old.upsert(self.names, np.ascontiguousarray(rows[:, : OLD.dim]))
        asked = rng.normal(size=(6, OLD.dim))
        wide = as_vectors(np.pad(asked, ((0, 0), (0, 2))), NEW, "test")
        self.queries = [as_vectors(asked, OLD, "test"), wide]
        truth = MemoryStore(NEW)
        truth.upsert(self.names, rows)
        self.truth = truth.search(wide, count)
        plan = Plan(merge="compatible", batch_size=batch, max_batch_size=batch)
        ledger = Ledger(folder / "ledger.sqlite", lambda: 0.0)
        ledger.begin(plan.model_dump(), OLD, NEW)
        self.gallery = Gallery(
            Side(self.old), Side(self.new), ledger, mode="compatible", clock=lambda: 1
        )
        mover = Padded(dict(zip(self.names, rows, strict=True)))
        self.engine = Engine(self.gallery, mover, plan)

    def search(self):
        """Checked."""
        assert difference(self.gallery.search(self.queries, 10), self.truth) is None


@pytest.fixture(params=STORES)
def world(request, tmp_path):
    made = World(tmp_path, request.param)
    yield made
    made.gallery.close()


def test_every_answer_is_right_while_everything_moves(world):
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            world.search()

    joins = [beside(ask) for _ in range(2)]
    try:
        world.engine.run()
    finally:
        stop.set()
    for join in joins:
        join()
    assert world.gallery.share == 1.0
    world.search()


def test_two_stores_far_away_are_asked_at_once(tmp_path):
    world = World(tmp_path, "far")
    world.engine.run(until=0.5)
    both = threading.Barrier(2, timeout=30.0)
    for store in (world.old, world.new):

        def meet(*given, search=store.search, **named):
            both.wait()
            return search(*given, **named)

        store.search = meet
    world.search()
    world.gallery.close()


class Held:
    """A method that stops before or after its work, until it is let go."""

    def __init__(self, store, name, after):
        self.reached, self.go = threading.Event(), threading.Event()
        self._do, self._after = getattr(store, name), after
        setattr(store, name, self)

    def __call__(self, *given, **named):
        if not self._after:
            self._wait()
        out = self._do(*given, **named)
        if self._after:
            self._wait()
        return out

    def _wait(self):
        self.reached.set()
        assert self.go.wait(240)


@pytest.mark.parametrize(("side", "name"), [("new", "upsert"), ("old", "hide")])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_a_search_does_not_wait_for_a_move(world, side, name, after, begun):
    if begun:
        world.engine.run(until=0.3)
    world.engine.start()
    held = Held(getattr(world, side), name, after)
    join = beside(world.engine.step)
    try:
        assert held.reached.wait(240)
        world.search()  # would wait for ever
    finally:
        held.go.set()
    join()
    world.search()


def test_the_first_move_while_the_old_side_is_read_alone(world):
    """It was the only side that counted when the search began, and is not when it ends."""
    search, moved = world.old.search, []

    def late(*given, **named):
        if not moved:
            moved.append(True)
            join = beside(world.engine.step)
            join()
        return search(*given, **named)

    world.old.search = late
    world.engine.start()
    world.search()
    assert world.new.visible == 7


def test_a_move_between_the_two_reads(world):
    world.engine.run(until=0.5)
    world.engine.start()
    search = world.new.search

    def late(*given, **named):
        beside(world.engine.step)()
        return search(*given, **named)

    world.new.search = late
    for _ in range(5):
        world.search()


def test_a_move_that_an_error_cut_off_shows_nothing_twice(world):
    world.engine.run(until=0.5)
    hide, told = world.old.hide, StoreError("test", "a disk", "none")

    def broken(ids):
        del ids
        raise told

    world.old.hide = broken
    with pytest.raises(StoreError):
        world.engine.run()
    assert world.new.visible > 150  # they have arrived and not left
    world.search()
    world.old.hide = hide
    world.engine.run()
    world.search()
    assert (world.old.visible, world.new.visible) == (0, 300)


def test_a_write_waits_for_a_move_and_searches_for_a_write(world):
    """Only moves are harmless: a write or a delete changes what the right answer is."""
    held = Held(world.new, "upsert", after=True)
    join = beside(world.engine.step)
    assert held.reached.wait(240)
    deleted = beside(lambda: world.gallery.delete(["i299"]))
    time.sleep(0.05)
    assert len(world.gallery) == 300
    held.go.set()
    join()
    deleted()
    assert len(world.gallery) == 299


def test_a_write_is_no_move(world):
    """Else a search beside many of them would look at both sides, and find that it need not."""
    world.engine.start()
    held = Held(world.old, "delete", after=False)
    join = beside(lambda: world.gallery.delete(["i299"]))
    try:
        assert held.reached.wait(240)
        assert world.gallery._needed() == [world.gallery.old]
    finally:
        held.go.set()
    join()
    assert world.gallery._needed() == [world.gallery.old]


def test_a_batch_that_moves_nothing_is_no_move(world):
    """A model that fails for every item must not be asked for the queries either."""
    world.engine.start()
    none, before = world.old.get([]), world.gallery._gate.moves
    world.gallery.move(none, as_vectors(np.zeros((0, NEW.dim)), NEW, "test"), [], 0)
    assert world.gallery._needed() == [world.gallery.old]
    assert world.gallery._gate.moves == before


def test_a_move_that_ends_and_another_that_begins_while_one_side_is_searched(tmp_path, monkeypatch):
    """A move that brought nothing goes on when a search begins, and the next one when it ends."""
    world = World(tmp_path, "memory")
    world.engine.start()
    search, told = world.old.search, iter([0, None, 0, None])
    real = Turnstile.moves
    moves = property(lambda gate: next(told, real.fget(gate)))
    monkeypatch.setattr(Turnstile, "moves", moves)

    def late(*given, **named):
        world.old.search = search
        world.engine.step()
        return search(*given, **named)

    world.old.search = late
    world.search()
    assert world.new.visible == 7
    world.gallery.close()
