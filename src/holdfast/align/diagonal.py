"""One factor for each coordinate, alone or after another linear map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from ..arrays import FloatArray
from ..errors import InvalidInput
from .affine import Affine, fold
from .base import Promises
from .linear import Ridge
from .low_rank import LowRank
from .moments import Float64Array
from .orthogonal import Orthogonal
from .pairs import one_dimension
from .procrustes import Procrustes

After = Literal["nothing", "procrustes", "orthogonal", "low_rank", "ridge"]

_BLOCK = 4096
_ROUNDING = 1e-6  # of a sum of float32 products
_BEFORE: Mapping[str, type[Affine]] = {
    "procrustes": Procrustes,
    "orthogonal": Orthogonal,
    "low_rank": LowRank,
    "ridge": Ridge,
}


class Diagonal(Affine):
    """Scales each coordinate of the target by its own least-squares factor.

    After a map that turns, this lets directions of the target differ in length, at the
    cost of one number each. What is learned is one affine map, so that it costs nothing
    more to serve.

    There is no way back: a coordinate that cannot be predicted is shrunk, and undoing that
    magnifies noise.

    Args:
        after: The aligner, with its own defaults, whose answers are scaled: "procrustes",
            "orthogonal", "low_rank" or "ridge". With "nothing" the rows themselves are
            scaled, which needs spaces of one dimension and coordinates that correspond.
    Attributes:
        weight_: (d_source, d_target) float32, the scales included.
        bias_: (d_target,) float32.
        scales_: (d_target,) factors of the coordinates.
    Source: Drift-Adapter (arXiv 2509.23471, 2025), its diagonal scaling matrix. Departs from
        it: the factors are the closed form about the means, after the map is fitted, not
        trained with it by gradient descent.
    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(50, 3))
        >>> Diagonal(after="nothing").fit(x, x * [1.0, 2.0, 3.0] + 1.0).scales_.round(3).tolist()
        [1.0, 2.0, 3.0]
    """

    name: ClassVar[str] = "diagonal"
    learned: ClassVar[Mapping[str, int]] = {"weight_": 2, "bias_": 1, "scales_": 1}

    scales_: Float64Array

    def __init__(self, after: After = "procrustes") -> None:
        self.after = after

    @property
    def promises(self) -> Promises:
        """What the map before it finds is found still; there is no way back."""
        why = "a coordinate that is shrunk is magnified on the way back, noise included"
        if self.after not in _BEFORE:
            return Promises(recovers="translation", no_inverse=why, same_dim=True)
        found = _BEFORE[self.after]().promises
        tolerance = max(found.tolerance, 1e-4)
        return Promises(recovers=found.recovers, tolerance=tolerance, no_inverse=why)

    def _fit(self, X: FloatArray, Y: FloatArray, y: Any) -> None:
        if self.after == "nothing":
            one_dimension(X, Y, "Diagonal(after='nothing')", "Diagonal(after='procrustes')")
            before = None
        elif self.after in _BEFORE:
            before = _BEFORE[self.after]().fit(X, Y, y)
        else:
            choices = ", ".join(("nothing", *_BEFORE))
            raise InvalidInput("Diagonal", f"after as one of {choices}", repr(self.after))
        mean_y = Y.mean(axis=0, dtype=np.float64)
        mean_x = X.mean(axis=0, dtype=np.float64)
        weight = None if before is None else before.weight_.astype(np.float64)
        self.scales_ = _scales(X, Y, (mean_x, mean_y), weight)
        turned = np.diag(self.scales_) if weight is None else weight * self.scales_
        self.weight_, self.bias_ = fold(turned, mean_x, mean_y)


def _scales(
    X: FloatArray,
    Y: FloatArray,
    means: tuple[Float64Array, Float64Array],
    weight: Float64Array | None,
) -> Float64Array:
    """(d_target,) least-squares factors about the means."""
    products, squares = np.zeros(Y.shape[1]), np.zeros(Y.shape[1])
    spread = np.zeros(X.shape[1])
    for start in range(0, len(X), _BLOCK):
        rows, targets = (
            side[start : start + _BLOCK] - mean for side, mean in zip((X, Y), means, strict=True)
        )
        mapped = rows if weight is None else rows @ weight
        products += np.einsum("ij,ij->j", mapped, targets)
        squares += np.einsum("ij,ij->j", mapped, mapped)
        spread += np.einsum("ij,ij->j", rows, rows)
    # A coordinate without any spread says nothing about its length; and where a map adds up
    # what is left of none is rounding.
    none = 0.0 if weight is None else _ROUNDING**2 * (spread @ weight**2).max()
    told = squares > none
    scales = np.ones(Y.shape[1])
    scales[told] = products[told] / squares[told]
    return scales
