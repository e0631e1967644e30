"""A backfill beside live searches: it rests while they are slow, and never makes them wait long."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import holdfast.upgrade.search.mixed as mixed_module
from holdfast.items import Item
from holdfast.upgrade.backfill.pace import Courtesy
from holdfast.upgrade.search.meter import Meter


class Time:
    """A clock that stands still, but for what is slept and worked."""

    def __init__(self):
        self.now, self.slept = 100.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def time():
    return Time()


def searched(meter, time, seconds, count=20):
    for _ in range(count):
        begun = time.now - seconds
        meter.note(begun)


def test_the_meter_forgets_what_is_not_lately(time):
    meter = Meter(time)
    assert meter.quantile(0.95) is None
    for n in range(1, 101):
        meter.note(time.now - n / 1000)
    assert meter.quantile(0.5) == pytest.approx(0.050)
    assert meter.quantile(0.95) == pytest.approx(0.095)
    assert meter.quantile(1.0) == pytest.approx(0.100)
    time.now += 4.0
    meter.note(time.now - 0.5)
    assert meter.quantile(0.0, within=1.0) == pytest.approx(0.5)
    time.now += 10.0
    assert (meter.quantile(0.5), meter.count) == (None, 101)


def test_rest_doubles_while_searches_are_slow_and_halves_when_they_are_not(time):
    meter = Meter(time)
    courtesy = Courtesy(0.05, 3.0, meter, time, time.sleep)
    courtesy.begin()
    rests = []
    for slow in [0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]:
        time.now += 10.0  # nothing of before is lately any more
        searched(meter, time, 0.08 if slow else 0.04)
        courtesy.begin()
        time.now += 1.0  # a second of work
        time.slept.clear()
        courtesy.wait(lambda: False)
        assert sum(time.slept) == pytest.approx(courtesy.rest * 1.0)
        rests.append(courtesy.rest)
    assert rests == [0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 3.0, 1.5, 0.75, 0.375, 0.1875, 0.0]


def test_it_rests_for_nobody_where_nobody_searches_or_the_plan_does_not_say(time):
    meter = Meter(time)
    quiet = Courtesy(0.05, 3.0, meter, time, time.sleep)
    careless = Courtesy(0.0, 3.0, meter, time, time.sleep)
    time.now += 1.0
    quiet.wait(lambda: False)
    searched(meter, time, 9.0)
    careless.wait(lambda: False)
    assert time.slept == []


def test_a_pause_cuts_a_rest_short(time):
    meter = Meter(time)
    courtesy = Courtesy(0.05, 9.0, meter, time, time.sleep)
    courtesy.rest = 9.0
    searched(meter, time, 1.0)
    time.now += 1.0
    courtesy.wait(lambda: len(time.slept) >= 3)
    assert time.slept == [0.2, 0.2, 0.2]


def test_the_engine_rests_between_batches_while_live_searches_are_slow(setup):
    one = setup(yield_above=5.0, yield_most=1.0)
    engine = one.engine()
    ticks = iter(np.arange(0.0, 1e6, 0.1))
    engine._courtesy._clock = lambda: float(next(ticks))
    meter = one.gallery.meter
    meter.clock = lambda: 0.0
    for _ in range(50):
        meter.note(-0.004)  # 4 ms
    engine.run(0.5)
    assert one.slept == []
    for _ in range(50):
        meter.note(-0.006)  # 6 ms: now the slowest twentieth is too slow
    engine.run()
    assert len(one.slept) >= 4
    assert engine._courtesy.rest == 1.0
    assert one.moved_correctly()


def test_writing_takes_no_longer_than_searches_may(setup):
    assert setup(yield_above=20.0).engine()._group._seconds == pytest.approx(0.02)


def test_a_large_group_is_written_in_pieces_that_take_no_longer_than_searches_may(setup):
    one = setup(yield_above=20.0, batch_size=300, max_batch_size=300)
    engine = one.engine()
    now, sizes, move = [0.0], [], one.gallery.move

    def slow(rows, vectors, places, since):
        now[0] += 0.0002 * len(rows)  # 100 rows take as long as a search may
        sizes.append(len(rows))
        return move(rows, vectors, places, since)

    one.gallery.move = slow
    engine._group._clock = lambda: now[0]
    engine.run()
    assert sizes == [128, 100, 72]
    assert one.slept == [0.001] * (len(sizes) - 1)
    assert one.moved_correctly()


def test_learning_from_what_has_moved_keeps_nobody_waiting(setup, monkeypatch):
    one = setup()
    gallery = one.gallery
    gallery.mode = gallery._mixed.mode = "fused"
    began, go = threading.Event(), threading.Event()
    real = mixed_module.Fusion

    def slow(*given):
        began.set()
        assert go.wait(480)
        return real(*given)

    monkeypatch.setattr(mixed_module, "Fusion", slow)
    engine = one.engine()
    thread = threading.Thread(target=engine.step)
    thread.start()
    assert began.wait(240)
    done = []

    def live():
        gallery.upsert([Item("fresh", (0.1, 0.2, 0.3, 0.4))])
        done.append(gallery.search([(0.1, 0.2, 0.3, 0.4)], 5).row(0)[0][0])

    user = threading.Thread(target=live)
    user.start()
    user.join(240)
    waited = user.is_alive()
    go.set()
    thread.join()
    user.join()
    assert not waited
    assert done == ["fresh"]
    assert gallery._mixed.learned
