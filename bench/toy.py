"""Which way of serving a half-moved gallery is best, in a world where all can be tried.

python -m bench.toy [--seeds 3] [--quick]

Two small models of one synthetic world, see `toy_world.py`; its queries are asked while 0 to
100 % of the gallery is in the new space, in steps of 10, in random order. Needs torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from holdfast.align.forward import FastFill, Forward
from holdfast.align.linear import Ridge
from holdfast.align.metric_compatible import Metric, MetricCompatible, ReverseQuery
from holdfast.arrays import FloatArray, unit_rows
from holdfast.measure.curve import trapezoid_weights
from holdfast.upgrade.merge import Quantile, ScoreSample

from .record import Record, arguments, say, writes
from .toy_world import DATA, Side, Sizes, World

SHARES = tuple(n / 10 for n in range(11))
SAMPLED = 512  # items scored on both sides for each query, to calibrate by
EPOCHS = 12

# Each must gain more than the one before, whatever the seed.
LADDER = ("RM", "RQT + CL", "RQT + MCL", "RQT + MCL, head")
NEVER_DOWN = ("RM + quantile", "RQT + quantile", "RQT + MCL", "RQT + MCL, head")
QUICK = Sizes(classes=40, gallery=10)


@dataclass(frozen=True)
class Serving:
    """One way to answer: what the two parts of the gallery would score.

    Args:
        old: (q, g) scores of items not moved yet.
        new: (q, g) scores of items moved.
        order: (g,) items, those to be moved first in front; None for a random order.
    """

    old: FloatArray
    new: FloatArray
    order: np.ndarray | None = None


@dataclass(frozen=True)
class Ran:
    """What one way of serving reached.

    Args:
        curve: (11,) mAP at the shares.
        lost: (11,) NFR: queries whose first hit was right in old/old and is not now.
    """

    curve: np.ndarray
    lost: np.ndarray

    def gain(self, old: float, new: float) -> float:
        """Of the area under the curve, over old/old, relative to new/new."""
        return float((trapezoid_weights(SHARES) @ self.curve - old) / (new - old))


def scores(a: FloatArray, b: FloatArray, metric: Metric) -> FloatArray:
    """(n, m) scores, higher is better."""
    if metric == "cosine":
        return unit_rows(a) @ unit_rows(b).T
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2.0 * a @ b.T
    out: FloatArray = -np.sqrt(np.maximum(squares, 0.0))
    return out


def judged(table: FloatArray, relevant: np.ndarray) -> tuple[float, np.ndarray]:
    """mAP over the whole ranking, and (q,) whether the first hit is right."""
    order = np.argsort(-table, axis=1, kind="stable")
    found = np.take_along_axis(relevant, order, axis=1)
    precision = np.cumsum(found, axis=1) / np.arange(1.0, found.shape[1] + 1.0)
    return float(((precision * found).sum(axis=1) / found.sum(axis=1)).mean()), found[:, 0]


def run(serving: Serving, world: World, first: np.ndarray, seed: int) -> Ran:
    """Ask all queries at all shares; `first` is whether old/old put a right item first."""
    count = serving.old.shape[1]
    order = serving.order
    if order is None:
        order = np.random.default_rng([seed, 7]).permutation(count)
    curve, lost = [], []
    for share in SHARES:
        moved = np.zeros(count, dtype=bool)
        moved[order[: round(share * count)]] = True
        value, now = judged(np.where(moved, serving.new, serving.old), world.relevant)
        curve.append(value)
        lost.append(float((first & ~now).mean()))
    return Ran(np.array(curve), np.array(lost))


class Ways:
    """All ways of serving one world.

    Args:
        world: The world.
        metric: How its vectors are compared.
        seed: Of the aligners.
    """

    def __init__(self, world: World, metric: Metric, seed: int) -> None:
        self.metric, self.seed = metric, seed
        if metric == "cosine":
            world = replace(world, old=world.old.unit(), new=world.new.unit())
        self.world = world
        old, new = world.old, world.new
        self.old_old = scores(old.queries, old.gallery, metric)
        self.new_new = scores(new.queries, new.gallery, metric)

    def all(self) -> Iterator[tuple[str, Callable[[], Serving]]]:
        """Name and what makes it, one by one."""
        old, new = self.world.old, self.world.new
        yield "naive swap", lambda: Serving(self._scores(new.queries, old.gallery), self.new_new)
        yield "RM", lambda: Serving(self.old_old, self.new_new)
        yield "RM + quantile", lambda: self._calibrated(old)
        yield "RQT, closed form", lambda: self._reverse(self._ridge())
        yield "RQT, closed form + quantile", lambda: self._mapped(self._ridge())
        yield "RQT", lambda: self._reverse(ReverseQuery(**self._settings))
        yield "RQT + quantile", lambda: self._mapped(ReverseQuery(**self._settings))
        yield "RQT + CL", lambda: self._compatible(negatives="own")
        yield "RQT + MCL", self._compatible
        yield "RQT + CL, head", lambda: self._compatible(negatives="own", head=True)
        yield "RQT + MCL, head", lambda: self._compatible(head=True)
        yield "RQT + MCL, no labels", lambda: self._compatible(labels=False)
        yield "RQT + MCL, head, no labels", lambda: self._compatible(head=True, labels=False)
        yield "forward, closed form", lambda: self._forward(self._ridge())
        yield "forward", lambda: self._forward(Forward(**self._settings))
        fast = FastFill(**self._settings)
        yield "FastFill, least certain first", lambda: self._forward(fast)
        labelled = FastFill(discriminate=1.0, **self._settings)
        yield "FastFill with classes, least certain first", lambda: self._forward(labelled)

    @property
    def _settings(self) -> dict[str, int]:
        return {"epochs": EPOCHS, "seed": self.seed}

    def _ridge(self) -> Ridge:
        return Ridge(criterion="cosine" if self.metric == "cosine" else "squared")

    def _scores(self, a: FloatArray, b: FloatArray) -> FloatArray:
        return scores(a, b, self.metric)

    def _reverse(self, aligner: Ridge | ReverseQuery | MetricCompatible, **more: object) -> Serving:
        old, new = self.world.old, self.world.new
        aligner.fit(new.pairs, old.pairs, **more)
        return Serving(self._scores(aligner.transform(new.queries), old.gallery), self.new_new)

    def _mapped(self, aligner: Ridge | ReverseQuery) -> Serving:
        """The reverse transform, its scores calibrated."""
        old, new = self.world.old, self.world.new
        aligner.fit(new.pairs, old.pairs)
        asked = Side(aligner.transform(new.pairs), aligner.transform(new.queries), old.gallery)
        return self._calibrated(asked)

    def _calibrated(self, asked: Side) -> Serving:
        """Old scores moved to the new scale, query by query, without labels.

        Args:
            asked: What asks the old side: pairs and queries as it takes them.
        """
        old, new = self.world.old, self.world.new
        drawn = np.random.default_rng([self.seed, 8]).permutation(len(old.pairs))
        sample, others = drawn[:SAMPLED], drawn[SAMPLED : 2 * SAMPLED]

        def both(old_rows: FloatArray, new_rows: FloatArray) -> ScoreSample:
            return ScoreSample(
                self._scores(old_rows, old.pairs[sample]), self._scores(new_rows, new.pairs[sample])
            )

        learned = Quantile().fit(both(asked.pairs[others], new.pairs[others]))
        raw = self._scores(asked.queries, old.gallery)
        return Serving(learned(raw, both(asked.queries, new.queries)), self.new_new)

    def _compatible(self, labels: bool = True, **more: object) -> Serving:
        settings = {**self._settings, **more, "metric": self.metric}
        aligner = MetricCompatible(**settings)  # type: ignore[arg-type]
        served = self._reverse(aligner, y=self.world.labels if labels else None)
        if not aligner.head:
            return served
        new = self.world.new
        queries, gallery = (aligner.head_.transform(a) for a in (new.queries, new.gallery))
        return replace(served, new=self._scores(queries, gallery))

    def _forward(self, aligner: Ridge | Forward) -> Serving:
        old, new = self.world.old, self.world.new
        aligner.fit(old.pairs, new.pairs, y=self.world.labels)
        table = self._scores(new.queries, aligner.transform(old.gallery))
        order = None
        if isinstance(aligner, FastFill):
            order = np.argsort(-aligner.uncertainty(old.gallery), kind="stable")
        return Serving(table, self.new_new, order)


@dataclass(frozen=True)
class Compared:
    """Every way of serving one world.

    Args:
        seed: The world's.
        old, new: mAP at old/old and new/new.
        ran: What each way reached.
    """

    seed: int
    old: float
    new: float
    ran: Mapping[str, Ran]

    @classmethod
    def of(cls, world: World, metric: Metric, seed: int) -> Compared:
        """Run them all."""
        ways = Ways(world, metric, seed)
        old, first = judged(ways.old_old, world.relevant)
        new, _ = judged(ways.new_new, world.relevant)
        ran = {}
        for name, make in ways.all():
            begun = time.process_time()
            ran[name] = run(make(), world, first, seed)
            say(f"seed {seed}, {metric}: {name}, {time.process_time() - begun:.1f} s")
        return cls(seed, old, new, ran)

    def gain(self, name: str) -> float:
        """Of one way."""
        return self.ran[name].gain(self.old, self.new)


def tell(record: Record, at: str, worlds: Sequence[Compared], full: bool) -> None:
    """Keep the figures of worlds that differ in their seed: the mean, and the ends.

    Args:
        record: Where to.
        at: Stands before each cell.
        worlds: At least one.
        full: Whether to keep all figures, and to ask for targets.
    """
    seeds = len(worlds)
    data = f"{DATA}; worlds of seeds {', '.join(str(world.seed) for world in worlds)}; drawn"

    def add(metric: str, cell: str, values: Sequence[float], aim: str = "") -> None:
        # What must hold for every seed is told of the worst one.
        value = {"= 0": max, ">=": min}.get(aim[:3].strip(), np.mean)(values)
        ends = {"low": float(min(values)), "high": float(max(values))} if seeds > 1 else {}
        record.add(metric, f"{at}{cell}", value, target=aim, data=data, **ends)

    add("mAP", "old/old", [world.old for world in worlds])
    add("mAP", "new/new", [world.new for world in worlds])
    for name in worlds[0].ran:
        ran = [world.ran[name] for world in worlds]
        never = "= 0" if full and name in NEVER_DOWN else ""
        add("gain", name, [world.gain(name) for world in worlds])
        add("steps down, of 10", name, [(np.diff(one.curve) < 0.0).sum() for one in ran], never)
        if full:
            add("mAP at share 0", name, [one.curve[0] for one in ran])
            add("mAP at share 1", name, [one.curve[-1] for one in ran])
            add("NFR@1, mean of shares", name, [one.lost.mean() for one in ran])
            add("NFR@1, worst share", name, [one.lost.max() for one in ran])
    for before, after in pairwise(LADDER) if full else ():
        more = [world.gain(after) - world.gain(before) for world in worlds]
        least = ">= 0" if before == LADDER[0] else ">= 0.01"
        add("more gain, worst seed", f"{after} over {before}", more, least)


NOTES = [
    (
        "Queries are asked while 0, 10, ... 100 % of the gallery is in the new space. Gain is the "
        "area under that curve of mAP (trapezoid rule) above old/old, relative to new/new above "
        "old/old: 0 keeps the old system, 0.5 is a straight line, 1 an instant switch, more is "
        "possible with a head. NFR@1 counts queries whose first hit was right in old/old and is "
        "wrong now. Items move in random order, but for FastFill."
    ),
    (
        "RM asks both models and merges their scores as they are; RQT leads the new model's query "
        "to the old space; CL and MCL add a contrast, within each system or across both; a head "
        "changes the new model as well. Forward leads the gallery to the new space instead. "
        "Without labels, neighbours in the new space take their place. A closed form is a ridge "
        "map. Quantile calibration learns from unlabelled items only."
    ),
    (
        "The old model ends in a rectifier, so its cosines are all high; in the world of 'alike "
        "scales' it does not, and in the 'Euclidean' one vectors keep their lengths: a seed each. "
        "Elsewhere values are means over the seeds, and their ends the lowest and the highest; "
        "those with a target are of the worst seed. The world is synthetic and its labels are "
        "those of the queries: read the order and the signs, not the values."
    ),
]


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sizes = QUICK if options.quick else Sizes()
    title = "ways of serving a gallery that is part old, part new, in a synthetic world"
    record = Record("toy", title, DATA, notes=NOTES, aims=not options.quick)
    seeds = range(options.seeds or (1 if options.quick else 3))
    made = [World.made(seed, sizes) for seed in seeds]
    pairs = zip(made, seeds, strict=True)
    tell(record, "", [Compared.of(world, "cosine", seed) for world, seed in pairs], full=True)
    if not options.quick:
        alike = World.made(0, sizes, positive=False)
        tell(record, "alike scales: ", [Compared.of(alike, "cosine", 0)], full=False)
        tell(record, "Euclidean: ", [Compared.of(made[0], "euclidean", 0)], full=False)
    return record.finish(writes(options))


if __name__ == "__main__":
    raise SystemExit(main())
