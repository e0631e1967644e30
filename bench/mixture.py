"""Mixtures in memory: what a part-moved gallery answers, from the full tables of scores.

The rules are those of the package; only the stores are left out, so that a curve of eleven
shares takes seconds instead of minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from bench.judged import Judged, K
from holdfast.align.base import Aligner
from holdfast.align.kernel import Kernel
from holdfast.align.procrustes import Procrustes
from holdfast.align.spherical import Interpolation
from holdfast.arrays import FloatArray, IntArray, Vectors, unit_rows
from holdfast.store.topk import best, scores
from holdfast.upgrade.merge import Quantile, ScoreSample, ZScore
from holdfast.upgrade.search.fuse import LEAST, PAIRS, Fusion, fidelity
from holdfast.upgrade.search.fuse import SAMPLE as FUSED_SAMPLE
from holdfast.upgrade.search.fusion_rule import FusionRule

SHARES = tuple(tenth / 10 for tenth in range(11))
SAMPLE = 256
CASCADE = 50
_KEPT = 12  # of what was learned; maps are shared by all that is served at one share


@dataclass(frozen=True, eq=False)
class World:
    """A judged set with all its scores.

    Args:
        judged: The set.
        old: (q, n) scores of the old model.
        new: (q, n) scores of the new model.
        planned: Items, the first in every order, that the new model saw at plan time: maps
            are fitted on them even before they move.
        fidelity: Of the old queries, see `holdfast.upgrade.search.fuse.fidelity`.
        learned: Maps by what they were fitted on, the latest few.
    """

    judged: Judged
    old: FloatArray
    new: FloatArray
    planned: int = 0
    fidelity: float = 1.0
    learned: dict[Any, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, judged: Judged) -> World:
        """Compute the tables."""
        return cls(
            judged,
            scores(judged.old_queries.array, judged.old_docs.array, judged.old_docs.space.metric),
            scores(judged.new_queries.array, judged.new_docs.array, judged.new_docs.space.metric),
        )

    def ndcg(self, table: FloatArray) -> FloatArray:
        """(q,) nDCG@10 of a ranking by a (q, n) table."""
        return self.judged.ndcg(best(table, K)[0])

    def known(self, moved: IntArray, waiting: IntArray) -> IntArray:
        """Rows that both models saw."""
        missing = max(0, self.planned - len(moved))
        return np.concatenate([moved, waiting[:missing]])[:PAIRS]

    def once(self, what: Any, known: IntArray, make: Callable[[Vectors, Vectors], Any]) -> Any:
        """What `make` learns from the pairs of known rows; learned once."""
        key = (what, known.tobytes())
        if key not in self.learned:
            while len(self.learned) >= _KEPT:
                del self.learned[next(iter(self.learned))]
            old, new = self.judged.old_docs.take(known), self.judged.new_docs.take(known)
            self.learned[key] = make(old, new)
        return self.learned[key]

    def asked_by(self, queries: Vectors, told: float) -> World:
        """The same with other queries on the old side."""
        rows = self.judged.old_docs
        return replace(
            self,
            judged=replace(self.judged, old_queries=queries),
            old=scores(queries.array, rows.array, rows.space.metric),
            fidelity=told,
        )


# (world, rows that moved in their order, rows that wait) -> (q, n) scores to rank by
Serving: TypeAlias = Callable[[World, IntArray, IntArray], FloatArray]


def curve(
    world: World,
    serving: Serving,
    order: IntArray,
    shares: Sequence[float] = SHARES,
    from_start: bool = False,
) -> FloatArray:
    """(s, q) nDCG@10 at each share, when rows move in an order; share 1 by one model.

    Args:
        from_start: Whether share 0 is served as well; else it is by the old model.
    """
    values = []
    for share in shares:
        cut = round(share * len(order))
        moved, waiting = order[:cut], order[cut:]
        if len(waiting) and (len(moved) or from_start):
            values.append(world.ndcg(serving(world, moved, waiting)))
        else:
            values.append(world.ndcg(world.new if len(moved) else world.old))
    return np.array(values)


def _sides(world: World, moved: IntArray, waiting: IntArray, old: FloatArray) -> FloatArray:
    table = np.empty_like(world.new)
    table[:, moved] = world.new[:, moved]
    table[:, waiting] = old
    return table


def only(table: FloatArray, by: FloatArray, rows: IntArray, count: int) -> FloatArray:
    """A table in which of some rows only each query's best by another table can be found."""
    if len(rows) <= count:
        return table
    found = rows[best(by[:, rows], count)[0]]
    kept = np.take_along_axis(table, found, axis=1)
    table[:, rows] = -np.inf
    np.put_along_axis(table, found, kept, axis=1)
    return table


# two encoders, or whatever stands in for the old one


def raw(world: World, moved: IntArray, waiting: IntArray) -> FloatArray:
    """Distance rank merge: raw scores of the two models compared."""
    return _sides(world, moved, waiting, world.old[:, waiting])


def by_rank(world: World, moved: IntArray, waiting: IntArray) -> FloatArray:
    """Mode "by_rank"; of two items at one place, the new side's comes first."""
    table = np.full(world.new.shape, -np.inf, dtype=np.float32)
    for scored, rows, ahead in ((world.new, moved, 0.25), (world.old, waiting, 0.0)):
        found = rows[best(scored[:, rows], K)[0]]
        places = 1.0 / (61.0 - ahead + np.arange(found.shape[1], dtype=np.float32))
        np.put_along_axis(table, found, np.broadcast_to(places, found.shape), axis=1)
    return table


def zscore(world: World, moved: IntArray, waiting: IntArray) -> FloatArray:
    """Mode "calibrated" with `ZScore`."""
    known = world.known(moved, waiting)[:SAMPLE]
    sample = ScoreSample(world.old[:, known], world.new[:, known])
    return _sides(world, moved, waiting, ZScore().fit(sample)(world.old[:, waiting], sample))


def quantile(world: World, moved: IntArray, waiting: IntArray) -> FloatArray:
    """Mode "calibrated" with `Quantile`, fitted on items among each other."""
    known = moved[:SAMPLE]
    judged = world.judged
    others = ~np.eye(len(known), dtype=bool)
    own = ScoreSample(
        *(
            scores(docs.array[known], docs.array[known], docs.space.metric)[others].reshape(
                len(known), -1
            )
            for docs in (judged.old_docs, judged.new_docs)
        )
    )
    sample = ScoreSample(world.old[:, known], world.new[:, known])
    return _sides(world, moved, waiting, Quantile().fit(own)(world.old[:, waiting], sample))


def fusion_of(
    world: World,
    moved: IntArray,
    waiting: IntArray,
    aligner: Aligner | None = None,
    sample: int = FUSED_SAMPLE,
) -> Fusion | None:
    """What mode "fused" has learned; None where too little is known."""
    known = world.known(moved, waiting)
    if len(known) < LEAST:
        return None
    forward = aligner or Kernel(single=True)
    learned: Fusion = world.once(
        ("fusion", repr(forward), sample),
        known,
        lambda old, new: Fusion(old, new, aligner=forward, sample=sample),
    )
    learned = copy(learned)  # what it learned does not depend on who asks the old side
    learned.fidelity = world.fidelity
    return learned


def fused(
    world: World,
    moved: IntArray,
    waiting: IntArray,
    aligner: Aligner | None = None,
    sample: int = FUSED_SAMPLE,
    candidates: int = 0,
) -> FloatArray:
    """Mode "fused".

    Args:
        aligner: The map from old to new; that of the package if None.
        sample: Known items that standardise the scores.
        candidates: Of each side; 0 for all.
    """
    fusion = fusion_of(world, moved, waiting, aligner, sample)
    if fusion is None:
        return world.old.copy()

    def scored(rule: FusionRule) -> FloatArray:
        table = _fused(world, fusion, moved, waiting, rule)
        if candidates:
            only(table, world.old, waiting, candidates)
            only(table, world.new, moved, candidates)
        return table

    old = world.old.copy()
    if candidates:
        only(old, world.old, waiting, candidates)
        only(old, world.new, moved, candidates)
    scales = fusion.scales(world.judged.old_queries, world.judged.new_queries)
    rule = fusion.crowded(scales, old[:, moved], old[:, waiting])
    table = scored(rule)
    return scored(rule.pressed(table[:, moved], table[:, waiting]))


def _fused(
    world: World, fusion: Fusion, moved: IntArray, waiting: IntArray, rule: FusionRule
) -> FloatArray:
    judged = world.judged
    scales = fusion.scales(judged.old_queries, judged.new_queries)
    predicted = fusion.predict(judged.old_docs.array[waiting])
    guess = scores(judged.new_queries.array, predicted.array, predicted.space.metric)
    table = np.empty_like(world.new)
    table[:, moved] = fusion.moved(scales, world.old[:, moved], world.new[:, moved], rule=rule)
    table[:, waiting] = fusion.waiting(scales, world.old[:, waiting], guess, rule)
    return table


def cascade(
    world: World,
    moved: IntArray,
    waiting: IntArray,
    candidates: int = CASCADE,
    by_new: bool = False,
    near: bool = True,
) -> FloatArray:
    """Mode "cascade": the true new score of what the old side found.

    Args:
        candidates: Of each side.
        by_new: Rank by the new score alone.
        near: Of the old side's, keep those that are told to be among as many of both sides:
            fewer are encoded, the more have moved.
    """
    fusion = fusion_of(world, moved, waiting)
    table = world.new.copy()
    if fusion is not None and not by_new:
        scales = fusion.scales(world.judged.old_queries, world.judged.new_queries)
        table[:] = fusion.moved(scales, world.old, world.new, sure=True)
    only(table, world.old, waiting, candidates)
    only(table, world.new, moved, candidates)
    if fusion is not None and near:
        told = fused(world, moved, waiting, candidates=candidates)
        kept = np.zeros(told.shape, dtype=bool)
        np.put_along_axis(kept, best(told, candidates)[0], True, axis=1)
        kept[:, moved] = True
        table[~kept] = -np.inf
    return table


# one encoder


def bridged(serving: Serving, aligner: Aligner) -> Serving:
    """The same where the old model is dead: its queries come over a bridge from the new ones."""

    def served(world: World, moved: IntArray, waiting: IntArray) -> FloatArray:
        known = world.known(moved, waiting)
        queries, told = _over(world, known, aligner)
        return serving(world.asked_by(queries, told), moved, waiting)

    return served


def spherical(serving: Serving, aligner: Aligner, alpha: float = 0.5) -> Serving:
    """The same with the old side asked from between the old query and the bridged one."""

    def served(world: World, moved: IntArray, waiting: IntArray) -> FloatArray:
        queries, _ = _over(world, world.known(moved, waiting), aligner)
        joined = Interpolation(alpha).between(world.judged.old_queries, queries)
        return serving(world.asked_by(joined, 1.0), moved, waiting)

    return served


def old_alone(world: World, moved: IntArray, waiting: IntArray) -> FloatArray:  # noqa: ARG001
    """All items by their old scores."""
    return world.old.copy()


def _over(world: World, known: IntArray, aligner: Aligner) -> tuple[Vectors, float]:
    """The new queries in the old space, and their fidelity."""
    judged = world.judged

    def make(old: Vectors, new: Vectors) -> tuple[Vectors, float]:
        mapped = aligner.fit(new.array, old.array).transform(judged.new_queries.array)
        return Vectors(old.space, unit_rows(mapped)), fidelity(aligner, old, new)

    found: tuple[Vectors, float] = world.once(("bridge", repr(aligner)), known, make)
    return found


# The plain bridge finds more candidates, though a bent one scores them better.
one_encoder = bridged(partial(fused, candidates=CASCADE), Procrustes())


def gain(values: FloatArray) -> float:
    """Area gain of (s, q) values at evenly spaced shares from 0 to 1."""
    means = values.mean(axis=1)
    area = (means.sum() - (means[0] + means[-1]) / 2.0) / (len(means) - 1)
    return float((area - means[0]) / (means[-1] - means[0]))
