"""Sums over pairs, from which every linear aligner is solved: one pass over the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, squared_norms

Float64Array: TypeAlias = npt.NDArray[np.float64]

_BLOCK = 4096  # rows in float64 at once: 12 MB at 384 dimensions


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Counts, sums and products of pairs, taken about a shift; sets of pairs add up.

    Products are summed in float64. The shift, any point near the rows, keeps precision
    when the rows lie far from the origin.

    Args:
        count: Pairs.
        shift: (d_source,) and (d_target,) points that were subtracted first.
        sum_x, sum_y: (d_source,) and (d_target,) sums.
        xx, xy: (d_source, d_source) and (d_source, d_target) products; `xx` may be left out.
        square_x, square_y: Sums of squared lengths.
    """

    count: int
    shift: tuple[Float64Array, Float64Array]
    sum_x: Float64Array
    sum_y: Float64Array
    xx: Float64Array | None
    xy: Float64Array
    square_x: float
    square_y: float

    @classmethod
    def of(
        cls,
        X: FloatArray,
        Y: FloatArray,
        shift: tuple[Float64Array, Float64Array] | None = None,
        gram: bool = True,
    ) -> Moments:
        """Sum over the rows of X and Y.

        Args:
            X: (n, d_source) float32.
            Y: (n, d_target) float32, paired.
            shift: As of the moments to be combined with; without, the means.
            gram: Whether `xx` is wanted; it is a third of the work.
        """
        about = shift or (X.mean(axis=0, dtype=np.float64), Y.mean(axis=0, dtype=np.float64))
        sum_x, sum_y = np.zeros(X.shape[1]), np.zeros(Y.shape[1])
        xx = np.zeros((X.shape[1], X.shape[1])) if gram else None
        xy = np.zeros((X.shape[1], Y.shape[1]))
        square_x = square_y = 0.0
        for start in range(0, len(X), _BLOCK):
            x = X[start : start + _BLOCK] - about[0]
            y = Y[start : start + _BLOCK] - about[1]
            sum_x += x.sum(axis=0)
            sum_y += y.sum(axis=0)
            square_x += float(squared_norms(x).sum())
            square_y += float(squared_norms(y).sum())
            xy += x.T @ y
            if xx is not None:
                xx += x.T @ x
        return cls(len(X), about, sum_x, sum_y, xx, xy, square_x, square_y)

    def without(self, part: Moments) -> Moments:
        """The moments of the pairs that are not in `part`, which has the same shift."""
        gram = None if self.xx is None or part.xx is None else self.xx - part.xx
        return Moments(
            self.count - part.count,
            self.shift,
            self.sum_x - part.sum_x,
            self.sum_y - part.sum_y,
            gram,
            self.xy - part.xy,
            self.square_x - part.square_x,
            self.square_y - part.square_y,
        )

    def centred(self) -> Centred:
        """Means, and products about the means."""
        x, y, n = self.sum_x, self.sum_y, self.count
        return Centred(
            self.shift[0] + x / n,
            self.shift[1] + y / n,
            None if self.xx is None else self.xx - np.outer(x, x) / n,
            self.xy - np.outer(x, y) / n,
            max(self.square_x - float(x @ x) / n, 0.0),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Centred:
    """Products about the means.

    Args:
        mean_x, mean_y: (d_source,) and (d_target,).
        xx, xy: (d_source, d_source) and (d_source, d_target).
        square_x: Sum of squared lengths.
    """

    mean_x: Float64Array
    mean_y: Float64Array
    xx: Any
    xy: Float64Array
    square_x: float
