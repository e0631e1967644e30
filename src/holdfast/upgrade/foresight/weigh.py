"""The weight of old scores beside new ones, from the sampled items: how sure is it?

Merge "fused" sets its weight from how well scores can be predicted, and needs no judgements.
This sweeps the one weight over the judged queries whose answers were sampled, where both
scores are known, and says which weights do as well as the best. Where 0 is among them the
old model adds nothing that the data shows: keep one model after the backfill, not two.
"""

from __future__ import annotations

import numpy as np

from ...arrays import FloatArray
from ...measure.diagnose import CELL
from ...measure.finding import Finding
from ...measure.interval import FEW
from ...measure.weights import choose_weight
from .rivals import Bools, Floats
from .unseen import Known

STEPS = np.linspace(0.0, 1.0, 21)


def weighed(known: Known) -> list[Finding]:
    """The range of the weight; nothing where too few queries have a sampled answer.

    Args:
        known: Vectors of both models; the old queries must be the old model's own.
    """
    answers = known.relevant[:, known.rows]
    asked = np.flatnonzero(answers.any(axis=1))
    if not known.paired or len(asked) < FEW:
        return []
    old, new = (_standard(table[asked]) for table in (known.old[:, known.rows], known.new))
    values = [_reciprocal((1.0 - w) * new + w * old, answers[asked]) for w in STEPS]
    found = choose_weight(STEPS.tolist(), np.array(values))
    return [found.finding("RR", CELL, "both scores standardised, among sampled items")]


def _standard(table: FloatArray) -> Floats:
    wide = table.astype(np.float64)
    spread = wide.std(axis=1, keepdims=True)
    out: Floats = (wide - wide.mean(axis=1, keepdims=True)) / np.where(spread > 0.0, spread, 1.0)
    return out


def _reciprocal(scores: Floats, answers: Bools) -> Floats:
    """(q,) reciprocal rank of the best answer; tied items stand before it."""
    best = np.where(answers, scores, -np.inf).max(axis=1, keepdims=True)
    ahead = ((scores >= best) & ~answers).sum(axis=1)
    out: Floats = 1.0 / (1.0 + ahead)
    return out
