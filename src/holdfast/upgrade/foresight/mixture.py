"""Mixtures in memory: how a part-moved gallery ranks, from tables of scores.

The rules are those of `merge.py` and `fuse.py`; stores are left out, so that a plan can be
played through many times. A `Serving` takes the stage of a play, the places that moved, in
their order, and those that wait, and answers a table of scores to rank by.

The fused merge predicts the new score of what waits, the better the more has moved. Maps
fitted on parts of the sample say how what they miss shrinks with the number of pairs: by a
power of it, which is carried on beyond the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ...arrays import FloatArray, IntArray, unit_rows
from ...errors import ConfigError
from ...store.topk import scores
from ..merge import Quantile, ScoreSample, ZScore
from ..search.fuse import HALVES, LEAST, PAIRS, SAMPLE, among, fidelity
from ..search.fusion_rule import FusionRule, rounding
from ..search.nearby import EXACT, Nearby
from ..search.reference import SIZE
from .unseen import Known

_PARTS = (4, 2)  # of the sample: maps are fitted on one and judged on the others
_FOLDS = 5  # and on all but one, judged on it
_USUAL, _WEAKER, _SURE = -0.2, 0.8, 300.0  # power of the pairs, see `Learning`
_LEAST_MISSED = 0.02  # no map is carried on to perfection


@dataclass(frozen=True, slots=True)
class Learning:
    """How what a map misses, 1 - r^2 of its scores, shrinks with the pairs it is fitted on.

    Args:
        pairs: On which the maps of `Mixture` are fitted.
        missed: By them.
        power: Of the number of pairs.
    """

    pairs: int
    missed: float
    power: float

    @classmethod
    def of(cls, sizes: Sequence[int], missed: Sequence[float]) -> Learning:
        """Through what was measured with some sizes.

        The power is pulled to the usual one where few pairs measured it, and weakened: what
        no map can know does not shrink at all.
        """
        slope = float(np.polyfit(np.log(sizes), np.log(missed), 1)[0])
        trust = sizes[-1] / (sizes[-1] + _SURE)
        power = _WEAKER * (trust * slope + (1.0 - trust) * _USUAL)
        return cls(sizes[-1], missed[-1], min(power, 0.0))

    def at(self, pairs: int) -> float:
        """1 - r^2 of a map fitted on so many pairs."""
        return float(np.clip(self.missed * (pairs / self.pairs) ** self.power, _LEAST_MISSED, 1.0))


@dataclass(frozen=True, eq=False)
class Mixture:
    """What all plays share.

    Args:
        predicted: (q, n) new scores predicted from the sample, cross-fitted on it.
        asked: How maps improve, when the queries ask.
        among: The same when documents ask each other, which is what a gallery can measure.
        unheard: What the scores of bridged queries miss of the old model's, 1 - s^2; 0 where
            the old model asks.
        nearby: What old scores tell of documents that lie close together.
    """

    predicted: FloatArray
    asked: Learning
    among: Learning
    unheard: float = 0.0
    nearby: Nearby = EXACT

    @classmethod
    def of(cls, known: Known, rest: IntArray) -> Mixture:
        """Fit maps on the sample and on parts of it."""
        folds = _folds(known)
        predicted = np.empty(known.relevant.shape, dtype=np.float32)
        crossed = np.empty_like(known.new_docs.array)
        asking, metric = known.new_queries.array, known.new_docs.space.metric
        for fold in range(_FOLDS):
            here, mine = np.flatnonzero(folds[0] == fold), np.flatnonzero(folds[1] == fold)
            mapped = _map(known, np.flatnonzero(folds[0] != fold), [*known.rows[here], *rest])
            crossed[here] = mapped[: len(here)]
            columns = known.rows[here]
            predicted[:, columns] = scores(asking, crossed[here], metric)
            told = scores(asking[mine], mapped[len(here) :], metric)
            predicted[np.ix_(mine, rest)] = told
        return cls(predicted, *_learning(known, crossed), _unheard(known), _nearby(known))

    def stage(self, old: FloatArray, new: FloatArray, random: np.random.Generator) -> Stage:
        """One play: with drawn new scores, and what a map misses."""
        error = new - self.predicted
        spread = np.sqrt((error**2).mean(axis=1, keepdims=True, dtype=np.float64))
        noise = random.standard_normal(new.shape, dtype=np.float32)
        return Stage(old, new, self, error, noise * spread.astype(np.float32))


@dataclass(frozen=True, eq=False)
class Stage:
    """One play.

    Args:
        old: (q, n) scores of the old side.
        new: (q, n) scores of the new side, drawn where they are not known.
        mixture: What all plays share.
        error: (q, n) new minus predicted.
        noise: (q, n) as large as the error, and independent of it.
    """

    old: FloatArray
    new: FloatArray
    mixture: Mixture
    error: FloatArray
    noise: FloatArray

    def predicted(self, pairs: int, places: IntArray) -> FloatArray:
        """(q, p) new scores that a map fitted on so many pairs predicts for some places.

        What the larger map knows more than the sample's is a part g of its error, and
        noise such that the prediction stays one: its expectation is the true score.
        """
        known = self.mixture
        g = 1.0 - known.asked.at(pairs) / known.asked.missed
        if g < 0.0:  # a smaller map is worse: what it predicts lies nearer to the middle of all
            mean = self.error.mean(axis=1, keepdims=True)
            worse: FloatArray = known.predicted[:, places] + np.float32(g) * mean
            return worse
        blur = np.float32(np.sqrt(g * (1.0 - g)))
        told: FloatArray = known.predicted[:, places] + np.float32(g) * self.error[:, places]
        told += blur * self.noise[:, places]
        return told


Serving: TypeAlias = Callable[[Stage, IntArray, IntArray], FloatArray]


def zscore(stage: Stage, moved: IntArray, waiting: IntArray) -> FloatArray:
    """Merge "calibrated" by `ZScore`."""
    sample = _sample(stage, moved)
    return _two(stage, moved, waiting, ZScore().fit(sample)(stage.old[:, waiting], sample))


def quantile(stage: Stage, moved: IntArray, waiting: IntArray) -> FloatArray:
    """Merge "calibrated" by `Quantile`; its shape is learned from the queries themselves."""
    sample = _sample(stage, moved)
    return _two(stage, moved, waiting, Quantile().fit(sample)(stage.old[:, waiting], sample))


def compatible(stage: Stage, moved: IntArray, waiting: IntArray) -> FloatArray:
    """Raw scores compared."""
    return _two(stage, moved, waiting, stage.old[:, waiting])


def by_rank(stage: Stage, moved: IntArray, waiting: IntArray) -> FloatArray:
    """Merge by places."""
    table = np.empty_like(stage.old)
    for source, side in ((stage.new, moved), (stage.old, waiting)):
        places = np.argsort(np.argsort(-source[:, side], axis=1), axis=1)
        table[:, side] = 1.0 / (61.0 + places)
    table[:, moved] += np.float32(1e-9)  # ties go to the new side
    return table


def fused(stage: Stage, moved: IntArray, waiting: IntArray) -> FloatArray:
    """Merge "fused"."""
    if len(moved) < LEAST:
        return stage.old
    pairs, half = min(len(moved), PAIRS), max(min(len(moved), HALVES) // 2, LEAST)
    sample = moved[:SAMPLE]
    known = stage.mixture
    rule = FusionRule.of(known.among.at(half), known.unheard, len(sample), known.nearby)
    old = _standard(stage.old, stage.old[:, sample])
    new = _standard(stage.new[:, moved], stage.new[:, sample])
    told = _standard(stage.predicted(pairs, waiting), stage.predicted(half, sample))
    blur = rounding(stage.old[:, moved], stage.old[:, waiting], _spread(stage.old[:, sample]))
    rule = rule.crowded(old[:, moved], old[:, waiting], blur)
    rule = rule.pressed(rule.moved(new, old[:, moved]), rule.waiting(told, old[:, waiting]))
    table = np.empty_like(stage.old)
    table[:, moved] = rule.moved(new, old[:, moved])
    table[:, waiting] = rule.waiting(told, old[:, waiting])
    return table


SERVINGS: Mapping[str, Serving] = {
    "compatible": compatible,
    "calibrated": zscore,
    "calibrated/zscore": zscore,
    "calibrated/quantile": quantile,
    "by_rank": by_rank,
    "fused": fused,
}


def serving_of(merge: str, calibrator: str = "zscore") -> Serving:
    """How the merge of a plan answers.

    Raises:
        ConfigError: No forecast knows this merge.
    """
    found = SERVINGS.get(f"{merge}/{calibrator}") or SERVINGS.get(merge)
    if found is None:
        raise ConfigError(
            "forecast",
            f"a merge among {', '.join(sorted({n.partition('/')[0] for n in SERVINGS}))}",
            repr(merge),
            "Assess with one of these; what is measured at the ends holds for any.",
        )
    return found


def _sample(stage: Stage, moved: IntArray) -> ScoreSample:
    return ScoreSample(stage.old[:, moved[:SIZE]], stage.new[:, moved[:SIZE]])


def _two(stage: Stage, moved: IntArray, waiting: IntArray, old: FloatArray) -> FloatArray:
    table = np.empty_like(stage.new)
    table[:, moved] = stage.new[:, moved]
    table[:, waiting] = old
    return table


def _standard(table: FloatArray, sample: FloatArray) -> FloatArray:
    standard: FloatArray = (table - sample.mean(axis=1, keepdims=True)) / _spread(sample)
    return standard


def _spread(sample: FloatArray) -> FloatArray:
    spread = sample.std(axis=1, keepdims=True)
    return np.where(spread > 1e-12, spread, 1.0)


def _map(known: Known, fit: IntArray, to: Any) -> FloatArray:
    """(len(to), d_new) predicted vectors of documents, by a map fitted on a part of the sample."""
    from ...align.kernel import Kernel

    docs = known.old_docs.array
    kernel = Kernel().fit(docs[known.rows[fit]], known.new_docs.array[fit])
    mapped: FloatArray = kernel.transform(docs[to])
    return unit_rows(mapped) if known.new_docs.space.metric == "cosine" else mapped


def _folds(known: Known) -> tuple[IntArray, IntArray]:
    """(m,) folds of the sampled documents and (q,) of the queries.

    The answers of a query are in its fold: a map that was fitted on them would know the
    place where the query asks better than one fitted on a random part of the gallery does. But
    answers that would be most of the sample leave no other part, and are spread over all folds.
    """
    random = np.random.default_rng(0)
    queries = random.permutation(len(known.relevant)) % _FOLDS
    documents = random.permutation(len(known.rows)) % _FOLDS
    asked, row = np.nonzero(known.relevant[:, known.rows])
    documents[row] = queries[asked]
    fold = int(np.bincount(documents).argmax())
    most = np.flatnonzero(documents == fold)
    if len(most) > len(documents) // 2:
        documents[most] = random.permutation(len(most)) % _FOLDS
    return documents, queries


def _learning(known: Known, crossed: FloatArray) -> tuple[Learning, Learning]:
    """From maps fitted on parts of the sample and held against what they have not seen."""
    docs, count = known.new_docs.array, len(known.rows)
    turn = np.random.default_rng(1).permutation(count)
    sizes, judged = [], []
    for parts in _PARTS:
        fit, held = turn[: count // parts], turn[count // parts :]
        sizes.append(len(fit))
        judged.append((held, _map(known, fit, known.rows[held])))
    sizes.append(count - count // _FOLDS)
    judged.append((turn, crossed[turn]))
    asked = [_missed(known.new_queries.array, rows, docs[held], known) for held, rows in judged]
    among = [_missed(docs[held], rows, docs[held], known, True) for held, rows in judged]
    return Learning.of(sizes, asked), Learning.of(sizes, among)


def _unheard(known: Known) -> float:
    if known.paired:
        return 0.0
    from ...align.linear import Ridge

    # The bridge as `choose` would most often have it; only how well it does matters here.
    return 1.0 - fidelity(Ridge(), known.old_docs.take(known.rows), known.new_docs) ** 2


def _nearby(known: Known) -> Nearby:
    """Of so many of the sample as a gallery would look at."""
    rows = np.random.default_rng(2).permutation(len(known.rows))[:SAMPLE]
    sides = known.old_docs.take(known.rows[rows]), known.new_docs.take(rows)
    return Nearby.of(*among(*(scores(d.array, d.array, d.space.metric) for d in sides)))


def _missed(
    asking: FloatArray, mapped: FloatArray, truth: FloatArray, known: Known, selves: bool = False
) -> float:
    """1 - r^2 of predicted and true scores, standardised query by query."""
    tables: list[FloatArray] = []
    for rows in (mapped, truth):
        table = scores(asking, rows, known.new_docs.space.metric)
        if selves:  # nothing meets itself in a gallery
            table = table[~np.eye(len(rows), dtype=bool)].reshape(len(rows), -1)
        tables.append(_standard(table, table))
    agreement = float(np.clip((tables[0] * tables[1]).mean(), 0.0, 1.0))
    return max(1.0 - agreement**2, _LEAST_MISSED)
