"""Mixtures in memory: what a part-moved gallery answers, from the full tables of scores.

The rules are those of the package; only the stores are left out, so that a curve of eleven
shares takes seconds instead of minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from bench.judged import Judged, K
from holdfast.arrays import FloatArray, IntArray
from holdfast.store.memory import best, scores
from holdfast.upgrade.fuse import LEAST, PAIRS, Fusion
from holdfast.upgrade.merge import Quantile, ScoreSample, ZScore

SHARES = tuple(tenth / 10 for tenth in range(11))
SAMPLE = 256


@dataclass(frozen=True, eq=False)
class World:
    """A judged set with all its scores.

    Args:
        judged: The set.
        old: (q, n) scores of the old model.
        new: (q, n) scores of the new model.
    """

    judged: Judged
    old: FloatArray
    new: FloatArray

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


# (world, rows that moved in their order, rows that wait) -> (q, n) scores to rank by
Serving: TypeAlias = Callable[[World, IntArray, IntArray], FloatArray]


def curve(
    world: World, serving: Serving, order: IntArray, shares: Sequence[float] = SHARES
) -> FloatArray:
    """(s, q) nDCG@10 at each share, when rows move in an order; share 0 and 1 by one model."""
    values = []
    for share in shares:
        cut = round(share * len(order))
        moved, waiting = order[:cut], order[cut:]
        if not len(moved) or not len(waiting):
            values.append(world.ndcg(world.new if len(moved) else world.old))
        else:
            values.append(world.ndcg(serving(world, moved, waiting)))
    return np.array(values)


def _sides(world: World, moved: IntArray, waiting: IntArray, old: FloatArray) -> FloatArray:
    table = np.empty_like(world.new)
    table[:, moved] = world.new[:, moved]
    table[:, waiting] = old
    return table


def raw(world: World, moved: IntArray, waiting: IntArray) -> FloatArray:
    """Distance rank merge: raw scores of the two models compared."""
    return _sides(world, moved, waiting, world.old[:, waiting])


def zscore(world: World, moved: IntArray, waiting: IntArray) -> FloatArray:
    """Mode "calibrated" with `ZScore`."""
    known = moved[:SAMPLE]
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


def fused(world: World, moved: IntArray, waiting: IntArray) -> FloatArray:
    """Mode "fused"."""
    if len(moved) < LEAST:
        return zscore(world, moved, waiting)
    judged = world.judged
    known = moved[:PAIRS]
    fusion = Fusion(judged.old_docs.take(known), judged.new_docs.take(known))
    scales = fusion.scales(judged.old_queries, judged.new_queries)
    predicted = fusion.predict(judged.old_docs.array[waiting])
    table = np.empty_like(world.new)
    table[:, moved] = fusion.moved(scales, world.old[:, moved], world.new[:, moved])
    table[:, waiting] = fusion.waiting(
        scales,
        world.old[:, waiting],
        scores(judged.new_queries.array, predicted.array, predicted.space.metric),
    )
    return table


def gain(values: FloatArray) -> float:
    """Area gain of (s, q) values at evenly spaced shares from 0 to 1."""
    means = values.mean(axis=1)
    area = (means.sum() - (means[0] + means[-1]) / 2.0) / (len(means) - 1)
    return float((area - means[0]) / (means[-1] - means[0]))
