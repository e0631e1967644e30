"""Comparisons of what a store answers with what it should; each gives the problem or None."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...hits import NO_ID, NO_SCORE, Hits, difference
from ..base import Limits, Page, Rows, VectorStore

_SCORE_TOLERANCE = 1e-4  # absolute, times the largest score of a row above one
_VECTOR_TOLERANCE = 1e-5

Problem = str | None


def hits_problem(hits: Hits, truth: Hits, k: int, limits: Limits) -> Problem:
    """Judge (q, k) hits by all rows of the oracle, within what the store promises.

    Args:
        hits: The store's answer.
        truth: The oracle's, with more columns than it has rows.
        k: How many were asked for.
        limits: An exact store must find the nearest rows; another one enough of them, and
            whatever it finds must be visible, match, and have its true score.
    """
    problem = form_problem(hits, len(truth), k)
    if problem:
        return problem
    if limits.exact:
        return difference(hits, truth, _SCORE_TOLERANCE)
    return _recall_problem(hits, truth, k, limits.recall_floor)


def form_problem(hits: Hits, queries: int, k: int) -> Problem:
    """Shape, dtypes, falling scores, and padding at the end of a row only."""
    if hits.ids.shape != (queries, k) or hits.scores.shape != (queries, k):
        return f"shapes {hits.ids.shape} and {hits.scores.shape} instead of {(queries, k)}"
    if hits.scores.dtype != np.float32 or hits.ids.dtype != np.object_:
        return f"dtypes {hits.ids.dtype} and {hits.scores.dtype} instead of object and float32"
    if not all(isinstance(name, str) for name in hits.ids.ravel()):
        return "ids that are not strings"
    if not (hits.scores[:, 1:] <= hits.scores[:, :-1]).all():
        return "scores that do not fall along a row"
    if not ((hits.ids == NO_ID) == (hits.scores == NO_SCORE)).all():
        return 'an empty place that is not "" with -inf'
    return None


def _recall_problem(hits: Hits, truth: Hits, k: int, floor: float) -> Problem:
    recalls, places = [], 0
    for query in range(len(hits)):
        found, wanted = hits.row(query), truth.row(query)
        true = dict(wanted)
        slack = _SCORE_TOLERANCE * max([1.0, *(abs(score) for score in true.values())])
        if len({name for name, _ in found}) != len(found):
            return f"query {query}: an id twice"
        for name, score in found:
            if name not in true:
                return f"query {query}: {name!r}, which does not belong there"
            if not abs(score - true[name]) <= slack:
                return f"query {query}: {name!r} scores {score:.6g} instead of {true[name]:.6g}"
        width = min(k, len(wanted))
        if width:
            # An item tied with the last right one is as right.
            cut = wanted[width - 1][1] - slack
            recalls.append(sum(score >= cut for _, score in found) / width)
            places += width
    if not recalls:
        return None
    # Two standard errors, the larger of what was seen and of what the floor itself gives.
    seen = float(np.std(recalls)) / len(recalls) ** 0.5
    chance = 2.0 * max(seen, (floor * (1.0 - floor) / places) ** 0.5)
    recall = float(np.mean(recalls))
    if recall + chance < floor:
        return f"recall {recall:.3f} at {k}, below the declared {floor} by more than chance"
    return None


def rows_problem(got: Rows, true: Rows) -> Problem:
    """Compare rows of two stores field by field; vectors within the rounding of a norm."""
    if list(got.ids) != list(true.ids):
        return "other ids, or in another order"
    for i, name in enumerate(true.ids):
        if int(got.revisions[i]) != int(true.revisions[i]):
            return f"{name!r} at revision {got.revisions[i]} instead of {true.revisions[i]}"
        if bool(got.hidden[i]) != bool(true.hidden[i]):
            return f"{name!r} with hidden {bool(got.hidden[i])}"
        if plain(got.payloads[i]) != plain(true.payloads[i]):
            return f"{name!r} with payload {got.payloads[i]} instead of {true.payloads[i]}"
    if true.vectors is None or got.vectors is None:
        return None if true.vectors is got.vectors else "vectors on one side only"
    if got.vectors.space != true.vectors.space:
        return f"vectors of {got.vectors.space}"
    if got.vectors.array.shape != true.vectors.array.shape or got.vectors.array.dtype != np.float32:
        return f"vectors of shape {got.vectors.array.shape}, {got.vectors.array.dtype}"
    gaps = np.abs(got.vectors.array - true.vectors.array)
    if gaps.size and not float(gaps.max()) <= _VECTOR_TOLERANCE * max(
        1.0, float(np.abs(true.vectors.array).max())
    ):
        return f"vectors that differ by {gaps.max():.3g}"
    return None


def plain(payload: Any) -> str:
    """A payload as text in which true is not 1, and 1.0 is."""
    return json.dumps(_plain(payload), sort_keys=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def pages(
    store: VectorStore, limit: int, after: str | None = None, vectors: bool = False
) -> Iterator[Page]:
    """Follow a scan to its end, or a little further than any honest scan goes."""
    for _ in range(2 * len(store) // limit + 3):
        page = store.scan(after, limit, vectors)
        yield page
        if page.after is None:
            return
        after = page.after


def snapshot(store: VectorStore) -> list[tuple[str, int, str, bool, bytes]]:
    """Everything a store holds, to the bit, in the order of a scan."""
    out = []
    for page in pages(store, 500, vectors=True):
        rows = page.rows
        array = rows.vectors.array if rows.vectors is not None else np.zeros((len(rows), 0))
        for i, name in enumerate(rows.ids):
            out.append(
                (
                    name,
                    int(rows.revisions[i]),
                    plain(rows.payloads[i]),
                    bool(rows.hidden[i]),
                    array[i].tobytes(),
                )
            )
    return out
