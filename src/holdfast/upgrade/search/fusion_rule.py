"""The rule of a fused merge: standardised scores in, scores to rank by out.

    moved      new + h * weight * old
    waiting    (0.8 + 0.3 * (1 - h)) * predicted + h * (0.4 + weight) * old - 0.4 * h
    weight     (1 - r^2 + 8 / m) / r^2
    h          1 where the old model asks, else max(0, 1 - (1 - s^2) / (1 - r^2))^2

    moved      new + h * 0.35 * old, where the new score of every candidate is known

The weight is needed where sure scores compete with predicted ones. So it falls with what
competes: where a part u of the 20 best candidates of a query waits, it is, for all its candidates,

    u * weight + (1 - u) * h * 0.35

r is how well predicted scores agree with true ones, measured on items that the map was not
fitted on; m is the size of the sample, whose own noise counts too. Early on little has moved,
the map is poor, and the old score decides for all items alike: the ranking is the old one. As
the map becomes better the new score takes over.

Where the old model is dead its queries come over a bridge, and s is how well their scores agree
with its own. Such a score says nothing that the new query does not know, so what is heard of
it, h, falls fast with what it misses, relative to what a prediction misses.

The constants were chosen on queries that judge nothing, see `bench.no_regret` and `bench.order`;
the result is flat around them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

PREDICTED, OLD, LATE = 0.8, 0.4, -0.4
ALONE = 1.1  # instead of PREDICTED, where the old score says nothing
SURE = 0.35  # instead of the weight, where nothing is predicted: two models judge better than one
PLACES = 20  # of the candidates of a query: a page of ten, and those next to come up
_FEW = 8.0  # over the size of the sample: what its mean and spread miss
_POOREST = 0.2  # agreement below which the new score no longer counts


@dataclass(frozen=True, slots=True)
class FusionRule:
    """How much the old score counts beside the new one.

    Args:
        heard: How much of the old score counts at all, in [0, 1].
        weight: Of the old score: the noise in a predicted score over its signal, times `heard`;
            a number for all queries, or a column of one for each.
    """

    heard: float
    weight: Any

    @classmethod
    def of(cls, missed: float, unheard: float, sample: int) -> Self:
        """From what was measured.

        Args:
            missed: By predicted scores, 1 - r^2.
            unheard: By the scores of old queries, 1 - s^2; 0 where the old model asks.
            sample: Items that standardise the scores.
        """
        if unheard <= 0.0:
            heard = 1.0
        else:
            heard = max(0.0, 1.0 - unheard / missed) ** 2 if missed > 0.0 else 0.0
        signal = max(1.0 - missed, _POOREST**2)
        return cls(heard, heard * (1.0 - signal + _FEW / sample) / signal)

    def pressed(self, moved: Any, waiting: Any) -> Self:
        """The same where fewer predicted scores compete than could.

        Args:
            moved: (q, a) scores by this rule; -inf where there is no candidate.
            waiting: (q, b) likewise.
        """
        joined = np.concatenate([waiting, moved], axis=1)
        first = min(PLACES, joined.shape[1])
        best = np.argpartition(-joined, first - 1, axis=1)[:, :first]
        there = np.isfinite(np.take_along_axis(joined, best, axis=1))
        waits = there & (best < waiting.shape[1])
        part = waits.sum(axis=1, keepdims=True) / np.maximum(there.sum(axis=1, keepdims=True), 1)
        sure = self.heard * SURE
        return replace(self, weight=sure + (self.weight - sure) * part)

    def moved(self, new: Any, old: Any, sure: bool = False) -> Any:
        """Scores of items with both scores, arrays of one shape.

        Args:
            new: Standardised scores of the new model.
            old: Of the old one.
            sure: They compete with no item whose new score is predicted.
        """
        return new + (self.heard * SURE if sure else self.weight) * old

    def waiting(self, predicted: Any, old: Any) -> Any:
        """Scores of items with a predicted new score, arrays of one shape."""
        told = PREDICTED + (ALONE - PREDICTED) * (1.0 - self.heard)
        return told * predicted + (OLD * self.heard + self.weight) * old + LATE * self.heard
