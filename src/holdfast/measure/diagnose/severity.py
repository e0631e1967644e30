"""Severity: how far up the tree of labels does an answer go wrong?

    severity    height of the lowest node that query and answer share, over the height of the
                tree: 0 the right leaf, 1 nothing shared but the root

Two models that are wrong equally often are not equally bad where one mistakes a poodle for a
terrier and the other for a lorry. The answers that were right and are wrong now count most.

Source: the height of the lowest common ancestor as a mistake's severity (Deng et al. 2010;
Bertinetto et al. 2020). Departs from it: the nearest other item answers, not a classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...arrays import IntArray, Vectors
from ...errors import InvalidInput
from ..comparison import Comparison, compare
from ..finding import Finding
from ..interval import LEVEL, RESAMPLES, Floats, Interval, bootstrap
from . import CELL
from .attributes import nearest


@dataclass(frozen=True, slots=True, eq=False)
class Severity:
    """How badly two spaces are wrong.

    Args:
        old: (n,) severity of each item's nearest other item, in the old space.
        new: In the new one.
        change: The mean of the new one over that of the old.
        lost: Severity of the answers that were right and are wrong now; None where none are.
    """

    old: Floats
    new: Floats
    change: Comparison
    lost: Interval | None

    def findings(self) -> list[Finding]:
        """The change, which fails where it rose beyond doubt, and what was lost."""
        whole = self.change.finding("severity@1", CELL)
        found = [replace(whole, metric="severity@1")]
        if self.lost is not None:
            note = "of answers that were right before: 0 the right leaf, 1 nothing shared"
            found.append(Finding.of("severity of lost answers", CELL, self.lost, note=note))
        return found


def severities(asked: IntArray, answered: IntArray) -> Floats:
    """(n,) severity of each answer.

    Args:
        asked: (n, levels) numbers of the labels from the root's children down to the leaf.
        answered: The same of the answers.
    Raises:
        InvalidInput: Other shapes, or no level.
    Example:
        >>> severities(np.array([[0, 1], [0, 1]]), np.array([[0, 2], [1, 1]])).tolist()
        [0.5, 1.0]
    """
    if asked.ndim != 2 or asked.shape != answered.shape or not asked.shape[1]:
        raise InvalidInput(
            "severity", "(n, levels) labels of both", f"{asked.shape}, {answered.shape}"
        )
    shared = np.cumprod(asked == answered, axis=1).sum(axis=1)
    out: Floats = 1.0 - shared / asked.shape[1]
    return out


def severity(
    old: Vectors,
    new: Vectors,
    tree: Sequence[IntArray],
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Severity:
    """Let every item ask for its nearest other item, in both spaces.

    Args:
        old: n rows of the old space.
        new: The same items in the new one.
        tree: (n,) numbers of each level's labels, from the coarsest to the finest.
        level: See `bootstrap`.
        resamples: See `bootstrap`.
        seed: See `bootstrap`.
    Raises:
        InvalidInput: Labels of other items, or none.
    """
    sizes = [len(old), len(new), *map(len, tree)]
    if len(set(sizes)) > 1 or len(old) < 2 or not tree:
        raise InvalidInput(
            "severity", "two or more items, and labels of each", ", ".join(map(str, sizes))
        )
    labels = np.stack(tree, axis=1)
    before, after = (severities(labels, labels[nearest(rows, 1)[:, 0]]) for rows in (old, new))
    change = compare(before, after, None, False, level, resamples, seed)
    flipped = after[(before == 0.0) & (after > 0.0)]
    lost = bootstrap(flipped, level, resamples, seed) if len(flipped) else None
    return Severity(before, after, change, lost)
