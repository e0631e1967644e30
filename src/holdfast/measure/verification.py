"""Verification, 1:1: are these two images of one class? The first is asked, the second stored.

The answer is yes where the squared distance of the unit rows is below a threshold. Pairs
are cut into folds in their order; for each fold the threshold is the one, among 0 to 4 in
steps of 0.001, that is right most often on all other folds. Chance is 0.5.

Source: the evaluation of CoReS and CL2R (Biondi et al. 2023). Departs from it: pairs are
drawn once, by a seed, and alternate, so that each fold holds as many of either kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import IntArray, draws, squared_norms, unit_rows
from ..errors import InvalidInput
from .interval import ROUNDING, Floats, as_row, as_successes
from .similarity import as_rows, padded

GRID = np.arange(4000) * 0.001


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of items, half of them of one class.

    Args:
        first: (p,) positions of the items that are asked.
        second: (p,) positions of the items that are stored.
        same: (p,) bool, whether the two are of one class.
    """

    first: IntArray
    second: IntArray
    same: npt.NDArray[np.bool_]

    @classmethod
    def draw(cls, labels: Sequence[Any], count: int = 6000, seed: int = 0) -> Pairs:
        """Pairs of distinct items, same and different class in turns.

        Args:
            labels: (n,) class of each item.
            count: How many pairs, an even number.
            seed: Same seed, same pairs.
        Raises:
            InvalidInput: An odd count, no class with two items, or one class only.
        Example:
            >>> Pairs.draw(["a", "a", "b"], 4).same.tolist()
            [True, False, True, False]
        """
        _, codes, sizes = np.unique(
            np.asarray(labels, dtype=object).astype(str), return_inverse=True, return_counts=True
        )
        if count < 2 or count % 2 or len(sizes) < 2 or sizes.max() < 2:
            raise InvalidInput(
                "Pairs",
                "an even count, two classes, and one with two items",
                f"{count} pairs of {len(sizes)} classes",
            )
        random, half = draws(seed, "Pairs"), count // 2
        order = np.argsort(codes, kind="stable")
        starts = np.cumsum(sizes) - sizes
        first = np.empty(count, dtype=np.int64)
        second = np.empty(count, dtype=np.int64)
        first[::2] = random.choice(np.flatnonzero(sizes[codes] > 1), half)
        own = codes[first[::2]]
        # Another member of the class: one of size - 1 places, the own one stepped over.
        place = np.empty(len(codes), dtype=np.int64)
        place[order] = np.arange(len(codes)) - starts[codes[order]]
        other = random.integers(0, sizes[own] - 1)
        other += other >= place[first[::2]]
        second[::2] = order[starts[own] + other]
        first[1::2] = random.integers(0, len(codes), half)
        own = codes[first[1::2]]
        # An item of another class: one of n - size places, the own class stepped over.
        other = random.integers(0, len(codes) - sizes[own])
        other += np.where(other >= starts[own], sizes[own], 0)
        second[1::2] = order[other]
        return cls(first, second, np.arange(count) % 2 == 0)

    def __len__(self) -> int:
        return len(self.first)


class Verification:
    """Accuracy of 1:1 verification on fixed pairs, for any rows of the same items.

    Args:
        pairs: What is compared.
        folds: How many, at least two.
    Raises:
        InvalidInput: Fewer folds, or more than there are pairs.
    """

    name = "verification accuracy"

    def __init__(self, pairs: Pairs, folds: int = 10) -> None:
        if not 2 <= folds <= len(pairs):
            raise InvalidInput("Verification", f"2 to {len(pairs)} folds", str(folds))
        self.pairs, self.folds = pairs, folds

    def __len__(self) -> int:
        return len(self.pairs)

    def __call__(self, queries: npt.ArrayLike, gallery: npt.ArrayLike) -> Floats:
        """(p,) 1 where a pair was told right.

        Args:
            queries: (n, d) rows of all items by the model that asks.
            gallery: (n, d) rows of all items by the model that stored.
        Raises:
            InvalidInput: Rows of fewer items than the pairs are of.
            DimensionMismatch: The two sides have rows of different lengths.
        """
        asked, stored = (unit_rows(as_rows(rows, self.name)) for rows in (queries, gallery))
        asked, stored = padded(asked, stored, False, self.name)
        pairs = self.pairs
        last = int(max(pairs.first.max(), pairs.second.max()))
        if min(len(asked), len(stored)) <= last:
            told = f"{len(asked)} and {len(stored)}"
            raise InvalidInput(self.name, f"rows of items 0 to {last} on both sides", told)
        distance = squared_norms(asked[pairs.first] - stored[pairs.second])
        right = np.empty(len(pairs))
        for fold in np.array_split(np.arange(len(pairs)), self.folds):
            others = np.ones(len(pairs), dtype=bool)
            others[fold] = False
            cut = _best(distance[others], pairs.same[others])
            right[fold] = (distance[fold] < cut) == pairs.same[fold]
        return right


def _best(distance: npt.NDArray[Any], same: npt.NDArray[np.bool_]) -> float:
    """The first threshold of the grid that is right most often."""
    near = np.searchsorted(np.sort(distance[same]), GRID)  # below the threshold, and rightly so
    wrong = np.searchsorted(np.sort(distance[~same]), GRID)
    return float(GRID[np.argmax(near - wrong)])


def tar_at_far(scores: npt.ArrayLike, same: npt.ArrayLike, far: float) -> Floats:
    """True accepts at a rate of false accepts: (genuine,) 1 where a genuine pair is accepted.

    The threshold is the lowest score of a pair of different classes above which no more than
    this rate of them lies; a genuine pair is accepted above it. The mean is TAR@FAR. With
    fewer such pairs than 1 / far none of them is accepted.

    Args:
        scores: (p,) similarity of each pair, higher is nearer.
        same: (p,) whether it is genuine.
        far: Rate of false accepts, in (0, 1).
    Raises:
        InvalidInput: One kind of pairs only, or a rate that makes no sense.
        NotFinite: A score that is not finite.
    Example:
        >>> tar_at_far([0.9, 0.2, 0.1, 0.3], [1, 1, 0, 0], 0.4).tolist()
        [1.0, 0.0]
    """
    values, genuine = as_row(scores, "tar_at_far"), as_successes(same, "tar_at_far")
    if len(values) != len(genuine) or genuine.all() or not genuine.any():
        kinds = (
            f"{len(values)} scores of {genuine.sum()} genuine and {(~genuine).sum()} other pairs"
        )
        raise InvalidInput("tar_at_far", "a score of each pair, and pairs of both kinds", kinds)
    if not 0 < far < 1:
        raise InvalidInput("tar_at_far", "a rate of false accepts in (0, 1)", str(far))
    impostors = np.sort(values[~genuine])[::-1]
    most = int(far * len(impostors) * (1.0 + ROUNDING))  # 0.29 * 100 is 28.999...
    out: Floats = (values[genuine] > impostors[most]).astype(np.float64)
    return out
