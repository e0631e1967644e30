"""The plainest map there is: add the difference of the two means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..arrays import FloatArray
from .base import Aligner, Promises
from .moments import Float64Array
from .pairs import one_dimension


class MeanDrift(Aligner):
    """Moves every row by the mean of the targets less the mean of the sources.

    For a new version of the same model, whose coordinates still mean the same: there the
    mean is much of what training on moves, and one row is all that must be kept. Between
    models of another origin the coordinates have nothing in common and it does nothing; the
    two spaces must have one dimension, but that one dimension proves no kinship.

    Attributes:
        mean_source_, mean_target_: (d,) float64 means.
    Source: Query Drift Compensation (arXiv 2506.00037, 2025). Departs from it: the drift is
        measured on whatever pairs are given, not on the queries of a training set, and one
        drift leads from the first version to the last instead of a sum over versions,
        which is the same number.
    See also: `Procrustes`, which turns the rows as well.
    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(20, 3))
        >>> bool(np.allclose(MeanDrift().fit(x, x + 2).transform(x), x + 2, atol=1e-6))
        True
    """

    name: ClassVar[str] = "mean_drift"
    learned: ClassVar[Mapping[str, int]] = {"mean_source_": 1, "mean_target_": 1}

    mean_source_: Float64Array
    mean_target_: Float64Array

    @property
    def promises(self) -> Promises:
        """A translation is found, and all differences are kept."""
        return Promises(recovers="translation", orthogonal=True, same_dim=True)

    def _fit(self, X: FloatArray, Y: FloatArray, y: Any) -> None:  # noqa: ARG002
        one_dimension(X, Y, "MeanDrift", "Procrustes")
        self.mean_source_ = X.mean(axis=0, dtype=np.float64)
        self.mean_target_ = Y.mean(axis=0, dtype=np.float64)

    def _map(self, X: FloatArray) -> FloatArray:
        return X + (self.mean_target_ - self.mean_source_).astype(np.float32)

    def inverse(self) -> MeanDrift:
        """The way back: the same difference, subtracted.

        Raises:
            NotFitted: Before `fit`.
        """
        self._check_fitted("inverse")
        back = MeanDrift()
        back.mean_source_, back.mean_target_ = self.mean_target_.copy(), self.mean_source_.copy()
        back.n_features_in_, back.n_features_out_ = self.n_features_out_, self.n_features_in_
        return back
