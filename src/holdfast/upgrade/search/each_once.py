"""Each item once, though items move while two sides are searched.

An item that moves appears on the new side before it leaves the old one. A search that reads
the old side first therefore never misses it, and may find it on both. Then the new side's
copy counts. What it displaces from the old side's list is asked for as well, so that the answer
is complete: it is as if each item had moved either just before the search or just after it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import wait

import numpy as np

from ...hits import Hits
from .promise import begun


def each_once(
    old: Callable[[int], Hits],
    new: Callable[[int], Hits],
    count: int,
    moves: Callable[[], int | None],
    at_once: bool = False,
) -> tuple[Hits, Hits]:
    """Search two sides that have no item in common but for those that move meanwhile.

    Args:
        old: Searches the side that items leave, for so many hits.
        new: Searches the side on which they arrive.
        count: Hits for each query.
        moves: How many moves there have been; None while one goes on.
        at_once: Whether a search of one side waits for something else than this processor, so that
            the other side can be asked meanwhile.
    Returns:
        Hits of the old side and of the new one, `count` columns each, without a common item.
    """
    before = moves()
    at_once = at_once and before is not None
    first, second = _beside(old, new, count) if at_once else (old(count), new(count))
    if before is not None and moves() == before:
        return first, second
    if at_once:
        second = new(count)
    if not any(_common(first, second)):
        return first, second
    # At most `count` hits of the new side can displace one of the old side each.
    first, second = old(2 * count), new(count)
    return without(first, _common(first, second), count), second


def _beside(
    old: Callable[[int], Hits], new: Callable[[int], Hits], count: int
) -> tuple[Hits, Hits]:
    """What both sides answer, asked at once."""
    promise = begun(lambda: new(count))
    try:
        first = old(count)
    finally:  # after an error, too: it reads a store that its caller may close
        wait([promise])
    return first, promise.result()


def _common(first: Hits, second: Hits) -> list[set[str]]:
    """For each query the ids that both sides found."""
    pairs = zip(first.ids.tolist(), second.ids.tolist(), strict=True)
    return [(set(one) & set(other)) - {""} for one, other in pairs]


def without(hits: Hits, left_out: list[set[str]], count: int) -> Hits:
    """Hits less some ids, so many columns, filled from the left.

    Args:
        hits: What was found.
        left_out: For each query.
        count: Columns.
    """
    out = Hits.empty(len(hits), count)
    for row, names in enumerate(left_out):
        kept = np.flatnonzero([name not in names for name in hits.ids[row].tolist()])[:count]
        out.ids[row, : len(kept)] = hits.ids[row, kept]
        out.scores[row, : len(kept)] = hits.scores[row, kept]
    return out
