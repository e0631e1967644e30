"""Curves: one metric against the share of the gallery that is already in the new space.

`area` is the integral over shares 0 to 1 by the trapezoid rule: the quality that readers
get on average while the share grows evenly. Published figures sometimes take the plain
mean over the points instead, which weighs the two ends double.

Source: Seo et al. 2023 (relative gain of the area). Departs from it: trapezoid over the
shares as given, which need not be evenly spaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from .finding import Finding, mixed
from .interval import LEVEL, RESAMPLES, Floats, Interval, bootstrap_of, bootstrap_rows

_NO_GAP = 1e-12  # rounding, not a difference between two systems


def trapezoid_weights(shares: Sequence[float]) -> Floats:
    """(s,) weights whose dot product with the values is the trapezoid integral."""
    steps = np.diff(np.asarray(shares, dtype=np.float64))
    weights = np.zeros(len(shares))
    weights[:-1] += steps / 2.0
    weights[1:] += steps / 2.0
    return weights


@dataclass(frozen=True, slots=True)
class Curve:
    """A metric at growing shares.

    Args:
        metric: Its spelling, "nDCG@10".
        shares: Rising, from exactly 0 to exactly 1.
        points: The interval at each share.
        area: Integral over the shares, trapezoid rule.
        gain: (area - old) / (new - old), with old the value at share 0 and new the one at
            share 1: 0 for keeping the old system, 0.5 for a straight line, 1 for an
            instant switch. None where old equals new: there is nothing to gain.
    Raises:
        InvalidInput: Shares that do not rise from 0 to 1, or another number of points.
    """

    metric: str
    shares: tuple[float, ...]
    points: tuple[Interval, ...]
    area: Interval
    gain: Interval | None

    def __post_init__(self) -> None:
        _check_shares(self.shares, len(self.points))

    @classmethod
    def of(
        cls,
        metric: str,
        shares: Sequence[float],
        per_query: npt.ArrayLike,
        level: float = LEVEL,
        resamples: int = RESAMPLES,
        seed: int = 0,
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
        """
        table = np.asarray(per_query, dtype=np.float64)
        _check_shares(shares, len(table))
        weights = trapezoid_weights(shares)
        points = bootstrap_rows(table, level, resamples, seed)
        area = bootstrap_rows((weights @ table)[None, :], level, resamples, seed)[0]
        gain = None
        if abs(points[-1].value - points[0].value) > _NO_GAP:
            gain = bootstrap_of(
                lambda means: _gain(means @ weights, means[:, 0], means[:, -1]),
                table,
                level,
                resamples,
                seed,
            )
        return cls(metric, tuple(float(s) for s in shares), tuple(points), area, gain)

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
        return int((np.diff(self.values) < 0.0).sum())

    def never_below(self, value: float, tolerance: float = 0.0) -> bool:
        """Whether no point lies more than `tolerance` below `value`."""
        return bool((self.values >= value - tolerance).all())

    def findings(self, note: str = "", start: str = "old/old") -> list[Finding]:
        """One finding for each share, from the cell `start` to new/new."""
        cells = [start, *(mixed(share) for share in self.shares[1:-1]), "new/new"]
        return [
            Finding.of(self.metric, cell, point, note=note)
            for cell, point in zip(cells, self.points, strict=True)
        ]

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "metric": self.metric,
            "shares": list(self.shares),
            "points": [point.to_json() for point in self.points],
            "area": self.area.to_json(),
            "gain": None if self.gain is None else self.gain.to_json(),
            "rule": "trapezoid",
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
        )


def _gain(area: Floats, old: Floats, new: Floats) -> Floats:
    gap = new - old
    # A draw of queries without a gap says nothing about the share of the gap.
    with np.errstate(divide="ignore", invalid="ignore"):
        gain: Floats = np.where(np.abs(gap) <= _NO_GAP, np.nan, (area - old) / gap)
    return gain


def _check_shares(shares: Sequence[float], points: int) -> None:
    rising = len(shares) >= 2 and all(a < b for a, b in pairwise(shares))
    if not rising or shares[0] != 0.0 or shares[-1] != 1.0 or len(shares) != points:
        raise InvalidInput(
            "Curve",
            "shares rising from 0 to 1 with one row of values each",
            f"shares {list(shares)} and {points} rows",
        )
