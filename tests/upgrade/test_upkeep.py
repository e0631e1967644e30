"""When stores are tended while items move: halvings and doublings, as far as time allows."""

from __future__ import annotations

import pytest

from holdfast.errors import StoreError
from holdfast.space import Space
from holdfast.upgrade.backfill.upkeep import LEAST, Upkeep


class Store:
    """Counts rows; its upkeep takes so many seconds a row."""

    def __init__(self, world, name, visible):
        self.world, self.name, self.visible = world, name, visible

    def tend(self):
        self.world.now += self.visible * self.world.cost
        self.world.tended.append((self.name, self.visible))


class World:
    def __init__(self, items, cost, searched=False):
        self.now, self.cost, self.tended = 100.0, cost, []
        self.old, self.new = Store(self, "old", items), Store(self, "new", 0)
        self.upkeep = Upkeep(self.old, self.new, lambda: self.now, searched)

    def move(self, each, batch=1000):
        while self.old.visible:
            count = min(batch, self.old.visible)
            self.now += count * each
            self.old.visible -= count
            self.new.visible += count
            self.upkeep.after_batch()
        self.upkeep.at_end()
        return self.tended


def test_where_models_are_slow_every_halving_and_doubling_is_tended():
    assert World(64_000, cost=1.0).move(each=100.0) == [
        ("new", 5_000),
        ("new", 10_000),
        ("new", 20_000),
        ("old", 32_000),
        ("new", 40_000),
        ("old", 16_000),
        ("old", 8_000),
        ("old", 4_000),
        ("new", 64_000),
    ]


@pytest.mark.parametrize("cost", [0.5, 1.0, 3.0, 10.0])
@pytest.mark.parametrize(("searched", "share"), [(False, 0.2), (True, 0.5)])
def test_where_items_move_faster_than_graphs_are_built_moving_goes_first(cost, searched, share):
    world = World(400_000, cost, searched)
    tended = world.move(each=1.0)
    assert tended[-1] == ("new", 400_000)
    before_the_end = sum(rows for _, rows in tended[:-1]) * cost
    first = tended[0][1] * cost  # what it costs is not known before
    assert before_the_end <= share * 400_000 + first
    if cost == 0.5:  # and what there is, is used
        assert before_the_end > 0.5 * share * 400_000


@pytest.mark.parametrize("searched", [False, True])
def test_items_that_all_move_within_seconds_wait_for_the_end(searched):
    """A mixture that lasts no longer is hardly searched, and the price is not known yet."""
    assert World(40_000, cost=1e-4, searched=searched).move(each=1e-4) == [("new", 40_000)]
    tended = World(80_000, cost=1e-5, searched=searched).move(each=1e-4)
    assert tended[0] == ("old", 29_000)  # after five seconds: 51,000 have moved
    assert len(tended) > 2


def test_the_new_side_waits_for_an_end_that_is_near():
    world = World(15_000, cost=0.0)
    at_doublings = [rows for name, rows in world.move(each=1.0) if name == "new"]
    assert at_doublings == [5_000, 15_000]  # at 10,000 the end is as near as half of that


def test_a_stop_tends_both_sides():
    world = World(300, cost=1.0)
    world.old.visible, world.new.visible = 200, 100
    world.upkeep.at_rest()
    assert world.tended == [("old", 200), ("new", 100)]


def test_few_rows_are_not_tended_before_the_end():
    assert World(LEAST - 1, cost=0.0).move(each=1.0) == [("new", LEAST - 1)]


def test_an_index_that_fails_does_not_stop_the_items(caplog):
    """A builder may be killed for want of memory; searches are slower then, and no more."""
    world = World(64_000, cost=1.0)
    tend = world.new.tend

    def fails_at_first():
        tend()
        if world.new.visible < 20_000:
            raise StoreError("graph of the new side", "a child that ends well", "exit code -9")

    world.new.tend, world.new.space = fails_at_first, Space("new", 4)
    tended = world.move(each=100.0)
    assert [rows for name, rows in tended if name == "new"] == [
        5_000,
        10_000,
        20_000,
        40_000,
        64_000,
    ]
    assert [line.count("exit code -9") for line in caplog.messages] == [1, 1]


def test_an_index_that_fails_at_the_end_is_an_error():
    world = World(300, cost=1.0)

    def fails():
        raise StoreError("graph of the new side", "a child that ends well", "exit code -9")

    world.new.tend = fails
    with pytest.raises(StoreError, match="-9"):
        world.upkeep.at_end()


class Growing(Store):
    """Its index may stop short while it is filled."""

    growth = 1.5

    def grow(self):
        self.world.now += self.visible * self.world.cost
        self.world.tended.append(("grown", self.visible))


def test_a_store_whose_index_may_stop_short_says_when_it_has_grown_and_is_whole_at_the_end():
    world = World(40_000, cost=0.03)
    world.new = Growing(world, "new", 0)
    world.upkeep = Upkeep(world.old, world.new, lambda: world.now)
    told = [each for each in world.move(each=1.0, batch=500) if each[0] != "old"]
    # At 38,000 of 40,000 the end is near.
    grown = [5_000, 7_500, 11_500, 17_500, 26_500]
    assert told == [*(("grown", rows) for rows in grown), ("new", 40_000)]


def test_where_searches_come_first_an_index_never_stops_short():
    world = World(40_000, cost=0.1)
    world.new = Growing(world, "new", 0)
    world.upkeep = Upkeep(world.old, world.new, lambda: world.now, searched=True)
    told = [each for each in world.move(each=1.0, batch=500) if each[0] != "old"]
    assert told == [("new", rows) for rows in (5_000, 10_000, 20_000, 40_000)]
