"""How far old scores tell what new ones make of items that lie close together.

Of each item of a sample the nearest others are looked at, by the old score. Among them the new
score is a line through the old one, and what the line misses, on the scale of the old score, is

    e      residual variance of the new score / slope^2
    c      v / (v + e), with v the variance of the old scores among them

A gallery is denser than the sample, so the best of a search lie closer together than these. Where
both models are smooth maps of one world, as with places, what one misses of the other shrinks with
the distance, and c stays; where they see different things it does not. What neighbours in the
sample agree on says which of both it is: at a variance w the old score misses

    e * min(1, w / v)^c
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

_NEAREST = 5  # of a sample of hundreds: as close together as they still say something


@dataclass(frozen=True, slots=True)
class Nearby:
    """What was measured on a sample.

    Args:
        variance: Of standardised old scores among the nearest, v.
        missed: By them of the new scores, on their own scale, e; infinite where they tell nothing.
    """

    variance: float = 1.0
    missed: float = 0.0

    @classmethod
    def of(cls, old: npt.NDArray[Any], new: npt.NDArray[Any]) -> Self:
        """From tables of scores, standardised row by row.

        Args:
            old: (m, n) old scores of items with other ones.
            new: (m, n) new scores of the same.
        """
        nearest = min(_NEAREST, old.shape[1])
        best = np.argpartition(-old, nearest - 1, axis=1)[:, :nearest]
        x, y = (np.take_along_axis(table, best, axis=1).astype(np.float64) for table in (old, new))
        x, y = (rows - rows.mean(axis=1, keepdims=True) for rows in (x, y))
        spread, common = float((x * x).mean()), float((x * y).mean())
        if spread <= 0.0 or common <= 0.0:
            return cls(missed=np.inf)
        missed = float((y * y).mean()) - common**2 / spread
        return cls(spread, max(missed, 0.0) * (spread / common) ** 2)

    def at(self, variance: Any) -> Any:
        """What old scores miss where they have this variance, an array or a number."""
        told = self.variance / (self.variance + self.missed)
        return self.missed * np.minimum(1.0, np.asarray(variance) / self.variance) ** told


EXACT = Nearby()  # old scores that miss nothing
