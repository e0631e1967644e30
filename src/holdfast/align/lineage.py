"""From the first version to the last, through the versions between, as far as stored rows lead.

Items in both the first and the last version are pairs, and a bridge fitted on them leads
directly: wherever there are enough of them nothing else is as good. Where they are few, the
way goes through the version between. Two legs fitted each for itself go wrong together: the
second never saw what the first answers, whose rows are smoother than those of the model
itself. So the second leg is fitted on the first leg's answers for the few items that the
last version has as well, beside the pairs of the version between.

Where the first and the last version share nothing, there is nothing to fit that on, and
the legs stay as they are; so they do where the first leg has no pair to spare. Targets told
by another bridge in their place were tried, and were worse.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ..arrays import IntArray, Vectors, as_vectors, check_ids
from ..errors import InvalidInput, NotEnoughPairs
from ..space import Space
from .base import Aligner
from .bridge import Bridge
from .trial import MIN_PAIRS

_FOLDS = 5  # a leg must answer for items that it was not fitted on


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """What is stored of one model version.

    Args:
        ids: n distinct ids.
        vectors: (n, d) rows.
    Raises:
        InvalidInput: Not one id for each row.
    """

    ids: Sequence[str]
    vectors: Vectors

    def __post_init__(self) -> None:
        check_ids(self.ids, f"Version of {self.space.name}", len(self.vectors))

    @property
    def space(self) -> Space:
        """Of all its rows."""
        return self.vectors.space

    def take(self, rows: IntArray) -> Version:
        """Some of its items."""
        return Version([self.ids[row] for row in rows], self.vectors.take(rows))

    def without(self, ids: Collection[str]) -> Version:
        """Its other items."""
        kept = [row for row, name in enumerate(self.ids) if name not in ids]
        return self.take(np.array(kept, dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Lineage:
    """Bridges one after the other.

    Args:
        legs: At least one; each leads on from where the one before it arrives.
    Raises:
        InvalidInput: No leg, or two that do not meet.
    """

    legs: tuple[Bridge, ...]

    def __post_init__(self) -> None:
        if not self.legs:
            raise InvalidInput("Lineage", "at least one bridge", "none")
        for leg, following in pairwise(self.legs):
            if leg.target != following.origin:
                raise InvalidInput(
                    "Lineage",
                    f"a bridge from {leg.target.name} after the {leg}",
                    f"the {following}",
                    "Name the bridges in the order in which they lead.",
                )

    @property
    def origin(self) -> Space:
        """The space it leads from."""
        return self.legs[0].origin

    @property
    def target(self) -> Space:
        """The space it leads to."""
        return self.legs[-1].target

    def transform(self, vectors: Vectors) -> Vectors:
        """Map vectors of `origin` to vectors of `target`; errors as of `Bridge.transform`."""
        for leg in self.legs:
            vectors = leg.transform(vectors)
        return vectors


def compose(versions: Sequence[Version], aligner: Aligner, seed: int = 0) -> Lineage:
    """The baseline: each leg fitted for itself, on the items of its own two versions.

    Args:
        versions: Two or more, oldest first.
        aligner: What to fit, for each leg anew.
        seed: Of the splits that measure.
    Raises:
        InvalidInput: Fewer than two versions.
        NotEnoughPairs: Two that follow each other share fewer than 50 items.
    """
    _check(versions, "compose")
    pairs = pairwise(versions)
    return Lineage(tuple(_direct(a, b, aligner, seed, "compose") for a, b in pairs))


def lead(
    versions: Sequence[Version], aligner: Aligner, enough: int | None = None, seed: int = 0
) -> Lineage:
    """The best that stored rows allow: directly, or through the versions between.

    Args:
        versions: Two or more, oldest first.
        aligner: What to fit, for each leg anew.
        enough: Shared items from which a direct bridge is fitted; five a dimension of the
            space it leads from if None, and 50 at least.
        seed: Of folds and of the splits that measure.
    Returns:
        One leg where it is direct, else one more for each version gone through. Evidence is
        that of each leg alone.
    Raises:
        InvalidInput: Fewer than two versions.
        NotEnoughPairs: Two that follow each other share fewer than 50 items.
    """
    _check(versions, "lead")
    first, between, last = versions[0], versions[-2], versions[-1]
    rows, places = _shared(first, last)
    wanted = max(MIN_PAIRS, 5 * first.space.dim if enough is None else enough)
    if len(versions) == 2 or len(rows) >= wanted:
        return Lineage((_direct(first, last, aligner, seed, "lead"),))
    before = lead(versions[:-1], aligner, enough, seed)
    answers = _answers(versions[:-1], rows, aligner, enough, seed) if len(rows) else None
    if answers is None:
        return Lineage((*before.legs, _direct(between, last, aligner, seed, "lead")))
    mine, theirs = _shared(between, last)
    other = ~np.isin(theirs, places)
    X = _stacked(answers, between.vectors.take(mine[other]))
    Y = _stacked(last.vectors.take(places), last.vectors.take(theirs[other]))
    return Lineage((*before.legs, Bridge.fit(aligner, X, Y, seed=seed)))


def _check(versions: Sequence[Version], owner: str) -> None:
    if len(versions) < 2:
        raise InvalidInput(owner, "two versions or more, oldest first", str(len(versions)))


def _shared(a: Version, b: Version) -> tuple[IntArray, IntArray]:
    """Rows of the items in both."""
    place = {name: row for row, name in enumerate(b.ids)}
    rows = [(row, place[name]) for row, name in enumerate(a.ids) if name in place]
    both = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _direct(a: Version, b: Version, aligner: Aligner, seed: int, owner: str) -> Bridge:
    rows, places = _shared(a, b)
    if len(rows) < MIN_PAIRS:
        raise NotEnoughPairs(
            owner,
            f"at least {MIN_PAIRS} items in both {a.space.name} and {b.space.name}",
            str(len(rows)),
            "Encode more items with both models, or leave this version out.",
        )
    return Bridge.fit(aligner, a.vectors.take(rows), b.vectors.take(places), seed=seed)


def _stacked(first: Vectors, second: Vectors) -> Vectors:
    return Vectors(first.space, np.concatenate([first.array, second.array]))


def _answers(
    versions: Sequence[Version], rows: IntArray, aligner: Aligner, enough: int | None, seed: int
) -> Vectors | None:
    """What the legs so far answer for rows of the first version, each by legs without its item.

    None where two versions share so few items that without a fold no leg can be fitted.
    """
    first = versions[0]
    out = np.empty((len(rows), versions[-1].space.dim), dtype=np.float32)
    order = np.random.default_rng(seed).permutation(len(rows))
    for fold in np.array_split(order, _FOLDS):
        asked = {first.ids[row] for row in rows[fold]}
        try:
            legs = lead([version.without(asked) for version in versions], aligner, enough, seed)
        except NotEnoughPairs:
            return None
        out[fold] = legs.transform(first.vectors.take(rows[fold])).array
    return as_vectors(out, versions[-1].space, "lead")
