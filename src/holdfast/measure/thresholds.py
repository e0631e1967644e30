"""Thresholds: where a cut-off on old scores lies on the new scale.

An application that keeps hits with a score of 0.75 and above keeps almost all, or almost
none, under another model. Both models score the same pairs of query and document; the new
threshold is then the one at which something stays as it was:

    accepted          as many pairs are accepted; needs no labels
    precision         at least the same share of the accepted pairs is relevant, and as
                      many pairs as possible are accepted
    false accepts     as many irrelevant pairs are accepted

A pair is accepted when its score is at least the threshold. Between the last accepted score
and the first refused one the old threshold keeps its relative place (not for "precision"); the map
of a space onto itself is therefore the identity between the lowest and the highest score,
and a change of scale is followed exactly.
A threshold that accepts nothing becomes one just above the highest new score.

The pairs must be like those that the threshold will judge. Of hits of one model only, the
other model's scores are biased downwards; take pairs from both, or at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from .finding import Finding
from .interval import LEVEL, Floats, Interval, as_row, ends

Match: TypeAlias = Literal["accepted", "precision", "false accepts"]
Bools: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Threshold:
    """One row of the table.

    Args:
        old: Threshold on old scores.
        new: Threshold on new scores.
        low: Lower end of the interval of `new`, queries drawn again.
        high: Upper end.
        accepted: Share of the pairs that the old threshold accepts.
        kept: Share of those that the new one accepts as well.
        level: Of the interval.
        n: Number of queries.
        match: What stays as it was.
    """

    old: float
    new: float
    low: float
    high: float
    accepted: float
    kept: float
    level: float
    n: int
    match: Match

    def finding(self, cell: str = "new/new") -> Finding:
        """The new threshold, which judges nothing."""
        note = f"accepts {self.accepted:.1%} of the pairs, {self.kept:.1%} of them the same"
        interval = Interval(self.new, self.low, self.high, self.level, self.n)
        return Finding.of(f"threshold for {self.old:g} ({self.match})", cell, interval, note=note)


def thresholds(
    old_scores: npt.ArrayLike,
    new_scores: npt.ArrayLike,
    at: Sequence[float],
    relevant: npt.ArrayLike | None = None,
    match: Match = "accepted",
    queries: npt.ArrayLike | None = None,
    level: float = LEVEL,
    resamples: int = 500,
) -> list[Threshold]:
    """A table from old thresholds to new ones.

    Args:
        old_scores: (p,) scores of p pairs by the old model, higher is better.
        new_scores: (p,) scores of the same pairs by the new one.
        at: Old thresholds.
        relevant: (p,) true where the pair is relevant; for all but "accepted".
        match: What stays as it was, see the module.
        queries: (p,) which query each pair belongs to, any names; they are drawn together.
            By default each pair is drawn by itself, which makes intervals too narrow.
        level: Of the intervals, between 0 and 1.
        resamples: How many times queries are drawn; each takes a pass over all pairs.
    Raises:
        InvalidInput: Different numbers of pairs, no thresholds, or labels that are missing
            or all alike.
        NotFinite: A score or threshold that is not finite.
    Example:
        >>> [row.new for row in thresholds([0.1, 0.5, 0.9], [1.0, 5.0, 9.0], [0.6])]
        [6.0]
    """
    old, new = (as_row(scores, "thresholds: scores") for scores in (old_scores, new_scores))
    cuts = as_row(at, "thresholds: at")
    labels = _labels(relevant, match, len(old))
    owner = np.arange(len(old)) if queries is None else np.asarray(queries)
    if new.shape != old.shape or owner.shape != old.shape:
        raise InvalidInput(
            "thresholds", f"{len(old)} pairs everywhere", f"{len(new)} and {len(owner)}"
        )
    _, query = np.unique(owner, return_inverse=True)
    solver = _Solver(old, new, labels, cuts, match)
    values = solver(np.ones(len(old)))
    count, random = int(query.max()) + 1, np.random.default_rng(0)
    drawn = []
    for _ in range(resamples):
        times = np.bincount(random.integers(0, count, count), minlength=count)[query]
        # A draw without pairs, or without labels of one kind, says nothing.
        if solver.speaks(times):
            drawn.append(solver(times.astype(np.float64)))
    if not drawn:
        raise InvalidInput("thresholds", "draws of queries that hold both kinds", "none")
    lows, highs = ends(np.array(drawn), level)
    rows = []
    for cut, value, low, high in zip(cuts, values, lows, highs, strict=True):
        taken = old >= cut
        kept = float((new[taken] >= value).mean()) if taken.any() else 1.0
        ends_ = float(low), float(high)
        rows.append(
            Threshold(
                float(cut), float(value), *ends_, float(taken.mean()), kept, level, count, match
            )
        )
    return rows


def _labels(relevant: npt.ArrayLike | None, match: Match, pairs: int) -> Bools:
    if match not in get_args(Match):
        raise InvalidInput("thresholds", f"one of {', '.join(get_args(Match))}", repr(match))
    if match == "accepted":
        return np.ones(pairs, dtype=bool)
    labels = np.asarray([] if relevant is None else relevant)
    if labels.shape != (pairs,) or not np.isin(labels, (0, 1)).all() or len(set(labels)) != 2:
        raise InvalidInput(
            f"thresholds by {match}",
            f"{pairs} labels, relevant and irrelevant ones",
            "none" if relevant is None else f"shape {labels.shape} or one kind only",
        )
    return labels.astype(bool)


class _Solver:
    """Answers new thresholds for weighted pairs; sorts once for all draws.

    Args:
        old: (p,) old scores.
        new: (p,) new scores.
        relevant: (p,) bool.
        cuts: (t,) old thresholds.
        match: What stays as it was.
    """

    def __init__(
        self, old: Floats, new: Floats, relevant: Bools, cuts: Floats, match: Match
    ) -> None:
        pool = np.flatnonzero(~relevant) if match == "false accepts" else np.arange(len(old))
        self._from = pool[np.argsort(-old[pool], kind="stable")]
        self._to = pool[np.argsort(-new[pool], kind="stable")]
        self._old, self._new = old[self._from], new[self._to]
        self._relevant, self._cuts, self._match = relevant.astype(np.float64), cuts, match

    def speaks(self, times: npt.NDArray[np.int64]) -> bool:
        """Whether pairs weighted so can answer."""
        drawn = times[self._from]
        if self._match == "precision":
            return bool((drawn * self._relevant[self._from]).any())
        return bool(drawn.any())

    def __call__(self, times: Floats) -> Floats:
        """(t,) new thresholds, of pairs that each count so many times."""
        source, target = times[self._from], times[self._to]
        old, new = self._old[source > 0], self._new[target > 0]
        source, target = source[source > 0], target[target > 0]
        taken = np.searchsorted(-old, -self._cuts, side="right")  # pairs at or above each cut
        weight = np.concatenate([[0.0], np.cumsum(source)])[taken]
        out = np.full(len(self._cuts), np.nextafter(new[0], np.inf))
        some = taken > 0
        if self._match == "precision":
            right = self._relevant[self._from][times[self._from] > 0] * source
            share = np.concatenate([[0.0], np.cumsum(right)])[taken][some] / weight[some]
            hits = self._relevant[self._to][times[self._to] > 0] * target
            out[some] = _precise(new, hits, target, share)
            return out
        last = np.minimum(np.searchsorted(np.cumsum(target), weight), len(new) - 1)
        after = np.minimum(last + 1, len(new) - 1)
        upper, lower = old[taken[some] - 1], old[np.minimum(taken[some], len(old) - 1)]
        gap = upper - lower
        # Where every pair is accepted there is no refused one, and no place in between.
        place = np.divide(self._cuts[some] - lower, gap, out=np.ones(len(gap)), where=gap > 0)
        high, low = new[last[some]], new[after[some]]
        # Rounding must not leave the last accepted pair below.
        out[some] = np.minimum(low + place * (high - low), high)
        return out


def _precise(new: Floats, right: Floats, weight: Floats, share: Floats) -> Floats:
    """The lowest new threshold at which the share of relevant pairs is reached, for each."""
    ends_a_tie = np.append(new[1:] < new[:-1], True)
    precision = np.where(ends_a_tie, np.cumsum(right) / np.cumsum(weight), -1.0)
    reached = precision[None] >= share[:, None] - 1e-12
    last = len(new) - 1 - np.argmax(reached[:, ::-1], axis=1)
    out: Floats = np.where(reached.any(axis=1), new[last], np.nextafter(new[0], np.inf))
    return out
