"""New scores of documents that answer nothing, drawn from those of a sample.

A map predicts every new score. What it misses of a rival decides who ranks first, so a score is
drawn: the prediction, corrected by a regression, plus a residual that was seen on a sampled pair
that both models place about as high among the query's own, in units of the query's own spread
and of the document's; a part of it is shared by the rivals of a query.

Source: drawing residuals is the bootstrap of regressions (Efron 1979). Departs from it:
residuals are drawn by the height of their pair, and in part together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...arrays import IntArray

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
# Levels of heights; the last one holds some thousand pairs of a sample.
_RIVALS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
# What residuals of a query share, of their spread at each level; much the same on all our data.
_SHARED = (0.1, 0.1, 0.12, 0.18, 0.25, 0.3, 0.4, 0.5)
_SQUARES = 0.3, 3.0  # of residuals of a document, to those of all
_RIVAL, TILT, _HIGHEST = 0.95, 0.5, 6.0  # heights count by exp(tilt), since rivals are high
_PRIOR = 20.0  # pairs by which a query's own spread is pulled to that of all


class Rivals:
    """What sampled pairs that are not relevant tell of others.

    Args:
        here: The sampled pairs.
        other: (q, m) which of them count, not being relevant.
        truth: (q, m) their new scores, standardised like the predicted ones.
        weights: (m,) of the sampled documents.
    """

    def __init__(self, here: Pairs, other: Bools, truth: Floats, weights: Floats) -> None:
        wide = np.broadcast_to(weights, other.shape)
        heights = here.height[other]
        tilt = np.exp(TILT * np.minimum(heights - np.quantile(heights, _RIVAL), _HIGHEST))
        self._fitted = least_squares(here.table(other), truth[other], wide[other] * tilt)
        self._steps = steps = Steps(heights, wide[other])
        residual = np.zeros(other.shape)
        residual[other] = truth[other] - here.level(self._fitted)[other]
        self._level = steps.means(residual[other])
        residual[other] -= self._level[steps.bins]
        counts = (wide * other).sum(axis=1)
        self._shift = (wide * residual).sum(axis=1) / (counts + 1.0)
        residual = np.where(other, residual - self._shift[:, None], 0.0)
        at = steps.at(here.height)
        self._shared = Shared(residual, wide * other, at, len(self._level))
        residual -= self._shared.told(at)
        self._size = np.sqrt(steps.means(residual[other] ** 2))
        residual[other] /= self._size[steps.bins]
        self._sure = least_squares(here.documents(other), residual[other] ** 2, wide[other])
        residual /= here.unsure(self._sure)
        squares = (wide * other * residual**2).sum(axis=1)
        mean = max(float(squares.sum() / counts.sum()), 1e-12)
        self._spread = np.sqrt((squares + _PRIOR * mean) / (counts + _PRIOR) / mean)
        self._pool = Pool(heights, (residual / self._spread[:, None])[other], wide[other])

    def draw(
        self, there: Pairs, random: np.random.Generator, lower: float = 0.0, heard: bool = True
    ) -> Floats:
        """(q, p) standardised new scores.

        Args:
            there: Of which pairs.
            random: The draw.
            lower: By how much what the rivals of a query share is lower, in units of its spread.
            heard: Whether the sampled rivals of a query tell of it what the others share.
        """
        at = self._steps.at(there.height)
        error = self._spread[:, None] * there.unsure(self._sure) * self._size[at]
        drawn: Floats = there.level(self._fitted) + self._level[at] + self._shift[:, None]
        drawn += error * self._pool.draw(there.height, random)
        drawn += self._shared.draw(at, random, lower, heard)
        return drawn


@dataclass(frozen=True, eq=False)
class Pairs:
    """What is known of every pair of query and document, new score or not.

    The last two are there because samples are chosen for them, in effect.

    Args:
        predicted: (q, n) new scores, standardised query by query.
        old: (q, n) old scores, likewise.
        length: (n,) of predicted vectors, standardised. A map that knows little of a document
            predicts a short vector, of all that it might be the mean.
        common: (n,) how near a document is to the queries it is nearest to, standardised.
    """

    predicted: Floats
    old: Floats
    length: Floats
    common: Floats

    @classmethod
    def of_all(cls, predicted: Floats, old: Floats, length: Floats) -> Pairs:
        """From all documents, since what is common is so among them."""
        common = np.log(np.exp(TILT * (predicted + old)).mean(axis=0))
        return cls(predicted, old, standard(length[None])[0], standard(common[None])[0])

    def of(self, places: IntArray) -> Pairs:
        """Those of some documents."""
        tables, rows = (self.predicted, self.old), (self.length, self.common)
        return Pairs(*(table[:, places] for table in tables), *(row[places] for row in rows))

    @property
    def height(self) -> Floats:
        """How high both models place a document among the query's own."""
        table: Floats = self.predicted + self.old
        return table

    def table(self, which: Bools) -> Floats:
        """(pairs, 12) features."""
        p, o, (one, long, near) = self.predicted[which], self.old[which], self.documents(which).T
        products = (long * p, long * o, near * p, near * o)
        return np.stack((one, p, o, p * o, p * p, o * o, long, near, *products), axis=-1)

    def level(self, fitted: Floats) -> Floats:
        """`table @ fitted` of all pairs, without the table."""
        one, p, o, both, pp, oo, long, near, lp, lo, np_, no = fitted.tolist()
        by_p = p + lp * self.length + np_ * self.common + pp * self.predicted + both * self.old
        by_o = o + lo * self.length + no * self.common + oo * self.old
        alone = one + long * self.length + near * self.common
        level: Floats = alone + by_p * self.predicted + by_o * self.old
        return level

    def documents(self, which: Bools) -> Floats:
        """(pairs, 3) features of the documents."""
        rows = (np.ones_like(self.length), self.length, self.common)
        return np.stack([np.broadcast_to(row, which.shape)[which] for row in rows], axis=-1)

    def unsure(self, fitted: Floats) -> Floats:
        """(n,) spread of residuals, from the same features of their squares."""
        square = fitted[0] + fitted[1] * self.length + fitted[2] * self.common
        spread: Floats = np.sqrt(np.clip(square, *_SQUARES))
        return spread

    def plain(self, asked: IntArray, places: IntArray) -> Floats:
        """(pairs, 4) features of few pairs."""
        p, o = self.predicted[asked, places], self.old[asked, places]
        return np.stack((np.ones_like(p), p, o, self.length[places]), axis=-1)


class Steps:
    """Levels of heights, and means of what lies on each."""

    def __init__(self, heights: Floats, weights: Floats) -> None:
        self._edges, self._weights = np.quantile(heights, _RIVALS), weights
        self.bins = self.at(heights)
        self._counts = np.bincount(self.bins, weights, len(self._edges) + 1) + 1e-9

    def at(self, heights: Floats) -> IntArray:
        """Which level."""
        return np.digitize(heights, self._edges)

    def means(self, values: Floats) -> Floats:
        """Of each level."""
        totals = np.bincount(self.bins, self._weights * values, len(self._counts))
        means: Floats = totals / self._counts + 1e-12
        return means


class Shared:
    """What the residuals of a query share, the more the higher their pairs.

    Rivals of one query are alike, and so is what a map misses of them: drawn one by one, some
    would always be too high. One normal part for each query, times a size for each level.

    Args:
        residual: (q, m) of sampled pairs; 0 where they do not count.
        weights: (q, m) likewise.
        bins: (q, m) levels.
        levels: How many there are.
    """

    def __init__(self, residual: Floats, weights: Floats, bins: IntArray, levels: int) -> None:
        count = len(residual)
        cell = (np.arange(count)[:, None] * levels + bins).ravel()

        def total(values: Floats) -> Floats:
            sums: Floats = np.bincount(cell, values.ravel(), count * levels).astype(np.float64)
            return sums.reshape(count, levels)

        counts, totals = total(weights), total(weights * residual)
        whole = total(weights * residual**2).sum(axis=0) / (counts.sum(axis=0) + 1e-9) + 1e-12
        between = np.square(_SHARED) * whole
        self.size = np.sqrt(between)
        told = (self.size / (whole - between)) * totals
        sure = 1.0 + (counts * between / (whole - between)).sum(axis=1)
        self.mean, self.spread = told.sum(axis=1) / sure, np.sqrt(1.0 / sure)

    def told(self, bins: IntArray) -> Floats:
        """(q, p) what is known of it, of pairs on these levels."""
        part: Floats = self.mean[:, None] * self.size[bins]
        return part

    def draw(
        self, bins: IntArray, random: np.random.Generator, lower: float = 0.0, heard: bool = True
    ) -> Floats:
        """(q, p) a draw, see `Rivals.draw`."""
        own = random.standard_normal(len(self.mean))
        if heard:
            own = self.mean + self.spread * own
        part: Floats = (own - lower)[:, None] * self.size[bins]
        return part


class Pool:
    """Residuals by the height of their pair."""

    def __init__(self, heights: Floats, values: Floats, weights: Floats) -> None:
        self._edges = np.quantile(heights, _LEVELS)
        bins = np.digitize(heights, self._edges)
        order = np.argsort(bins, kind="stable")
        self._values = values[order]
        self._ends = np.concatenate([[0.0], np.cumsum(weights[order])])
        self._starts = np.searchsorted(bins[order], np.arange(len(self._edges) + 2))

    def draw(self, heights: Floats, random: np.random.Generator) -> Floats:
        """One residual for each height, of its bin."""
        bins = np.digitize(heights, self._edges)
        low, high = self._ends[self._starts[bins]], self._ends[self._starts[bins + 1]]
        at = np.searchsorted(self._ends, low + random.random(heights.shape) * (high - low), "right")
        drawn: Floats = self._values[np.clip(at - 1, 0, len(self._values) - 1)]
        return drawn


def moments(table: Floats) -> tuple[Floats, Floats]:
    """(q, 1) mean and spread of each row."""
    spread = table.std(axis=1, keepdims=True)
    return table.mean(axis=1, keepdims=True), np.where(spread > 1e-12, spread, 1.0)


def standard(table: Floats) -> Floats:
    """Rows of mean 0 and spread 1."""
    mean, spread = moments(table)
    standard: Floats = (table - mean) / spread
    return standard


def least_squares(features: Floats, values: Floats, weights: Floats) -> Floats:
    """Weighted, with a penalty that only matters where features are dependent."""
    weighted = features * weights[:, None]
    gram: Floats = features.T @ weighted
    gram[np.diag_indices(len(gram))] += 1e-6 * np.trace(gram) / len(gram)
    solved: Floats = np.asarray(np.linalg.solve(gram, weighted.T @ values), dtype=np.float64)
    return solved
