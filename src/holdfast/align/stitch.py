"""The stitch: straight maps between two spaces, both ways, beside each other.

What a plain least-squares map, ridge and Procrustes do on held-out pairs, from new to old
(queries led to stored vectors) and from old to new (stored vectors led forward). The two ways
differ: the better model's vectors can be led down to the weaker space, and hardly ever up.
Lead the side of the better model; never the queries of the weaker one.

Source: Pan et al. 2023 (Stitchable Neural Networks, arXiv 2302.06586), the least-squares
initialisation of a stitch between two networks. Departs from it: whole models are stitched,
their last layers, and nothing is trained afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..arrays import FloatArray, Vectors
from .evidence import THIN, Evidence, figures, measure
from .linear import Ridge
from .moments import Float64Array
from .pairs import rest_of
from .procrustes import Procrustes
from .trial import Trial


@dataclass(frozen=True, slots=True)
class Way:
    """One direction.

    Args:
        words: "new to old".
        pairs: Behind it.
        dim: Of the space it leads from.
        evidence: What held-out pairs say, by map.
    """

    words: str
    pairs: int
    dim: int
    evidence: Mapping[str, Evidence]

    @property
    def thin(self) -> bool:
        """Whether there are fewer than five pairs a dimension."""
        return self.pairs < THIN * self.dim

    def __str__(self) -> str:
        lines = [f"{self.words}, {self.pairs:,} pairs, {self.pairs / self.dim:.1f} a dimension"]
        if self.thin:
            need = int(THIN * self.dim)
            lines.append(f"  few: below {need:,} pairs plain least squares is badly determined")
        for name, found in self.evidence.items():
            told = (f"{key} {found[key].value:.3f}" for key in ("cosine", "R@1", "R@1 gallery"))
            lines.append(f"  {name:<13} {'  '.join(told)}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Stitch:
    """Both directions.

    Args:
        down: New to old: for queries.
        up: Old to new: for stored rows.
    """

    down: Way
    up: Way

    def __str__(self) -> str:
        return f"{self.down}\n{self.up}"


def stitch(old: Vectors, new: Vectors, held_out: float = 0.2, seed: int = 0) -> Stitch:
    """Fit straight maps both ways on the same pairs.

    Args:
        old: n vectors of the old space.
        new: The same items in the new one.
        held_out: Share of the pairs that judges.
        seed: Of the split.
    Raises:
        InvalidInput: As `Bridge.fit`.
    """
    return Stitch(
        _way("new to old", new, old, held_out, seed), _way("old to new", old, new, held_out, seed)
    )


def least_squares(X: FloatArray, Y: FloatArray) -> Float64Array:
    """(d_source + 1, d_target) float64 map with its bias in the last row, without a penalty.

    Args:
        X: (n, d_source) rows.
        Y: (n, d_target) rows, paired.
    """
    wide = np.column_stack([X, np.ones(len(X))]).astype(np.float64)
    solved = np.linalg.lstsq(wide, Y.astype(np.float64), rcond=None)[0]
    return solved.astype(np.float64)


def _way(words: str, X: Vectors, Y: Vectors, held_out: float, seed: int) -> Way:
    trials = {
        aligner.name: Trial.of(aligner, X, Y, held_out, seed, None)
        for aligner in (Ridge(), Procrustes())
    }
    held = next(iter(trials.values())).held
    rest = rest_of(len(X), held)
    solved = least_squares(X.array[rest], Y.array[rest])
    mapped = (X.array[held] @ solved[:-1] + solved[-1]).astype(np.float32)
    plain = figures(measure(mapped, Y.take(held)), seed)
    evidence = {"least squares": Evidence(len(X), len(held), X.space.dim, plain)}
    evidence |= {name: trial.evidence() for name, trial in trials.items()}
    return Way(words, len(X), X.space.dim, evidence)
