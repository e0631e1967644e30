"""The forecast: the quality of every share, before anything moves.

A plan is played through on drawn scores (`rounds.py`): items move in the order of the plan,
and at each share every judged query is answered by the very rule of the plan's merge. Many
such plays give the curve, and how far off it may be.

What an interval covers is said by its name. `band` is for these queries: it covers what
will be measured with them. `points` is for queries like these, of which there happen to be
so many: it is the wider one, and the one that a verdict needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ...arrays import FloatArray, IntArray
from ...measure.curve import trapezoid_weights
from ...measure.interval import LEVEL, RESAMPLES, Interval, ends, resampled_means
from ...store.topk import best
from .mixture import Mixture, Serving, Stage
from .rehearse import Judge
from .rivals import Floats
from .rounds import Rounds
from .unseen import Known

SHARES = tuple(tenth / 10 for tenth in range(11))
DRAWS = 20
FORECAST = "forecast from the sample"  # in the notes of what was not measured

# By how much forecasts were off on the benchmarks' fit parts in 19 of 20 cases, beyond what
# plays differ by; a part of the range [0, 1] of the metric. See `bench.forecast`.
MISFIT = 0.025

# A seed to n places in the order in which they move.
Order: TypeAlias = Callable[[int], IntArray]


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """A quality curve that was not measured.

    Args:
        metric: Its spelling.
        order: The name of the order in which items move.
        shares: s shares from 0 to 1.
        points: For queries like these; at share 0 this is measured.
        band: For these queries: ends at each share.
        values: (draws, s, q) of every play.
        misfit: By how much it may be off beyond what plays differ by, see `Forecaster`.
    """

    metric: str
    order: str
    shares: tuple[float, ...]
    points: tuple[Interval, ...]
    band: tuple[tuple[float, float], ...]
    values: Floats
    misfit: float = MISFIT

    @property
    def means(self) -> Floats:
        """(s,) the curve."""
        return np.array([point.value for point in self.points])

    @property
    def area(self) -> float:
        """What readers get on average while the share grows evenly."""
        return float(trapezoid_weights(self.shares) @ self.means)

    def difference(
        self, base: Floats, at: int = -1, rows: IntArray | slice = slice(None)
    ) -> Interval:
        """A share against a system whose values of each query are known.

        Args:
            base: (q,) values.
            at: Which share; the last one is new/new.
            rows: Queries that count; all of them by default.
        """
        values = self.values[:, at, rows]
        gap = total_interval(values - base[None, rows])
        return _widened(gap, float(np.ptp(values.mean(axis=1))), self.misfit, -1.0)

    def to_json(self) -> dict[str, Any]:
        """A JSON object, without the plays."""
        return {
            "metric": self.metric,
            "order": self.order,
            "shares": list(self.shares),
            "points": [point.to_json() for point in self.points],
            "band": [list(pair) for pair in self.band],
            "area": self.area,
            "draws": len(self.values),
        }


@dataclass(frozen=True, slots=True)
class Measure:
    """What is forecast.

    Args:
        judge: (q, k) ranked places, or fewer where there are no more, to (q,) rates.
        metric: Its spelling.
        k: Places that are ranked.
    """

    judge: Judge
    metric: str = "nDCG@10"
    k: int = 10


class Forecaster:
    """Plays plans through on drawn scores.

    Args:
        known: What is known, the sample above all.
        measure: What is forecast.
        draws: Plays of each plan.
        seed: Of everything random here.
    Attributes:
        misfit: By how much forecasts were off on the benchmarks; but the whole range of the metric
            where a rehearsal among the few that were read is off by more than that already.
    Raises:
        InvalidInput: See `Known`.
    """

    def __init__(self, known: Known, measure: Measure, draws: int = DRAWS, seed: int = 0) -> None:
        self.known, self.measure, self.draws, self.seed = known, measure, draws, seed
        self._rounds = Rounds(known, measure.judge, measure.k, seed)
        self._mixture = Mixture.of(known, self._rounds.fitted[0].rest)
        self._old = known.old
        self.misfit = MISFIT if self._rounds.fitted[0].missed <= MISFIT else 1.0

    def curve(
        self,
        serving: Serving,
        order: Order,
        name: str = "random",
        shares: Sequence[float] = SHARES,
    ) -> Forecast:
        """The curve of one plan.

        Args:
            serving: How a mixed gallery answers, see `mixture.py`.
            order: In which items move; asked with a seed for each play.
            name: Of the order.
            shares: Rising, from 0 to 1.
        """
        values = np.empty((self.draws, len(shares), len(self._old)))
        for play in range(self.draws):
            random = np.random.default_rng([self.seed, play])
            stage = self._mixture.stage(self._old, self._rounds.draw(play, random), random)
            moves = order(self.seed + play)
            for at, share in enumerate(shares):
                places = ranked(stage, serving, moves, share, self.measure.k)
                values[play, at] = self.measure.judge(places)
        means, misfit = values.mean(axis=2), self.misfit
        points = tuple(
            _widened(
                total_interval(values[:, at], self.seed), float(np.ptp(means[:, at])), misfit, 0.0
            )
            for at in range(len(shares))
        )
        band = tuple(_band(means[:, at], misfit) for at in range(len(shares)))
        told = tuple(map(float, shares))
        return Forecast(self.measure.metric, name, told, points, band, values, misfit)


def _band(means: Floats, misfit: float) -> tuple[float, float]:
    """Where the measured mean will lie: as plays differ, and as forecasts were off."""
    low, high = (float(end[0]) for end in ends(means[:, None], LEVEL))
    value = float(means.mean())
    if low == high:  # measured, not forecast
        return low, high
    down, up = np.hypot(value - low, misfit), np.hypot(high - value, misfit)
    return max(value - float(down), 0.0), min(value + float(up), 1.0)


def _widened(interval: Interval, spread: float, misfit: float, least: float) -> Interval:
    """By how much forecasts may be off; from the least value that there can be, to 1."""
    if spread == 0.0:
        return interval
    down = float(np.hypot(interval.value - interval.low, misfit))
    up = float(np.hypot(interval.high - interval.value, misfit))
    low, high = max(interval.value - down, least), min(interval.value + up, 1.0)
    return Interval(interval.value, low, high, interval.level, interval.n, interval.resamples)


def ranked(stage: Stage, serving: Serving, moves: IntArray, share: float, k: int) -> IntArray:
    """(q, k) places that a gallery answers of which a share has moved."""
    cut = round(share * len(moves))
    if cut == 0 or cut == len(moves):
        table: FloatArray = stage.new if cut else stage.old
    else:
        table = serving(stage, moves[:cut], moves[cut:])
    places: IntArray = best(table, k)[0]
    return places


def total_interval(values: Floats, seed: int = 0) -> Interval:
    """Mean of (draws, q) values; its interval covers both the draw and the choice of queries."""
    each = max(1, RESAMPLES // len(values))
    drawn = np.concatenate(
        [resampled_means(row[None], each, seed + at) for at, row in enumerate(values)]
    )
    lows, highs = ends(drawn, LEVEL)
    mean, count = float(values.mean()), values.shape[1]
    low, high = min(float(lows[0]), mean), max(float(highs[0]), mean)
    return Interval(mean, low, high, LEVEL, count, len(drawn))


def at_random(count: int) -> Order:
    """The order "random"."""
    return lambda seed: np.random.default_rng(seed).permutation(count)
