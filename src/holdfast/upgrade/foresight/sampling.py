"""Which documents the new model reads before anyone decides.

A part is drawn at random: it says what the background of a gallery looks like; another part
are documents that are known to answer a query. What is left is chosen in rounds, where it
is worth most: new scores are drawn from what is known by now (`unseen.py`), and those
documents are read next whose place among the first matters most to the metric and is least
certain. Most of these are answers, and rivals of answers.

Source: two-phase sampling with a model (Cochran 1977, ch. 12) and uncertainty sampling (Lewis &
Gale 1994). Departs from them: what counts is the variance of what a document's removal would
change in the metric, over draws and summed over the queries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from ...arrays import FloatArray, IntArray
from ...store.topk import best
from .forecast import Measure
from .rivals import Bools, Floats
from .unseen import LEAST, Known, Unseen

RANDOM, ANSWERS = 0.25, 0.15  # parts of the budget that are read first
ROUNDS, PLAYS = 3, 10
_PLACES = 20  # places that are looked at, at most

# Rising places of documents to what is known when the new model has read them. Some may be
# missing, where their content is gone.
Read: TypeAlias = Callable[[IntArray], Known]


def first_sample(relevant: Bools, budget: int, seed: int = 0) -> IntArray:
    """Places of the documents to read first, rising: some at random, and some answers.

    Args:
        relevant: (q, n) which document answers which query.
        budget: How many documents will be read in the end, at most.
        seed: Of the draw.
    """
    count = relevant.shape[1]
    if budget >= count:
        return np.arange(count)
    random = np.random.default_rng(seed)
    shuffled = random.permutation(count)
    answers = random.permutation(np.flatnonzero(relevant.any(axis=0)))[: round(ANSWERS * budget)]
    taken = np.zeros(count, dtype=bool)
    taken[answers] = True
    others = shuffled[~taken[shuffled]]
    background = max(round(RANDOM * budget), LEAST - len(answers))
    taken[others[: min(background, budget - len(answers))]] = True
    rows: IntArray = np.flatnonzero(taken)
    return rows


def gather(read: Read, first: IntArray, budget: int, measure: Measure, seed: int = 0) -> Known:
    """Read the first sample, and then what is worth most.

    Args:
        read: Asks the new model.
        first: Rising places to begin with.
        budget: How many documents may be read.
        measure: The metric.
        seed: Of the draws.
    Returns:
        What is known in the end, with what was known after each round before the last.
    Raises:
        InvalidInput: See `Known`.
    """
    asked, known = first, read(first)
    rounds: list[IntArray] = []
    for left in range(ROUNDS, 0, -1):
        count = (budget - len(asked)) // left
        if count > 0:
            worth = worths(known, measure, seed + left)
            worth[asked] = -1.0
            asked = np.sort(np.concatenate([asked, np.argsort(-worth, kind="stable")[:count]]))
            known = read(asked)
            rounds.append(known.rows)
    return replace(known, rounds=tuple(rounds[:-1]))


def worths(known: Known, measure: Measure, seed: int = 0) -> Floats:
    """(n,) how much less certain the metric is for not having read each document.

    The sum over the queries of the variance, over plays, of what its removal would change.

    Args:
        known: By now.
        measure: The metric.
        seed: Of the plays.
    """
    unseen, shape = Unseen(known), known.relevant.shape
    total, squares = np.zeros(shape), np.zeros(shape)
    rows = np.arange(shape[0])[:, None]
    for play in range(PLAYS):
        table = unseen.draw(np.random.default_rng([seed, play]))
        places, change = _removed(table, measure)
        total[rows, places] += change
        squares[rows, places] += change**2
    variance: Floats = squares / PLAYS - (total / PLAYS) ** 2
    worth: Floats = variance.sum(axis=0)
    return worth


def _removed(table: FloatArray, measure: Measure) -> tuple[IntArray, Floats]:
    """(q, p) first places, and what the metric loses without each of them."""
    k, judge = measure.k, measure.judge
    places: IntArray = best(table, min(k + 1, table.shape[1]))[0]
    looked = min(k, _PLACES) if places.shape[1] > k else 0
    value, lost = judge(places[:, :k]), np.zeros((len(places), looked))
    for at in range(looked):
        lost[:, at] = value - judge(np.delete(places, at, axis=1))
    return places[:, :looked], lost
