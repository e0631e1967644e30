"""What held-out pairs say about a map, beside the naive ways to answer the same question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import FloatArray, IntArray, Vectors, unit_rows
from .moments import Float64Array
from .recall import found

MEASURES = ("cosine", "R@1", "R@10", "R@1 gallery", "R@10 gallery")
THIN = 5.0  # fewer pairs a dimension than this leave a linear map badly determined

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over held-out pairs with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


Figures = Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Evidence:
    """How well a bridge did on pairs that it was not fitted on.

    "cosine" is that of a mapped row with its own target row. "R@1" and "R@10" say how often
    a mapped row that asks finds its own target row among all held-out target rows: the
    bridge on the query side. "R@1 gallery" and "R@10 gallery" say how often a target row
    that asks finds its own mapped row among all mapped rows: the bridge on the gallery side.
    The two differ: a map that shrinks serves stored rows better than asking ones. All four
    fall as `held_out` grows: compare them with the baselines beside them, not across sets.

    Args:
        pairs: All pairs, on which the bridge was fitted in the end.
        held_out: Pairs that judged, and candidates in R@1 and R@10.
        dim: Dimension of the space the bridge leads from.
        figures: An estimate for each measure.
        baselines: The same for the naive maps, see `naive`.
    """

    pairs: int
    held_out: int
    dim: int
    figures: Figures
    baselines: Mapping[str, Figures] = field(default_factory=dict)

    def __getitem__(self, measure: str) -> Estimate:
        return self.figures[measure]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.figures.items())

    @property
    def pairs_per_dimension(self) -> float:
        """Pairs for each dimension of the space the bridge leads from."""
        return self.pairs / self.dim

    @property
    def thin(self) -> bool:
        """Whether there were fewer than five pairs a dimension."""
        return self.pairs_per_dimension < THIN

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "pairs": self.pairs,
            "held_out": self.held_out,
            "dim": self.dim,
            "figures": _figures_to_json(self.figures),
            "baselines": {name: _figures_to_json(f) for name, f in self.baselines.items()},
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evidence:
        """Read what `to_json` wrote."""
        baselines = {name: _figures_from_json(f) for name, f in data["baselines"].items()}
        return cls(
            int(data["pairs"]),
            int(data["held_out"]),
            int(data["dim"]),
            _figures_from_json(data["figures"]),
            baselines,
        )


def _figures_to_json(figures: Figures) -> dict[str, list[float]]:
    return {name: [e.value, e.low, e.high] for name, e in figures.items()}


def _figures_from_json(data: Mapping[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate(*map(float, numbers)) for name, numbers in data.items()}


def measure(mapped: FloatArray, truth: Vectors) -> Float64Array:
    """(m, 5) the measures of each held-out pair, in the order of `MEASURES`.

    Args:
        mapped: (m, d_target) rows as the map answers them.
        truth: (m, d_target) their own targets.
    """
    metric = truth.space.metric
    rows = unit_rows(mapped) if metric == "cosine" else mapped
    cosine = np.einsum("ij,ij->i", unit_rows(mapped), unit_rows(truth.array))
    own = list(np.arange(len(rows))[:, None])
    sides = (rows, truth.array), (truth.array, rows)
    return np.column_stack([cosine, *(found(*side, own, (1, 10), metric) for side in sides)])


def naive(X: FloatArray, Y: FloatArray, held: IntArray, rest: IntArray) -> dict[str, FloatArray]:
    """What the held-out rows map to without any fitting worth the name.

    Args:
        X: (n, d_source) rows.
        Y: (n, d_target) rows, paired.
        held: (m,) positions held out.
        rest: The other positions.
    Returns:
        (m, d_target) rows by name. "mean": each row maps to the mean of the fitted targets.
        "as is": the source's numbers, cut or padded with zeros to the target's dimension.
    """
    mean = Y[rest].mean(axis=0, dtype=np.float64).astype(np.float32)
    width = min(X.shape[1], Y.shape[1])
    as_is = np.zeros((len(held), Y.shape[1]), dtype=np.float32)
    as_is[:, :width] = X[held, :width]
    return {"mean": np.tile(mean, (len(held), 1)), "as is": as_is}


def bootstrap(rows: Float64Array, seed: int, groups: IntArray | None = None) -> list[Estimate]:
    """The mean of each column with its 95 % interval, by resampling rows.

    Args:
        rows: (m, c) measured values.
        seed: Of the resampling; the same for columns that are to be compared.
        groups: (m,) numbers from 0, none left out, where rows hang together, such as captions
            of one picture: whole groups are drawn then.
    Example:
        >>> bootstrap(np.ones((20, 1)), seed=0)
        [Estimate(value=1.0, low=1.0, high=1.0)]
    """
    rng = np.random.default_rng(seed)
    means = np.empty((_RESAMPLES, rows.shape[1]))
    sums, sizes = rows, np.ones(len(rows))
    if groups is not None:
        sizes = np.bincount(groups).astype(np.float64)
        sums = np.zeros((len(sizes), rows.shape[1]))
        np.add.at(sums, groups, rows)
    for i in range(_RESAMPLES):
        draw = rng.integers(len(sums), size=len(sums))
        counts = np.bincount(draw, minlength=len(sums))
        means[i] = counts @ sums / (counts @ sizes)
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    return [
        Estimate(float(v), float(a), float(b))
        for v, a, b in zip(rows.mean(axis=0), low, high, strict=True)
    ]


def figures(rows: Float64Array, seed: int) -> dict[str, Estimate]:
    """Estimates by measure, from what `measure` returned."""
    return dict(zip(MEASURES, bootstrap(rows, seed), strict=True))
