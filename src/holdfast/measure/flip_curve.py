"""Flips along a backfill: who is worse off at each share than before, and than a moment ago.

Against the status quo, each share is compared with share 0, the system that was deployed.
Step by step, each share is compared with the one before: that is what a user lives through,
and a query may be lost and won again many times on a curve that looks flat.

    mean       over the shares, by the rule of the curve; of steps, the plain mean
    highest    the worst share, or the worst step
    last       at share 1, or in the last step
    ever       share of the queries that are lost against share 0 somewhere on the way
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from .curve import Rule, check_shares, rule_weights
from .finding import Finding
from .interval import (
    LEVEL,
    RESAMPLES,
    Floats,
    Interval,
    as_successes,
    bootstrap_of,
    rate,
)


@dataclass(frozen=True, slots=True)
class Rates:
    """One rate of flips along a curve.

    Args:
        each: The rate at each share above 0, or in each step.
        mean: See the module.
        highest: See the module. The highest of several noisy rates is biased upwards.
        last: See the module.
    """

    each: tuple[Interval, ...]
    mean: Interval
    highest: Interval
    last: Interval


@dataclass(frozen=True, slots=True)
class FlipCurve:
    """NFR and PFR along a curve.

    Args:
        shares: s shares, rising from 0 to 1.
        negative: NFR against share 0; `each` has s - 1 entries.
        positive: PFR against share 0.
        step_negative: NFR of each share against the share before.
        step_positive: PFR of each share against the share before.
        ever: See the module.
        rule: How the means over shares were taken.
    """

    shares: tuple[float, ...]
    negative: Rates
    positive: Rates
    step_negative: Rates
    step_positive: Rates
    ever: Interval
    rule: Rule = "trapezoid"

    def findings(self, k: int, cell: str = "old/old to new/new") -> list[Finding]:
        """Mean, highest and last of all four rates, and `ever`; not yet judged."""
        named = {
            "NFR": self.negative,
            "PFR": self.positive,
            "step NFR": self.step_negative,
            "step PFR": self.step_positive,
        }
        found = []
        for name, rates in named.items():
            way = "mean" if name.startswith("step") else f"mean by {self.rule}"
            found.append(Finding.of(f"{name}@{k}, {way}", cell, rates.mean))
            found.append(Finding.of(f"{name}@{k}, highest", cell, rates.highest))
            found.append(Finding.of(f"{name}@{k}, last", cell, rates.last))
        return [*found, Finding.of(f"ever lost@{k}", cell, self.ever)]


def flip_curve(
    shares: Sequence[float],
    answered: npt.ArrayLike,
    rule: Rule = "trapezoid",
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> FlipCurve:
    """Flips at every share and in every step.

    Args:
        shares: s shares, rising from 0 to 1.
        answered: (s, q) success of the same queries at each share, true or false.
        rule: How means over the shares are taken.
        level: See `bootstrap`.
        resamples: See `bootstrap`.
        seed: See `bootstrap`.
    Raises:
        InvalidInput: Shares that do not rise from 0 to 1, or other values than successes.
    Example:
        >>> flip_curve([0.0, 0.5, 1.0], [[1, 0], [0, 0], [1, 1]]).ever.value
        0.5
    """
    table = np.asarray(answered)
    if table.ndim != 2:
        raise InvalidInput("flip_curve", "(s, q) successes", str(table.shape))
    check_shares(shares, len(table))
    table = np.stack([as_successes(row, "flip_curve") for row in table])
    first, later, earlier = table[0], table[1:], table[:-1]
    weights, steps = rule_weights(rule, shares)[1:], np.full(len(later), 1.0 / len(later))

    def rates(flipped: npt.NDArray[np.bool_], parts: Floats) -> Rates:
        each = tuple(rate(row, level) for row in flipped)
        draw = (flipped, level, resamples, seed)
        mean = bootstrap_of(lambda means: means @ parts, *draw)
        return Rates(each, mean, bootstrap_of(_highest, *draw), each[-1])

    return FlipCurve(
        tuple(float(share) for share in shares),
        rates(first & ~later, weights),
        rates(~first & later, weights),
        rates(earlier & ~later, steps),
        rates(~earlier & later, steps),
        rate((first & ~later).any(axis=0), level),
        rule,
    )


def _highest(means: Floats) -> Floats:
    out: Floats = means.max(axis=1)
    return out
