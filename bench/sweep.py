"""Sweeps over shares and seeds, and what their areas gain, for `no_regret`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bench.mixture import SHARES, Serving, World, curve
from bench.record import Record
from holdfast.arrays import FloatArray, IntArray
from holdfast.measure.curve import trapezoid_weights
from holdfast.measure.interval import (
    LEVEL,
    Floats,
    Interval,
    exact_means,
    intervals,
    resampled_means,
)

PLANNED = 0.1  # of the items, seen by the new model at plan time, for maps at share 0
GAIN, LOWEST = "area gain of nDCG@10", "lowest share - old/old, all seeds"
# What is served at share 0 too, not by the old model.
STARTS = ("cascade", "one encoder")

# name of the serving -> (seeds, shares, q) nDCG@10
Runs = dict[str, FloatArray]


@dataclass(frozen=True)
class Gain:
    """An area gain, and what it was in each draw.

    Args:
        value: (area - old) / (new - old).
        drawn: (r,) the same when queries, and seeds, are drawn again.
    """

    value: float
    drawn: Floats

    @classmethod
    def of(cls, runs: FloatArray, old: FloatArray, new: FloatArray) -> Gain:
        """From (seeds, shares, q) values at `SHARES`, and (q,) of both models."""
        areas = np.einsum("s,nsq->nq", trapezoid_weights(SHARES), runs)
        rows = np.vstack([areas, old, new])
        means = resampled_means(rows)
        seeds = len(areas)
        picked = np.random.default_rng(0).integers(seeds, size=(len(means), seeds))
        area = np.take_along_axis(means[:, :seeds], picked, axis=1).mean(axis=1)
        exact = exact_means(rows)
        value = (exact[:seeds].mean() - exact[-2]) / (exact[-1] - exact[-2])
        return cls(float(value), (area - means[:, -2]) / (means[:, -1] - means[:, -2]))

    @classmethod
    def mean(cls, gains: Sequence[Gain]) -> Gain:
        """Over sets, which are drawn each for itself."""
        return cls(
            float(np.mean([gain.value for gain in gains])),
            np.mean([gain.drawn for gain in gains], axis=0),
        )

    @property
    def interval(self) -> Interval:
        """At the usual level."""
        return intervals(np.array([self.value]), self.drawn[:, None], LEVEL, 0)[0]


def orders(count: int, seeds: int) -> list[IntArray]:
    """Random ones."""
    return [np.random.default_rng(seed).permutation(count) for seed in range(seeds)]


def sweep(
    world: World,
    servings: Mapping[str, Serving],
    seeds: int,
    shares: Sequence[float],
    start: bool | None = None,
) -> Runs:
    """All servings in turns at each share, so that what one learned serves the next.

    Args:
        start: Whether share 0 is served too; by default for `STARTS` alone.
    """
    dead = replace(world, planned=round(PLANNED * world.old.shape[1]))
    runs = {name: np.empty((seeds, len(shares), len(world.old))) for name in servings}
    for i, order in enumerate(orders(world.old.shape[1], seeds)):
        for j, share in enumerate(shares):
            for name, serving in servings.items():
                served = dead if name.startswith("one encoder") else world
                starts = name.startswith(STARTS) if start is None else start
                runs[name][i, j] = curve(served, serving, order, [share], starts)[0]
    return runs


class Table:
    """Rows of gains and lowest shares, by serving and set.

    Args:
        record: Where they go.
        worlds: The sets by name.
    """

    def __init__(self, record: Record, worlds: Mapping[str, World]) -> None:
        self.record, self.worlds = record, worlds
        self.ends = {name: (w.ndcg(w.old), w.ndcg(w.new)) for name, w in worlds.items()}

    def add(
        self,
        name: str,
        runs: Mapping[str, FloatArray],
        mean: str = "",
        each: str = "",
        lowest: str = "",
        note: str = "",
    ) -> None:
        """One serving, on all sets.

        Args:
            name: Of the serving.
            runs: (seeds, shares, q) at `SHARES`, by set.
            mean: Target of the mean gain over the sets.
            each: Target of each gain.
            lowest: Target of the lowest share.
            note: Appended to the cell.
        """
        gains = []
        for key, values in runs.items():
            old, new = self.ends[key]
            gain = Gain.of(values, old, new)
            gains.append(gain)
            self._gain(gain, f"{name}{note}, {key}", each)
            # At share 0 the old model alone serves, by definition, where nothing stands in for it.
            served = values[:, 0 if name.startswith(STARTS) else 1 : -1]
            low = float(served.mean(axis=2).min() - old.mean())
            self.record.add(LOWEST, f"{name}{note}, {key}", low, target=lowest)
        if len(gains) > 1:
            self._gain(Gain.mean(gains), f"{name}{note}, mean of the sets", mean)

    def _gain(self, gain: Gain, cell: str, target: str) -> None:
        ends = gain.interval
        self.record.add(GAIN, cell, gain.value, low=ends.low, high=ends.high, target=target)
