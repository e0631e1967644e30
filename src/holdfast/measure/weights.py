"""Weights: how well the data pins down the one number by which two scores are mixed.

A tuned weight looks exact and often is not: a whole range answers as well. What is reported
is that range, and what is taken is its simplest member: one model alone where it lies within,
and never a mixture that loses to the better model on queries it was not chosen on.

Source: the set of all models almost as good as the best one (Rashomon set) of Li et al. 2024
(arXiv 2305.10181). Departs from it: of one weight the whole set is swept, nothing is searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..arrays import draws
from ..errors import InvalidInput
from .finding import Finding
from .interval import Floats, as_row, as_table

EPSILON = 0.01  # a mean metric this close to the best one is as good


@dataclass(frozen=True, slots=True)
class WeightRange:
    """Which weights answer as well as the best.

    Args:
        chosen: The one to take.
        best: The one with the highest mean.
        low: The least of all weights within epsilon of it.
        high: The largest.
        value: Mean of the chosen one over all queries.
        ends: Means at the first and the last weight: each score alone.
        queries: Behind it.
        epsilon: How close is as good.
    """

    chosen: float
    best: float
    low: float
    high: float
    value: float
    ends: tuple[float, float]
    queries: int
    epsilon: float = EPSILON

    def finding(self, metric: str, cell: str, note: str = "") -> Finding:
        """The best weight, with the range as its interval; not judged."""
        told = f"{metric} {self.ends[0]:.3f} at 0, {self.ends[1]:.3f} at 1, take {self.chosen:g}"
        words = f"as good within {self.epsilon:g} on the whole interval; {told}"
        return Finding(
            "weight of old scores",
            cell,
            self.best,
            self.low,
            self.high,
            self.queries,
            note=f"{note}; {words}" if note else words,
        )


def choose_weight(
    weights: Sequence[float], values: npt.ArrayLike, epsilon: float = EPSILON, seed: int = 0
) -> WeightRange:
    """Sweep one weight.

    Args:
        weights: Rising, from 0, one score alone, to 1, the other.
        values: (w, q) metric of each query at each weight, higher is better.
        epsilon: How close to the best mean is as good.
        seed: Of the half of the queries that chooses; the other half may overrule it.
    Raises:
        InvalidInput: Weights that do not rise from 0 to 1, or fewer than 2 queries.
    """
    table, known = as_table(values, "choose_weight"), as_row(weights, "choose_weight")
    if len(known) != len(table) or (np.diff(known) <= 0).any():
        got = f"{len(table)} rows for {known.tolist()}"
        raise InvalidInput("choose_weight", "rising weights, a row of values each", got)
    if table.shape[1] < 2:
        raise InvalidInput("choose_weight", "2 queries or more", str(table.shape[1]))
    if known[0] != 0.0 or known[-1] != 1.0:
        raise InvalidInput("choose_weight", "weights from 0 to 1", f"{known[0]} to {known[-1]}")
    means = table.mean(axis=1)
    good = means >= means.max() - epsilon
    half = draws(seed, "choose_weight").permutation(table.shape[1])
    fit, judge = (table[:, part].mean(axis=1) for part in np.array_split(half, 2))
    place = _simplest(fit, epsilon)
    end = 0 if judge[0] >= judge[-1] else len(known) - 1
    if judge[place] < judge[end] or good[end]:
        place = end
    return WeightRange(
        float(known[place]),
        float(known[int(means.argmax())]),
        float(known[good].min()),
        float(known[good].max()),
        float(means[place]),
        (float(means[0]), float(means[-1])),
        table.shape[1],
        epsilon,
    )


def _simplest(means: Floats, epsilon: float) -> int:
    """The better end where it is as good as the best, else the best."""
    end = 0 if means[0] >= means[-1] else len(means) - 1
    return end if means[end] >= means.max() - epsilon else int(means.argmax())
