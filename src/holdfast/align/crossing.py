"""How new queries reach an old gallery of pictures or captions, chosen for each direction.

Two models for texts and pictures, an old one that made the gallery and a new one that asks. A
picture may ask for captions (I2T) and a caption for pictures (T2I); what serves one direction
well may harm the other, so each has a ladder of its own, on pairs that nothing was fitted on:

    old                     the old model's query: what serves now
    procrustes, projection  the new model's query, mapped by a bridge that was fitted on texts
    ... + slerp, adaptive   that one and the old query, joined on the sphere; two models a query

Half of the pairs judges with the share that the other half chose, and the other way round. A
rung is taken only when it finds more than what was best before, beyond doubt. So where
nothing does, the old model's own queries go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import numpy as np

from ..arrays import IntArray, Vectors, as_vectors
from ..errors import BelowStatusQuo, InvalidInput
from .base import Aligner
from .bridge import Bridge
from .evidence import Estimate, bootstrap
from .moments import Float64Array
from .procrustes import Procrustes
from .projection import Projection
from .recall import found
from .rungs import signed
from .spherical import Interpolation, Rule

Direction: TypeAlias = Literal["I2T", "T2I"]

DIRECTIONS: tuple[Direction, ...] = ("I2T", "T2I")
DEPTHS = (1, 5, 10)
JOINED: tuple[Rule, ...] = ("slerp", "adaptive")
FEWEST = 40  # pictures with captions
OLD = "old"


@dataclass(frozen=True, slots=True, eq=False)
class Support:
    """Pictures and captions that belong together, in both spaces.

    Args:
        old_images, new_images: (n, d) pictures by each model.
        old_texts, new_texts: (m, d) captions by each model.
        captions: For each picture the rows of its captions, one or more.
    Raises:
        InvalidInput: Not as many of both, a picture without a caption, or too few.
        WrongSpace: Pictures and captions of one model in two spaces.
    """

    old_images: Vectors
    old_texts: Vectors
    new_images: Vectors
    new_texts: Vectors
    captions: Sequence[Sequence[int]]

    def __post_init__(self) -> None:
        as_vectors(self.old_texts, self.old_images.space, "Support.old_texts")
        as_vectors(self.new_texts, self.new_images.space, "Support.new_texts")
        pictures = (len(self.old_images), len(self.new_images), len(self.captions))
        texts = (len(self.old_texts), len(self.new_texts))
        if len(set(pictures)) > 1 or len(set(texts)) > 1:
            got = f"{pictures} pictures and {texts} captions"
            raise InvalidInput("Support", "as many pictures and captions on both sides", got)
        places = [place for own in self.captions for place in own]
        if not all(len(own) for own in self.captions) or not min(places, default=0) >= 0:
            raise InvalidInput("Support", "a caption or more for each picture", "none for some")
        if max(places, default=-1) >= texts[0] or pictures[0] < FEWEST:
            raise InvalidInput(
                "Support",
                f"{FEWEST} pictures or more, with captions below {texts[0]}",
                f"{pictures[0]} pictures",
            )

    def halves(self, seed: int) -> tuple[IntArray, IntArray]:
        """Pictures in two halves: each is judged with what the other one chose."""
        order = np.random.default_rng(seed).permutation(len(self.captions))
        middle = len(order) // 2
        return np.sort(order[:middle]), np.sort(order[middle:])


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """The support pairs as some way into the old space answers them.

    Args:
        name: Of the way.
        images, texts: Both, in the old space.
        bridge: Leads there from the new space; None where the caller knows how.
    """

    name: str
    images: Vectors
    texts: Vectors
    bridge: Bridge | None = None

    @classmethod
    def of(cls, bridge: Bridge, support: Support) -> Candidate:
        """The new model's rows, mapped."""
        images, texts = support.new_images, support.new_texts
        return cls(bridge.aligner.name, bridge.transform(images), bridge.transform(texts), bridge)


@dataclass(frozen=True, slots=True)
class Way:
    """What was chosen for one direction.

    Args:
        name: "old", or the bridge's name, with the rule by which it is joined to the old query.
        bridge: Maps new queries; None for "old".
        join: Joins them with old ones; None where one model is enough.
    """

    name: str
    bridge: Bridge | None = None
    join: Interpolation | None = None

    def queries(self, old: Vectors | None = None, new: Vectors | None = None) -> Vectors:
        """What to ask the old gallery.

        Args:
            old: (q, d_old) queries by the old model, where the way needs them.
            new: (q, d_new) the same by the new one, where it needs those.
        Raises:
            InvalidInput: Queries that it needs are missing.
        """
        needs_old = self.bridge is None or self.join is not None
        if (needs_old and old is None) or (self.bridge is not None and new is None):
            wanted = ["old"] * needs_old + ["new"] * (self.bridge is not None)
            raise InvalidInput(f"way {self.name!r}", f"{' and '.join(wanted)} queries", "too few")
        if self.bridge is None:
            return cast("Vectors", old)
        mapped = self.bridge.transform(cast("Vectors", new))
        return mapped if self.join is None else self.join.between(cast("Vectors", old), mapped)


@dataclass(frozen=True, slots=True)
class CrossRung:
    """One way that was tried, on the pairs that judge.

    Args:
        name: Of the way.
        value: Mean of R@1, R@5 and R@10.
        over: By how much it finds more than `old`, question by question; captions of one
            picture are drawn together.
        chosen: Whether it was taken.
    """

    name: str
    value: Estimate
    over: Estimate
    chosen: bool


@dataclass(frozen=True, slots=True)
class Crossing:
    """The ways that were chosen, and all that were tried.

    Args:
        ways: One for each direction.
        tables: The rungs of each direction, in the order they were tried.
    """

    ways: Mapping[Direction, Way]
    tables: Mapping[Direction, Sequence[CrossRung]]

    def __getitem__(self, direction: Direction) -> Way:
        return self.ways[direction]

    def __str__(self) -> str:
        lines = []
        for direction, table in self.tables.items():
            lines.append(f"{direction}: mean of R@1, R@5 and R@10, and over the old model's own")
            lines += [
                f"  {rung.name:<24}{rung.value.value:.3f}  {signed(rung.over)}"
                f"{'  chosen' if rung.chosen else ''}"
                for rung in table
            ]
        return "\n".join(lines)


def crossing_ladder() -> tuple[Aligner, ...]:
    """The bridges that are tried, plainest first; both fitted on texts alone."""
    return Procrustes(center=False), Projection()


def cross(
    new_texts: Vectors,
    old_texts: Vectors,
    support: Support,
    ladder: Sequence[Aligner] | None = None,
    more: Sequence[Candidate] = (),
    alive: bool = True,
    seed: int = 0,
) -> Crossing:
    """Fit bridges on texts and choose a way for each direction on support pairs.

    Args:
        new_texts: (n, d_new) texts by the new model; no pictures needed.
        old_texts: (n, d_old) the same texts by the old one.
        support: Pairs that no bridge is fitted on.
        ladder: Unfitted aligners, plainest first; `crossing_ladder()` if None.
        more: Richer ways that were made elsewhere, such as by an adapted model.
        alive: Whether the old model can still be asked. Without it nothing is joined with its
            queries, and there is nothing to fall back to: the best bridge is taken.
        seed: Of halves and intervals.
    Raises:
        InvalidInput: As `Bridge.fit`, or an empty ladder.
        BelowStatusQuo: Without the old model every bridge finds nothing at all.
    """
    tried = crossing_ladder() if ladder is None else ladder
    bridges = [Bridge.fit(aligner, new_texts, old_texts, seed=seed) for aligner in tried]
    candidates = [*(Candidate.of(bridge, support) for bridge in bridges), *more]
    if not candidates:
        raise InvalidInput("cross", "a ladder of at least one aligner", "an empty one")
    found_ways = {d: _climb(d, support, candidates, alive, seed) for d in DIRECTIONS}
    return Crossing(
        {direction: way for direction, (way, _) in found_ways.items()},
        {direction: table for direction, (_, table) in found_ways.items()},
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Questions:
    """The questions of one half of the support pairs, in one direction."""

    asking: IntArray
    stored: Vectors
    right: Sequence[IntArray]
    pictures: IntArray  # that each question is about: questions of one are drawn together

    @classmethod
    def of(cls, direction: Direction, support: Support, pictures: IntArray) -> _Questions:
        own = [np.unique(support.captions[place]) for place in pictures]
        texts = np.unique(np.concatenate(own))
        right = [np.searchsorted(texts, places) for places in own]
        if direction == "I2T":
            return cls(pictures, support.old_texts.take(texts), right, np.arange(len(pictures)))
        back: list[list[int]] = [[] for _ in texts]
        for picture, places in enumerate(right):
            for place in places:
                back[place].append(picture)
        shown = support.old_images.take(pictures)
        answers = [np.array(found, dtype=np.int64) for found in back]
        first = np.unique([found[0] for found in back], return_inverse=True)[1]
        return cls(texts, shown, answers, first)

    def values(self, queries: Vectors) -> Float64Array:
        """(q,) mean of R@1, R@5 and R@10 of each question."""
        asked = queries.array[self.asking]
        metric = self.stored.space.metric
        answered = found(asked, self.stored.array, self.right, DEPTHS, metric)
        means: Float64Array = answered.mean(axis=1)
        return means


def _climb(
    direction: Direction,
    support: Support,
    candidates: Sequence[Candidate],
    alive: bool,
    seed: int,
) -> tuple[Way, Sequence[CrossRung]]:
    """The last rung that beat the best before it beyond doubt, and all of them."""
    halves = [_Questions.of(direction, support, half) for half in support.halves(seed)]
    everyone = _Questions.of(direction, support, np.arange(len(support.captions)))
    old = support.old_images if direction == "I2T" else support.old_texts
    ways, values = [Way(OLD)], [_judged(halves, [old, old])]
    for candidate in candidates:
        mapped = candidate.images if direction == "I2T" else candidate.texts
        ways.append(Way(candidate.name, candidate.bridge))
        values.append(_judged(halves, [mapped, mapped]))
        for rule in JOINED if alive else ():
            # Each half is judged with the share that the other one chose.
            chosen = [_joined(half, old, mapped, rule) for half in halves[::-1]]
            values.append(_judged(halves, [join.between(old, mapped) for join in chosen]))
            join = _joined(everyone, old, mapped, rule)
            ways.append(Way(f"{candidate.name} + {rule}", candidate.bridge, join))
    first, second = (half.pictures for half in halves)
    groups = np.concatenate([first, second + first.max() + 1])
    best = 0 if alive else 1
    for place in range(best + 1, len(ways)):
        if _difference(values[place], values[best], groups, seed).low > 0.0:
            best = place
    if not alive and not values[best].any():
        raise BelowStatusQuo("cross", "a bridge that finds something", "none", "Keep the old one.")
    table = tuple(
        CrossRung(
            way.name,
            bootstrap(value[:, None], seed, groups)[0],
            _difference(value, values[0], groups, seed),
            place == best,
        )
        for place, (way, value) in enumerate(zip(ways, values, strict=True))
    )
    return ways[best], table


def _judged(halves: Sequence[_Questions], queries: Sequence[Vectors]) -> Float64Array:
    """(q,) what both halves find, each among its own pictures and captions."""
    return np.concatenate([h.values(asked) for h, asked in zip(halves, queries, strict=True)])


def _joined(questions: _Questions, old: Vectors, mapped: Vectors, rule: Rule) -> Interpolation:
    asked = old.take(questions.asking), mapped.take(questions.asking)
    return Interpolation.fit(*asked, questions.stored, questions.right, rule, DEPTHS)


def _difference(values: Float64Array, over: Float64Array, groups: IntArray, seed: int) -> Estimate:
    return bootstrap((values - over)[:, None], seed, groups)[0]
