"""Merging: one ranked list from two sides whose scores mean different things.

Two models spread their scores differently, and differently for each query, so raw scores
of unrelated spaces must not be compared. A mode says what is done instead:

    compatible   nothing: the spaces are the same, or one extends the other
    calibrated   old-side scores are moved to the new side's scale, query by query
    by_rank      places are compared instead of scores (reciprocal rank fusion)
    fused        every item has a score of both models, see `fuse.py`
    cascade      fused, and what the old side found is embedded anew while it is asked for

Calibration is free of labels. Some items have vectors on both sides: those already moved.
A query is scored against a sample of them on both sides, and these two samples of scores,
of the same items, say how the scales differ. Where thousands of items lie at nearly equal scores,
as places do, no sample says this closely enough: one side's best then stand above all of the
other's, far below what either model finds. No rule over scores alone can tell, since whether
near items have moved is not in them; mode "fused" reads their old vectors.

Contract of every mode: one side empty gives exactly the other side's hits; equal scores are
broken in favour of the new side. Only "fused" and "cascade" change the order within a side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray
from ..errors import ConfigError
from ..hits import Hits, merge
from ..space import Space, relation

Mode: TypeAlias = Literal["compatible", "calibrated", "by_rank", "fused", "cascade"]
Scores: TypeAlias = npt.NDArray[np.float64]

_RANK_OFFSET = 60.0  # the constant of reciprocal rank fusion, Cormack et al. 2009
_KNOTS = 257
_ROUNDING, _NOTHING = 1e-6, 1e-12  # spread of equal scores: a part of their mean, and beside it


def check_mode(mode: Mode, old: Space, new: Space) -> None:
    """Refuse to compare scores of spaces that have nothing to do with each other.

    Raises:
        ConfigError: An unknown mode, or "compatible" between unrelated spaces.
    """
    if mode not in get_args(Mode):
        raise ConfigError("merge", f"one of {', '.join(get_args(Mode))}", repr(mode))
    if mode == "compatible" and relation(new, old) not in ("same", "extends"):
        raise ConfigError(
            "merge mode 'compatible'",
            f"a new space that is, or extends, {old}",
            f"{new}, which is unrelated",
            "Use 'calibrated'.",
        )


@dataclass(frozen=True, slots=True)
class ScoreSample:
    """Scores of the same items on both sides.

    Args:
        old: (q, r) scores of r items for each query on the old side.
        new: (q, r) scores of the same items on the new side.
    """

    old: FloatArray
    new: FloatArray


class Calibrator(Protocol):
    """Maps old-side scores to the new side's scale; strictly increasing for each query."""

    def fit(self, sample: ScoreSample) -> Self:
        """Learn what all queries share, from any queries: the items themselves will do."""
        ...

    def __call__(self, scores: FloatArray, sample: ScoreSample) -> FloatArray:
        """Map (q, k) scores of q queries, given those queries' own samples."""
        ...


def _moments(values: FloatArray) -> tuple[Scores, Scores]:
    """(q, 1) mean and spread of each row; one that differs by rounding only has no spread."""
    wide = values.astype(np.float64)
    mean = np.add.reduce(wide, axis=1, keepdims=True) / wide.shape[1]
    wide -= mean  # numpy's own mean and std take three times as long for one query
    spread = np.sqrt(np.einsum("ij,ij->i", wide, wide) / wide.shape[1])[:, None]
    return mean, np.where(spread > _ROUNDING * np.abs(mean) + _NOTHING, spread, 0.0)


def _moments_of_one(values: FloatArray) -> tuple[float, float]:
    """The same of one row as plain numbers, in a third of the time."""
    wide = values[0].astype(np.float64)
    mean = float(np.add.reduce(wide)) / len(wide)
    wide -= mean
    spread = math.sqrt(float(wide.dot(wide)) / len(wide))
    return mean, spread if spread > _ROUNDING * abs(mean) + _NOTHING else 0.0


def _scales(sample: ScoreSample) -> tuple[Scores, Scores, Scores, Scores]:
    """(q, 1) mean and spread of the old and of the new side.

    A side without spread says nothing about scales: it counts as spread as the other one, so
    that scores are moved and not stretched.
    """
    (old_mean, old), (new_mean, new) = _moments(sample.old), _moments(sample.new)
    either = np.where(old > 0.0, old, np.where(new > 0.0, new, 1.0))
    return old_mean, either, new_mean, np.where(new > 0.0, new, either)


def _scales_of_one(sample: ScoreSample) -> tuple[float, float, float, float]:
    """The same of one query as plain numbers."""
    (old_mean, old), (new_mean, new) = _moments_of_one(sample.old), _moments_of_one(sample.new)
    either = old or new or 1.0
    return old_mean, either, new_mean, new or either


class ZScore:
    """Matches mean and spread of the two samples, for each query alone.

    Source: standard score normalisation of metasearch (Lee 1997; Montague & Aslam 2001).
    Departs from it: moments come from a sample of items known on both sides, not from the
    two result lists, so that they describe the same items; the old side is mapped onto the
    new side's scale, so that new scores stay as they are.

    Example:
        >>> sample = ScoreSample(np.array([[0.0, 2.0]]), np.array([[10.0, 30.0]]))
        >>> ZScore().fit(sample)(np.array([[1.0]]), sample).tolist()
        [[20.0]]
    """

    def fit(self, sample: ScoreSample) -> Self:  # noqa: ARG002
        """Nothing is shared between queries."""
        return self

    def __call__(self, scores: FloatArray, sample: ScoreSample) -> FloatArray:
        scales = _scales_of_one if len(scores) == 1 else _scales
        old_mean, old_spread, new_mean, new_spread = scales(sample)
        mapped = (scores.astype(np.float64) - old_mean) * (new_spread / old_spread) + new_mean
        return mapped.astype(np.float32)


class Quantile:
    """Matches the shapes of the two score distributions, after `ZScore` matched the moments.

    The shape is pooled over the queries of `fit`, so that an answer never depends on which
    other queries were asked with it. Beyond the outermost quantiles the map goes on with the
    slope of its last tenth.

    Source: quantile calibration of unlabelled score pairs, d -> Q_new^-1(Q_old(d)). Departs
    from it: works on standardised scores; a small slope is added, so that it never creates ties.
    """

    _FLOOR = 1e-3  # least slope between knots: keeps the map strictly increasing

    def __init__(self) -> None:
        # Replaced in one go: other threads may be searching by it.
        self._knots: tuple[Scores, Scores] | None = None

    def fit(self, sample: ScoreSample) -> Self:
        """Learn the map between the two standardised, pooled distributions."""
        self._knots = self._learned(sample)
        return self

    def _learned(self, sample: ScoreSample) -> tuple[Scores, Scores]:
        levels, straight = np.linspace(0.0, 1.0, _KNOTS), np.array([-1.0, 1.0])
        sides = [(side, *_moments(side)) for side in (sample.old, sample.new)]
        told = np.all([spread[:, 0] > 0.0 for _, _, spread in sides], axis=0)  # a shape of its own
        if not told.any():
            return straight, straight
        pooled = [
            np.quantile((side[told] - mean[told]) / spread[told], levels)
            for side, mean, spread in sides
        ]
        known, places = np.unique(pooled[0], return_index=True)
        steps = np.maximum(np.diff(pooled[1][places]), self._FLOOR * np.diff(known))
        return known, pooled[1][places[0]] + np.concatenate([[0.0], np.cumsum(steps)])

    def __call__(self, scores: FloatArray, sample: ScoreSample) -> FloatArray:
        x, y = self._knots or self._learned(sample)
        old_mean, old_spread, new_mean, new_spread = _scales(sample)
        mapped = _along((scores - old_mean) / old_spread, x, y)
        return (mapped * new_spread + new_mean).astype(np.float32)


def _along(z: Scores, x: Scores, y: Scores) -> Scores:
    """The map through the knots (x, y), which goes on beyond them."""
    tenth = max(1, len(x) // 10)
    low = (y[tenth] - y[0]) / (x[tenth] - x[0])
    high = (y[-1] - y[-1 - tenth]) / (x[-1] - x[-1 - tenth])
    inside: Scores = np.interp(z, x, y)
    outside: Scores = np.minimum(z - x[0], 0.0) * low + np.maximum(z - x[-1], 0.0) * high
    return inside + outside


CALIBRATORS: dict[str, type[ZScore] | type[Quantile]] = {"quantile": Quantile, "zscore": ZScore}


def calibrator(name: str) -> Calibrator:
    """A fresh calibrator by name.

    Raises:
        ConfigError: No calibrator of that name.
    """
    if name not in CALIBRATORS:
        raise ConfigError(
            "calibrator", f"one of {', '.join(CALIBRATORS)}", repr(name), "Choose one of them."
        )
    return CALIBRATORS[name]()


def by_rank(old: Hits, new: Hits, k: int) -> Hits:
    """Join by place: the n-th of each side scores 1 / (60 + n).

    On lists without common items this takes every other hit from each side whatever the
    truth, so it is a fallback, not a default.

    Source: Cormack, Clarke & Buettcher 2009. Departs from it: nothing.
    """
    return merge(_ranked(new), _ranked(old), k)


def _ranked(hits: Hits) -> Hits:
    places = 1.0 / (_RANK_OFFSET + 1.0 + np.arange(hits.k, dtype=np.float32))
    filled = np.isfinite(hits.scores)
    scores = np.where(filled, places, -np.inf).astype(np.float32)
    return Hits(hits.ids, scores)
