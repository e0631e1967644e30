"""Intervals: how far a mean over queries could be off, by the bootstrap.

All functions resample *queries*, with replacement, and keep whatever was measured on one
query together: that is what makes differences and curves paired. Each set of counts is
drawn once for all columns.

Source: Efron 1979 (bootstrap), percentile intervals. Departs from it: nothing. With fewer
than some twenty queries such intervals are too narrow; `n` is always told.

The bootstrap of a rate that is 0 has no width, however few the queries. `rate` is therefore
Wilson's interval: 0 of 50 queries is up to 0.07.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from numbers import Real
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import draws
from ..errors import InvalidInput, NotFinite

RESAMPLES = 2000
LEVEL = 0.95
FEW = 20  # with fewer queries nothing is ever called shown
ROUNDING = 1e-12  # means that are closer are equal
_CELLS = 4_000_000  # counts held at once: 32 MB

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over queries with its uncertainty.

    Args:
        value: The mean over the queries as they are.
        low: Lower end of the interval.
        high: Upper end.
        level: Share of such intervals that should hold the truth, 0.95 for 95 %.
        n: Number of queries.
        resamples: How many times queries were drawn; 0 where no bootstrap was run.
    Example:
        >>> str(Interval(0.645, 0.6, 0.69, 0.95, 300))
        '0.645 [0.600, 0.690]'
    """

    value: float
    low: float
    high: float
    level: float
    n: int
    resamples: int = 0

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `Interval(**data)` reads it back."""
        return asdict(self)


def bootstrap(
    values: npt.ArrayLike, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Interval of the mean of one number per query.

    Args:
        values: (q,) numbers, one for each query.
        level: Between 0 and 1.
        resamples: How many times q queries are drawn.
        seed: Same seed, same interval.
    Raises:
        InvalidInput: No queries, or a level or number of resamples that makes no sense.
        NotFinite: NaN or infinity among the values.
    Example:
        >>> bootstrap([0.5, 0.5, 0.5]).high
        0.5
    """
    return bootstrap_rows(as_row(values, "bootstrap")[None], level, resamples, seed)[0]


def bootstrap_rows(
    rows: npt.ArrayLike, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval]:
    """Intervals of several means over the same queries, drawn together.

    Args:
        rows: (m, q) numbers: m measurements of the same q queries.
    """
    table = as_table(rows)
    return intervals(
        exact_means(table), resampled_means(table, resamples, seed), level, table.shape[1]
    )


def intervals(values: Floats, drawn: Floats, level: float, n: int) -> list[Interval]:
    """Intervals from m values and what they were in each draw.

    Args:
        values: (m,) statistics of the queries as they are.
        drawn: (r, m) the same statistics in each of r draws.
        level: Between 0 and 1.
        n: Number of queries.
    """
    lows, highs = ends(drawn, level)
    return [
        Interval(float(v), float(low), float(high), level, n, len(drawn))
        for v, low, high in zip(values, lows, highs, strict=True)
    ]


def rate(successes: npt.ArrayLike, level: float = LEVEL) -> Interval:
    """Interval of a share of queries, which has a width even where the share is 0 or 1.

    Args:
        successes: (q,) true or false, or 1 and 0.
        level: Between 0 and 1.
    Raises:
        InvalidInput: Other values, no queries, or a level that makes no sense.
    Example:
        >>> print(rate([False] * 50))
        0.000 [0.000, 0.071]

    Source: Wilson 1927. Departs from it: nothing.
    """
    array = as_successes(successes, "rate")
    _check_level(level)
    n, share = len(array), float(np.mean(array))
    square = NormalDist().inv_cdf(0.5 + level / 2.0) ** 2
    middle = (share + square / (2 * n)) / (1 + square / n)
    reach = np.sqrt(square * (share * (1 - share) / n + square / (4 * n * n))) / (1 + square / n)
    # The ends are exactly 0 and 1 in theory; rounding must not leave the value outside.
    low, high = float(max(0.0, middle - reach)), float(min(1.0, middle + reach))
    return Interval(share, min(low, share), max(high, share), level, n)


def paired_difference(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Interval of mean(after) - mean(before), both measured on the same queries.

    Args:
        before: (q,) values of the system to compare with.
        after: (q,) values of the other one, query by query; above zero is a rise.
    Example:
        >>> paired_difference([0.0, 0.5], [0.5, 1.0]).low
        0.5
    """
    old, new = paired(before, after, "paired_difference")
    return bootstrap(gaps(old, new), level, resamples, seed)


def gaps(old: Floats, new: Floats) -> Floats:
    """(q,) new - old; zero where the two differ by rounding alone."""
    return without_rounding(new - old, np.maximum(np.abs(old), np.abs(new)))


def paired(before: npt.ArrayLike, after: npt.ArrayLike, who: str) -> tuple[Floats, Floats]:
    """Two (q,) arrays of finite numbers about the same queries."""
    old, new = as_row(before, who), as_row(after, who)
    if old.shape != new.shape:
        raise InvalidInput(who, f"{len(old)} queries on both sides", str(len(new)))
    return old, new


def bootstrap_of(
    statistic: Callable[[Floats], Floats],
    rows: npt.ArrayLike,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Interval of a function of means, such as a ratio of two.

    Args:
        statistic: (r, m) means to (r,) numbers; applied to the m means themselves too.
            Draws for which it answers NaN (zero over zero) are left out.
        rows: (m, q) numbers: m measurements of the same q queries.
    Raises:
        InvalidInput: The statistic is not a number on the queries as they are.
    """
    table = as_table(rows)
    value = float(statistic(exact_means(table)[None, :])[0])
    if not np.isfinite(value):
        raise InvalidInput("bootstrap_of", "a finite statistic", str(value))
    drawn = statistic(resampled_means(table, resamples, seed))
    lows, highs = ends(drawn[~np.isnan(drawn), None], level)
    return Interval(value, float(lows[0]), float(highs[0]), level, table.shape[1], resamples)


def ratio(part: Floats, whole: Floats) -> Floats:
    """(r,) part over whole in each draw; NaN where the whole is zero, or rounding alone.

    Example:
        >>> ratio(np.array([1.0, 1e-17]), np.array([2.0, 1e-17])).tolist()
        [0.5, nan]
    """
    out: Floats = np.full(np.shape(whole), np.nan)
    return np.divide(part, whole, out=out, where=np.abs(whole) > ROUNDING)


def resampled_means(
    rows: npt.ArrayLike,
    resamples: int = RESAMPLES,
    seed: int = 0,
    chances: Floats | None = None,
) -> Floats:
    """(resamples, m) means of m measurements over queries drawn with replacement.

    Memory is bounded: counts are drawn in blocks of at most 32 MB (one row of q where
    that is more).

    Args:
        rows: (m, q) numbers.
        resamples: How many draws.
        seed: Same seed, same draws.
        chances: (q,) how likely each query is to be drawn, adding up to 1; a draw takes as many
            queries as these are worth, see `traffic.effective_count`. By default all q alike.
    """
    table = as_table(rows)
    queries = table.shape[1]
    if not isinstance(resamples, int | np.integer) or resamples < 1:
        raise InvalidInput("bootstrap", "at least 1 resample", repr(resamples))
    random = draws(seed, "bootstrap")
    # Around the mean: equal values then have a spread of exactly zero.
    centre = exact_means(table, chances)
    spread = (table - centre[:, None]).T
    out = np.empty((resamples, len(table)))
    block = max(1, _CELLS // queries)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        if chances is None:
            counts, taken = _counts(random, size, queries), np.full((size, 1), queries)
        else:
            counts, taken = _counts_by_chance(random, size, chances)
        out[start : start + size] = centre + counts @ spread / taken
    return without_rounding(out, np.abs(table).max(axis=1))


def _counts(random: np.random.Generator, size: int, queries: int) -> npt.NDArray[np.int64]:
    """(size, queries) how often each of them is among as many as there are."""
    drawn = random.integers(0, queries, (size, queries), dtype=np.int64)
    drawn += np.arange(size)[:, None] * queries
    return np.bincount(drawn.ravel(), minlength=size * queries).reshape(size, queries)


def _counts_by_chance(
    random: np.random.Generator, size: int, chances: Floats
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(size, q) how often each is drawn, and (size, 1) of how many in all.

    That is one of the two whole numbers next to what the chances are worth, so often each that
    the inverse is right on average, and with it the spread of the means. Stretching the draws
    instead would move those that miss whatever changed away from zero.
    """
    exact = worth(chances)
    few = int(exact + 1e-9)
    fewer = few * (few + 1 - exact) / exact  # part of the draws
    taken = few + (random.random((size, 1)) >= fewer)
    return random.multinomial(taken[:, 0], chances), taken


def worth(weights: Floats) -> float:
    """How many equal weights tell as much, see `traffic.effective_count`."""
    parts = weights / weights.max()  # squares of tiny ones would vanish
    return float(parts.sum() ** 2 / (parts**2).sum())


def without_rounding(values: Floats, size: npt.ArrayLike) -> Floats:
    """Values with zero where rounding alone keeps them from it, in place.

    A draw that misses the only query that changed has a difference of zero. Adding the centre
    leaves 1e-18 of either sign there, and whether an interval reaches zero decides verdicts.

    Args:
        values: Numbers that were subtracted or added up.
        size: Of what they were made from.
    """
    values[np.abs(values) <= ROUNDING * np.asarray(size)] = 0.0
    return values


def ends(drawn: Floats, level: float) -> tuple[Floats, Floats]:
    """(m,) lower and upper ends of (resamples, m) draws."""
    _check_level(level)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail], axis=0)
    return low, high


def _check_level(level: float) -> None:
    if not isinstance(level, Real) or not 0.0 < level < 1.0:
        raise InvalidInput("bootstrap", "a level between 0 and 1", repr(level))


def exact_means(table: Floats, chances: Floats | None = None) -> Floats:
    """(m,) row means, by weights that add up to 1 if given.

    Of equal values it is that very value, where adding up would round.
    """
    first = table[:, 0]
    same = (table == first[:, None]).all(axis=1)
    means = table.mean(axis=1) if chances is None else table @ chances
    exact: Floats = np.where(same, first, means)
    return exact


def as_table(rows: npt.ArrayLike, who: str = "bootstrap") -> Floats:
    """(m, q) finite numbers: m measurements of the same q queries, q at least 1."""
    try:
        table = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError) as cause:
        raise InvalidInput(who, "one number per query, as many in each row", str(cause)) from cause
    if table.ndim != 2 or table.shape[1] == 0:
        got = "none" if table.size == 0 else f"shape {table.shape}"
        raise InvalidInput(who, "rows of one number for each of 1 or more queries", got)
    if not np.isfinite(table).all():
        raise NotFinite(who, "finite values", "NaN or infinity")
    return table


def as_row(values: npt.ArrayLike, who: str) -> Floats:
    """(q,) finite numbers, q at least 1."""
    try:
        row = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as cause:
        raise InvalidInput(who, "a list of numbers", str(cause)) from cause
    if row.ndim != 1 or not len(row):
        got = "none" if row.size == 0 else f"shape {row.shape}"
        raise InvalidInput(who, "a list of 1 or more numbers", got)
    as_table(row[None], who)
    return row


def as_successes(values: npt.ArrayLike, who: str) -> npt.NDArray[np.bool_]:
    """(q,) bool from true and false, or 1 and 0, q at least 1."""
    array = np.asarray(values)
    if array.ndim != 1 or not len(array):
        got = "none" if array.size == 0 else f"shape {array.shape}"
        raise InvalidInput(who, "(q,) successes, each true or false", got)
    other = np.flatnonzero(~np.isin(array, (0, 1)))
    if len(other):
        got = f"{array[other[0]].item()!r} at place {other[0]}"
        raise InvalidInput(who, "(q,) successes, each true or false", got)
    return array.astype(bool)
