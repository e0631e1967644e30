"""The status quo: what serves now, which a bridge must not fall below.

That is the old model's query on the old model's gallery, `old/old`. Held-out pairs hold no
judgements, and what counts as right decides: next to the new model's own neighbours
nearly every bridge looks better than the old system, and most of them are worse (on three
judged sets, both ways, three aligners, both sides: 34 of 36 looked better, 8 were).
So without judgements both models have the same say about what is right. That errs the
other way: it is hard to pass. Queries with known answers decide it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, IntArray, Vectors, as_vectors, unit_rows
from ..errors import InvalidInput
from .base import Aligner
from .moments import Float64Array
from .recall import tables

Side = Literal["query", "gallery"]

K = 10
_ROUNDING = np.float32(1e-6)  # of a score
_DISCOUNT = 1.0 / np.log2(np.arange(2, K + 2))


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """Queries whose answers are known.

    Args:
        X: (q, d_source) queries in the space the bridge leads from.
        Y: (q, d_target) the same in the space it leads to.
        answers: For each query the positions, among the pairs, of the items it should find.
    Raises:
        InvalidInput: Not as many of each, or a query without an answer.
    """

    X: Vectors
    Y: Vectors
    answers: Sequence[Sequence[int]]

    def __post_init__(self) -> None:
        counts = (len(self.X), len(self.Y), len(self.answers))
        if len(set(counts)) > 1 or not counts[0]:
            raise InvalidInput("Asked", "as many queries in X and Y as answers", str(counts))
        if not all(len(set(row)) for row in self.answers):
            raise InvalidInput("Asked", "an answer or more for each query", "none for some")

    def check(self, X: Vectors, Y: Vectors) -> None:
        """Refuse queries of other spaces, and answers that are no positions of the pairs.

        Raises:
            WrongSpace: Queries of another space.
            InvalidInput: Something that is no position, or one beyond the pairs.
        """
        as_vectors(self.X, X.space, "Asked.X")
        as_vectors(self.Y, Y.space, "Asked.Y")
        places = np.concatenate([np.asarray(row) for row in self.answers])
        if places.dtype.kind not in "iu":
            raise InvalidInput("Asked", "answers as positions among the pairs", f"{places[0]!r}")
        if places.min() < 0 or places.max() >= len(X):
            raise InvalidInput("Asked", f"answers from 0 to {len(X) - 1}", "one beyond")


@dataclass(frozen=True, slots=True, eq=False)
class Floor:
    """What serves now on some questions, and how to hold a map against it.

    Args:
        side: What the map is applied to.
        asking: The rows that ask, in the source and in the target space.
        stored: The rows that answer, in both spaces; asking row i is stored row i unless
            `gains` come from judgements.
        gains: For each asking row, the stored rows that are right.
        alone: Whether a row that asks must not find itself.
        status_quo: (m,) how well `old/old` answers each question, in [0, 1].
    """

    side: Side
    asking: tuple[Vectors, Vectors]
    stored: tuple[Vectors, Vectors]
    gains: Sequence[IntArray]
    alone: bool
    status_quo: Float64Array

    @classmethod
    def agreement(cls, X: Vectors, Y: Vectors, side: Side) -> Floor:
        """Without judgements: right are the ten rows that both models together hold nearest.

        Each row asks among the others. The scores of both models are standardised over the
        stored rows of a question and added.

        Args:
            X: (m, d_source) held-out rows.
            Y: (m, d_target) the same items.
            side: What the map is applied to; the other model's space tells which is old.
        """
        best = np.empty((len(X), min(K, len(X) - 1)), dtype=np.int64)
        for (part, by_x), (_, by_y) in zip(_tables(X, X), _tables(Y, Y), strict=True):
            best[part] = _first(_standard(by_x) + _standard(by_y), part, alone=True)
        pair = (X, Y)
        return cls._measured(side, pair, pair, list(best), alone=True)

    @classmethod
    def judged(cls, X: Vectors, Y: Vectors, asked: Asked, side: Side) -> Floor:
        """With judgements: right are the known answers.

        Most stored rows were fitted on; so they are when the bridge serves.

        Args:
            X: (n, d_source) all rows.
            Y: (n, d_target) the same items.
            asked: The queries.
            side: What the map is applied to.
        """
        asked.check(X, Y)
        gains = [np.unique(np.asarray(row, dtype=np.int64)) for row in asked.answers]
        return cls._measured(side, (asked.X, asked.Y), (X, Y), gains, alone=False)

    @classmethod
    def _measured(
        cls,
        side: Side,
        asking: tuple[Vectors, Vectors],
        stored: tuple[Vectors, Vectors],
        gains: Sequence[IntArray],
        alone: bool,
    ) -> Floor:
        old = 1 if side == "query" else 0  # a query is mapped into the old space, a row out of it
        status_quo = _ndcg(asking[old], stored[old], gains, alone)
        return cls(side, asking, stored, gains, alone, status_quo)

    def values(self, aligner: Aligner) -> Float64Array:
        """(m,) how well the mapped side answers each question: nDCG@10 in [0, 1].

        Args:
            aligner: Fitted, on rows that do not ask here.
        """
        space = self.asking[1].space
        source = self.asking[0] if self.side == "query" else self.stored[0]
        rows = aligner.transform(source.array)
        mapped = Vectors(space, unit_rows(rows) if space.metric == "cosine" else rows)
        if self.side == "query":
            return _ndcg(mapped, self.stored[1], self.gains, self.alone)
        return _ndcg(self.asking[1], mapped, self.gains, self.alone)


def _ndcg(asking: Vectors, stored: Vectors, gains: Sequence[IntArray], alone: bool) -> Float64Array:
    """(m,) nDCG@10, all right rows being equally right."""
    out = np.empty(len(asking))
    for part, table in _tables(asking, stored):
        first = _first(table, part, alone)
        for i, row in enumerate(first, start=part.start):
            found = np.isin(row, gains[i], assume_unique=True)
            out[i] = found @ _DISCOUNT[: len(row)] / _DISCOUNT[: len(gains[i])].sum()
    return out


def _tables(asking: Vectors, stored: Vectors) -> Iterator[tuple[slice, FloatArray]]:
    return tables(asking.array, stored.array, stored.space.metric)


def _standard(table: FloatArray) -> FloatArray:
    """Mean 0 and deviation 1 along each row; 0 where nothing but rounding tells scores apart."""
    largest = np.abs(table).max(axis=1, keepdims=True)
    # By a power of two, which rounds nothing: squares of products may be beyond float32.
    scaled: FloatArray = np.ldexp(table, -np.frexp(largest)[1])
    spread: npt.NDArray[np.float32] = scaled.std(axis=1, keepdims=True)
    rounding = _ROUNDING * np.abs(scaled).max(axis=1, keepdims=True)
    centred: FloatArray = scaled - scaled.mean(axis=1, keepdims=True)
    return np.divide(centred, spread, out=np.zeros_like(table), where=spread > rounding)


def _first(table: FloatArray, part: slice, alone: bool) -> IntArray:
    """(b, 10) the best columns of each row, best first; a row does not find itself."""
    if alone:
        table[np.arange(len(table)), np.arange(part.start, part.stop)] = -np.inf
    k = min(K, table.shape[1] - int(alone))
    best = np.argpartition(-table, k - 1, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(table, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1).astype(np.int64)
