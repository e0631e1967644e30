"""Mode "cascade" under traffic, played through: what searches have encoded has moved.

A backfill moves documents in an order, and searches come, so many for each document that it
moves. Each search has documents encoded before it answers, as a gallery does; they are kept.
A document is encoded once, whoever asks for it, so the share that moved is the share that is paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from holdfast.align.base import Aligner
from holdfast.arrays import FloatArray, IntArray
from holdfast.measure.curve import Curve
from holdfast.store.topk import best, scores
from holdfast.upgrade.priority.searched import Floats
from holdfast.upgrade.search.fuse import LEAST, PAIRS, Fusion
from holdfast.upgrade.search.mixed import CANDIDATES

from .at_once import at_once
from .judged import K
from .mixture import SHARES, World
from .order_curves import Remembered, digest
from .order_policies import order_of
from .record import Record

if TYPE_CHECKING:
    from .order import Trial

COLUMNS = CANDIDATES["cascade"]
GROWTH = 1.5  # what must have moved more before a gallery learns again
BEGUN = (SHARES[0], 1e-9, *SHARES[1:])  # at share 0 the old model, then whatever the cascade does
EARLY = 100  # searches
_ROUNDED = 1e-5  # of standardised scores of texts
AIM = 0.85
ALONE = ", none searches meanwhile"
# Order of the backfill, searches for each document that it moves, whether only the best are encoded
WAYS: Mapping[str, tuple[str, float, bool]] = {
    "cascade over random": ("random", 1.0, True),
    "cascade over gain": ("gain", 1.0, True),
    f"cascade over random{ALONE}": ("random", 0.0, True),
    f"cascade over gain{ALONE}": ("gain", 0.0, True),
    "cascade over gain, all 50 that wait": ("gain", 1.0, False),
}

Bools: TypeAlias = Any


@dataclass(frozen=True, eq=False)
class Played:
    """One play.

    Args:
        values: (s, q) nDCG@10 at `SHARES`, the last one by the new model alone.
        costs: (s - 1, q) documents that each judged query would have encoded there.
        early: Documents that each of the first searches had encoded, on average; 0 without any.
        demanded: Share of the documents that searches had encoded, in the end.
        searches: How many came.
    """

    values: FloatArray
    costs: FloatArray
    early: float
    demanded: float
    searches: int


@dataclass(eq=False)
class Play:
    """A gallery in mode "cascade", from full tables of scores.

    Args:
        world: The judged set.
        order: (n,) rows in the order in which the backfill moves them.
        weights: (q,) how often each query is asked.
        rate: Searches for each document that the backfill moves.
        seed: Of the traffic.
        near: Whether only what is told to be among the best is encoded; else all that is found.
        aligner: The map from old to new; that of the package if None.
    """

    world: World
    order: IntArray
    weights: Floats
    rate: float = 1.0
    seed: int = 0
    near: bool = True
    aligner: Aligner | None = None
    fusion: Fusion | None = None
    spent: list[int] = field(default_factory=list)  # documents encoded, by search

    def __post_init__(self) -> None:
        count = len(self.order)
        self.moved, self._at, self._learned = np.zeros(count, dtype=bool), 0, 0
        self._random = np.random.default_rng([self.seed, count])
        self._owed = 0.0
        self._tables: tuple[FloatArray, FloatArray, FloatArray] | None = None

    def run(self) -> Played:
        """From nothing to everything."""
        values, costs = [], []
        for share in SHARES[:-1]:
            self._until(round(share * len(self.order)))
            top, fresh = self.answers(np.arange(len(self.weights)))
            values.append(self.world.judged.ndcg(top))
            costs.append([len(rows) for rows in fresh])
        values.append(self.world.ndcg(self.world.new))
        early = float(np.mean(self.spent[:EARLY])) if self.spent else 0.0
        part = sum(self.spent) / len(self.order)
        return Played(np.array(values), np.array(costs), early, part, len(self.spent))

    def answers(self, asked: IntArray) -> tuple[IntArray, list[IntArray]]:
        """(r, 10) rows that queries find, and the rows that each has encoded before."""
        old, new = self.world.old[asked], self.world.new[asked]
        moved, waiting = np.flatnonzero(self.moved), np.flatnonzero(~self.moved)
        found = [
            rows[best(table[:, rows], COLUMNS)[0]] if len(rows) else np.empty((len(asked), 0), int)
            for table, rows in ((new, moved), (old, waiting))
        ]
        both = np.concatenate(found, axis=1)
        fresh = np.arange(both.shape[1])[None] >= found[0].shape[1]
        fresh = np.broadcast_to(fresh, both.shape)
        ranked = np.take_along_axis(new, both, axis=1)
        if self.fusion is not None:
            told, ranked = self._told(asked, both, found[0].shape[1])
            if self.near:
                kept = np.zeros(both.shape, dtype=bool)
                first = np.argsort(-told, axis=1, kind="stable")[:, :COLUMNS]
                np.put_along_axis(kept, first, True, axis=1)
                ranked = np.where(kept | ~fresh, ranked, -np.inf)
                fresh = fresh & kept
        places = np.argsort(-ranked, axis=1, kind="stable")[:, :K]
        top = np.take_along_axis(both, places, axis=1)
        return top, [rows[own] for rows, own in zip(both, fresh, strict=True)]

    def _told(self, asked: IntArray, both: IntArray, split: int) -> tuple[Floats, Floats]:
        """What decides who is encoded, and what ranks when all are."""
        if self.fusion is None or self._tables is None:
            raise RuntimeError("nothing was learned")
        old, new, predicted = (table[asked[:, None], both] for table in self._tables)
        moves, waits = np.s_[:, :split], np.s_[:, split:]
        rule = self.fusion.rule.crowded(old[moves], old[waits], _ROUNDED)
        for _ in range(2):
            first = rule.moved(new[moves], old[moves]), rule.waiting(predicted[waits], old[waits])
            rule = rule.pressed(*first)
        return np.concatenate(first, axis=1), rule.moved(new, old, sure=True)

    def _until(self, goal: int) -> None:
        """Until so many documents have moved."""
        while self.moved.sum() < goal:
            if not self.rate:
                self._backfill(goal - int(self.moved.sum()))
                continue
            asked = self._random.choice(len(self.weights), 1, p=self.weights / self.weights.sum())
            fresh = self.answers(asked)[1][0]
            self.moved[fresh] = True
            self.spent.append(len(fresh))
            self._learn()
            self._owed += 1.0 / self.rate
            room = max(0, goal - int(self.moved.sum()))
            due = min(int(self._owed), room)
            self._owed -= int(self._owed)
            self._backfill(due)

    def _backfill(self, count: int) -> None:
        while count > 0 and self._at < len(self.order):
            row = self.order[self._at]
            self._at += 1
            count -= not self.moved[row]
            self.moved[row] = True
        self._learn()

    def _learn(self) -> None:
        """As `Mixed` does: from what the backfill moved, then from what searches had encoded."""
        grown = int(self.moved.sum())
        if self._learned >= PAIRS or grown < max(LEAST, GROWTH * self._learned):
            return
        done = self.order[: min(self._at, PAIRS)]
        rest = np.setdiff1d(np.flatnonzero(self.moved), done)
        known = np.concatenate([done, rest])[:PAIRS]
        judged = self.world.judged
        pairs = judged.old_docs.take(known), judged.new_docs.take(known)
        self.fusion, self._learned = Fusion(*pairs, aligner=self.aligner), grown
        scales = self.fusion.scales(judged.old_queries, judged.new_queries)
        guess = self.fusion.predict(judged.old_docs.array)
        table = scores(judged.new_queries.array, guess.array, guess.space.metric)
        old, new, predicted = (
            ((scored - mean) / spread).astype(np.float32)
            for scored, (mean, spread) in (
                (self.world.old, scales.old),
                (self.world.new, scales.new),
                (table, scales.predicted),
            )
        )
        self._tables = old, new, predicted


def begun(world: World, values: FloatArray, weights: Floats | None) -> Curve:
    """The curve of a play: its gain counts from the old model, which it leaves at once."""
    table = np.concatenate([world.ndcg(world.old)[None], values])
    return Curve.of("nDCG@10", BEGUN, table, weights=weights)


class Plays:
    """Plays, kept in a folder."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._aligner = Remembered(single=True)

    def __call__(self, trial: Trial, way: str) -> Played:
        """A draw of traffic, served in one of `WAYS`."""
        policy, rate, near = WAYS[way]
        order = order_of(policy, trial.past)
        told = np.array([rate, near, trial.past.seed])
        key = digest(order, told, trial.weights, trial.world.judged.new_queries.array)
        path = self._folder and self._folder / f"play-{key}.npz"
        if path and path.exists():
            with np.load(path) as kept:
                return Played(**{name: _plain(kept[name]) for name in kept})
        play = Play(trial.world, order, trial.weights, rate, trial.past.seed, near, self._aligner)
        got = play.run()
        if path:
            with at_once(path) as partial:
                np.savez(partial, **asdict(got))
        return got


def _plain(array: Any) -> Any:
    return array if array.ndim else array.item()


def cascades(record: Record, name: str, trials: Sequence[Sequence[Trial]], plays: Plays) -> None:
    """The rows and the curves of one set, averaged over the seeds."""
    lines = [f"nDCG@10 by share moved, {name}, traffic, `cascade` (at share 0 too):", ""]
    lines += ["| way | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |"]
    lines += ["|---" * (len(SHARES) + 1) + "|"]
    for way in WAYS:
        got = [(plays(trial, way), trial) for (trial,) in trials]
        weights = sum(trial.weights for _, trial in got)
        values = sum(played.values * trial.weights for played, trial in got) / weights
        curve = begun(got[0][1].world, values, weights)
        cell, gain = f"{name}, {way}", curve.gain
        if gain is not None:
            aim = f">= {AIM}" if WAYS[way][2] else ""
            ends = {"low": gain.low, "high": gain.high}
            record.add("traffic: area gain", cell, gain.value, **ends, target=aim)
        costs = np.mean([p.costs @ (t.weights / t.weights.sum()) for p, t in got], axis=0)
        for share in (0, 1, 5, 9):
            told = f"documents encoded a search, at share {SHARES[share]:.0%}"
            record.add(told, cell, costs[share])
        if WAYS[way][1]:
            told = f"documents encoded a search, the first {EARLY} searches"
            record.add(told, cell, _mean([p.early for p, _ in got]))
            demanded = [p.demanded for p, _ in got]
            record.add("share of the documents that searches had encoded", cell, _mean(demanded))
            record.add("searches until all had moved", cell, _mean([p.searches for p, _ in got]))
        shown = " | ".join(f"{value:.3f}" for value in curve.values[1:])
        lines.append(f"| {way} | {shown} |")
    record.notes.append("\n".join(lines))


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
