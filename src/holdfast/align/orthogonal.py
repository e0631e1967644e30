"""Between turning and stretching: least squares with a penalty on leaving the rotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..arrays import FloatArray
from ..errors import InvalidInput
from .affine import Affine, fold
from .base import Promises
from .linear import GRID, Criterion, RidgePath, search
from .moments import Centred, Float64Array, Moments
from .procrustes import nearest_rotation

STRENGTHS = (*GRID, 30.0, 100.0, 1e3, 1e4)

_HALVINGS = 60  # of the interval that holds the strength; the rest is below float64
_STRONGEST = 1e12


def deviation(weight: Float64Array) -> float:
    """How far a map is from turning only: the Frobenius norm of W^T W - I.

    The smaller of the two Gram matrices counts, since the larger can never be the identity.
    """
    tall = weight if weight.shape[0] >= weight.shape[1] else weight.T
    return float(np.linalg.norm(tall.T @ tall - np.eye(tall.shape[1])))


class Orthogonal(Affine):
    """Affine map with the least squared error plus a penalty on leaving the rotation.

    The rotation R is that of `Procrustes`, and the penalty is the squared distance of the
    map from it: W = R + (X^T X + p I)^-1 X^T (Y - X R) about the means. Without bound p gives
    the rotation, and p = 0 least squares. So what the pairs say clearly is stretched as
    they say, and what they say nothing about is turned, where `Ridge` shrinks it to nothing.

    There is no way back: on directions that are cut the map may be singular.

    Args:
        grid: Strengths of the penalty to try, relative to the mean eigenvalue of the centred
            X^T X.
        tolerance: Bound on the deviation ||W^T W - I||; the weakest penalty that keeps to it
            is taken, and no grid. Without one, held-out pairs choose.
        criterion: What judges on held-out pairs: "cosine" or "squared" error.
        held_out: Share of the pairs that judges, at most 4096 of them.
        seed: Of the split.
    Attributes:
        weight_: (d_source, d_target) float32.
        bias_: (d_target,) float32.
        penalty_: The absolute penalty of the final map.
        deviation_: ||W^T W - I|| of the final map, about 0 for a rotation.
        strengths_: (g,) the strengths tried, strongest first.
        scores_: (g,) the held-out criterion of each; NaN where the tolerance decided.
    Source: lambda-Orthogonality (arXiv 2509.16664, NeurIPS 2025). Departs from it: a closed
        form in the place of gradient descent; the penalty is on the distance from the best
        rotation, not on ||W W^T - I|| beyond a bound; a contrastive loss on labels and the
        second map, from old to new, are left out; dimensions may differ without cutting.
    See also: `Procrustes` and `Ridge`, its two ends.
    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(50, 3))
        >>> y = x * [1.0, 2.0, 3.0]
        >>> Orthogonal(tolerance=0.1).fit(x, y).deviation_ <= 0.1
        True
        >>> bool(np.allclose(Orthogonal().fit(x, y).transform(x), y, atol=1e-3))
        True
    """

    name: ClassVar[str] = "orthogonal"
    learned: ClassVar[Mapping[str, int]] = {
        "weight_": 2,
        "bias_": 1,
        "penalty_": 0,
        "deviation_": 0,
        "strengths_": 1,
        "scores_": 1,
    }

    penalty_: float
    deviation_: float
    strengths_: Float64Array
    scores_: Float64Array

    def __init__(
        self,
        grid: Sequence[float] = STRENGTHS,
        tolerance: float | None = None,
        criterion: Criterion = "cosine",
        held_out: float = 0.2,
        seed: int = 0,
    ) -> None:
        self.grid = grid
        self.tolerance = tolerance
        self.criterion = criterion
        self.held_out = held_out
        self.seed = seed

    @property
    def promises(self) -> Promises:
        """Any affine map is found; with a tolerance only a rotation; there is no way back."""
        why = "a map that stretches freely may lose directions, and undoing that magnifies noise"
        found = "affine" if self.tolerance is None else "rotation"
        return Promises(recovers=found, tolerance=1e-4, no_inverse=why)  # type: ignore[arg-type]

    def _fit(self, X: FloatArray, Y: FloatArray, y: Any) -> None:  # noqa: ARG002
        bound = self.tolerance
        if bound is not None and not (np.isfinite(bound) and bound > 0):
            raise InvalidInput("Orthogonal", "a tolerance above 0, or none", repr(bound))
        if bound is None:
            given = (self.criterion, self.held_out, self.seed, "Orthogonal", _rotation)
            found = search(X, Y, self.grid, *given)
            about = found.total.centred()
            path, strength = RidgePath.of(about, _rotation(about)), found.best
            self.strengths_, self.scores_ = found.strengths, found.scores
        else:
            about = Moments.of(X, Y).centred()
            path = RidgePath.of(about, _rotation(about))
            strength = _within(path, bound)
            self.strengths_, self.scores_ = np.array([strength]), np.array([np.nan])
        self.penalty_ = path.penalty(strength)
        weight = path.weight(self.penalty_)
        self.deviation_ = deviation(weight)
        self.weight_, self.bias_ = fold(weight, path.mean_x, path.mean_y)


def _rotation(about: Centred) -> Float64Array:
    return nearest_rotation(about.xy)[0]


def _within(path: RidgePath, bound: float) -> float:
    """A strength whose map keeps to the bound, next to a weaker one that does not."""

    def kept(strength: float) -> bool:
        return deviation(path.weight(path.penalty(strength))) <= bound

    weak, strong = np.log(min(GRID)), np.log(_STRONGEST)
    if kept(float(np.exp(weak))):
        return float(np.exp(weak))
    for _ in range(_HALVINGS):
        middle = (weak + strong) / 2
        weak, strong = (weak, middle) if kept(float(np.exp(middle))) else (middle, strong)
    return float(np.exp(strong))
