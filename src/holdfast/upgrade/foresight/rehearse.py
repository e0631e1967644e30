"""A sample's own ranking, forecast as if its rivals were unread: are they drawn too high?

What the sample's documents alone would answer is known. The same is forecast with the answers'
true scores and drawn ones of all others. Where the drawn rivals push answers lower than the
true ones do, those of the whole gallery are drawn lower: by what would make the sample's
forecast right, pulled to nothing where its queries differ more than that by chance.

Where that is not enough, the draws do not know these models: rivals that lie closer together than
any map tells are drawn far apart. What is still missed is told, for the intervals.

Source: the iterated bootstrap, which plays an estimate at home to learn its bias (Hall 1986).
Departs from it: one parameter is moved instead of the result, by its posterior mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ...arrays import FloatArray, IntArray
from ...store.topk import best
from .rivals import Floats
from .unseen import Unseen

# (q, k) ranked places to (q,) values of the metric.
Judge: TypeAlias = Callable[[IntArray], Floats]

REPLAYS = 20
_TRIED = 0.5
_SURE = 3.0  # standard errors that are chance
_USUAL = 0.3  # size of what was found on the benchmarks' fit parts


def rehearsed(unseen: Unseen, judge: Judge, k: int, seed: int = 0) -> tuple[float, float]:
    """By how much rivals are to be drawn lower, see `Unseen.lower`, and what is missed then.

    Args:
        unseen: What is drawn.
        judge: (q, k) ranked places to (q,) values of the metric.
        k: Places that are ranked.
        seed: Of the draws.
    Returns:
        The second is of the metric, beyond chance: 0 where the sample is forecast right.
    """
    rows = unseen.known.rows
    if not len(unseen.rest):
        return 0.0, 0.0

    def values(table: FloatArray) -> Floats:
        return judge(rows[best(table, k)[0]])

    def drawn(lower: float) -> Floats:
        seeds = ([seed, replay] for replay in range(REPLAYS))
        tables = (unseen.replay(np.random.default_rng(one), lower) for one in seeds)
        told: Floats = np.mean([values(table) for table in tables], axis=0)
        return told

    plain = drawn(0.0)
    missed = values(unseen.known.new) - plain
    gained = float((drawn(_TRIED) - plain).mean()) / _TRIED
    lower = posterior(missed, gained)
    chance = _SURE * float(missed.std()) / len(missed) ** 0.5
    return lower, max(0.0, abs(float(missed.mean()) - gained * lower) - chance)


def posterior(missed: Floats, gained: float) -> float:
    """What to lower by: a normal unknown, seen through the mean of what queries miss.

    Args:
        missed: (q,) by which replays are too low.
        gained: By the mean, for each unit of lowering.
    """
    noise = float(missed.var()) / len(missed)
    return float(gained * missed.mean() / (gained**2 + noise / _USUAL**2 + 1e-12))
