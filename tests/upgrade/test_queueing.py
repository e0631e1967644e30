"""The models of waiting, against a slower and plainer simulation, and against formulas."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from holdfast.upgrade.simulation.queueing import (
    PLAYED,
    Times,
    Works,
    backfill_seconds,
    play,
    search_load,
)


def slowly(sizes, times, workers):
    """The executor and the engine in small steps of time: who is where, tick by tick."""
    tick = 1e-3
    waiting = list(sizes)  # not handed over
    queue, busy, finished = [], [], []  # items; [ticks left, items]; items
    writing, under_way, now = [0, []], 0, 0
    while waiting or queue or busy or finished or writing[0] or writing[1]:
        if not writing[0]:
            if writing[1]:
                writing[1].pop(0)
                if writing[1]:
                    writing[0] = round(times.engine(writing[1][0]) / tick)
            if not writing[1]:
                while waiting and under_way <= workers:
                    queue.append(waiting.pop(0))
                    under_way += 1
                if finished and (under_way > workers or not waiting):
                    writing[1], finished = finished, []
                    under_way -= len(writing[1])
                    writing[0] = round(times.engine(writing[1][0]) / tick)
        while queue and len(busy) < workers:
            items = queue.pop(0)
            busy.append([round(times.encode(items) / tick), items])
        for job in busy:
            job[0] -= 1
        writing[0] = max(0, writing[0] - 1)
        finished += [items for left, items in busy if left <= 0]
        busy = [job for job in busy if job[0] > 0]
        now += 1
    return now * tick


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
@pytest.mark.parametrize("engine", [0.02, 0.3, 0.8])
def test_a_backfill_takes_what_a_tick_by_tick_simulation_says(workers, engine):
    times = Times(engine, 0.001, 0.5, 0.003)
    sizes = [64] * 30 + [17]
    exact = slowly(sizes, times, workers)
    assert play(sizes, times, Works(workers, 64, jitter=0.0))[-1] == pytest.approx(exact, rel=0.02)


def test_bounds_that_can_be_told_without_a_simulation():
    times, items = Times(0.1, 0.001, 0.3, 0.01), 64 * 500
    encode, engine = 0.3 + 0.64, 0.1 + 0.064
    assert backfill_seconds(items, times, Works(1, 64, inline=True, jitter=0.0)) == pytest.approx(
        500 * (encode + engine)
    )
    # Few workers: they are the bound. Many: the engine is, which writes all that are ready, 65
    # at a time, before it hands more over.
    few = backfill_seconds(items, times, Works(2, 64))
    assert few == pytest.approx(500 * encode / 2, rel=0.02)
    many = backfill_seconds(items, times, Works(64, 64, jitter=0.0))
    assert many == pytest.approx(500 * engine + math.ceil(500 / 65) * encode, rel=0.02)
    # Where no two batches take the very same time, the engine need not wait for them together.
    assert backfill_seconds(items, times, Works(4, 64)) == pytest.approx(
        500 * max(engine, encode / 4), rel=0.02
    )
    slow = Works(8, 64, items_per_second=100.0)
    assert backfill_seconds(items, times, slow) == pytest.approx(items / 100.0, rel=0.02)
    slow = Works(8, 64, requests_per_second=0.5)
    assert backfill_seconds(items, times, slow) == pytest.approx(500 / 0.5, rel=0.02)
    assert backfill_seconds(0, times, Works()) == 0.0


def test_what_is_not_played_goes_on_as_before():
    times = Times(0.01, 0.0001, 0.05, 0.002)
    works = Works(4, 32)
    whole = play([32] * (3 * PLAYED), times, works)[-1]
    assert backfill_seconds(32 * 3 * PLAYED, times, works) == pytest.approx(whole, rel=1e-3)


@pytest.mark.parametrize("losses", [0.5, 20.0, 120.0])
def test_a_dying_worker_takes_as_long_as_the_formula_says(losses):
    """Work of e seconds that begins again at each death: (exp(l e) - 1) (1 / l + r)."""
    encode, restart, rate = 30.0, 45.0, losses / 3600.0
    works = Works(1, 1, inline=True, losses_per_hour=losses, restart=restart)
    count = PLAYED
    mean = play([1] * count, Times(0.0, 0.0, encode, 0.0), works, seed=3)[-1] / count
    expected = math.expm1(rate * encode) * (1.0 / rate + restart)
    assert mean == pytest.approx(expected, rel=0.04)


def test_workers_that_hardly_live_long_enough_take_long_but_are_played_at_once():
    times, lives = Times(0.0, 0.0, 30.0, 0.0), 3.0  # seconds
    works = Works(1, 1, inline=True, losses_per_hour=3600.0 / lives, restart=0.0, jitter=0.0)
    mean = play([1] * PLAYED, times, works)[-1] / PLAYED
    assert mean == pytest.approx(math.expm1(30.0 / lives) * lives, rel=0.04)
    never = Works(1, 1, inline=True, losses_per_hour=1e9)
    assert 1e12 < play([1], times, never)[-1] < math.inf


@pytest.mark.parametrize("busy", [0.2, 0.5, 0.8])
def test_one_searcher_waits_as_pollaczek_and_khinchine_say(busy):
    seconds = 0.02
    load = search_load(busy / seconds, seconds, 1)
    expected = seconds + busy * seconds / (2 * (1 - busy))
    assert load.busy == pytest.approx(busy)
    assert load.mean == pytest.approx(expected, rel=0.05)
    assert load.p99 > load.mean


def waits_at_most(services, busy):
    """Chance that a search of M/D/1 waits no longer than so many times what one takes: Erlang's sum
    of 1909, whose terms cancel and so need many digits."""
    with localcontext() as digits:
        digits.prec = 80
        arrivals, total = Decimal(busy), Decimal(0)
        for k in range(int(services) + 1):
            past = arrivals * (Decimal(services) - k)
            total += (-past) ** k / math.factorial(k) * past.exp()
        return float((1 - arrivals) * total)


@pytest.mark.parametrize("busy", [0.3, 0.7, 0.9, 0.95])
def test_as_many_wait_longer_than_the_p99_as_erlang_says_also_where_hardly_any_time_is_left(busy):
    load = search_load(busy / 0.02, 0.02, 1)
    assert waits_at_most(load.p99 / 0.02 - 1.0, busy) == pytest.approx(0.99, abs=0.002)
    assert load.mean == pytest.approx(0.02 + busy * 0.02 / (2 * (1 - busy)), rel=0.04)


def test_more_searchers_than_searches_are_played_make_nobody_wait():
    load = search_load(1.0, 0.5, 2_000_000)
    assert (load.mean, load.p99) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("searchers", [2, 4, 8])
@pytest.mark.parametrize("busy", [0.6, 0.85])
def test_several_searchers_wait_as_erlang_says_with_the_correction_for_equal_times(searchers, busy):
    """Cosmetatos' approximation of M/D/c, whose own error is about two in a hundred."""
    seconds, c = 0.01, searchers
    offered = busy * c
    terms = [offered**k / math.factorial(k) for k in range(c)]
    last = offered**c / math.factorial(c) / (1 - busy)
    queued = last / (sum(terms) + last) * seconds / (c * (1 - busy))
    correction = (1 - busy) * (c - 1) * (math.sqrt(4 + 5 * c) - 2) / (16 * busy * c)
    expected = 0.5 * queued * (1 + correction)
    load = search_load(offered / seconds, seconds, c)
    assert load.mean - seconds == pytest.approx(expected, rel=0.1)


def test_more_searches_than_can_be_answered_wait_for_ever():
    load = search_load(30.0, 0.1, 2)
    assert (load.busy, load.mean) == (pytest.approx(1.5), math.inf)


def test_the_moments_rise_and_are_as_many_as_the_batches():
    ends = play([8] * 50, Times(0.01, 0.0, 0.1, 0.0), Works(3, 8, losses_per_hour=600.0))
    assert len(ends) == 50
    assert (np.diff(ends) >= 0).all()
