"""Two small models of waiting: a backfill of many batches, and searches at a steady rate.

Both are played through, event by event, with times that were measured.

A backfill is one engine and w workers. The engine claims a batch, hands it over, and goes on
until one more than w are under way; then it waits for the first to finish and writes what is
there. Claiming and writing are its own time, encoding is the workers'. A provider lets so
many requests, items or tokens through. A worker dies at random, which costs it its batch and
the time until another one is in its place.

Searches come at random (Poisson), each takes the same time, and c of them are answered at
once, first come, first served: the queue M/D/c.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass

import numpy as np

PLAYED = 4_000  # batches, after which the rest is taken to go on as the second half did
ARRIVALS = 1_000_000  # searches that are played through
_HOUR = 3600.0
_LEAST = 1e-15  # chance of a batch to end at all: the number of tries is a whole one


@dataclass(frozen=True, slots=True)
class Times:
    """What was measured: seconds for a batch of n items are `fixed + each * n`.

    Args:
        engine_fixed: Of the engine, for one batch: claiming and writing.
        engine_each: Of the engine, for one item.
        encode_fixed: Of a worker, for one batch.
        encode_each: Of a worker, for one item, with as many workers at it as there will be.
    """

    engine_fixed: float
    engine_each: float
    encode_fixed: float
    encode_each: float

    def encode(self, items: int) -> float:
        """Seconds of a worker for a batch."""
        return self.encode_fixed + self.encode_each * items

    def engine(self, items: int) -> float:
        """Seconds of the engine for a batch."""
        return self.engine_fixed + self.engine_each * items


@dataclass(frozen=True, slots=True)
class Works:
    """How the work is done.

    Args:
        workers: Batches encoded at once.
        batch: Items in one.
        inline: Whether the only worker is the engine itself.
        requests_per_second: That a provider lets through; None for no limit.
        items_per_second: Likewise, and the plan's own rate.
        losses_per_hour: Deaths of a worker, on average.
        restart: Seconds until another one is in its place.
        jitter: By what part batches take more or less than they should, at most. Without any,
            workers that began together would stay in step for ever, and wait together.
    """

    workers: int = 1
    batch: int = 1024
    inline: bool = False
    requests_per_second: float | None = None
    items_per_second: float | None = None
    losses_per_hour: float = 0.0
    restart: float = 60.0
    jitter: float = 0.05

    def spacing(self, items: int) -> float:
        """Seconds that a provider leaves between this batch and the next one."""
        waits = [0.0]
        if self.requests_per_second:
            waits.append(1.0 / self.requests_per_second)
        if self.items_per_second:
            waits.append(items / self.items_per_second)
        return max(waits)


def backfill_seconds(items: int, times: Times, works: Works, seed: int = 0) -> float:
    """How long a backfill takes, upkeep aside.

    Args:
        items: How many.
        times: As measured.
        works: Workers, limits, losses.
        seed: Of losses and of jitter.
    """
    batches = math.ceil(items / works.batch)
    if not batches:
        return 0.0
    last = items - (batches - 1) * works.batch
    if batches <= PLAYED:
        sizes = [works.batch] * (batches - 1) + [last]
        return play(sizes, times, works, seed)[-1]
    ends = play([works.batch] * PLAYED, times, works, seed)
    half = PLAYED // 2
    each = (ends[-1] - ends[half - 1]) / (PLAYED - half)
    return ends[-1] + (batches - PLAYED - 1 + last / works.batch) * each


def play(sizes: list[int], times: Times, works: Works, seed: int = 0) -> list[float]:
    """The moments at which the engine was done with one batch more; they rise.

    Args:
        sizes: Items of each batch.
        times: As measured.
        works: Workers, limits, losses.
        seed: Of losses and of jitter.
    """
    random = np.random.default_rng(seed)
    now, open_at = 0.0, 0.0  # of the engine; from when on a provider lets a request through
    free = [0.0] * works.workers
    under_way: list[tuple[float, int]] = []
    ends: list[float] = []
    for items in sizes:
        heapq.heapify(free)
        begins = max(now, heapq.heappop(free), open_at)
        open_at = begins + works.spacing(items)
        finished = begins + _with_losses(times.encode(items), works, random)
        heapq.heappush(free, finished)
        if works.inline:
            now = finished + times.engine(items)
            ends.append(now)
            continue
        heapq.heappush(under_way, (finished, items))
        if len(under_way) > works.workers:
            now = _collect(under_way, now, times, ends)
    while under_way:
        now = _collect(under_way, now, times, ends)
    return ends


def _collect(
    under_way: list[tuple[float, int]], now: float, times: Times, ends: list[float]
) -> float:
    """Wait for the first batch, then write all that are finished by then."""
    now = max(now, under_way[0][0])
    ready = []
    while under_way and under_way[0][0] <= now:
        ready.append(heapq.heappop(under_way)[1])
    for items in ready:
        now += times.engine(items)
        ends.append(now)
    return now


def _with_losses(seconds: float, works: Works, random: np.random.Generator) -> float:
    """A batch is begun again as often as its worker dies."""
    seconds *= 1.0 + works.jitter * random.uniform(-1.0, 1.0)
    if not (works.losses_per_hour and seconds):
        return seconds
    mean = _HOUR / works.losses_per_hour
    chance = max(math.exp(-seconds / mean), _LEAST)  # that a worker lives long enough
    life = mean + seconds * chance / math.expm1(-seconds / mean)  # mean, of one that does not
    return seconds + int(random.geometric(chance) - 1) * (life + works.restart)


@dataclass(frozen=True, slots=True)
class Load:
    """What searches meet.

    Args:
        busy: Part of the searchers' time that is used; from 1 on the queue only grows.
        mean: Seconds from question to answer, on average; infinite from there on.
        p99: Seconds within which 99 of 100 are answered.
    """

    busy: float
    mean: float
    p99: float


def search_load(per_second: float, seconds: float, searchers: int) -> Load:
    """Searches at a steady rate.

    Args:
        per_second: How many come.
        seconds: Of one search alone.
        searchers: How many are answered at once.
    Example:
        >>> search_load(0.0, 0.5, 1)
        Load(busy=0.0, mean=0.5, p99=0.5)
    """
    busy = per_second * seconds / searchers
    if busy >= 1.0:
        return Load(busy, math.inf, math.inf)
    if not per_second:
        return Load(0.0, seconds, seconds)
    random = np.random.default_rng(0)
    lanes = min(searchers, ARRIVALS)
    arrivals = np.cumsum(random.exponential(1.0 / per_second, size=ARRIVALS // lanes * lanes))
    # All take as long, so they end in the order in which they came: each takes the place of the
    # one that came `searchers` before it.
    came = arrivals.reshape(-1, lanes)
    served = seconds * np.arange(len(came))[:, None]
    took = np.maximum.accumulate(came - served, axis=0) + served - came + seconds
    return Load(busy, float(took.mean()), float(np.quantile(took, 0.99)))
