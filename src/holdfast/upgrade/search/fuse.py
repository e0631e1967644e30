"""Fusion: every item scored by both models, the new score predicted where it is not known yet.

What moved keeps its old vector on the old side, so its two scores are both known. For what
waits, a map fitted on the items that moved predicts the vector in the new space, and with
it the new score. All scores are standardised, query by query, on a sample of items
that both sides know.

How they count beside each other is `fusion_rule.py`.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from ...arrays import FloatArray, IntArray, Vectors
from ...errors import InvalidInput
from ...store.memory import scores
from .fusion_rule import FusionRule, rounding
from .nearby import Nearby

if TYPE_CHECKING:
    from ...align.base import Aligner

Floats = npt.NDArray[np.float64]

LEAST = 8  # fewer known items say nothing
PAIRS = 4_096  # known items that the map is fitted on, at most
SAMPLE = 512  # of them, that standardise the scores
HALVES = 2_048  # of them, that measure the agreement


@dataclass(frozen=True, slots=True)
class Scales:
    """Mean and spread of the scores of each query on a sample; all (q, 1).

    Args:
        old: Of the old model.
        new: Of the new model.
        predicted: Of the new model, on predicted vectors.
    """

    old: tuple[Floats, Floats]
    new: tuple[Floats, Floats]
    predicted: tuple[Floats, Floats]


class Fusion:
    """What the items that are known on both sides teach.

    Args:
        old: n rows of the old space, a fair sample first.
        new: The same items in the new space.
        fidelity: Of the old queries, see `fidelity`; 1 where the old model encodes them.
        aligner: The map from old to new; `Kernel` if None. It is copied, not fitted.
        sample: Known items that standardise the scores.
    Raises:
        InvalidInput: Fewer than 8 pairs, or two different numbers of rows.
    """

    def __init__(
        self,
        old: Vectors,
        new: Vectors,
        fidelity: float = 1.0,
        aligner: Aligner | None = None,
        sample: int = SAMPLE,
    ) -> None:
        self.old, self.new, self.fidelity = old.space, new.space, fidelity
        if aligner is None:
            from ...align.kernel import Kernel  # brings scikit-learn: a second for each process

            aligner = Kernel(single=True)
        rows, self._predicted = _crossed(aligner, old, new, sample)
        self._old, self._new = old.take(rows), new.take(rows)
        asked, own = self._new.array, self._old.array
        told, guessed, true = among(
            scores(own, own, self.old.metric),
            *(scores(asked, side, self.new.metric) for side in (self._predicted, asked)),
        )
        self.agreement, self.nearby = _agreement(guessed, true), Nearby.of(told, true)
        fit = slice(0, PAIRS)
        self._map = deepcopy(aligner).fit(old.array[fit], new.array[fit])

    @classmethod
    def of(cls, old: Vectors, new: Vectors) -> Self:
        """The same with the defaults."""
        return cls(old, new)

    @property
    def rule(self) -> FusionRule:
        """How the two scores count."""
        missed, unheard = 1.0 - self.agreement**2, 1.0 - self.fidelity**2
        return FusionRule.of(missed, unheard, len(self._old), self.nearby)

    @property
    def heard(self) -> float:
        """How much of the old score counts, in [0, 1]."""
        return self.rule.heard

    @property
    def weight(self) -> float:
        """Of the old score beside the new one, where only predicted scores compete."""
        return float(self.rule.weight)

    def predict(self, old: FloatArray) -> Vectors:
        """N old vectors in the new space, as far as can be told."""
        return Vectors(self.new, predicted(self._map, old, self.new.metric))

    def scales(self, old_queries: Vectors, new_queries: Vectors) -> Scales:
        """How the scores of each query spread."""
        new = new_queries.array
        return Scales(
            _moments(scores(old_queries.array, self._old.array, self.old.metric)),
            _moments(scores(new, self._new.array, self.new.metric)),
            _moments(scores(new, self._predicted, self.new.metric)),
        )

    def crowded(self, scales: Scales, moved: FloatArray, waiting: FloatArray) -> FusionRule:
        """The rule for these queries, see `FusionRule.crowded`.

        Args:
            scales: Of the queries.
            moved: (q, a) old scores; -inf where there is no candidate.
            waiting: (q, b) likewise.
        """
        return self.rule.crowded(
            _standard(moved, scales.old),
            _standard(waiting, scales.old),
            rounding(moved, waiting, scales.old[1]),
        )

    def moved(
        self,
        scales: Scales,
        old: FloatArray,
        new: FloatArray,
        sure: bool = False,
        rule: FusionRule | None = None,
    ) -> Floats:
        """(q, k) fused scores of items with both scores.

        Args:
            scales: Of the queries.
            old: (q, k) scores of the old model.
            new: (q, k) scores of the new model.
            sure: They compete with no item whose new score is predicted.
            rule: `rule` by default, as if all they compete with were predicted.
        """
        fused: Floats = (rule or self.rule).moved(
            _standard(new, scales.new), _standard(old, scales.old), sure
        )
        return fused

    def waiting(
        self,
        scales: Scales,
        old: FloatArray,
        predicted: FloatArray,
        rule: FusionRule | None = None,
    ) -> Floats:
        """(q, k) fused scores of items with a predicted new score."""
        fused: Floats = (rule or self.rule).waiting(
            _standard(predicted, scales.predicted), _standard(old, scales.old)
        )
        return fused


def fidelity(aligner: Aligner, old: Vectors, new: Vectors, sample: int = SAMPLE) -> float:
    """How well the scores of queries that come over a bridge agree with the old model's own.

    Args:
        aligner: Maps new to old; it is copied, and fitted on each half of the pairs to bring
            items of the other half over, which then ask the old space.
        old: n rows of the old space.
        new: The same items in the new space.
        sample: Items that ask, at most.
    Returns:
        A correlation, in [0, 1].
    Raises:
        InvalidInput: Fewer than 8 pairs, or two different numbers of rows.
    """
    rows, bridged = _crossed(aligner, new, old, sample)
    true = old.take(rows).array
    return _agreement(*among(*(scores(a, true, old.space.metric) for a in (bridged, true))))


def _crossed(
    aligner: Aligner, source: Vectors, target: Vectors, sample: int
) -> tuple[IntArray, FloatArray]:
    """The first rows, and each brought over by a map that was fitted on the half without it.

    Every other row makes a half, so that both halves, and what is answered, begin with the
    fair sample that the rows begin with.
    """
    if len(source) != len(target) or len(source) < LEAST:
        raise InvalidInput("Fusion", f"at least {LEAST} pairs", f"{len(source)} and {len(target)}")
    half = min(len(source), HALVES) // 2
    first, second = slice(0, 2 * half, 2), slice(1, 2 * half, 2)
    a, b = (deepcopy(aligner).fit(source.array[h], target.array[h]) for h in (first, second))
    rows = np.arange(2 * min(half, sample // 2))
    mapped = np.empty((len(rows), target.array.shape[1]), dtype=target.array.dtype)
    for learned, part in ((b, rows[::2]), (a, rows[1::2])):
        mapped[part] = predicted(learned, source.array[part], target.space.metric)
    return rows, mapped


def among(*tables: FloatArray) -> list[Floats]:
    """(m, m) scores of items among each other as (m, m - 1) standardised ones of the others."""
    others = ~np.eye(len(tables[0]), dtype=bool)
    met = (table[others].reshape(len(table), -1) for table in tables)
    return [_standard(table, _moments(table)) for table in met]


def _agreement(guessed: Floats, true: Floats) -> float:
    """Correlation, in [0, 1], of two tables of standardised scores."""
    return float(np.clip((guessed * true).mean(), 0.0, 1.0))


def predicted(aligner: Aligner, old: FloatArray, metric: str) -> FloatArray:
    """(n, d_new) rows as a map predicts them; of length one under cosine."""
    mapped: FloatArray = aligner.transform(old)
    if metric == "cosine":
        lengths = np.sqrt(np.einsum("ij,ij->i", mapped, mapped))[:, None]
        mapped /= np.where(lengths > 0.0, lengths, 1.0)
    return mapped


def _moments(table: FloatArray) -> tuple[Floats, Floats]:
    mean = table.mean(axis=1, keepdims=True, dtype=np.float64)
    spread = table.std(axis=1, keepdims=True, dtype=np.float64)
    return mean, np.where(spread > 1e-12, spread, 1.0)


def _standard(table: FloatArray, moments: tuple[Floats, Floats]) -> Floats:
    standard: Floats = (table - moments[0]) / moments[1]
    return standard
