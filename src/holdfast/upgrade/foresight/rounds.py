"""New scores drawn by turns from what each round of reading left known.

Most of what a forecast is off by is what its fit misses of all rivals together, and that does
not always shrink with what is read: on code search the fit after the second round is nearer
than the one after the last (`bench.forecast`). Fits of several rounds miss it by amounts of their
own. So plays take turns: every other one draws from all that is known, those between from what
was known a round or more before; whatever was read since is put at its true score in all.

Source: averaging what is fitted on growing parts of a sequence (Cesa-Bianchi, Conconi & Gentile
2004). Departs from it: plays are averaged, not predictions, half of them are of the last fit,
and what was read since is not predicted.
"""

from __future__ import annotations

import numpy as np

from ...arrays import FloatArray
from .rehearse import Judge, rehearsed
from .unseen import Known, Unseen


class Rounds:
    """Draws new scores, one play after the other.

    Args:
        known: In the end, with what was known before.
        judge: (q, k) ranked places to (q,) values of the metric.
        k: Places that are ranked.
        seed: Of the rehearsals.
    Attributes:
        fitted: On all that is known, on what was known a round earlier, and so on.
    """

    def __init__(self, known: Known, judge: Judge, k: int, seed: int = 0) -> None:
        self._rows, self._new = known.rows, known.new
        earlier = (known.before(rows) for rows in reversed(known.rounds))
        self.fitted = [Unseen(one) for one in (known, *earlier)]
        for unseen in self.fitted:
            unseen.lower, unseen.missed = rehearsed(unseen, judge, k, seed)

    def draw(self, play: int, random: np.random.Generator) -> FloatArray:
        """(q, n) new scores: true ones of all that was read, drawn ones of the rest."""
        table = self.fitted[self.turn(play)].draw(random)
        table[:, self._rows] = self._new
        return table

    def turn(self, play: int) -> int:
        """Which fit a play draws from: the first in half of the plays, the others in turn."""
        earlier = len(self.fitted) - 1
        return 1 + play // 2 % earlier if earlier and play % 2 else 0
