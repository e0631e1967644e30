"""Largest expected gain first: what a past search would probably find with the new model."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...align.kernel import Kernel
from ...arrays import FloatArray, Vectors, unit_rows
from ...errors import InvalidInput
from ...store.topk import scores
from .searched import Floats, as_weights

Pair: TypeAlias = tuple[Vectors, Vectors]  # the same things in the old space and in the new

LEAST = 8  # fewer known items say nothing
_BLOCK = 64  # queries at once: bounds the tables
_STEPS = 40  # of the bisection, over about 20 standard deviations
_HITS = 10


def expected_gain(
    queries: Pair,
    weights: npt.ArrayLike,
    waiting: Vectors,
    known: Pair,
    cost: npt.ArrayLike | None = None,
    hits: int = _HITS,
) -> Floats:
    """What moving each item is expected to be worth to past searches, over what it costs.

    The new score of an item is told from its old score and from the score of its predicted
    vector, by least squares over the known items; what is left is taken for normal noise. So
    each item has a probability to be among the best `hits` of each query by the new
    model. Its square counts: where the answer is in doubt, and many items share it, moving one
    of them alone changes little.

    Args:
        queries: q past searches.
        weights: (q,) how often each was searched.
        waiting: n items in the old space.
        known: A fair sample of items.
        cost: (n,) of moving each, such as its length in tokens; all alike by default.
        hits: Places that readers look at.
    Returns:
        (n,) scores.
    Raises:
        InvalidInput: Fewer than 8 known items, bad weights, or a cost that is not above 0.
    """
    times, prices = as_weights(weights, len(queries[0])), _prices(cost, len(waiting))
    if len(known[0]) != len(known[1]) or len(known[0]) < LEAST:
        raise InvalidInput(
            "expected gain", f"{LEAST} known items or more", f"{len(known[0])}, {len(known[1])}"
        )
    old, new = known
    guessed = Vectors(new.space, _held_out(old, new))
    predicted = Vectors(new.space, _mapped(old, new, waiting.array))
    parts, noise = _told(queries, old, new, guessed)
    worth = np.zeros(len(waiting))
    for start in range(0, len(times), _BLOCK):
        rows = slice(start, start + _BLOCK)
        asked = queries[0].take(rows), queries[1].take(rows)
        told = parts[0] * _standard(_table(asked[1], predicted), _table(asked[1], guessed))
        told += parts[1] * _standard(_table(asked[0], waiting), _table(asked[0], old))
        worth += times[rows] @ _chances(told, noise, hits) ** 2
    return worth / prices


def _prices(cost: npt.ArrayLike | None, count: int) -> Floats:
    prices = np.ones(count) if cost is None else np.asarray(cost, dtype=np.float64)
    if prices.shape != (count,) or not ((prices > 0.0) & np.isfinite(prices)).all():
        raise InvalidInput("cost", f"{count} numbers above 0", f"shape {prices.shape}")
    return prices


def _mapped(old: Vectors, new: Vectors, rows: FloatArray) -> FloatArray:
    mapped: FloatArray = Kernel(single=True).fit(old.array, new.array).transform(rows)
    return unit_rows(mapped) if new.space.metric == "cosine" else mapped


def _held_out(old: Vectors, new: Vectors) -> FloatArray:
    """Each known item as the map sees it that was fitted on the other half."""
    guessed = np.empty_like(new.array)
    for seen in (0, 1):
        fit, rest = slice(seen, None, 2), slice(1 - seen, None, 2)
        guessed[rest] = _mapped(old.take(fit), new.take(fit), old.array[rest])
    return guessed


def _table(queries: Vectors, rows: Vectors) -> FloatArray:
    return scores(queries.array, rows.array, rows.space.metric)


def _standard(table: FloatArray, sample: FloatArray) -> Floats:
    """Scores in spreads above the mean of each query's sample."""
    mean = sample.mean(axis=1, keepdims=True, dtype=np.float64)
    spread = sample.std(axis=1, keepdims=True, dtype=np.float64)
    standard: Floats = (table - mean) / np.where(spread > 1e-12, spread, 1.0)
    return standard


def _told(queries: Pair, old: Vectors, new: Vectors, guessed: Vectors) -> tuple[Floats, float]:
    """What the predicted and the old score tell of the new one, and the noise that is left."""
    tables = [
        _standard(table, table).ravel()
        for table in (_table(queries[1], guessed), _table(queries[0], old), _table(queries[1], new))
    ]
    seen = np.stack(tables[:2], axis=1)
    parts: Floats = np.linalg.lstsq(seen, tables[2], rcond=None)[0].astype(np.float64)
    return parts, max(float(np.std(tables[2] - seen @ parts)), 1e-3)


def _chances(told: Floats, noise: float, hits: int) -> Floats:
    """(q, n) chances to be among the best; those of a query add up to `hits`."""
    from scipy.special import ndtr

    low = told.min(axis=1) - 10.0 * noise
    high = told.max(axis=1) + 10.0 * noise
    for _ in range(_STEPS):
        middle = (low + high) / 2.0
        many = ndtr((told - middle[:, None]) / noise).sum(axis=1) > hits
        low, high = np.where(many, middle, low), np.where(many, high, middle)
    chances: Floats = ndtr((told - low[:, None]) / noise)
    return chances
