"""Which documents the new model reads before anyone decides.

A part is drawn at random: it says what the background of a gallery looks like. The rest
goes to documents that are known to answer a query, since these decide the metric. Where all of
them fit into three quarters of the budget, all are taken and the rest is random; else two
fifths are random. What is left goes to the nearest neighbours of the queries in the old
space.
"""

from __future__ import annotations

import numpy as np

from ..arrays import FloatArray, IntArray
from .unseen import Bools

FEW, MANY = 0.25, 0.4  # least random part where the answers fit, and where they do not


def choose_sample(relevant: Bools, old: FloatArray, budget: int, seed: int = 0) -> IntArray:
    """Places of the documents to sample, rising.

    Args:
        relevant: (q, n) which document answers which query.
        old: (q, n) scores of the old side.
        budget: How many documents at most.
        seed: Of the draw.
    """
    count = relevant.shape[1]
    budget = min(budget, count)
    random = np.random.default_rng(seed)
    shuffled = random.permutation(count)
    answers = random.permutation(np.flatnonzero(relevant.any(axis=0)))
    fits = len(answers) <= (1.0 - FEW) * budget
    background = shuffled[: round((FEW if fits else MANY) * budget)]
    taken = np.zeros(count, dtype=bool)
    taken[background] = True
    answers = answers[~taken[answers]][: budget - len(background)]
    taken[answers] = True
    left = budget - int(taken.sum())
    if left > 0 and fits:
        taken[shuffled[~taken[shuffled]][:left]] = True
    elif left > 0:
        near = np.argsort(-old, axis=1)[:, : max(10, budget // max(len(old), 1))]
        near = np.array([place for place in dict.fromkeys(near.T.ravel()) if not taken[place]])
        taken[near[:left].astype(np.int64)] = True
    rows: IntArray = np.flatnonzero(taken)
    return rows
