"""Update gain: how much of what re-embedding would bring comes without touching the gallery.

    gain = (M(n,o) - M(o,o)) / (M(n*,n*) - M(o,o))

with n* a new model that was trained without any constraint. 0 is useless, 1 as good as
re-embedding. Where n* is no better than the old model there is no such share; the numerator
is always told.

Source: Shen et al. 2020 (BCT). Departs from it: nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .comparison import Comparison, compare
from .finding import Finding
from .interval import LEVEL, RESAMPLES, ROUNDING, Floats, Interval, bootstrap_of, paired, ratio


@dataclass(frozen=True, slots=True)
class UpdateGain:
    """What compatibility brings.

    Args:
        change: new/old against old/old, the numerator.
        gain: The gain; None where the free model is not better than the old one.
    """

    change: Comparison
    gain: Interval | None

    @classmethod
    def of(
        cls,
        old: npt.ArrayLike,
        cross: npt.ArrayLike,
        independent: npt.ArrayLike,
        level: float = LEVEL,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> UpdateGain:
        """From the values of the same queries in three cells.

        Args:
            old: (q,) values of old/old.
            cross: (q,) values of new/old.
            independent: (q,) values of n*/n*.
            level: See `bootstrap`.
            resamples: See `bootstrap`.
            seed: See `bootstrap`.
        Example:
            >>> UpdateGain.of([0.4] * 9, [0.5] * 9, [0.6] * 9).gain.value
            0.5
        """
        change = compare(old, cross, None, True, level, resamples, seed)
        rows = np.stack(
            [*paired(old, cross, "UpdateGain"), paired(old, independent, "UpdateGain")[1]]
        )
        gain = None
        if rows[2].mean() - rows[0].mean() > ROUNDING:
            gain = bootstrap_of(_gain, rows, level, resamples, seed)
        return cls(change, gain)

    def findings(self, metric: str, cell: str = "new/old") -> list[Finding]:
        """The numerator, judged, and the gain where there is one."""
        found = [self.change.finding(metric, cell, note="against old/old")]
        if self.gain is not None:
            found.append(Finding.of(f"update gain of {metric}", cell, self.gain))
        return found


def _gain(means: Floats) -> Floats:
    # A draw in which the free model is not better says nothing about a share of its gain.
    room = np.maximum(means[:, 2] - means[:, 0], 0.0)
    return ratio(means[:, 1] - means[:, 0], room)
