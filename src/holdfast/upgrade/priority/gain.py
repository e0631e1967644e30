"""Largest expected gain first: what past searches would probably find while a gallery is mixed.

A search of a mixed gallery ranks by the new score, and by the old one about half as much. What
stands high by both is what readers are about to see: moved, it is where the new model wants it,
or out of the way.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...arrays import FloatArray, Vectors, unit_rows
from ...errors import InvalidInput
from ...store.topk import best, scores
from .searched import Floats, as_weights, most_searched

Pair: TypeAlias = tuple[Vectors, Vectors]  # the same things in the old space and in the new

LEAST = 8  # fewer known items say nothing
PLACES = 20  # that count: of a page of ten, and those next to come up
KEPT = 0.5  # of the old score beside the new one, as a fused merge counts it with few pairs
_ASKED = 1_024  # searches that the map learns from: more would drown the items
_BLOCK = 64  # queries at once: bounds the tables


def expected_gain(
    queries: Pair,
    weights: npt.ArrayLike,
    waiting: Vectors,
    known: Pair,
    cost: npt.ArrayLike | None = None,
    places: int = PLACES,
) -> Floats:
    """How often, and how high, each item will probably stand in a mixed gallery.

    The new score of an item is told from its old score and from the score of its predicted
    vector, by least squares over the known items. Both models have encoded the searches, so the
    map learns from these too. To it comes half the old score; all are
    standardised, query by query, on the known items. A place counts as in nDCG.

    Args:
        queries: q past searches, the most frequent first.
        weights: (q,) how often each was searched.
        waiting: n items in the old space.
        known: A fair sample of items.
        cost: (n,) of moving each, such as its length in tokens; all alike by default.
        places: Of each search that count.
    Returns:
        (n,) scores; 0 for what stands nowhere.
    Raises:
        InvalidInput: Fewer than 8 known items, bad weights, or a cost that is not above 0.
    """
    times, prices = as_weights(weights, len(queries[0])), _prices(cost, len(waiting))
    if len(known[0]) != len(known[1]) or len(known[0]) < LEAST:
        raise InvalidInput(
            "expected gain", f"{LEAST} known items or more", f"{len(known[0])}, {len(known[1])}"
        )
    old, new = known
    guessed = Vectors(new.space, _held_out(known, queries))
    predicted = Vectors(new.space, _mapped(known, queries, waiting.array))
    parts = _told(queries, old, new, guessed)
    worth = np.zeros(len(waiting))
    for start in range(0, len(times), _BLOCK):
        rows = slice(start, start + _BLOCK)
        asked = queries[0].take(rows), queries[1].take(rows)
        told = parts[0] * _standard(_table(asked[1], predicted), _table(asked[1], guessed))
        told += (parts[1] + KEPT) * _standard(_table(asked[0], waiting), _table(asked[0], old))
        worth += most_searched(best(told, places)[0], times[rows], len(waiting))
    return worth / prices


def _prices(cost: npt.ArrayLike | None, count: int) -> Floats:
    prices = np.ones(count) if cost is None else np.asarray(cost, dtype=np.float64)
    if prices.shape != (count,) or not ((prices > 0.0) & np.isfinite(prices)).all():
        raise InvalidInput("cost", f"{count} numbers above 0", f"shape {prices.shape}")
    return prices


def _mapped(pairs: Pair, asked: Pair, rows: FloatArray) -> FloatArray:
    """Rows of the old space in the new one, by a map fitted on items and on searches."""
    from ...align.kernel import Kernel

    old, new = (
        np.concatenate([known.array, said.array[:_ASKED]])
        for known, said in zip(pairs, asked, strict=True)
    )
    mapped: FloatArray = Kernel(single=True).fit(old, new).transform(rows)
    return unit_rows(mapped) if pairs[1].space.metric == "cosine" else mapped


def _held_out(known: Pair, asked: Pair) -> FloatArray:
    """Each known item as the map sees it that was fitted on the other half."""
    old, new = known
    guessed = np.empty_like(new.array)
    for seen in (0, 1):
        fit, rest = slice(seen, None, 2), slice(1 - seen, None, 2)
        guessed[rest] = _mapped((old.take(fit), new.take(fit)), asked, old.array[rest])
    return guessed


def _table(queries: Vectors, rows: Vectors) -> FloatArray:
    return scores(queries.array, rows.array, rows.space.metric)


def _standard(table: FloatArray, sample: FloatArray) -> Floats:
    """Scores in spreads above the mean of each query's sample."""
    mean = sample.mean(axis=1, keepdims=True, dtype=np.float64)
    spread = sample.std(axis=1, keepdims=True, dtype=np.float64)
    standard: Floats = (table - mean) / np.where(spread > 1e-12, spread, 1.0)
    return standard


def _told(queries: Pair, old: Vectors, new: Vectors, guessed: Vectors) -> Floats:
    """What the predicted and the old score tell of the new one."""
    tables = [
        _standard(table, table).ravel()
        for table in (_table(queries[1], guessed), _table(queries[0], old), _table(queries[1], new))
    ]
    seen = np.stack(tables[:2], axis=1)
    parts: Floats = np.linalg.lstsq(seen, tables[2], rcond=None)[0].astype(np.float64)
    return parts
