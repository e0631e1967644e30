"""What a sample says about documents that the new model has not seen.

The old model's vectors of all documents are there; the new model's only of a sample. A
smooth map, fitted on the sample, predicts the rest, and with it every new score. A
prediction alone would flatter: what it misses decides the ranking. So new scores are
*drawn*: the prediction, corrected by a regression, plus a residual that was seen on sampled
documents, which the map did not have in its fit (leave one out).

    not relevant    residual of a sampled pair whose prediction was about as high, in units of
                    the query's own spread, and of what both models place about as high
                    among the query's own: such rivals are missed by more
    relevant        a regression of its own, since the map does not see relevance: a part
                    that all answers of a query share, and a residual

Each draw weighs the sampled documents anew (bootstrap), so that draws differ as much as
forecasts from other samples would. Nothing is weighted by how likely a document was to be
sampled: residuals of judged and of random documents were the same on our data, and
weights only added noise.

Source: kernel ridge regression (Saunders et al. 1998) with its exact leave-one-out
residuals; drawing residuals is the bootstrap of regressions (Efron 1979). Departs from them:
residuals are drawn by the height of their prediction, and apart for relevant pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, IntArray, Vectors, squared_norms
from ..errors import InvalidInput
from ..store.topk import scores

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LEAST = 50  # sampled documents below which nothing is forecast
_PENALTIES = (1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
# Levels of heights; the last one holds some thousand pairs of a sample.
_RIVALS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
_PRIOR = 20.0  # pairs by which a query's own spread is pulled to that of all
_BLOCK = 4096
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
        mapped, unsure = _mapped(known)
        self._unsure = unsure[known.rows], unsure[self.rest]
        predicted = scores(known.new_queries.array, mapped, known.new_docs.space.metric)
        features = (predicted.astype(np.float64), known.old.astype(np.float64))
        self._here = tuple(table[:, known.rows] for table in features)
        self._there = tuple(table[:, self.rest] for table in features)
        self._truth = known.new.astype(np.float64)
        self._answers = known.relevant[:, known.rows]
        self._sought = known.relevant[:, self.rest]

    def draw(self, random: np.random.Generator) -> FloatArray:
        """(q, n) new scores: true ones of the sample, drawn ones of the rest."""
        shape = self.known.relevant.shape
        weights = random.exponential(size=len(self.known.rows))  # the Bayesian bootstrap
        drawn = np.empty(shape, dtype=np.float32)
        drawn[:, self.known.rows] = self._truth
        rest = self._draw_others(weights, random)
        if self._sought.any() and self._answers.sum() > 8:
            rest[self._sought] = self._draw_relevant(weights, random)
        drawn[:, self.rest] = rest
        return drawn

    def _draw_others(self, weights: Floats, random: np.random.Generator) -> Floats:
        here, other = _full(*self._here), ~self._answers
        wide = np.broadcast_to(weights, other.shape)
        fitted = _least_squares(here[other], self._truth[other], wide[other])
        predicted, residual = _level(fitted, *self._here), np.zeros(other.shape)
        residual[other] = self._truth[other] - predicted[other]
        counts = (wide * other).sum(axis=1)
        shift = (wide * residual).sum(axis=1) / (counts + 1.0)
        residual = np.where(other, residual - shift[:, None], 0.0) / self._unsure[0]
        squares = (wide * residual**2).sum(axis=1)
        mean = float(squares.sum() / counts.sum())
        spread = np.sqrt((squares + _PRIOR * mean) / (counts + _PRIOR) / max(mean, 1e-12))
        there = _level(fitted, *self._there)
        both = _Both(there, self._there[1])
        rivals = _Steps.of(
            both(predicted, self._here[1])[other], (residual / spread[:, None])[other], wide[other]
        )
        heights = (predicted + shift[:, None])[other]
        edges = np.quantile(heights, _LEVELS)
        pool = _Pool(edges, heights, rivals.values, wide[other])
        errors = rivals.undo(pool.draw(there + shift[:, None], random), both(there, self._there[1]))
        drawn: Floats = there + shift[:, None] + spread[:, None] * self._unsure[1] * errors
        return drawn

    def _draw_relevant(self, weights: Floats, random: np.random.Generator) -> Floats:
        asked, row = np.nonzero(self._answers)
        here = _plain(*(table[self._answers] for table in self._here))
        truth, heavy = self._truth[self._answers], weights[row]
        fitted = _least_squares(here, truth, heavy)
        shared, noise, left = _shared_part(truth - here @ fitted, asked, len(self._answers))
        there = _plain(*(table[self._sought] for table in self._there))
        own = shared + noise * random.standard_normal(len(shared))
        chosen = random.choice(len(left), size=len(there), p=heavy / heavy.sum())
        drawn: Floats = there @ fitted + own[np.nonzero(self._sought)[0]] + left[chosen]
        return drawn


class _Both:
    """How high both models place a document among the query's own."""

    def __init__(self, predicted: Floats, old: Floats) -> None:
        self._scales = _moments(predicted), _moments(old)

    def __call__(self, predicted: Floats, old: Floats) -> Floats:
        (a, b), (c, d) = self._scales
        height: Floats = (predicted - a) / b + (old - c) / d
        return height


class _Steps:
    """Mean and spread of residuals by height, taken out and put back."""

    def __init__(self, edges: Floats, means: Floats, spreads: Floats, values: Floats) -> None:
        self._edges, self._means, self._spreads, self.values = edges, means, spreads, values

    @classmethod
    def of(cls, heights: Floats, values: Floats, weights: Floats) -> _Steps:
        edges = np.quantile(heights, _RIVALS)
        bins = np.digitize(heights, edges)
        counts = np.bincount(bins, weights, len(edges) + 1) + 1e-9
        means = np.bincount(bins, weights * values, len(edges) + 1) / counts
        squares = np.bincount(bins, weights * (values - means[bins]) ** 2, len(edges) + 1) / counts
        spreads = np.sqrt(squares) + 1e-9
        return cls(edges, means, spreads, (values - means[bins]) / spreads[bins])

    def undo(self, values: Floats, heights: Floats) -> Floats:
        bins = np.digitize(heights, self._edges)
        back: Floats = values * self._spreads[bins] + self._means[bins]
        return back


def _moments(table: Floats) -> tuple[Floats, Floats]:
    """(q, 1) mean and spread of each row."""
    if not table.shape[1]:  # everything was sampled
        return np.zeros((len(table), 1)), np.ones((len(table), 1))
    spread = table.std(axis=1, keepdims=True)
    return table.mean(axis=1, keepdims=True), np.where(spread > 1e-12, spread, 1.0)


class _Pool:
    """Residuals by the height of their prediction."""

    def __init__(self, edges: Floats, heights: Floats, values: Floats, weights: Floats) -> None:
        bins = np.digitize(heights, edges)
        order = np.argsort(bins, kind="stable")
        self._edges, self._values = edges, values[order]
        self._ends = np.concatenate([[0.0], np.cumsum(weights[order])])
        self._starts = np.searchsorted(bins[order], np.arange(len(edges) + 2))

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


def _plain(predicted: Floats, old: Floats) -> Floats:
    return np.stack([np.ones_like(predicted), predicted, old], axis=-1)


def _full(predicted: Floats, old: Floats) -> Floats:
    parts = (np.ones_like(old), predicted, old, predicted * old, predicted**2, old**2)
    return np.stack(parts, axis=-1)


def _level(fitted: Floats, predicted: Floats, old: Floats) -> Floats:
    """`_full(predicted, old) @ fitted`, without a table for each part."""
    one, p, o, both, pp, oo = fitted.tolist()
    level: Floats = one + predicted * (p + pp * predicted + both * old) + old * (o + oo * old)
    return level


def _least_squares(features: Floats, values: Floats, weights: Floats) -> Floats:
    """Weighted, with a penalty that only matters where features are dependent."""
    weighted = features * weights[:, None]
    gram: Floats = features.T @ weighted
    gram[np.diag_indices(len(gram))] += 1e-6 * np.trace(gram) / len(gram)
    solved: Floats = np.asarray(np.linalg.solve(gram, weighted.T @ values), dtype=np.float64)
    return solved


def _mapped(known: Known) -> tuple[FloatArray, Floats]:
    """(n, d_new) predicted vectors; of sampled ones as if they had not been sampled.

    And (n,) how unsure they are, 1 for the mean of the sample: the spread of a Gaussian
    process with this kernel, since documents far from all sampled ones are missed by more.
    """
    sources, targets = [known.old_docs.array[known.rows]], [known.new_docs.array]
    if known.paired:  # the queries are pairs as well, and cost nothing more
        sources.append(known.old_queries.array)
        targets.append(known.new_queries.array)
    x: Floats = np.concatenate(sources).astype(np.float64)
    y: Floats = np.concatenate(targets).astype(np.float64)
    centre, bias = x.mean(axis=0), y.mean(axis=0)
    width = 2.0 * float(squared_norms(x - centre).mean()) or 1.0
    kernel, origin = _gauss(x, x, width), _gauss(x, centre[None], width)[:, 0]
    # Without the constant part, which the bias has already.
    values, basis = np.linalg.eigh(kernel - origin[:, None] - origin[None, :] + 1.0)
    values = np.maximum(values, 0.0)
    turned = basis.T @ (y - bias)
    best, found = np.inf, (turned, turned, values, values)
    for penalty in _PENALTIES:
        inverse = 1.0 / (values + penalty * values.mean() + 1e-12)
        weights = basis @ (inverse[:, None] * turned)
        left_out = (basis**2) @ inverse
        missed = weights / left_out[:, None]  # by each row left out in turn
        if float(squared_norms(missed).mean()) < best:
            best, found = float(squared_norms(missed).mean()), (weights, missed, inverse, left_out)
    weights, missed, inverse, left_out = found
    mapped = np.empty((len(known.old_docs), y.shape[1]), dtype=np.float32)
    unsure = np.empty(len(mapped))
    floor = float(1.0 / inverse.max() - values.min())  # the penalty: what no neighbour tells
    for start in range(0, len(mapped), _BLOCK):
        block: Floats = known.old_docs.array[start : start + _BLOCK].astype(np.float64)
        own = _gauss(block, centre[None], width)
        table = _gauss(block, x, width) - own - origin[None] + 1.0
        mapped[start : start + _BLOCK] = table @ weights + bias
        explained = ((table @ basis) ** 2) @ inverse
        unsure[start : start + _BLOCK] = 2.0 - 2.0 * own[:, 0] - explained + floor
    count = len(known.rows)
    mapped[known.rows] = known.new_docs.array - missed[:count]
    unsure[known.rows] = 1.0 / left_out[:count]
    return mapped, np.sqrt(np.maximum(unsure, floor) / unsure[known.rows].mean())


def _gauss(a: Floats, b: Floats, width: float) -> Floats:
    squares = squared_norms(a)[:, None] + squared_norms(b)[None, :] - 2.0 * (a @ b.T)
    similar: Floats = np.exp(-np.maximum(squares, 0.0) / width)
    return similar
