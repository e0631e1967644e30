"""Fusion: every item scored by both models, the new score predicted where it is not known yet.

What moved keeps its old vector on the old side, so its two scores are both known. For what
waits, a map fitted on the items that moved predicts the vector in the new space, and with
it the new score. All scores are standardised, query by query, on a sample of items
that both sides know:

    moved      new + weight * old
    waiting    0.8 * predicted + (0.4 + weight) * old - 0.4
    weight     (1 - r^2) / r^2

r is how well predicted scores agree with true ones, measured on items that the map was not
fitted on. Early on little has moved, the map is poor, and the old score decides for all items
alike: the ranking is the old one. As the map becomes better the new score takes over.

The four constants were chosen on queries that judge nothing, see `bench.no_regret`; the result is
flat around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from ..align.kernel import Kernel
from ..arrays import FloatArray, Vectors
from ..errors import InvalidInput
from ..store.memory import scores

Floats = npt.NDArray[np.float64]

LEAST = 8  # fewer known items say nothing
PAIRS = 4_096  # known items that the map is fitted on, at most
SAMPLE = 512  # of them, that standardise the scores
_HALVES = 2_048  # of them, that measure the agreement

PREDICTED, OLD, LATE = 0.8, 0.4, -0.4
_POOREST = 0.2  # agreement below which the new score no longer counts


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
        landmarks: See `Kernel`.
    Raises:
        InvalidInput: Fewer than 8 pairs, or two different numbers of rows.
    """

    def __init__(self, old: Vectors, new: Vectors, landmarks: int = 2_048) -> None:
        if len(old) != len(new) or len(old) < LEAST:
            raise InvalidInput("Fusion", f"at least {LEAST} pairs", f"{len(old)} and {len(new)}")
        self.old, self.new = old.space, new.space
        half = min(len(old), _HALVES) // 2
        first, second = np.arange(half), np.arange(half, 2 * half)
        a = _fitted(old.take(first), new.take(first), landmarks)
        b = _fitted(old.take(second), new.take(second), landmarks)
        few = min(half, SAMPLE // 2)
        sample = np.concatenate([first[:few], second[:few]])
        self._old, self._new = old.take(sample), new.take(sample)
        # Each half is predicted by the map that has not seen it.
        self._predicted = np.concatenate(
            [
                _predicted(b, old.take(first[:few]).array, self.new.metric),
                _predicted(a, old.take(second[:few]).array, self.new.metric),
            ]
        )
        self.agreement = self._agreement()
        fit = np.arange(min(len(old), PAIRS))
        self._map = _fitted(old.take(fit), new.take(fit), landmarks)

    @classmethod
    def of(cls, old: Vectors, new: Vectors) -> Self:
        """The same with the defaults."""
        return cls(old, new)

    @property
    def weight(self) -> float:
        """Of the old score beside the new one: the noise in a predicted score over its signal."""
        signal = max(self.agreement, _POOREST) ** 2
        return (1.0 - signal) / signal

    def predict(self, old: FloatArray) -> Vectors:
        """N old vectors in the new space, as far as can be told."""
        return Vectors(self.new, _predicted(self._map, old, self.new.metric))

    def scales(self, old_queries: Vectors, new_queries: Vectors) -> Scales:
        """How the scores of each query spread."""
        new = new_queries.array
        return Scales(
            _moments(scores(old_queries.array, self._old.array, self.old.metric)),
            _moments(scores(new, self._new.array, self.new.metric)),
            _moments(scores(new, self._predicted, self.new.metric)),
        )

    def moved(self, scales: Scales, old: FloatArray, new: FloatArray) -> Floats:
        """(q, k) fused scores of items with both scores."""
        fused: Floats = _standard(new, scales.new) + self.weight * _standard(old, scales.old)
        return fused

    def waiting(self, scales: Scales, old: FloatArray, predicted: FloatArray) -> Floats:
        """(q, k) fused scores of items with a predicted new score."""
        fused: Floats = (
            PREDICTED * _standard(predicted, scales.predicted)
            + (OLD + self.weight) * _standard(old, scales.old)
            + LATE
        )
        return fused

    def _agreement(self) -> float:
        """Correlation, in [0, 1], of predicted and true scores of items among each other."""
        rows = self._new.array
        others = ~np.eye(len(rows), dtype=bool)
        tables = [
            scores(rows, side, self.new.metric)[others].reshape(len(rows), -1)
            for side in (self._predicted, rows)
        ]
        predicted, true = (_standard(table, _moments(table)) for table in tables)
        return float(np.clip((predicted * true).mean(), 0.0, 1.0))


def _fitted(old: Vectors, new: Vectors, landmarks: int) -> Kernel:
    return Kernel(landmarks, single=True).fit(old.array, new.array)


def _predicted(kernel: Kernel, old: FloatArray, metric: str) -> FloatArray:
    mapped: FloatArray = kernel.transform(old)
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
