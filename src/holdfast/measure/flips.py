"""Flips: queries that one system answers and the other does not.

NFR@k is the share of queries that succeeded before and fail now; PFR@k the share that
failed and succeed now. Their difference is the change of Success@k: PFR - NFR.

Source: Yan et al. 2021 (positive-congruent training), for top-1 classification. Departs
from it: success is a relevant item among the first k hits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..arrays import IntArray
from ..errors import InvalidInput
from ..hits import Hits
from .finding import Finding
from .grades import Judge
from .interval import LEVEL, RESAMPLES, Interval, bootstrap_rows
from .ranking import Metric


@dataclass(frozen=True, slots=True, eq=False)
class Flips:
    """What changed for whom.

    Args:
        negative: NFR, the share of queries lost.
        positive: PFR, the share of queries won.
        change: Success after minus before; equals PFR - NFR.
        lost: Positions of the queries lost, rising.
        won: Positions of the queries won, rising.
    """

    negative: Interval
    positive: Interval
    change: Interval
    lost: IntArray
    won: IntArray

    def findings(self, k: int, cell: str) -> list[Finding]:
        """NFR@k and PFR@k of one cell, not yet judged."""
        return [
            Finding.of(f"NFR@{k}", cell, self.negative),
            Finding.of(f"PFR@{k}", cell, self.positive),
        ]


def flips(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Flips:
    """Compare two systems query by query.

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
    old, new = _successes(before), _successes(after)
    if old.shape != new.shape:
        raise InvalidInput("flips", f"{len(old)} queries on both sides", str(len(new)))
    lost, won = old & ~new, ~old & new
    rows = np.stack([lost, won, won.astype(np.int64) - lost])
    negative, positive, change = bootstrap_rows(rows, level, resamples, seed)
    return Flips(negative, positive, change, np.flatnonzero(lost), np.flatnonzero(won))


def flips_at(
    k: int,
    before: Hits,
    after: Hits,
    judgements: Judge,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Flips:
    """Flips of Success@k between two answers to the same queries."""
    success = Metric("Success", k)
    return flips(
        success.per_query(before, judgements),
        success.per_query(after, judgements),
        level,
        resamples,
        seed,
    )


def _successes(values: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    array = np.asarray(values)
    if array.ndim != 1 or not len(array) or not np.isin(array, (0, 1)).all():
        raise InvalidInput("flips", "(q,) successes, each true or false", str(array.shape))
    return array.astype(bool)
