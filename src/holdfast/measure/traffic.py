"""Traffic: what is asked often counts more than what is never asked.

Weights belong to queries: how often each is asked.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from .interval import (
    Floats,
    as_row,
    as_table,
    exact_means,
    resampled_means,
    worth,
)


def zipf(n: int, exponent: float = 1.0) -> Floats:
    """(n,) weights of a Zipf log, most popular first, adding up to 1.

    Args:
        n: How many queries.
        exponent: The r-th weighs 1 / r to this power; 0 for all alike.
    Raises:
        InvalidInput: Nothing to weigh, or a negative exponent.
    Example:
        >>> zipf(3).round(3).tolist()
        [0.545, 0.273, 0.182]
    """
    if n < 1 or not 0.0 <= exponent < np.inf:
        raise InvalidInput("zipf", "n >= 1 and exponent >= 0", f"n {n}, exponent {exponent}")
    weights: Floats = np.arange(1.0, n + 1.0) ** -exponent
    weights /= weights.sum()
    return weights


def effective_count(weights: npt.ArrayLike) -> float:
    """How many queries of equal weight say as much: (sum of w)^2 / sum of w^2.

    Raises:
        InvalidInput: Weights that are negative, not finite, all zero, or none.
    Example:
        >>> effective_count([1.0, 1.0, 0.0])
        2.0

    Source: Kish 1965. Departs from it: nothing.
    """
    return worth(as_weights(weights))


def as_weights(weights: npt.ArrayLike, queries: int | None = None) -> Floats:
    """(q,) weights that can be: numbers from 0, one for each query, and one above 0.

    Raises:
        InvalidInput: Others.
    """
    counts = as_row(weights, "weights")
    if queries is not None and len(counts) != queries:
        raise InvalidInput("weights", f"{queries} of them, one per query", str(len(counts)))
    if (counts < 0).any():
        raise InvalidInput("weights", "numbers from 0", f"{counts.min():g}")
    if not 0 < counts.sum() < np.inf:
        raise InvalidInput("weights", "a finite sum above 0", f"{counts.sum():g}")
    return counts


def weighted(
    table: Floats, weights: npt.ArrayLike | None, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """Means of the rows, and the means in each draw of queries.

    With weights that differ a draw takes as many queries as these are worth, see
    `effective_count`, each as likely as it has weight. Drawing all q alike and weighing what
    comes takes the answer to the most popular query for certain: under a Zipf log nine in
    ten of such intervals hold the truth, not 95 in 100.

    Args:
        table: (m, q) m measurements of the same q queries.
        weights: (q,) how much each query counts, or None.
        resamples: How many draws.
        seed: Same seed, same draws.
    Returns:
        (m,) and (resamples, m).
    Raises:
        InvalidInput: Weights of another number, negative, not finite, or all zero.

    Source: the effective sample size of Kish 1965. Departs from it: queries are drawn, so that
    rows stay paired. As there, popular queries are held to vary like those drawn with them.
    """
    table, chances = as_table(table), None
    if weights is not None:
        counts = as_weights(weights, table.shape[1])
        if (counts != counts[0]).any():
            chances = counts / counts.sum()
    return exact_means(table, chances), resampled_means(table, resamples, seed, chances)
