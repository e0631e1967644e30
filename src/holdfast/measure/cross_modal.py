"""Retrieval between pictures and captions, in both directions, and what an upgrade does to it.

    I2T     a picture asks for captions; found is any one of its captions
    T2I     a caption asks for pictures; found is a picture that it belongs to
    R@k     share of the queries that find one among the first k; as papers on this call it
    mR      mean of R@1, R@5 and R@10 over both directions

A rank is one more than the number of stored rows with a strictly greater score: rows that tie,
as they do in a quantised gallery, share the better rank. Scores that differ by rounding alone
tie: captions of the same words have one vector, to which a matrix product may answer two
numbers. Flips at k are those of `flips.py`, so the change of R@k is PFR - NFR exactly.

Captions of one picture hang together, so intervals of gains draw them together; those of
single recalls and flips take each query for itself.

A new model is compatible with an old gallery where it asks it better than the old model did, in
both directions: the whole paired interval lies above zero, of no fewer than 20 queries.

Source: the criterion is that of Shen et al. 2020, as Jang and Lim 2024 (XBT) use it for both
directions. Departs from it: an interval decides, not the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ..arrays import IntArray, Vectors, as_vectors
from ..errors import InvalidInput
from ..hits import Hits
from .finding import Finding
from .flips import Flips, flips
from .interval import FEW, Floats, Interval, bootstrap_of, rate, ratio
from .similarity import blocks, lengths, slack

Direction: TypeAlias = Literal["I2T", "T2I"]
Bools: TypeAlias = npt.NDArray[np.bool_]

DIRECTIONS: tuple[Direction, ...] = ("I2T", "T2I")
DEPTHS = (1, 5, 10)
_CRITERION = f"the whole interval must lie above zero, with {FEW} queries or more"
_NOT_FOUND = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which captions belong to which picture.

    Args:
        captions: For each picture the rows of its captions, one or more.
        texts: How many captions there are in all.
    Raises:
        InvalidInput: A picture without a caption, one beyond, or a caption without a picture.
    Example:
        >>> Pairing([[0, 1], [1]], 2).right("T2I")
        [[0], [0, 1]]
    """

    captions: Sequence[Sequence[int]]
    texts: int

    def __post_init__(self) -> None:
        named = {place for own in self.captions for place in own}
        if not all(len(own) for own in self.captions) or named != set(range(self.texts)):
            raise InvalidInput(
                "Pairing",
                f"captions from 0 to {self.texts - 1}, each with a picture, and each picture's own",
                "others, or none for some",
                "Leave out what belongs to nothing.",
            )

    def right(self, direction: Direction) -> list[list[int]]:
        """For each query of a direction the stored rows that are right."""
        if direction == "I2T":
            return [sorted(own) for own in self.captions]
        back: list[list[int]] = [[] for _ in range(self.texts)]
        for picture, own in enumerate(self.captions):
            for place in own:
                back[place].append(picture)
        return back


def ranks(asking: Vectors, stored: Vectors, right: Sequence[Sequence[int]]) -> IntArray:
    """(q,) rank from 1 of the best right row of each query.

    Args:
        asking: (q, d) queries.
        stored: (n, d) rows of the same space.
        right: For each query the rows that are right.
    Raises:
        WrongSpace: Queries of another space.
        InvalidInput: Another number of queries than of answers, a query without one, or one
            that is no row.
    """
    as_vectors(asking, stored.space, "ranks")
    if len(asking) != len(right):
        raise InvalidInput("ranks", f"right rows for {len(asking)} queries", str(len(right)))
    count = len(stored)
    if not all(len(own) and 0 <= min(own) <= max(own) < count for own in right):
        raise InvalidInput("ranks", f"for each query right rows from 0 to {count - 1}", "others")
    out = np.empty(len(asking), dtype=np.int64)
    metric = stored.space.metric
    mine, there = lengths(asking.array, stored.array, metric)
    for part, table in blocks(asking.array, stored.array, metric):
        for row, scores in enumerate(table, start=part.start):
            places = list(right[row])
            best = scores[places].max() + slack(mine[row], there[places], metric).max()
            out[row] = 1 + int(np.sum(scores > best))
    return out


def ranks_of(hits: Hits, right: Sequence[Sequence[str]]) -> IntArray:
    """(q,) rank of the best right hit, of lists that a gallery answered; beyond any k if none.

    Args:
        hits: Their order stands, also among ties.
        right: For each query the ids that are right.
    Raises:
        InvalidInput: Another number of queries than of answers.
    """
    if len(hits) != len(right):
        raise InvalidInput("ranks_of", f"right ids for {len(hits)} queries", str(len(right)))
    out = np.full(len(hits), _NOT_FOUND, dtype=np.int64)
    for row, wanted in enumerate(right):
        names, known = [name for name, _ in hits.row(row)], set(wanted)
        places = (place for place, name in enumerate(names, start=1) if name in known)
        out[row] = next(places, _NOT_FOUND)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What one cell finds in both directions.

    Args:
        cell: "old/old", "bridged/old", "mixed@30%".
        ranks: (q,) for each direction.
        pictures: (m,) the picture of each caption, numbers from 0; the first where a caption
            has several. None where each stands for itself.
    """

    cell: str
    ranks: Mapping[Direction, IntArray]
    pictures: IntArray | None = None

    @classmethod
    def of(
        cls,
        cell: str,
        images: Vectors,
        texts: Vectors,
        pairing: Pairing,
        stored: tuple[Vectors, Vectors] | None = None,
    ) -> Found:
        """Rank every caption for every picture, and the other way.

        Args:
            cell: Its name.
            images, texts: The queries of both directions, in the order of the pairing.
            pairing: What belongs together.
            stored: Pictures and captions of the gallery; those that ask if None.
        """
        shown, told = stored or (images, texts)
        there = ranks(images, told, pairing.right("I2T"))
        back = pairing.right("T2I")
        pictures = np.array([own[0] for own in back], dtype=np.int64)
        return cls(cell, {"I2T": there, "T2I": ranks(texts, shown, back)}, pictures)

    def hits(self, direction: Direction, k: int) -> Bools:
        """(q,) whether each query finds one of its own among the first k."""
        out: Bools = self.ranks[direction] <= k
        return out

    def recall(self, direction: Direction, k: int) -> Interval:
        """R@k with its interval."""
        return rate(self.hits(direction, k))

    @property
    def mean_recall(self) -> float:
        """mR, a rate in [0, 1]."""
        values = [np.mean(self.hits(d, k)) for d in DIRECTIONS for k in DEPTHS]
        return float(np.mean(values))

    def findings(self) -> list[Finding]:
        """Six recalls and mR, as info."""
        found = [
            Finding.of(f"{direction} R@{k}", self.cell, self.recall(direction, k))
            for direction in DIRECTIONS
            for k in DEPTHS
        ]
        count = min(len(self.ranks[direction]) for direction in DIRECTIONS)
        value = self.mean_recall
        return [*found, Finding("mR", self.cell, value, value, value, count)]


@dataclass(frozen=True, slots=True, eq=False)
class CrossTest:
    """A way to ask the old gallery against the old model's own.

    Args:
        before: `old/old`.
        after: Another cell on the same queries and the same gallery.
    Raises:
        InvalidInput: Not the same queries.
    """

    before: Found
    after: Found

    def __post_init__(self) -> None:
        counts = [[len(f.ranks[d]) for d in DIRECTIONS] for f in (self.before, self.after)]
        if counts[0] != counts[1]:
            raise InvalidInput("CrossTest", f"{counts[0]} queries in both cells", str(counts[1]))

    def gain(self, direction: Direction, k: int, seed: int = 0) -> Interval:
        """R@k after minus before, paired by query; captions of a picture are drawn together."""
        before, after = self._both(direction, k)
        rows = self._drawn_together(direction, after.astype(np.float64) - before)
        return bootstrap_of(lambda means: ratio(means[:, 0], means[:, 1]), rows, seed=seed)

    def flips(self, direction: Direction, k: int, seed: int = 0) -> Flips:
        """Queries lost and won; their shares differ by the gain."""
        return flips(*self._both(direction, k), seed=seed)

    def _both(self, direction: Direction, k: int) -> tuple[Bools, Bools]:
        return self.before.hits(direction, k), self.after.hits(direction, k)

    def compatible(self, k: int = 1, seed: int = 0) -> dict[Direction, bool]:
        """For each direction whether the whole interval of the gain lies above zero.

        Never with fewer than `FEW` queries, captions of one picture being one.
        """
        return {direction: _shown(self.gain(direction, k, seed)) for direction in DIRECTIONS}

    def upgrade_gain(
        self, reference: Found, direction: Direction, k: int, seed: int = 0
    ) -> Interval:
        """Which part of what `new/new` would gain this one does: 1 all of it, 0 nothing.

        Raises:
            InvalidInput: `new/new` is exactly as good as before.
        """
        rows = self._drawn_together(
            direction, *self._both(direction, k), reference.hits(direction, k)
        )
        return bootstrap_of(
            lambda means: ratio(means[:, 1] - means[:, 0], means[:, 2] - means[:, 0]),
            rows,
            seed=seed,
        )

    def _drawn_together(self, direction: Direction, *values: npt.NDArray[Any]) -> Floats:
        """Sums of each measurement, and the number of queries, of what is drawn together."""
        rows = np.array([*values, np.ones(len(values[0]))], dtype=np.float64)
        pictures = self.before.pictures if self.after.pictures is None else self.after.pictures
        if direction == "I2T" or pictures is None:
            return rows
        drawn: Floats = np.array([np.bincount(pictures, weights=row) for row in rows])
        return drawn[:, drawn[-1] > 0]  # a picture may share all its captions with earlier ones

    def findings(self, k: int = 1, seed: int = 0) -> list[Finding]:
        """The verdict of each direction, NFR and PFR, and what the cell finds."""
        out = self.after.findings()
        for direction in DIRECTIONS:
            gain = self.gain(direction, k, seed)
            name, cell = f"{direction} R@{k} over {self.before.cell}", self.after.cell
            found = Finding.of(name, cell, gain, note=_CRITERION)
            out.append(replace(found, verdict="pass" if _shown(gain) else "fail"))
            changed = self.flips(direction, k, seed).findings(k, cell)
            out += [_named(finding, direction) for finding in changed]
        return out


def _shown(gain: Interval) -> bool:
    return gain.low > 0.0 and gain.n >= FEW


def _named(finding: Finding, direction: Direction) -> Finding:
    return replace(finding, metric=f"{direction} {finding.metric}")
