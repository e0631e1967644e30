"""Build an inexact index from rows on disk, and find how hard its searches must try.

The effort is measured, not guessed: rows that the index has not seen, and queries of late, are
searched at rising efforts until enough of their exact neighbours are found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..arrays import FloatArray, IntArray, squared_norms, unit_rows
from ..space import Metric
from .faiss_index import Graph, Kind, Lists, Read, scan

FLOOR = 0.95  # R@10 a store promises
SMALLEST = 1_024  # rows below which there is nothing to gain and too little to measure
HELD = 256  # rows searched to measure
# What stored rows, places between them and queries of late must show. A margin over the
# floor where the next queries will differ; none where they are harder than queries.
_TARGETS = (0.97, FLOOR, 0.97)
_KEPT = (0.96, FLOOR, 0.96)  # and what is enough for an effort to stay
_ASIDE = 0.25  # how far from one row towards another; half-way costs many times the effort
_K = 10
_FINE = 16  # an effort is found to this part of itself
_NOBODY = -2  # the slot of a query that is not a row
_SAMPLE = 64  # rows for each list to train
_EACH = 16  # rows for each list that is made for rows to come
_BLOCK = 32_768


def build(
    kind: Kind, slots: IntArray, read: Read, metric: Metric, asked: FloatArray, expected: int = 0
) -> Lists | Graph | None:
    """An index over rows, tuned; None where no effort reaches the floor.

    Args:
        kind: "ivf" or "hnsw".
        slots: (n,) slots of the rows, at least `SMALLEST`.
        read: Answers the rows in slots.
        metric: How rows are compared.
        asked: (q, d) queries of late, perhaps none.
        expected: Rows that there are going to be, if more.
    """
    shuffled = np.random.default_rng(0).permutation(slots)
    held, rest = shuffled[:HELD], np.sort(shuffled[HELD:])
    index: Lists | Graph
    if kind == "ivf":
        lists = lists_for(len(slots), expected)
        sample = np.sort(shuffled[HELD : HELD + _SAMPLE * lists])
        index = Lists.train(read(sample), lists, metric)
    else:
        index = Graph.empty(asked.shape[1], metric)
    insert(index, rest, read)
    if not tune(index, held, read, metric, asked):
        return None
    insert(index, held, read)
    index.built = index.added
    return index


def lists_for(rows: int, expected: int = 0) -> int:
    """A power of two near four roots of the number of rows.

    More lists are searched faster, but for the time it takes to learn them. So an index that is
    going to grow has those that it will need, as far as its rows are enough to learn from.

    Args:
        rows: That there are.
        expected: That there are going to be, if more.
    """
    now, then = (
        int(2 ** np.round(np.log2(4.0 * np.sqrt(max(count, 1))))) for count in (rows, expected)
    )
    learnable = int(2 ** np.floor(np.log2(max(rows / _EACH, 1.0))))
    return max(now, min(then, learnable))


def insert(index: Lists | Graph, slots: IntArray, read: Read) -> None:
    """Add rows from disk in blocks."""
    for start in range(0, len(slots), _BLOCK):
        piece = slots[start : start + _BLOCK]
        index.add(piece, read(piece))


def tune(
    index: Lists | Graph,
    held: IntArray,
    read: Read,
    metric: Metric,
    asked: FloatArray,
    keep: bool = False,
) -> bool:
    """Set the least effort, from the present one up, at which enough neighbours are found.

    Efforts rise by two fifths; between the last one that failed and the first that reached,
    halving finds the least, to a sixteenth.

    Searched for are rows and what was asked of late; while that is little, also places a part
    of the way from one row to another: a query is rarely as close to what is stored as stored
    rows are to each other. Each of these must reach the floor.

    Args:
        index: It may hold the rows or not; a row is never counted as its own neighbour.
        held: (h,) slots of the rows.
        read: Answers the rows in slots.
        metric: How rows are compared.
        asked: (q, d) queries of late, perhaps none.
        keep: Stay at the present effort while it still finds nearly as much: measured anew,
            half of all efforts would miss what they were tuned to by a little.
    Returns:
        Whether an effort reaches the floor.
    """
    living = index.slots()
    living = np.sort(living[living >= 0])
    rows = read(held)
    # Where enough real queries are known, rows need no margin, nor queries a stand-in.
    known = len(asked) >= HELD
    unknown = 0 if known else len(held)
    others = read(np.random.default_rng(1).choice(living, size=unknown))
    between = (1.0 - _ASIDE) * rows[:unknown] + _ASIDE * others
    if metric == "cosine":
        between = unit_rows(between)
    queries = np.concatenate([rows, between, asked])
    kinds = np.repeat([0, 1, 2], [len(rows), len(between), len(asked)])
    own = np.where(kinds == 0, np.resize(held, len(queries)), _NOBODY)
    worst = _tenth_best(queries, own, living, read, metric)
    near = worst - _rounding(queries, rows, worst, metric)
    index.tuned = index.added

    def reaches(effort: int, targets: tuple[float, ...] = _TARGETS) -> bool:
        index.effort, targets = effort, (FLOOR, *targets[1:]) if known else targets
        scores, found = index.search(queries, min(_K + 1, len(living)))
        recalls = _recalls(scores, found, own, near)
        return all(recalls[kinds == kind].mean() >= targets[kind] for kind in np.unique(kinds))

    if keep and reaches(index.effort, _KEPT):
        return True
    failed = index.effort - 1
    for effort in _efforts(index.effort, index.most):
        if reaches(effort):
            index.effort = _least(reaches, failed, effort)
            return True
        failed = effort
    return False


def _least(reaches: Callable[[int], bool], failed: int, reached: int) -> int:
    """The least effort that reaches, between one that does not and one that does."""
    while reached - failed > max(reached // _FINE, 1):
        middle = (failed + reached) // 2
        if reaches(middle):
            reached = middle
        else:
            failed = middle
    return reached


def _tenth_best(
    queries: FloatArray, own: IntArray, slots: IntArray, read: Read, metric: Metric
) -> FloatArray:
    """(q,) score of the tenth exact neighbour other than the row itself."""
    scores, found = scan(queries, min(_K + 1, len(slots)), slots, read, metric)
    scores = np.where(found == own[:, None], -np.inf, scores)
    descending: FloatArray = -np.sort(-scores, axis=1)
    return descending[:, min(_K, scores.shape[1]) - 1]


def _rounding(
    queries: FloatArray, rows: FloatArray, worst: FloatArray, metric: Metric
) -> FloatArray:
    """(q,) by how much two scores of one row may differ, as far as they are computed apart.

    It is a part of what is added up, not of one: in small units all scores are near each other.
    """
    size = np.abs(worst)
    if metric != "euclidean":  # products of lengths, of which a score may be a small rest
        typical = np.float32(np.sqrt(squared_norms(rows).mean(dtype=np.float64)))
        size = np.maximum(size, np.sqrt(squared_norms(queries)) * typical)
    slack: FloatArray = np.float32(1e-5) * size
    return slack


def _recalls(scores: FloatArray, found: IntArray, own: IntArray, near: FloatArray) -> FloatArray:
    """(q,) R@10; a row as near as the tenth counts, whichever it is.

    Args:
        scores: (q, k) of what was found.
        found: (q, k) slots.
        own: (q,) slots that do not count.
        near: (q,) scores from which a row counts.
    """
    right = (found >= 0) & (found != own[:, None]) & (scores >= near[:, None])
    recalls: FloatArray = (np.minimum(right.sum(axis=1), _K) / _K).astype(np.float32)
    return recalls


def _efforts(least: int, most: int) -> Iterator[int]:
    effort = least
    while effort < most:
        yield effort
        effort = int(np.ceil(1.4 * effort))
    yield most
