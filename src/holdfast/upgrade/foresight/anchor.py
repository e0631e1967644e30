"""What the old model tells of a forecast: both models rank the sample, and the old one all.

How well the old model ranks everything is known, and how well both rank the documents that were
read, among themselves. If everything is to the sample for the new model as it is for the old one,
in log-odds, that is a second forecast of the new model alone, which needs no draws. It is off by
other things than the draws are, so that the mean of both is nearer than either: all rivals are
drawn lower, or higher, until that is what plays show, and a mixture follows.

It holds where what is missing from the sample are rivals. Answers that were not read are missed by
a model that would find them, and by the other one not: the fewer were read, the less it counts,
and from half of them on downwards not at all.

Source: the ratio estimator of survey sampling (Cochran 1977, ch. 6), the old model's value being
the one that is known for all. Departs from it: log-odds instead of a ratio, since the metric lies
in [0, 1], and at most half of it instead of all.
"""

from __future__ import annotations

import numpy as np

from ...arrays import FloatArray
from ...store.topk import best
from .rehearse import Judge
from .rounds import Rounds
from .unseen import Known

_PLAYS = 8
_TRIED = 0.5
_MOST = 1.0  # of `Unseen.lower`, in units of the spread of what the rivals of a query share
_WEIGHT = 0.5  # where all answers were read


def anchor(rounds: Rounds, known: Known, judge: Judge, k: int, seed: int = 0) -> float:
    """Draw rivals lower, or higher, by what the old model tells; answers by how much.

    Args:
        rounds: What is drawn; changed.
        known: What is known.
        judge: (q, k) ranked places to (q,) values of the metric.
        k: Places that are ranked.
        seed: Of the plays.
    """
    weight, told = trust(known), by_ratio(known, judge, k)
    if told is None or not weight or not len(rounds.fitted[0].rest):
        return 0.0

    def played(lower: float) -> float:
        values = []
        for play in range(_PLAYS):
            random = np.random.default_rng([seed, play])
            values.append(judge(best(rounds.draw(play, random, lower), k)[0]).mean())
        return float(np.mean(values))

    plain = played(0.0)
    gained = (played(_TRIED) - plain) / _TRIED
    if not 0.0 < plain < 1.0 or gained <= 0.0:
        return 0.0
    wanted = _odds_to((1.0 - weight) * _odds(plain) + weight * _odds(told))
    lower = float(np.clip((wanted - plain) / gained, -_MOST, _MOST))
    for unseen in rounds.fitted:
        unseen.lower += lower
    return lower


def trust(known: Known) -> float:
    """The weight of what the old model tells, by how many of the answers were read."""
    read = float(known.relevant[:, known.rows].sum()) / max(float(known.relevant.sum()), 1.0)
    return _WEIGHT * max(0.0, 2.0 * read - 1.0)


def by_ratio(known: Known, judge: Judge, k: int) -> float | None:
    """The new model's mean over everything, by what the old model makes of sample and whole.

    None where a mean has no odds: nothing is found, or all is.
    """

    def among(table: FloatArray) -> float:
        return float(judge(known.rows[best(table, k)[0]]).mean())

    old = known.old
    whole, part = float(judge(best(old, k)[0]).mean()), among(old[:, known.rows])
    new = among(known.new)
    if not all(0.0 < value < 1.0 for value in (whole, part, new)):
        return None
    return _odds_to(_odds(whole) + _odds(new) - _odds(part))


def _odds(value: float) -> float:
    return float(np.log(value / (1.0 - value)))


def _odds_to(odds: float) -> float:
    return float(1.0 / (1.0 + np.exp(-odds)))
