"""Curves: one metric against the share of the gallery that is already in the new space.

`area` is the quality that readers get on average while the share grows evenly. It has a
rule, which is always named, since two rules give two numbers for one curve:

    trapezoid   the integral over shares 0 to 1, which need not be evenly spaced
    mean        the plain mean of evenly spaced points, which counts the two ends double

For s evenly spaced points with first value a and last value b the two are related by
trapezoid = (s * mean - (a + b) / 2) / (s - 1).

Queries may be weighted by how often they are asked (`traffic`): values, area and gain are
then what a reader meets, not what a query meets.

Source: Seo et al. 2023 (relative gain of the area); Jaeckle et al. 2023, FastFill, takes the
mean of the 22 points of `cuts`. Departs from the first: trapezoid over the shares as given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from .comparison import Comparison, compare
from .finding import Finding, mixed
from .interval import (
    LEVEL,
    RESAMPLES,
    ROUNDING,
    Floats,
    Interval,
    as_table,
    intervals,
    ratio,
)
from .traffic import weighted

Rule: TypeAlias = Literal["trapezoid", "mean"]


def trapezoid_weights(shares: Sequence[float]) -> Floats:
    """(s,) weights whose dot product with the values is the trapezoid integral."""
    steps = np.diff(np.asarray(shares, dtype=np.float64))
    weights = np.zeros(len(shares))
    weights[:-1] += steps / 2.0
    weights[1:] += steps / 2.0
    return weights


def rule_weights(rule: Rule, shares: Sequence[float]) -> Floats:
    """(s,) weights, adding up to 1, whose dot product with the values is the area.

    Raises:
        InvalidInput: An unknown rule, or "mean" over shares that are not evenly spaced
            (each within half a step of its place, as whole items never fit exactly).
    Example:
        >>> rule_weights("mean", [0.0, 0.5, 1.0]).round(3).tolist()
        [0.333, 0.333, 0.333]
    """
    if rule not in get_args(Rule):
        raise InvalidInput("area", f"a rule among {', '.join(get_args(Rule))}", repr(rule))
    if rule == "trapezoid":
        return trapezoid_weights(shares)
    even = np.linspace(0.0, 1.0, len(shares))
    if np.abs(np.asarray(shares) - even).max(initial=0.0) > 0.5 / max(len(shares) - 1, 1):
        raise InvalidInput(
            "area",
            "evenly spaced shares for the rule 'mean'",
            str(list(shares)),
            "Take the rule 'trapezoid', or the shares of `cuts`.",
        )
    return np.full(len(shares), 1.0 / len(shares))


def cuts(n: int, points: int = 22) -> list[int]:
    """How many of n items are in the new space at each of some evenly spaced points.

    Point i of 0 to points - 1 has floor(i * n / (points - 1)) of them.

    Raises:
        InvalidInput: Fewer than two points, or fewer items than steps.
    Example:
        >>> cuts(10, 5)
        [0, 2, 5, 7, 10]

    Source: the evaluation of FastFill, with 20 points between the two ends. Departs from
    it: nothing.
    """
    if points < 2 or n < points - 1:
        raise InvalidInput(
            "cuts", "at least 2 points and an item for each step", f"{points} points, {n} items"
        )
    return [i * n // (points - 1) for i in range(points)]


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric at growing shares.

    Args:
        metric: Its spelling, "nDCG@10".
        shares: Rising, from exactly 0 to exactly 1.
        points: The interval at each share.
        area: Average over the shares, by `rule`.
        gain: (area - old) / (new - old), with old the value at share 0 and new the one at
            share 1: 0 for keeping the old system, 0.5 for a straight line, 1 for an
            instant switch. None where old equals new: there is nothing to gain.
        rule: How the area was taken.
        by_traffic: Whether queries were weighted.
    Raises:
        InvalidInput: Shares that do not rise from 0 to 1, or another number of points.
    """

    metric: str
    shares: tuple[float, ...]
    points: tuple[Interval, ...]
    area: Interval
    gain: Interval | None
    rule: Rule = "trapezoid"
    by_traffic: bool = False

    def __post_init__(self) -> None:
        check_shares(self.shares, len(self.points))

    @classmethod
    def of(
        cls,
        metric: str,
        shares: Sequence[float],
        per_query: npt.ArrayLike,
        level: float = LEVEL,
        resamples: int = RESAMPLES,
        seed: int = 0,
        rule: Rule = "trapezoid",
        weights: npt.ArrayLike | None = None,
    ) -> Curve:
        """From the values of the same queries at every share.

        Queries are drawn once for the whole curve, so the intervals of area and gain
        know that the points move together.

        Args:
            metric: Spelling of the metric.
            shares: s shares, rising from 0 to 1.
            per_query: (s, q) values.
            level: See `bootstrap`.
            resamples: See `bootstrap`.
            seed: See `bootstrap`.
            rule: How the area is taken.
            weights: (q,) how often each query is asked, see `traffic`; by default all alike.
        """
        table = as_table(per_query, "Curve")
        check_shares(shares, len(table))
        parts = rule_weights(rule, shares)
        # The area gets a row of its own: where it is the same for all, it has no width.
        means, drawn = weighted(np.vstack([table, parts @ table]), weights, resamples, seed)
        queries = table.shape[1]
        *points, area = intervals(means, drawn, level, queries)
        gain = None
        if abs(points[-1].value - points[0].value) > ROUNDING:
            some = _gain(drawn)
            gain = intervals(_gain(means[None]), some[~np.isnan(some), None], level, queries)[0]
        return cls(
            metric,
            tuple(float(s) for s in shares),
            tuple(points),
            area,
            gain,
            rule,
            weights is not None,
        )

    @property
    def values(self) -> Floats:
        """(s,) the metric at each share."""
        return np.array([point.value for point in self.points])

    @property
    def lowest(self) -> tuple[float, Interval]:
        """Share and interval of the lowest point; the first one among equals."""
        at = int(np.argmin(self.values))
        return self.shares[at], self.points[at]

    @property
    def falls(self) -> int:
        """Number of steps at which the curve goes down."""
        return int((np.diff(self.values) < -ROUNDING).sum())

    def never_below(self, value: float, tolerance: float = 0.0) -> bool:
        """Whether no point lies more than `tolerance` below `value`."""
        return bool((self.values >= value - tolerance - ROUNDING).all())

    def findings(self, note: str = "", start: str = "old/old") -> list[Finding]:
        """One finding for each share, from the cell `start` to new/new."""
        cells = [start, *(mixed(share) for share in self.shares[1:-1]), "new/new"]
        return [
            Finding.of(self.metric, cell, point, note=note)
            for cell, point in zip(cells, self.points, strict=True)
        ]

    def summary(self, cell: str = "old/old to new/new") -> list[Finding]:
        """Area, and gain where there is one; the rule stands in the name of the metric."""
        way = f"{self.rule}, by traffic" if self.by_traffic else self.rule
        found = [Finding.of(f"area({way}) of {self.metric}", cell, self.area)]
        if self.gain is not None:
            found.append(Finding.of(f"gain({way}) of {self.metric}", cell, self.gain))
        return found

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "metric": self.metric,
            "shares": list(self.shares),
            "points": [point.to_json() for point in self.points],
            "area": self.area.to_json(),
            "gain": None if self.gain is None else self.gain.to_json(),
            "rule": self.rule,
            "by_traffic": self.by_traffic,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Curve:
        """Read what `to_json` wrote."""
        gain = data["gain"]
        return cls(
            data["metric"],
            tuple(data["shares"]),
            tuple(Interval(**point) for point in data["points"]),
            Interval(**data["area"]),
            None if gain is None else Interval(**gain),
            data.get("rule", "trapezoid"),
            data.get("by_traffic", False),
        )


def compare_areas(
    shares: Sequence[float],
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    rule: Rule = "trapezoid",
    weights: npt.ArrayLike | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare the areas of two curves, of the same queries at the same shares.

    Args:
        shares: s shares, rising from 0 to 1.
        before: (s, q) values of one way to upgrade.
        after: (s, q) values of the other.
        rule: How the areas are taken.
        weights: (q,) how often each query is asked; by default all alike.
        level: See `bootstrap`.
        resamples: See `bootstrap`.
        seed: See `bootstrap`.
    """
    old, new = as_table(before, "compare_areas"), as_table(after, "compare_areas")
    for table in (old, new):
        check_shares(shares, len(table))
    parts = rule_weights(rule, shares)
    return compare(parts @ old, parts @ new, weights, True, level, resamples, seed)


def _gain(means: Floats) -> Floats:
    """(r,) gains from (r, s + 1) values at each share and, last, the area."""
    old, area = means[:, 0], means[:, -1]
    return ratio(area - old, means[:, -2] - old)


def check_shares(shares: Sequence[float], points: int) -> None:
    """Refuse shares that do not rise from 0 to 1, one for each of the points."""
    rising = len(shares) >= 2 and all(a < b for a, b in pairwise(shares))
    if not rising or shares[0] != 0.0 or shares[-1] != 1.0 or len(shares) != points:
        raise InvalidInput(
            "Curve",
            "shares rising from 0 to 1 with one row of values each",
            f"shares {list(shares)} and {points} rows",
        )
