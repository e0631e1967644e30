"""Comparisons: two systems asked the same queries, and whether one was shown to be better.

The rule: the whole interval of the mean difference, drawn query by query, lies on one side
of zero. With fewer than `FEW` queries nothing counts as shown. "No difference shown" is not
"no difference": the interval says how large one could still be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from .finding import Finding, Verdict
from .interval import FEW, LEVEL, RESAMPLES, Interval, gaps, intervals, paired
from .traffic import effective_count, weighted

Outcome: TypeAlias = Literal["better", "worse", "no difference shown"]

_VERDICTS: dict[Outcome, Verdict] = {
    "better": "pass",
    "worse": "fail",
    "no difference shown": "info",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One system against another.

    Args:
        before: Mean of the system to compare with.
        after: Mean of the other.
        difference: after - before, with its paired interval.
        higher_is_better: Whether a rise is good.
        effective: How many queries of equal weight would be as many, where they have
            weights; a few popular ones may decide everything.
    """

    before: float
    after: float
    difference: Interval
    higher_is_better: bool = True
    effective: float | None = None

    @property
    def outcome(self) -> Outcome:
        """What was shown, by the rule above."""
        if self._count < FEW:
            return "no difference shown"
        rises, falls = self.difference.low > 0.0, self.difference.high < 0.0
        if not rises and not falls:
            return "no difference shown"
        return "better" if rises == self.higher_is_better else "worse"

    @property
    def _count(self) -> float:
        return self.difference.n if self.effective is None else self.effective

    def finding(self, metric: str, cell: str, slice: str = "all", note: str = "") -> Finding:  # noqa: A002
        """The difference as a finding: better passes, worse fails, nothing shown is info."""
        words = f"{self.outcome}: {self.before:.3f} before, {self.after:.3f} after"
        if self.difference.n == 0:
            words += "; means alone show nothing"
        elif self._count < FEW:
            like = "" if self.effective is None else f", as good as {self.effective:.0f},"
            words += f"; {self.difference.n} queries{like} are too few to show anything"
        words = f"{note}; {words}" if note else words
        found = Finding.of(f"change of {metric}", cell, self.difference, slice, words)
        return replace(found, verdict=_VERDICTS[self.outcome])


def compare(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    weights: npt.ArrayLike | None = None,
    higher_is_better: bool = True,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """Compare two systems on the same queries.

    Args:
        before: (q,) values of the system to compare with.
        after: (q,) values of the other one, query by query.
        weights: (q,) how much each query counts, such as how often it is asked; by default
            all alike.
        higher_is_better: False for an error or a time.
        level: See `bootstrap`.
        resamples: See `bootstrap`.
        seed: See `bootstrap`.
    Raises:
        InvalidInput: Two different numbers of queries, or weights that cannot be.
    Example:
        >>> compare([0.2] * 20, [0.3] * 20).outcome
        'better'
    """
    old, new = paired(before, after, "compare")
    # The difference gets a row of its own: a constant one then has no width at all.
    means, drawn = weighted(np.stack([old, new, gaps(old, new)]), weights, resamples, seed)
    difference = intervals(means[2:], drawn[:, 2:], level, len(old))[0]
    effective = None if weights is None else effective_count(weights)
    return Comparison(float(means[0]), float(means[1]), difference, higher_is_better, effective)
