"""Shortcuts: did the new model get better, or did it learn an easier cue?

The conflict probe. For an item with label k and cue t draw A, of the same label and another
cue, and B, of another label and the same cue. The *win rate* is how often B is nearer than A.
A model that reads the label keeps it low whatever the cue does. An alarm: the rate rises
beyond doubt while the items of a label are found no worse, which is what a gate over
recall alone would have passed.

Source: Hermann et al. 2024 (arXiv 2310.16228, availability against predictivity of a cue).
Departs from it: pairs of stored items stand for the grid of latents, and the old model, not
the best linear reader, is what reliance is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...arrays import IntArray, Vectors
from ...errors import InvalidInput
from ..finding import Finding
from ..interval import FEW, LEVEL, RESAMPLES, Floats, Interval, bootstrap, paired_difference
from ..similarity import blocks
from . import CELL

ASKED = 500  # items that ask, at most
LEAST = 0.04  # a smaller rise is no alarm: trainings of one model differ by up to 0.03


@dataclass(frozen=True, slots=True)
class Shortcut:
    """How far one cue leads the two models astray.

    Args:
        column: The cue.
        old: Win rate in the old space.
        new: In the new one.
        rise: new - old, on the same items.
        recall: Change of how often the nearest other item has the same label.
    """

    column: str
    old: Interval
    new: Interval
    rise: Interval
    recall: Interval

    @property
    def alarm(self) -> bool:
        """The cue wins more often beyond doubt, and labels are not shown to suffer."""
        sure = self.rise.low > 0.0 and self.rise.value >= LEAST and self.rise.n >= FEW
        return sure and self.recall.high >= 0.0

    def finding(self) -> Finding:
        """The rise: fails where it is an alarm."""
        note = (
            f"the same {self.column} beats the same label in {self.old.value:.3f} of cases before, "
            f"{self.new.value:.3f} after; R@1 by label {self.recall.value:+.3f}"
        )
        made = Finding.of(f"shortcut by {self.column}", CELL, self.rise, note=note)
        return replace(made, verdict="fail" if self.alarm else "pass")


def shortcut(
    old: Vectors,
    new: Vectors,
    labels: IntArray,
    cue: IntArray,
    column: str,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Shortcut | None:
    """Probe both spaces with the same conflicts.

    Args:
        old: n rows of the old space.
        new: The same items in the new one.
        labels: (n,) numbers of what an item is.
        cue: (n,) numbers of what it merely comes with.
        column: What the cue is called.
        level: See `bootstrap`.
        resamples: See `bootstrap`.
        seed: Of the items that ask, and of the interval.
    Returns:
        None where fewer than 20 items have both rivals: label and cue never disagree.
    Raises:
        InvalidInput: Not as many labels or cues as rows.
    """
    sizes = {len(old), len(new), len(labels), len(cue)}
    if len(sizes) > 1:
        raise InvalidInput("shortcut", "rows, labels and cues of the same items", f"{sizes}")
    asked = np.random.default_rng(seed).permutation(_conflicted(labels, cue))[:ASKED]
    if len(asked) < FEW:
        return None
    (wins, found), (wins_new, found_new) = (
        _probe(rows, np.sort(asked), labels, cue) for rows in (old, new)
    )
    drawn = (level, resamples, seed)
    return Shortcut(
        column,
        bootstrap(wins, *drawn),
        bootstrap(wins_new, *drawn),
        paired_difference(wins, wins_new, *drawn),
        paired_difference(found, found_new, *drawn),
    )


def _conflicted(labels: IntArray, cue: IntArray) -> IntArray:
    """Places of items that have rivals of both kinds."""
    wide = int(cue.max()) + 1
    both = np.bincount(labels * wide + cue, minlength=(int(labels.max()) + 1) * wide)
    both = both.reshape(-1, wide)
    same_label, same_cue = both.sum(axis=1)[labels], both.sum(axis=0)[cue]
    cell = both[labels, cue]
    return np.flatnonzero((same_label > cell) & (same_cue > cell))


def _probe(
    rows: Vectors, asked: IntArray, labels: IntArray, cue: IntArray
) -> tuple[Floats, Floats]:
    """(q,) win rate of the cue, and whether the nearest other item has the label."""
    wins, found = np.empty(len(asked)), np.empty(len(asked))
    for part, table in blocks(rows.array[asked], rows.array, rows.space.metric):
        for at, (item, scores) in enumerate(zip(asked[part], table, strict=True), part.start):
            label, tag = labels == labels[item], cue == cue[item]
            wins[at] = win_rate(scores[~label & tag], scores[label & ~tag])
            scores[item] = -np.inf
            found[at] = label[int(np.argmax(scores))]
    return wins, found


def win_rate(first: Floats, second: Floats) -> float:
    """How often a score of `first` beats one of `second`, over all pairs; a tie is half.

    Example:
        >>> win_rate(np.array([1.0, 3.0]), np.array([2.0, 3.0]))
        0.375
    """
    ranked = np.sort(second)
    below = np.searchsorted(ranked, first, side="left")
    upto = np.searchsorted(ranked, first, side="right")
    return float((below + upto).mean() / (2.0 * len(ranked)))
