"""The rule of a fused merge: standardised scores in, scores to rank by out.

    moved      new + h * weight * old
    waiting    (1 - b * (0.2 * h - 0.1 * (1 - h))) * predicted
                   + h * (0.4 * b + weight) * old - 0.4 * b * h
    weight     (1 - r^2 + 8 / m) / r^2
    b          min(1, 4 * (1 - r^2)): a prediction that misses nothing is a true score
    h          1 where the old model asks, else max(0, 1 - (1 - s^2) / (1 - r^2))^2

    moved      new + h * 0.35 * old, where the new score of every candidate is known

The weight is needed where sure scores compete with predicted ones. So it falls with what
competes: where a part u of the 20 best candidates of a query waits, it is, for all its candidates,

    h * 0.35 + t * (weight - h * 0.35)
    t        u / (u + (1 - u) * max(1, weight / (h * (0.35 + 8 / m))))

A weight is noise over signal, and what candidates tell together is the sum of signal over noise: a
sure score tells as much as many that are predicted badly. Their weights alone, added up, would let
an old model that tells next to nothing of the new one rank until the last item has moved.

Where the 20 best old scores of a query lie closer together than what predictions miss, they may
tell what no prediction can. So the weight is there, before all else, at least

    h * 0.05 * (1 - r^2 + 8 / m) / (v + e)

with v their variance, standardised as they are, unless rounding alone tells them apart, and e what
they miss of the new scores so close together, see `nearby.py`; what this adds to the usual weight
counts u times. So large a weight would make scores of thousands: all those of such a query are
divided by what it is over both 1 and the usual one, which leaves their order. Most searches of
texts never get there; those of places would else rank at random what both models rank alike.
Without e, where two models see different things in pictures, the old one would rank until the last
has moved: their best lie close together, too.

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

from .nearby import EXACT, Nearby

PREDICTED, OLD, LATE = 0.8, 0.4, -0.4
ALONE = 1.1  # instead of PREDICTED, where the old score says nothing
BLURRED = 0.25  # missed by predictions that are weighed so; by better ones, the less they miss
CLOSE = 0.05  # of what predictions miss over what the best old scores tell, and miss
SURE = 0.35  # instead of the weight, where nothing is predicted: two models judge better than one
PLACES = 20  # of the candidates of a query: a page of ten, and those next to come up
_FEW = 8.0  # over the size of the sample: what its mean and spread miss
_POOREST = 0.2  # agreement below which the new score no longer counts
_ROUNDED = 8.0 * float(np.finfo(np.float32).eps)  # of scores, in which equal ones differ


@dataclass(frozen=True, slots=True)
class FusionRule:
    """How much the old score counts beside the new one.

    Args:
        heard: How much of the old score counts at all, in [0, 1].
        weight: Of the old score: the noise in a predicted score over its signal, times `heard`;
            a number for all queries, or a column of one for each.
        missed: By a predicted score, of a variance of 1, with the noise of the sample.
        blurred: How far predicted scores are from true ones, in [0, 1].
        few: What the mean and spread of the sample miss, of sure scores too.
        usual: The weight where the best candidates do not lie close together, if they might.
        nearby: What old scores tell of items that do.
    """

    heard: float
    weight: Any
    missed: float = 0.0
    blurred: float = 1.0
    few: float = 0.0
    usual: float | None = None
    nearby: Nearby = EXACT

    @classmethod
    def of(cls, missed: float, unheard: float, sample: int, nearby: Nearby = EXACT) -> Self:
        """From what was measured.

        Args:
            missed: By predicted scores, 1 - r^2.
            unheard: By the scores of old queries, 1 - s^2; 0 where the old model asks.
            sample: Items that standardise the scores.
            nearby: What old scores tell of items close together; all there is to tell by default.
        """
        if unheard <= 0.0:
            heard = 1.0
        else:
            heard = max(0.0, 1.0 - unheard / missed) ** 2 if missed > 0.0 else 0.0
        signal, few = max(1.0 - missed, _POOREST**2), _FEW / sample
        noise = 1.0 - signal + few
        blurred = min(1.0, missed / BLURRED)
        return cls(heard, heard * noise / signal, noise, blurred, few, nearby=nearby)

    def crowded(self, moved: Any, waiting: Any, rounding: Any) -> Self:
        """The same where the best candidates lie close together.

        Args:
            moved: (q, a) standardised old scores; -inf where there is no candidate.
            waiting: (q, b) likewise.
            rounding: By how much equal ones differ, see `rounding`; a column, or a number.
        """
        joined = np.concatenate([waiting, moved], axis=1)
        first = min(PLACES, joined.shape[1])
        best = -np.partition(-joined, first - 1, axis=1)[:, :first]
        there = np.isfinite(best)
        count = np.maximum(there.sum(axis=1, keepdims=True), 1)
        mean = np.where(there, best, 0.0).sum(axis=1, keepdims=True) / count
        variance = (np.where(there, best - mean, 0.0) ** 2).sum(axis=1, keepdims=True) / count
        told = variance > np.square(rounding)
        variance = np.where(told, variance, 1.0)
        least = self.heard * CLOSE * self.missed / (variance + self.nearby.at(variance))
        weight = np.maximum(self.weight, np.where(told, least, 0.0))
        return replace(self, weight=weight, usual=float(self.weight))

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
        usual, sure = self.weight if self.usual is None else self.usual, self.heard * SURE
        times = max(1.0, usual / (self.heard * (SURE + self.few))) if self.heard else 1.0
        told = part / (part + (1.0 - part) * times)
        return replace(self, weight=sure + (usual - sure) * told + (self.weight - usual) * part)

    @property
    def _unit(self) -> Any:
        """What all scores of a query are multiplied by."""
        if self.usual is None:
            return 1.0
        most = max(self.usual, 1.0)
        return most / np.maximum(self.weight, most)

    def moved(self, new: Any, old: Any, sure: bool = False) -> Any:
        """Scores of items with both scores, arrays of one shape.

        Args:
            new: Standardised scores of the new model.
            old: Of the old one.
            sure: They compete with no item whose new score is predicted.
        """
        return self._unit * (new + (self.heard * SURE if sure else self.weight) * old)

    def waiting(self, predicted: Any, old: Any) -> Any:
        """Scores of items with a predicted new score, arrays of one shape."""
        told = PREDICTED + (ALONE - PREDICTED) * (1.0 - self.heard)
        told = 1.0 + self.blurred * (told - 1.0)
        part = self.blurred * self.heard
        return self._unit * (told * predicted + (OLD * part + self.weight) * old + LATE * part)


def rounding(moved: Any, waiting: Any, spread: Any) -> Any:
    """(q, 1) by how much equal old scores differ, standardised: sums of float32 products.

    Args:
        moved: (q, a) old scores as they are; -inf where there is no candidate.
        waiting: (q, b) likewise.
        spread: (q, 1) that they are standardised by.
    """
    joined = np.abs(np.concatenate([waiting, moved], axis=1))
    return _ROUNDED * np.where(np.isfinite(joined), joined, 0.0).max(axis=1, keepdims=True) / spread
