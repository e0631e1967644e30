"""A smooth map that bends: kernel regression on some of the pairs as landmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, draws, squared_norms
from ..errors import InvalidInput
from .base import Aligner, Promises
from .moments import Float64Array

_BLOCK = 4_096  # rows mapped at once: bounds the table of similarities
_JITTER = 1e-5  # of the penalty: similarities of near landmarks are almost dependent
_ROUNDING = 1e-9  # of the mean diagonal


class Kernel(Aligner):
    """Kernel ridge regression through landmarks, with a Gaussian kernel.

    Where two models see the same things differently, no straight map leads from one to the
    other; this one bends. Forward, from an old space to a new one, it predicts much better
    than `Ridge` from about a thousand pairs on (`bench.align`). It costs
    landmarks x (d_source + d_target) products a row, and has no way back.

    The width of the kernel is not tuned: it is the mean squared distance of two rows, so
    that the map does not depend on the scale of the source.

    Args:
        landmarks: Pairs whose rows span the map, drawn at random where there are more.
        penalty: Of the coefficients; in units of the kernel, which is 1 on a row itself.
        seed: Of the draw.
        single: Map in single precision, twice as fast; the fourth digit then depends on
            which rows are mapped together.
    Attributes:
        landmarks_: (m, d_source) rows less `center_`.
        coefficients_: (m, d_target).
        bias_: (d_target,) mean of the targets.
        center_: (d_source,) mean of the rows.
        width_: Mean squared distance of two rows.
    Source: Saunders et al. 1998 (kernel ridge regression); Williams & Seeger 2001 (Nystroem).
        Departs from them: all pairs are fitted, through the landmarks only.
    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(300, 2))
        >>> bent = np.sin(x)
        >>> bool(np.abs(Kernel(penalty=1e-6).fit(x, bent).transform(x) - bent).max() < 0.05)
        True
    """

    name: ClassVar[str] = "kernel"
    learned: ClassVar[Mapping[str, int]] = {
        "landmarks_": 2,
        "coefficients_": 2,
        "bias_": 1,
        "center_": 1,
        "width_": 0,
    }
    landmarks_: FloatArray
    coefficients_: FloatArray
    bias_: FloatArray
    center_: FloatArray
    width_: float

    def __init__(
        self, landmarks: int = 2_048, penalty: float = 0.1, seed: int = 0, single: bool = False
    ) -> None:
        self.landmarks = landmarks
        self.penalty = penalty
        self.seed = seed
        self.single = single

    @property
    def promises(self) -> Promises:
        return Promises(no_inverse="what a bent map folds together cannot be told apart again")

    def _fit(self, X: FloatArray, Y: FloatArray, y: Any) -> None:  # noqa: ARG002
        if not isinstance(self.landmarks, int | np.integer) or self.landmarks < 1:
            raise InvalidInput("Kernel", "landmarks as an integer from 1", repr(self.landmarks))
        if not 0.0 <= self.penalty < np.inf:
            raise InvalidInput("Kernel", "a penalty from 0", repr(self.penalty))
        kept = X
        if len(X) > self.landmarks:
            drawn = draws(self.seed, "Kernel").permutation(len(X))[: self.landmarks]
            kept = X[np.sort(drawn)]
        self.center_ = X.mean(axis=0, dtype=np.float64).astype(np.float32)
        spread = float(squared_norms(X - self.center_).mean(dtype=np.float64))
        self.width_ = 2.0 * spread if spread > 0.0 else 1.0
        self.bias_ = Y.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.landmarks_ = kept - self.center_
        self.coefficients_ = self._solved(X, Y).astype(np.float32)

    def _solved(self, X: FloatArray, Y: FloatArray) -> Float64Array:
        """(m, d_target) coefficients, from sums over blocks of pairs."""
        # In full precision: rounding would take a penalty away where landmarks are alike.
        marks = self.landmarks_.astype(np.float64) + self.center_
        kernel = self._similarities(marks)
        moments = self.penalty * kernel
        products = np.zeros((len(kernel), Y.shape[1]))
        for start in range(0, len(X), _BLOCK):
            rows = slice(start, start + _BLOCK)
            seen = self._similarities(X[rows].astype(np.float64))
            moments += seen.T @ seen
            products += seen.T @ (Y[rows] - self.bias_)
        rounding = _ROUNDING * np.trace(moments) / len(moments)
        moments[np.diag_indices(len(moments))] += _JITTER * self.penalty + rounding
        # numpy lets other threads go on meanwhile, so that searches are answered; scipy's solvers
        # for such a matrix are twice as fast and do not.
        return np.asarray(np.linalg.solve(moments, products), dtype=np.float64)

    def _similarities(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(n, m) kernel between rows and landmarks, in the precision of the rows."""
        # Centred, since near rows far from the origin differ in no correct digit.
        rows = rows - self.center_.astype(rows.dtype, copy=False)
        marks = self.landmarks_.astype(rows.dtype, copy=False)
        table = rows @ marks.T
        table *= 2.0
        table -= squared_norms(marks)[None, :]
        table -= squared_norms(rows)[:, None]
        np.minimum(table, 0.0, out=table)
        table /= rows.dtype.type(self.width_)
        similar: npt.NDArray[Any] = np.exp(table, out=table)
        return similar

    def _map(self, X: FloatArray) -> FloatArray:
        precision = np.float32 if self.single else np.float64
        weight = self.coefficients_.astype(precision, copy=False)
        mapped = np.empty((len(X), len(self.bias_)), dtype=np.float32)
        for start in range(0, len(X), _BLOCK):
            rows = slice(start, start + _BLOCK)
            seen = self._similarities(X[rows].astype(precision, copy=False))
            mapped[rows] = seen @ weight + self.bias_
        return mapped
