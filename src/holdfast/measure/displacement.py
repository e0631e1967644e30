"""Displacement: how much of what users see has moved, whatever is relevant.

    churn@k    share of the first k hits that are others now; order does not count
    RBO        rank-biased overlap: agreement of the two lists read from the top by a reader
               who goes on to the next rank with probability p; 1 the same, 0 nothing shared

No judgements are needed, and none are replaced: a better system must move something.

RBO sees w ranks of two lists that go on. With X_d the items that both have among the
first d, s and l the lengths of the shorter and the longer list,

    RBO = (1-p)/p * ( sum_{d=1..l} X_d/d p^d  +  sum_{d=s+1..l} X_s (d-s)/(s d) p^d )
          + ( (X_l - X_s)/l + X_s/s ) p^l

which supposes that the agreement seen last goes on for ever.

Source: Webber, Moffat & Zobel 2010, equation 32 (extrapolation, uneven lists). Departs from
it: two empty lists agree (1), an empty and a filled one do not (0). Ties stand as the
search ranked them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..arrays import IntArray
from ..errors import DuplicateIds, InvalidInput
from ..hits import NO_ID, Hits
from .finding import Finding
from .interval import LEVEL, RESAMPLES, Floats, Interval, bootstrap


@dataclass(frozen=True, slots=True, eq=False)
class Displacement:
    """What moved between two answers to the same queries.

    Args:
        k: Ranks that churn looks at.
        p: Persistence of the reader of RBO.
        per_query_churn: (q,) churn@k of each query.
        per_query_rbo: (q,) RBO of each query.
        churn: Its mean.
        rbo: Its mean.
    """

    k: int
    p: float
    per_query_churn: Floats
    per_query_rbo: Floats
    churn: Interval
    rbo: Interval

    def findings(self, cell: str) -> list[Finding]:
        """Both means, not yet judged."""
        return [
            Finding.of(f"churn@{self.k}", cell, self.churn),
            Finding.of(f"RBO(p={self.p:g})", cell, self.rbo),
        ]


def displacement(
    before: Hits,
    after: Hits,
    k: int = 10,
    p: float = 0.9,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Displacement:
    """Churn and RBO of two answers to the same queries.

    Args:
        before: (q, at least k) hits.
        after: (q, at least k) hits; RBO reads all columns of both.
        k: Ranks that churn looks at.
        p: Persistence; at 0.9 the first 10 ranks carry 86 % of RBO.
        level: See `bootstrap`.
        resamples: See `bootstrap`.
        seed: See `bootstrap`.
    """
    moved, agreed = churn(before, after, k), rbo(before, after, p)
    draw = (level, resamples, seed)
    return Displacement(k, p, moved, agreed, bootstrap(moved, *draw), bootstrap(agreed, *draw))


def churn(before: Hits, after: Hits, k: int) -> Floats:
    """(q,) share of the first k hits that changed.

    Where fewer than k items were found, the longer list counts as k; of two empty lists
    nothing changed.

    Raises:
        InvalidInput: Answers to different numbers of queries, or fewer than k columns.
        DuplicateIds: An item twice in one row.
    Example:
        >>> a, b = Hits.of([[("x", 2.0), ("y", 1.0)]]), Hits.of([[("z", 2.0), ("x", 1.0)]])
        >>> churn(a, b, 2).tolist()
        [0.5]
    """
    if k < 1 or min(before.k, after.k) < k:
        raise InvalidInput(f"churn@{k}", f"{k} columns of hits", f"{before.k} and {after.k}")
    old, new = before.top(k), after.top(k)
    rows, _, _ = _shared(old, new)
    longer = np.maximum(_filled(old), _filled(new))
    kept = np.bincount(rows, minlength=len(old))
    out: Floats = 1.0 - np.where(longer > 0, kept / np.maximum(longer, 1), 1.0)
    return out


def rbo(before: Hits, after: Hits, p: float = 0.9) -> Floats:
    """(q,) rank-biased overlap, extrapolated; see the module.

    Raises:
        InvalidInput: Answers to different numbers of queries, or p outside (0, 1).
        DuplicateIds: An item twice in one row.
    Example:
        >>> a = Hits.of([[("x", 2.0), ("y", 1.0)]])
        >>> rbo(a, a).round(6).tolist()
        [1.0]
    """
    if not 0.0 < p < 1.0:
        raise InvalidInput("rbo", "a persistence p between 0 and 1", str(p))
    rows, first, second = _shared(before, after)
    depth, width = np.maximum(first, second), max(before.k, after.k, 1)
    common = np.zeros((len(before), width))
    np.add.at(common, (rows, depth), 1.0)
    common = np.cumsum(common, axis=1)
    lengths = np.stack([_filled(before), _filled(after)])
    short, long = lengths.min(axis=0)[:, None], lengths.max(axis=0)[:, None]
    d, at = np.arange(1.0, width + 1.0), np.arange(len(before))[:, None]
    seen_short = np.where(short > 0, common[at, np.maximum(short, 1) - 1], 0.0)
    seen_long = np.where(long > 0, common[at, np.maximum(long, 1) - 1], 0.0)
    level = seen_short / np.maximum(short, 1)  # the agreement that the shorter list ended with
    terms = common / d + np.where(d > short, level * (d - short) / d, 0.0)
    total = (np.where(d <= long, terms, 0.0) * p**d).sum(axis=1, keepdims=True) * (1.0 - p) / p
    total += ((seen_long - seen_short) / np.maximum(long, 1) + level) * p**long
    out: Floats = np.where(long > 0, total, 1.0)[:, 0]
    return out


def _filled(hits: Hits) -> IntArray:
    out: IntArray = (hits.ids != NO_ID).sum(axis=1)
    return out


def _shared(before: Hits, after: Hits) -> tuple[IntArray, IntArray, IntArray]:
    """Items that both sides of a row hold: rows, and the two places counted from 0."""
    if len(before) != len(after):
        raise InvalidInput("displacement", f"{len(before)} queries on both sides", str(len(after)))
    names = np.concatenate([before.ids.ravel(), after.ids.ravel()]).tolist()
    number = {name: code for code, name in enumerate(dict.fromkeys(names))}
    old_keys, old_places = _keys(before, number)
    new_keys, new_places = _keys(after, number)
    both, first, second = np.intersect1d(
        old_keys, new_keys, assume_unique=True, return_indices=True
    )
    return both // max(len(number), 1), old_places[first], new_places[second]


def _keys(hits: Hits, number: Mapping[str, int]) -> tuple[IntArray, IntArray]:
    """One number for each hit, which says its row and its item, and its place."""
    codes = np.array([number[name] for name in hits.ids.ravel().tolist()], dtype=np.int64)
    rows, places = np.nonzero(hits.ids != NO_ID)
    keys: IntArray = rows * len(number) + codes.reshape(hits.ids.shape)[rows, places]
    if len(np.unique(keys)) != len(keys):
        raise DuplicateIds("displacement", "each item once in a row of hits", "one twice")
    return keys, places
