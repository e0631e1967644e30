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

from dataclasses import dataclass, replace

import numpy as np

from ...arrays import FloatArray, IntArray, Vectors, squared_norms
from ...errors import InvalidInput
from ...store.topk import scores
from .mapped import mapped
from .rivals import Bools, Floats, Pairs, Rivals, least_squares, moments, standard

LEAST = 50  # sampled documents below which nothing is forecast
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
        rounds: Rising places of what had been sampled before each of the later rounds of
            reading, the earliest first; part of `rows`. None where all was read at once.
    Raises:
        InvalidInput: Numbers of rows that do not belong together, fewer than 50 sampled, or only
            such as answer every query, which tell nothing of rivals.
    """

    old_queries: Vectors
    new_queries: Vectors
    old_docs: Vectors
    rows: IntArray
    new_docs: Vectors
    relevant: Bools
    paired: bool = True
    rounds: tuple[IntArray, ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.old_queries), len(self.old_docs))
        fits = (
            self.relevant.shape == shape
            and len(self.new_queries) == shape[0]
            and len(self.rows) == len(self.new_docs)
            and all(np.isin(rows, self.rows).all() for rows in self.rounds)
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
        if self.relevant[:, self.rows].all():
            raise InvalidInput(
                "forecast",
                "a sampled document that some query is not answered by",
                f"{len(self.rows)} that each answer every query",
                "Sample more, or judge queries that tell documents apart.",
            )

    def before(self, rows: IntArray) -> Known:
        """What was known when only these were sampled.

        Raises:
            InvalidInput: Fewer than 50.
        """
        told = self.new_docs.take(np.searchsorted(self.rows, rows))
        return replace(self, rows=rows, new_docs=told, rounds=())

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
    Attributes:
        lower: By how much rivals are drawn lower, see `Rivals.draw` and `rehearse.py`.
        missed: By which a rehearsal of the sample is then still off, of the metric.
        rest: Places of the documents that are not sampled.
    """

    def __init__(self, known: Known) -> None:
        self.known, self.lower, self.missed = known, 0.0, 0.0
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
        self._mean, self._spread = moments(predicted.astype(np.float64))
        self._pairs = Pairs.of_all(
            (predicted - self._mean) / self._spread,
            standard(known.old.astype(np.float64)),
            np.sqrt(squared_norms(vectors.astype(np.float64))),
        )
        self._here = self._pairs.of(known.rows)
        self._new = known.new
        self._truth = (self._new - self._mean) / self._spread
        self._answers = known.relevant[:, known.rows]
        self._sought = known.relevant[:, self.rest]

    def draw(self, random: np.random.Generator) -> FloatArray:
        """(q, n) new scores: true ones of the sample, drawn ones of the rest."""
        weights = self._weights(random)
        drawn = np.empty(self.known.relevant.shape, dtype=np.float32)
        drawn[:, self.known.rows] = self._new
        rest = self._rivals(weights).draw(self._pairs.of(self.rest), random, self.lower)
        if self._sought.any() and self._answers.sum() > 8:
            rest[self._sought] = self._draw_relevant(weights, random)
        drawn[:, self.rest] = rest * self._spread + self._mean
        return drawn

    def replay(self, random: np.random.Generator, lower: float = 0.0) -> FloatArray:
        """(q, m) new scores of the sample: true ones of answers, the others drawn as if unread."""
        rivals = self._rivals(self._weights(random))
        drawn = rivals.draw(self._here, random, lower, heard=False)
        told = drawn * self._spread + self._mean
        table: FloatArray = np.where(self._answers, self._new, told).astype(np.float32)
        return table

    def _weights(self, random: np.random.Generator) -> Floats:
        return random.exponential(size=len(self.known.rows))  # the Bayesian bootstrap

    def _rivals(self, weights: Floats) -> Rivals:
        return Rivals(self._here, ~self._answers, self._truth, weights)

    def _draw_relevant(self, weights: Floats, random: np.random.Generator) -> Floats:
        asked, row = np.nonzero(self._answers)
        here = self._pairs.plain(asked, self.known.rows[row])
        truth, heavy = self._truth[self._answers], weights[row]
        fitted = least_squares(here, truth, heavy)
        shared, noise, left = _shared_part(truth - here @ fitted, asked, len(self._answers))
        asking, sought = np.nonzero(self._sought)
        there = self._pairs.plain(asking, self.rest[sought])
        own = shared + noise * random.standard_normal(len(shared))
        chosen = random.choice(len(left), size=len(there), p=heavy / heavy.sum())
        drawn: Floats = there @ fitted + own[asking] + left[chosen]
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
