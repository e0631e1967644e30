"""What a sample says about documents that the new model has not seen.

The old model's vectors of all documents are there; the new model's only of a sample. A
smooth map, fitted on the sample, predicts the rest, and with it every new score. A
prediction alone would flatter: what it misses decides the ranking. So new scores are
*drawn*: the prediction, corrected by a regression, plus a residual that was seen on sampled
documents, which the map did not have in its fit (leave one out).

    not relevant    residual of a sampled pair that both models place about as high among the
                    query's own, in units of the query's own spread and of the document's
    relevant        a regression of its own, since the map does not see relevance: a part
                    that all answers of a query share, and a residual

Each draw weighs the sampled documents anew (bootstrap), so that draws differ as much as
forecasts from other samples would. Nothing is weighted by how likely a document was to be
sampled: samples are chosen by what the regression knows of a document (`sampling.py`), so
that sampled and other ones of the same features differ by chance only.

Source: kernel ridge regression (Saunders et al. 1998) with its exact leave-one-out
residuals; drawing residuals is the bootstrap of regressions (Efron 1979). Departs from them:
residuals are drawn by the height of their pair, and apart for relevant pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, IntArray, Vectors, squared_norms
from ..errors import InvalidInput
from ..store.topk import scores
from .mapped import mapped

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LEAST = 50  # sampled documents below which nothing is forecast
_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
# Levels of heights; the last one holds some thousand pairs of a sample.
_RIVALS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
# What residuals of a query share, of their spread at each level; much the same on all our data.
_SHARED = (0.1, 0.1, 0.12, 0.18, 0.25, 0.3, 0.4, 0.5)
_SQUARES = 0.3, 3.0  # of residuals of a document, to those of all
_RIVAL, _TILT, _HIGHEST = 0.95, 0.5, 6.0  # heights count by exp(tilt), since rivals are high
_PRIOR = 20.0  # pairs by which a query's own spread is pulled to that of all
_PAIRS = 50.0  # pairs of answers by which what a query's answers share is pulled to nothing


@dataclass(frozen=True, eq=False)
class Known:
    """What is known before anything moved.

    Args:
        old_queries: (q, d_old) as the old side is asked; over a bridge where the old model
            is dead.
        new_queries: (q, d_new).
        old_docs: (n, d_old) all documents.
        rows: (m,) rising places of the sampled ones.
        new_docs: (m, d_new) their new vectors.
        relevant: (q, n) which document answers which query.
        paired: Whether the old queries were made by the old model, so that they pair with
            the new ones.
    Raises:
        InvalidInput: Numbers of rows that do not belong together, or fewer than 50 sampled.
    """

    old_queries: Vectors
    new_queries: Vectors
    old_docs: Vectors
    rows: IntArray
    new_docs: Vectors
    relevant: Bools
    paired: bool = True

    def __post_init__(self) -> None:
        shape = (len(self.old_queries), len(self.old_docs))
        fits = (
            self.relevant.shape == shape
            and len(self.new_queries) == shape[0]
            and len(self.rows) == len(self.new_docs)
        )
        if not fits:
            raise InvalidInput("Known", "tables of the same queries and documents", str(shape))
        if len(self.rows) < LEAST:
            raise InvalidInput(
                "forecast",
                f"at least {LEAST} sampled documents",
                str(len(self.rows)),
                "A tenth of a gallery this small says too little: sample more, or all of it.",
            )

    @property
    def old(self) -> FloatArray:
        """(q, n) scores of the old side."""
        space = self.old_docs.space
        return scores(self.old_queries.array, self.old_docs.array, space.metric)

    @property
    def new(self) -> FloatArray:
        """(q, m) true scores of the new side."""
        space = self.new_docs.space
        return scores(self.new_queries.array, self.new_docs.array, space.metric)


class Unseen:
    """Draws the new scores of every document, given those of a sample.

    Args:
        known: What is known.
    """

    def __init__(self, known: Known) -> None:
        self.known = known
        count = known.relevant.shape[1]
        self.rest: IntArray = np.setdiff1d(np.arange(count), known.rows)
        # Queries are pairs as well, and cost nothing more.
        pairs = slice(0, None if known.paired else 0)
        vectors = mapped(
            known.old_docs.array,
            known.rows,
            known.new_docs.array,
            known.old_queries.array[pairs],
            known.new_queries.array[pairs],
        )
        predicted = scores(known.new_queries.array, vectors, known.new_docs.space.metric)
        self._mean, self._spread = _moments(predicted.astype(np.float64))
        self._pairs = _Pairs.of_all(
            (predicted - self._mean) / self._spread,
            _standard(known.old.astype(np.float64)),
            np.sqrt(squared_norms(vectors.astype(np.float64))),
        )
        self._new = known.new
        self._truth = (self._new - self._mean) / self._spread
        self._answers = known.relevant[:, known.rows]
        self._sought = known.relevant[:, self.rest]

    def draw(self, random: np.random.Generator) -> FloatArray:
        """(q, n) new scores: true ones of the sample, drawn ones of the rest."""
        weights = random.exponential(size=len(self.known.rows))  # the Bayesian bootstrap
        drawn = np.empty(self.known.relevant.shape, dtype=np.float32)
        drawn[:, self.known.rows] = self._new
        rest = self._draw_others(weights, random)
        if self._sought.any() and self._answers.sum() > 8:
            rest[self._sought] = self._draw_relevant(weights, random)
        drawn[:, self.rest] = rest * self._spread + self._mean
        return drawn

    def _draw_others(self, weights: Floats, random: np.random.Generator) -> Floats:
        here, there, other = (
            self._pairs.of(self.known.rows),
            self._pairs.of(self.rest),
            ~self._answers,
        )
        wide = np.broadcast_to(weights, other.shape)
        heights = here.height[other]
        tilt = np.exp(_TILT * np.minimum(heights - np.quantile(heights, _RIVAL), _HIGHEST))
        fitted = _least_squares(here.table(other), self._truth[other], wide[other] * tilt)
        steps = _Steps(heights, wide[other])
        residual = np.zeros(other.shape)
        residual[other] = self._truth[other] - here.level(fitted)[other]
        level = steps.means(residual[other])
        residual[other] -= level[steps.bins]
        counts = (wide * other).sum(axis=1)
        shift = (wide * residual).sum(axis=1) / (counts + 1.0)
        residual = np.where(other, residual - shift[:, None], 0.0)
        shared = _Shared(residual, wide * other, steps.at(here.height), len(level))
        residual -= shared.told()
        size = np.sqrt(steps.means(residual[other] ** 2))
        residual[other] /= size[steps.bins]
        sure = _least_squares(here.documents(other), residual[other] ** 2, wide[other])
        residual /= here.unsure(sure)
        squares = (wide * other * residual**2).sum(axis=1)
        mean = max(float(squares.sum() / counts.sum()), 1e-12)
        spread = np.sqrt((squares + _PRIOR * mean) / (counts + _PRIOR) / mean)
        pool = _Pool(heights, (residual / spread[:, None])[other], wide[other])
        at = steps.at(there.height)
        error = spread[:, None] * there.unsure(sure) * size[at]
        drawn: Floats = there.level(fitted) + level[at] + shift[:, None]
        drawn += error * pool.draw(there.height, random) + shared.draw(at, random)
        return drawn

    def _draw_relevant(self, weights: Floats, random: np.random.Generator) -> Floats:
        asked, row = np.nonzero(self._answers)
        here = self._pairs.plain(asked, self.known.rows[row])
        truth, heavy = self._truth[self._answers], weights[row]
        fitted = _least_squares(here, truth, heavy)
        shared, noise, left = _shared_part(truth - here @ fitted, asked, len(self._answers))
        asking, sought = np.nonzero(self._sought)
        there = self._pairs.plain(asking, self.rest[sought])
        own = shared + noise * random.standard_normal(len(shared))
        chosen = random.choice(len(left), size=len(there), p=heavy / heavy.sum())
        drawn: Floats = there @ fitted + own[asking] + left[chosen]
        return drawn


@dataclass(frozen=True, eq=False)
class _Pairs:
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
    def of_all(cls, predicted: Floats, old: Floats, length: Floats) -> _Pairs:
        """From all documents, since what is common is so among them."""
        common = np.log(np.exp(_TILT * (predicted + old)).mean(axis=0))
        return cls(predicted, old, _standard(length[None])[0], _standard(common[None])[0])

    def of(self, places: IntArray) -> _Pairs:
        """Those of some documents."""
        tables, rows = (self.predicted, self.old), (self.length, self.common)
        return _Pairs(*(table[:, places] for table in tables), *(row[places] for row in rows))

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


class _Steps:
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


def _moments(table: Floats) -> tuple[Floats, Floats]:
    """(q, 1) mean and spread of each row."""
    spread = table.std(axis=1, keepdims=True)
    return table.mean(axis=1, keepdims=True), np.where(spread > 1e-12, spread, 1.0)


def _standard(table: Floats) -> Floats:
    mean, spread = _moments(table)
    standard: Floats = (table - mean) / spread
    return standard


class _Shared:
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
        count, self._bins = len(residual), bins
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

    def told(self) -> Floats:
        """(q, m) what is known of it, of sampled pairs."""
        part: Floats = self.mean[:, None] * self.size[self._bins]
        return part

    def draw(self, bins: IntArray, random: np.random.Generator) -> Floats:
        """(q, r) a draw, of other pairs."""
        own = self.mean + self.spread * random.standard_normal(len(self.mean))
        part: Floats = own[:, None] * self.size[bins]
        return part


class _Pool:
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


def _shared_part(residual: Floats, asked: IntArray, queries: int) -> tuple[Floats, Floats, Floats]:
    """What the answers of a query share: its mean and spread for each query, and the rest.

    A query without a sampled answer gets mean zero and the whole spread.
    """
    count = np.bincount(asked, minlength=queries)
    total = np.bincount(asked, residual, minlength=queries)
    pairs = float((count * (count - 1)).sum())
    products = (total**2 - np.bincount(asked, residual**2, minlength=queries)).sum()
    variance = float(residual.var()) or 1e-12
    between = float(np.clip(products / (pairs + _PAIRS), 0.0, 0.8 * variance))
    within = variance - between
    mean = between * total / (within + count * between)
    spread = np.sqrt(between * within / (within + count * between))
    left = residual - mean[asked]
    left = left - left.mean()
    return mean, spread, left * np.sqrt(within / max(float(left.var()), 1e-12))


def _least_squares(features: Floats, values: Floats, weights: Floats) -> Floats:
    """Weighted, with a penalty that only matters where features are dependent."""
    weighted = features * weights[:, None]
    gram: Floats = features.T @ weighted
    gram[np.diag_indices(len(gram))] += 1e-6 * np.trace(gram) / len(gram)
    solved: Floats = np.asarray(np.linalg.solve(gram, weighted.T @ values), dtype=np.float64)
    return solved
