"""P_up, P_comp and P_1: how well a compatible model keeps its two promises, on several sets.

A model that is trained to be compatible promises to be nearly as good as one that is not
(`up`), and to serve the old gallery better than the old model did (`comp`). For each set,
with M(n,n), M(n,o) and M(o,o) of the compatible model and M(*,*) of an independent one,

    up   = sigmoid( (M(n,n) - M(*,*)) / M(*,*) )
    comp = sigmoid( (M(n,o) - M(o,o)) / (M(*,*) - M(o,o)) )

and `both` (P_1) is the harmonic mean of the two; each is averaged over the sets, `both` after
its mean was taken. 0.5 is the neutral value of each. The sigmoid squeezes: `comp` of a model
that closes the whole gap is 0.73.

Source: Pan et al. 2023 (AdvBCT); the formulas were reconstructed from its published table,
which they reproduce. Departs from it: rates, not percent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from .finding import Finding
from .interval import (
    LEVEL,
    RESAMPLES,
    Floats,
    Interval,
    exact_means,
    intervals,
    ratio,
    resampled_means,
)


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One set: each entry is one number, or (q,) values of the same queries.

    Args:
        old: M(o,o), old model on the old gallery.
        cross: M(n,o), new model on the old gallery.
        new: M(n,n), new model on its own gallery.
        independent: M(*,*), a model trained without the promise, on its own gallery.
    """

    old: npt.ArrayLike
    cross: npt.ArrayLike
    new: npt.ArrayLike
    independent: npt.ArrayLike


@dataclass(frozen=True, slots=True)
class AdvBCT:
    """The three scores, in [0, 1].

    Args:
        up: P_up.
        comp: P_comp.
        both: P_1.
    """

    up: Interval
    comp: Interval
    both: Interval

    @classmethod
    def of(
        cls,
        sets: Sequence[Measured],
        level: float = LEVEL,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> AdvBCT:
        """From one set or more; queries are drawn within each set.

        Single numbers have no spread: of published tables the intervals have no width.

        Raises:
            InvalidInput: No set, entries about different queries, M(*,*) not above zero, or
                M(*,*) equal to M(o,o), where there is nothing to gain.
        Example:
            >>> round(AdvBCT.of([Measured(0.4, 0.4, 0.5, 0.5)]).both.value, 3)
            0.5
        """
        if not sets:
            raise InvalidInput("AdvBCT", "at least one set", "none")
        tables = [_table(one) for one in sets]
        drawn = [
            resampled_means(table, resamples, seed + number) for number, table in enumerate(tables)
        ]
        values = _scores([exact_means(table)[None] for table in tables])
        if not np.isfinite(values).all():
            raise InvalidInput("AdvBCT", "M(*,*) above zero and other than M(o,o)", "neither")
        draws = _scores(drawn)
        draws = draws[np.isfinite(draws).all(axis=1)]
        n = sum(table.shape[1] for table in tables)
        return cls(*intervals(values[0], draws, level, n))

    def findings(self, cell: str = "new/old") -> list[Finding]:
        """P_up, P_comp and P_1, not yet judged."""
        parts = {"P_up": self.up, "P_comp": self.comp, "P_1": self.both}
        return [Finding.of(name, cell, part) for name, part in parts.items()]


def _table(one: Measured) -> Floats:
    rows = [np.atleast_1d(np.asarray(getattr(one, f.name), np.float64)) for f in fields(one)]
    if len({row.shape for row in rows}) != 1 or rows[0].ndim != 1:
        raise InvalidInput(
            "AdvBCT",
            "four numbers, or four arrays about the same queries",
            f"shapes {[row.shape for row in rows]}",
        )
    return np.stack(rows)


def _scores(sets: Sequence[Floats]) -> Floats:
    """(r, 3) from (r, 4) means for each set; NaN where a score does not exist."""
    ups, comps = [], []
    for means in sets:
        old, cross, new, best = means.T
        with np.errstate(divide="ignore", invalid="ignore"):
            ups.append(_sigmoid(np.where(best > 0.0, (new - best) / best, np.nan)))
        comps.append(_sigmoid(ratio(cross - old, best - old)))
    up, comp = np.array(ups), np.array(comps)
    both = 2.0 * up * comp / (up + comp)
    return np.stack([part.mean(axis=0) for part in (up, comp, both)], axis=1)


def _sigmoid(x: Floats) -> Floats:
    out: Floats = 0.5 * (1.0 + np.tanh(0.5 * x))
    return out
