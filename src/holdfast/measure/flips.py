"""Flips: queries that one system answers and the other does not.

NFR@k is the share of queries that succeeded before and fail now; PFR@k the share that
failed and succeed now. Their difference is the change of Success@k: PFR - NFR.

NFR alone is low for every good system. Two ratios correct for that:

    inconsistency (NFI)   NFR over the share that fails now: how much of what is wrong now
                          used to be right
    relative              NFR over what independent systems of the same two error rates
                          would flip: 1 as many as chance, 0 none

Source: Yan et al. 2021 (positive-congruent training), for top-1 classification. Departs
from it: success is a relevant item among the first k hits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..arrays import IntArray
from ..errors import InvalidInput
from .finding import Finding
from .interval import (
    LEVEL,
    RESAMPLES,
    Floats,
    Interval,
    as_successes,
    bootstrap_of,
    paired_difference,
    rate,
    ratio,
)


@dataclass(frozen=True, slots=True, eq=False)
class Flips:
    """What changed for whom.

    Args:
        negative: NFR, the share of queries lost.
        positive: PFR, the share of queries won.
        change: Success after minus before; equals PFR - NFR.
        lost: Positions of the queries lost, rising.
        won: Positions of the queries won, rising.
        inconsistency: NFI; None where nothing fails now.
        relative: Relative NFR; None where nothing succeeded before or nothing fails now.
    """

    negative: Interval
    positive: Interval
    change: Interval
    lost: IntArray
    won: IntArray
    inconsistency: Interval | None = None
    relative: Interval | None = None

    def findings(self, k: int, cell: str) -> list[Finding]:
        """NFR@k, PFR@k and, where it exists, NFI@k of one cell, not yet judged."""
        found = [
            Finding.of(f"NFR@{k}", cell, self.negative),
            Finding.of(f"PFR@{k}", cell, self.positive),
        ]
        if self.inconsistency is not None:
            found.append(Finding.of(f"NFI@{k}", cell, self.inconsistency))
        return found


def flips(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Flips:
    """Compare two systems query by query.

    The two rates have Wilson's interval, so that no flip among few queries is not taken for
    no flip at all; the rest is drawn query by query.

    Args:
        before: (q,) success of each query in the system that is deployed: true or false,
            or 1 and 0.
        after: (q,) the same queries in the other system.
    Raises:
        InvalidInput: Other values, no queries, or two different numbers of them.
    Example:
        >>> flips([1, 1, 0, 0], [1, 0, 1, 0]).negative.value
        0.25
    """
    old, new = as_successes(before, "flips"), as_successes(after, "flips")
    if old.shape != new.shape:
        raise InvalidInput("flips", f"{len(old)} queries on both sides", str(len(new)))
    lost, won = old & ~new, ~old & new
    draw = (level, resamples, seed)
    return Flips(
        rate(lost, level),
        rate(won, level),
        paired_difference(old, new, *draw),
        np.flatnonzero(lost),
        np.flatnonzero(won),
        bootstrap_of(_inconsistency, [lost, ~new], *draw) if not new.all() else None,
        bootstrap_of(_relative, [lost, old, ~new], *draw) if old.any() and not new.all() else None,
    )


def _inconsistency(means: Floats) -> Floats:
    return ratio(means[:, 0], means[:, 1])


def _relative(means: Floats) -> Floats:
    return ratio(means[:, 0], means[:, 1] * means[:, 2])
