"""Adaptation recall ratio: how much of the recall of re-embedding everything a bridge gives.

ARR@k is R@k of the bridged system over R@k of the fully re-embedded one. What counts as
right must be declared, since the two choices disagree violently:

    judgements    people said what is relevant
    neighbours    the first k hits of the re-embedded system itself: how faithfully it is
                  imitated, also where it is wrong; its own recall is then 1

A ratio near 1 says nothing about whether the bridge was worth it: keeping the old model may
have the same ratio. The status quo is therefore always measured beside it.

Source: Drift-Adapter, Vejendla 2025, with neighbours as truth. Departs from it: truth is
declared; the status quo is part of the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..hits import NO_ID, Hits
from .comparison import Comparison, compare
from .displacement import churn
from .finding import Finding
from .grades import Judge
from .interval import LEVEL, RESAMPLES, Floats, Interval, bootstrap_of, ratio
from .ranking import Metric

Truth: TypeAlias = Literal["judgements", "neighbours"]


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What a bridge keeps of the recall of re-embedding everything.

    Args:
        k: Cut of the recall.
        truth: What counted as right.
        ratio: ARR@k.
        status_quo: The same ratio for keeping the old model.
        change: R@k of the bridged system against the status quo.
    """

    k: int
    truth: Truth
    ratio: Interval
    status_quo: Interval
    change: Comparison

    def findings(self, bridged: str = "bridged/old", kept: str = "old/old") -> list[Finding]:
        """Both ratios, and whether the bridge beats the status quo."""
        name = f"ARR@{self.k} ({self.truth})"
        return [
            Finding.of(name, bridged, self.ratio),
            Finding.of(name, kept, self.status_quo),
            self.change.finding(f"R@{self.k} ({self.truth})", bridged, note=f"against {kept}"),
        ]


def adaptation(
    bridged: Hits,
    reembedded: Hits,
    status_quo: Hits,
    k: int,
    truth: Judge | Literal["neighbours"],
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Adaptation:
    """ARR@k of a bridge and of the status quo.

    Args:
        bridged: (q, at least k) hits of new queries, bridged, on the old gallery.
        reembedded: (q, at least k) hits of new/new.
        status_quo: (q, at least k) hits of old/old.
        k: Cut of the recall.
        truth: Judgements or labels; or "neighbours".
        level: See `bootstrap`.
        resamples: See `bootstrap`.
        seed: See `bootstrap`.
    Raises:
        InvalidInput: The re-embedded system finds nothing at all, so that there is no ratio.
    """
    systems = (bridged, reembedded, status_quo)
    named: Truth
    if isinstance(truth, str):
        if truth != "neighbours":
            raise InvalidInput("adaptation", 'judgements, or "neighbours"', repr(truth))
        named, rows = "neighbours", [_faithful(hits, reembedded, k) for hits in systems]
    else:
        named, rows = "judgements", [Metric("R", k).per_query(hits, truth) for hits in systems]
    got, best, kept = rows
    if not best.any():
        raise InvalidInput(
            "adaptation", f"R@{k} of the re-embedded system above 0", "0 for every query"
        )
    draw = (level, resamples, seed)
    return Adaptation(
        k,
        named,
        bootstrap_of(_over, np.stack([got, best]), *draw),
        bootstrap_of(_over, np.stack([kept, best]), *draw),
        compare(kept, got, None, True, *draw),
    )


def _faithful(hits: Hits, truth: Hits, k: int) -> npt.NDArray[np.float64]:
    """(q,) share of the first k hits of `truth` that `hits` has among its first k."""
    wanted = (truth.top(k).ids != NO_ID).sum(axis=1)
    found = (hits.top(k).ids != NO_ID).sum(axis=1)
    common = (1.0 - churn(truth, hits, k)) * np.maximum(wanted, found)
    out: Floats = np.where(wanted > 0, common / np.maximum(wanted, 1), 1.0)
    return out


def _over(means: Floats) -> Floats:
    return ratio(means[:, 0], means[:, 1])
