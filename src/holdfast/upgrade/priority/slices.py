"""Slice by slice: one after the other, or equally many of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...arrays import IntArray
from .searched import Floats


def in_turn(slices: Sequence[object], first: Sequence[object] = ()) -> Floats:
    """(n,) scores by which whole slices move one after the other.

    Args:
        slices: n names.
        first: Slices to begin with, in this order; then the others, smallest first, so that
            as many slices as possible are soon whole.
    Example:
        >>> in_turn(["b", "a", "b", "c"], first=["c"]).tolist()
        [-2.0, -1.0, -2.0, 0.0]
    """
    own, names = _numbered(slices)
    sizes = np.bincount(own, minlength=len(names))
    wanted = {name: place for place, name in enumerate(first)}
    turn = sorted(range(len(names)), key=lambda s: (wanted.get(names[s], len(wanted)), sizes[s], s))
    place = np.empty(len(names))
    place[turn] = np.arange(len(names))
    return 0.0 - place[own]


def balanced(slices: Sequence[object], seed: int = 0) -> Floats:
    """(n,) scores by which equally many items of each slice have moved at any time.

    Small slices are whole early; which items of a slice come first is random.

    Args:
        slices: n names.
        seed: Of the shuffle.
    Example:
        >>> sorted(balanced(["a", "a", "a", "b"]).tolist())
        [-2.0, -1.0, 0.0, 0.0]
    """
    own, names = _numbered(slices)
    shuffled = np.random.default_rng(seed).permutation(len(own))
    grouped = shuffled[np.argsort(own[shuffled], kind="stable")]
    sizes = np.bincount(own, minlength=len(names))
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    scores = np.empty(len(own))
    scores[grouped] = -(np.arange(len(own)) - starts)
    return scores


def _numbered(slices: Sequence[object]) -> tuple[IntArray, list[object]]:
    places: dict[object, int] = {}
    own = np.array([places.setdefault(name, len(places)) for name in slices], dtype=np.int64)
    return own, list(places)
