"""Attributes: which of them did the space gain or lose?

What a space knows of a column is how well an item's neighbours tell its value: the mutual
information of the value and the neighbours' vote, less what chance gives, over the largest it
could be. Corrected so, columns of two and of a thousand values can be compared, and so can
two spaces of any dimension.

Source: the question is that of Škrlj & Mramor 2023 (OutRank, chance-corrected information of
a column); the correction is Vinh, Epps & Bailey 2010, adjusted mutual information, by
scikit-learn. Departs from OutRank: an exact null instead of shifted labels, which are blind
where rows are sorted; neighbours' votes are the codes, since clusters drown small attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...arrays import IntArray, Vectors
from ...errors import InvalidInput
from ..finding import Finding
from ..interval import FEW, LEVEL, Floats, Interval, ends
from ..similarity import blocks
from . import CELL

VOTERS = 5  # neighbours that tell a value
# A loss is at least this, and this part of what the old space knew: two trainings of one model
# on the same items differ by as much as 0.07.
LEAST, PART = 0.08, 0.5
_RESAMPLES = 200


@dataclass(frozen=True, slots=True)
class Attribute:
    """What two spaces know of one column.

    Args:
        column: Its name.
        old: Adjusted mutual information of the old space.
        new: Of the new one.
        change: new - old, on the same items.
    """

    column: str
    old: float
    new: float
    change: Interval

    @property
    def lost(self) -> bool:
        """Beyond doubt, and enough to matter."""
        enough = -self.change.value >= max(LEAST, PART * self.old)
        return self.change.high < 0.0 and enough and self.change.n >= FEW

    def finding(self) -> Finding:
        """The change: fails where the attribute is lost."""
        note = f"neighbours tell it by {self.old:.3f} before, {self.new:.3f} after"
        made = Finding.of(f"knowledge of {self.column}", CELL, self.change, note=note)
        return replace(made, verdict="fail" if self.lost else "pass")


def information(told: IntArray, column: IntArray) -> float:
    """Adjusted mutual information of two codings of the same items: 0 by chance, 1 the same.

    Args:
        told: (n,) numbers: cells of a clustering, or neighbours' votes.
        column: (n,) numbers.
    Example:
        >>> information(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
        1.0
    """
    from sklearn.metrics import adjusted_mutual_info_score

    return float(adjusted_mutual_info_score(column, told))


def attributes(
    old: Vectors,
    new: Vectors,
    columns: Mapping[str, IntArray],
    level: float = LEVEL,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> list[Attribute]:
    """Ask both spaces about every column.

    Args:
        old: n rows of the old space.
        new: The same items in the new one.
        columns: (n,) numbers from 0 by name.
        level: Of each interval.
        resamples: How often items are drawn.
        seed: Of the draws.
    Raises:
        InvalidInput: Columns of other items, or fewer items than voters.
    """
    if len(old) != len(new) or len(old) <= VOTERS:
        raise InvalidInput(
            "attributes", f"the same items in both, more than {VOTERS}", f"{len(old)}, {len(new)}"
        )
    for name, numbers in columns.items():
        if len(numbers) != len(old):
            raise InvalidInput("attributes", f"{len(old)} values of {name}", str(len(numbers)))
    near = [nearest(rows, VOTERS) for rows in (old, new)]
    draws = np.random.default_rng(seed).integers(len(old), size=(resamples, len(old)))
    return [
        _audited(name, numbers, [votes(numbers, places) for places in near], draws, level)
        for name, numbers in columns.items()
    ]


def _audited(
    name: str, column: IntArray, told: list[IntArray], draws: IntArray, level: float
) -> Attribute:
    before, after = (_Told.of(votes, column) for votes in told)
    drawn: Floats = (after.drawn(draws) - before.drawn(draws))[:, None]
    # Drawn twice, an item is told by itself no better than once: only the spread is used.
    low, high = ends(drawn - drawn.mean(), level)
    value = after.value - before.value
    change = Interval(
        value,
        min(float(value + low[0]), value),
        max(float(value + high[0]), value),
        level,
        len(column),
    )
    return Attribute(name, before.value, after.value, change)


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """A coding of a column, whose chance is worked out once for all draws.

    Args:
        pairs: (n,) numbers of pairs of value and code.
        shape: Values and codes.
        value: Adjusted mutual information.
        chance: The mutual information that chance gives.
    """

    pairs: IntArray
    shape: tuple[int, int]
    value: float
    chance: float

    @classmethod
    def of(cls, told: IntArray, column: IntArray) -> _Told:
        shape = (int(column.max()) + 1, int(told.max()) + 1)
        pairs, value = column * shape[1] + told, information(told, column)
        shared, most = _mutual(np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape))
        chance = (shared - value * most) / (1.0 - value) if value < 1.0 - 1e-9 else 0.0
        return cls(pairs, shape, value, chance)

    def drawn(self, draws: IntArray) -> Floats:
        """(r,) the same of items drawn with replacement."""
        size, out = self.shape[0] * self.shape[1], np.empty(len(draws))
        for at, rows in enumerate(draws):
            table = np.bincount(self.pairs[rows], minlength=size).reshape(self.shape)
            shared, most = _mutual(table)
            room = most - self.chance
            out[at] = (shared - self.chance) / room if room > 1e-12 else 0.0
        return out


def _mutual(table: IntArray) -> tuple[float, float]:
    """Mutual information of a table of counts, and the mean of both entropies, in nats."""
    joint = table / table.sum()
    entropies = [
        -float((p[p > 0.0] * np.log(p[p > 0.0])).sum())
        for p in (joint.sum(axis=1), joint.sum(axis=0), joint.ravel())
    ]
    return entropies[0] + entropies[1] - entropies[2], (entropies[0] + entropies[1]) / 2.0


def nearest(rows: Vectors, k: int) -> IntArray:
    """(n, k) places of the k nearest other items of each."""
    out = np.empty((len(rows), k), dtype=np.int64)
    for part, table in blocks(rows.array, rows.array, rows.space.metric):
        here = np.arange(part.start, part.start + len(table))
        table[np.arange(len(table)), here] = -np.inf
        found = np.argpartition(-table, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(table, found, 1), axis=1, kind="stable")
        out[here] = np.take_along_axis(found, order, 1)
    return out


def votes(column: IntArray, places: IntArray) -> IntArray:
    """(n,) the value that most of an item's neighbours have; of tied ones the nearer one's.

    Example:
        >>> votes(np.array([0, 1, 1]), np.array([[1, 2], [0, 2], [0, 1]])).tolist()
        [1, 0, 0]
    """
    count, k = places.shape
    table = np.zeros((count, int(column.max()) + 1))
    weights = 1.0 + 1e-3 / np.arange(1, k + 1)
    np.add.at(table, (np.arange(count)[:, None], column[places]), weights)
    out: IntArray = table.argmax(axis=1)
    return out
