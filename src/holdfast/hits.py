"""Hits: what a search answers, and how two answers are compared and joined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .arrays import FloatArray, IdArray
from .errors import InvalidInput

NO_ID = ""
NO_SCORE = -np.inf


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """The best items for each query, best first.

    Args:
        ids: (q, k) object array of ids; `""` where a query has fewer than k hits.
        scores: (q, k) float32, falling along a row, higher is better; -inf where empty.
        without: Why one of the two models of an upgrade has no part in this; empty where each
            that was needed has.
    Example:
        >>> Hits.of([[("a", 0.9), ("b", 0.5)], [("c", 0.7)]]).ids.tolist()
        [['a', 'b'], ['c', '']]
    """

    ids: IdArray
    scores: FloatArray
    without: str = ""

    @classmethod
    def of(cls, rows: Sequence[Sequence[tuple[str, float]]], k: int | None = None) -> Hits:
        """From rows of (id, score) pairs, padded to the longest row or to k."""
        width = max((len(row) for row in rows), default=0) if k is None else k
        hits = cls.empty(len(rows), width)
        for i, row in enumerate(rows):
            for j, (name, score) in enumerate(row[:width]):
                hits.ids[i, j] = name
                hits.scores[i, j] = score
        return hits

    @classmethod
    def empty(cls, queries: int, k: int) -> Hits:
        """No hit for any query."""
        return cls(
            np.full((queries, k), NO_ID, dtype=object),
            np.full((queries, k), NO_SCORE, dtype=np.float32),
        )

    @classmethod
    def concat(cls, parts: Iterable[Hits]) -> Hits:
        """Answers of several batches of queries, one under the other."""
        parts = list(parts)
        return cls(
            np.concatenate([p.ids for p in parts]),
            np.concatenate([p.scores for p in parts]),
            next((p.without for p in parts if p.without), ""),
        )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def k(self) -> int:
        """Columns, whether filled or not."""
        return int(self.ids.shape[1])

    def take(self, rows: Any) -> Hits:
        """The answers to some of the queries."""
        return Hits(self.ids[rows], self.scores[rows], self.without)

    def top(self, k: int) -> Hits:
        """The first k columns."""
        return Hits(self.ids[:, :k], self.scores[:, :k], self.without)

    def row(self, query: int) -> list[tuple[str, float]]:
        """The (id, score) pairs of one query, without padding."""
        pairs = zip(self.ids[query].tolist(), self.scores[query].tolist(), strict=True)
        return [(name, score) for name, score in pairs if name]


# Above this width ranking by comparing all pairs costs more than sorting.
_PAIRWISE_WIDTH = 64


def merge(first: Hits, second: Hits, k: int) -> Hits:
    """Join two answers to the same queries by score; ties go to `first`.

    The two sides must hold different items. Scores must be on one scale. One query is
    joined by a plain two-finger walk, since numpy's call overhead is twenty times its work.

    Args:
        first: (q, a) hits.
        second: (q, b) hits.
        k: Columns of the result.
    Raises:
        InvalidInput: Answers to different numbers of queries.
    Example:
        >>> a, b = Hits.of([[("a", 0.9), ("b", 0.5)]]), Hits.of([[("c", 0.7)]])
        >>> merge(a, b, 2).ids.tolist()
        [['a', 'c']]
    """
    if len(first) != len(second):
        raise InvalidInput("merge", f"{len(first)} queries on both sides", str(len(second)))
    if len(first) == 1:
        return _merge_one(first, second, k)
    if max(first.k, second.k) > _PAIRWISE_WIDTH:
        return _merge_sorted(first, second, k)
    return _merge_pairwise(first, second, k)


def _merge_one(first: Hits, second: Hits, k: int) -> Hits:
    ids_a, ids_b = first.ids[0].tolist(), second.ids[0].tolist()
    scores_a, scores_b = first.scores[0].tolist(), second.scores[0].tolist()
    ids_a.append(NO_ID)
    ids_b.append(NO_ID)
    scores_a.append(NO_SCORE)
    scores_b.append(NO_SCORE)
    last_a, last_b = len(ids_a) - 1, len(ids_b) - 1
    out_ids, out_scores = [], []
    i = j = 0
    for _ in range(k):
        a, b = scores_a[i], scores_b[j]
        if a >= b:
            out_ids.append(ids_a[i])
            out_scores.append(a)
            if i < last_a:
                i += 1
        else:
            out_ids.append(ids_b[j])
            out_scores.append(b)
            if j < last_b:
                j += 1
    ids = np.empty((1, k), dtype=object)
    ids[0] = out_ids
    return Hits(ids, np.array([out_scores], dtype=np.float32))


def _merge_pairwise(first: Hits, second: Hits, k: int) -> Hits:
    """A row is sorted already: a hit's place is its own rank plus the better ones opposite."""
    a, b = first.scores, second.scores
    better_b = b[:, None, :] > a[:, :, None]
    place_a = better_b.sum(axis=2, dtype=np.int16) + np.arange(first.k, dtype=np.int16)
    place_b = (~better_b).sum(axis=1, dtype=np.int16) + np.arange(second.k, dtype=np.int16)
    rows = np.arange(len(a))[:, None]
    out = Hits.empty(len(a), max(k, first.k + second.k))
    out.ids[rows, place_a] = first.ids
    out.ids[rows, place_b] = second.ids
    out.scores[rows, place_a] = a
    out.scores[rows, place_b] = b
    return out.top(k)


def _merge_sorted(first: Hits, second: Hits, k: int) -> Hits:
    ids = np.concatenate([first.ids, second.ids], axis=1)
    scores = np.concatenate([first.scores, second.scores], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    merged = Hits(np.take_along_axis(ids, order, 1), np.take_along_axis(scores, order, 1))
    if merged.k == k:
        return merged
    out = Hits.empty(len(merged), k)
    out.ids[:, : merged.k] = merged.ids
    out.scores[:, : merged.k] = merged.scores
    return out


def difference(got: Hits, truth: Hits, tolerance: float = 1e-4) -> str | None:
    """The first way in which two answers differ, or None; tied items may change places.

    Scores are compared place by place. Ids are compared as sets within each run of equal
    scores; in the last run, which the cut at k may split, any of the tied items is right.
    To judge that run, pass a `truth` with more columns than `got`.

    Args:
        got: (q, k) hits to judge.
        truth: (q, at least k) hits of the reference.
        tolerance: Absolute, times the largest score of the row where that exceeds one.
    Example:
        >>> tied = Hits.of([[("a", 1.0), ("b", 1.0)]])
        >>> difference(Hits.of([[("b", 1.0)]]), tied) is None
        True
    """
    if len(got) != len(truth):
        return f"{len(got)} rows of hits for {len(truth)} queries"
    for query in range(len(got)):
        found, wanted = got.row(query), truth.row(query)
        problem = _row_difference(found, wanted, (got.k, truth.k), tolerance)
        if problem:
            return f"query {query}: {problem}"
    return None


def _row_difference(
    found: list[tuple[str, float]],
    wanted: list[tuple[str, float]],
    columns: tuple[int, int],
    tolerance: float,
) -> str | None:
    k, known = columns
    if len(found) != min(k, len(wanted)):
        return f"{len(found)} hits instead of {min(k, len(wanted))}"
    if len({name for name, _ in found}) != len(found):
        return "an id twice"
    slack = tolerance * max(1.0, *(abs(score) for _, score in wanted), 1.0)
    true_scores = dict(wanted)
    for place, ((name, score), (_, true)) in enumerate(zip(found, wanted, strict=False)):
        if not abs(score - true) <= slack:  # written so that NaN differs
            return f"place {place} scores {score:.6g} instead of {true:.6g}"
        if name not in true_scores:
            # Not among the reference's columns: right only if tied with its very last one,
            # and if there were too few columns to show every item.
            if abs(score - wanted[-1][1]) > slack or len(wanted) < known:
                return f"place {place} is {name!r}, which does not belong there"
        elif abs(true_scores[name] - true) > slack:
            return f"place {place} is {name!r}, which scores {true_scores[name]:.6g}"
    return None
