"""The best map that only rotates: it keeps lengths and angles, and its way back is free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from ..arrays import FloatArray
from .affine import Affine, fold
from .base import Promises
from .moments import Float64Array, Moments

# Sizes below this part of the largest are what rounding float32 rows leaves of zero.
_TOLD = 1e-12


def nearest_rotation(products: Float64Array) -> tuple[Float64Array, Float64Array]:
    """The semi-orthogonal matrix nearest to (d_source, d_target) products, and their sizes.

    Fewer pairs than dimensions leave directions of which they tell nothing, and any way to
    join those is as near. Of all these the one nearest to the identity is taken, not the one
    that rounding picks, which depends on the processor.
    """
    left, sizes, right = np.linalg.svd(products, full_matrices=False)
    told = int(np.count_nonzero(sizes > _TOLD * sizes[0]))
    if told == len(sizes):
        return left @ right, sizes
    # All that is left on the larger side, of which the thin form holds an arbitrary part.
    left, _, right = np.linalg.svd(products, full_matrices=True)
    rest = left[:, told:].T @ np.eye(*products.shape) @ right[told:].T
    turned, _, back = np.linalg.svd(rest, full_matrices=False)
    joined = (left[:, told:] @ turned) @ (back @ right[told:])
    return left[:, :told] @ right[:told] + joined, sizes


class Procrustes(Affine):
    """Orthogonal Procrustes between spaces of equal or different dimension.

    With M the product of the centred rows, M = U S V^T in thin form, the map is R = U V^T:
    semi-orthogonal, and among all such maps the one with the largest sum of inner products
    between mapped rows and their targets. Where d_source <= d_target that is also the
    least squared error. Where d_source > d_target directions are lost; R^T is then the
    least-squares map for the way back, and no closed form of the other problem exists.

    It has few ways to overfit, so it is the rung every other aligner must beat. Directions of
    which too few pairs tell nothing are mapped as near to the identity as the others allow.

    Args:
        center: Map the mean of the source to the mean of the target.
        scale: Also learn one factor for lengths (the least-squares one).
    Attributes:
        weight_: (d_source, d_target) float32, `scale_` times R.
        bias_: (d_target,) float32.
        mean_source_, mean_target_: float64 means, zeros without `center`.
        scale_: 1.0 without `scale`.
    Source: Schönemann 1966 (orthogonal Procrustes). Departs from it: rows are centred, the
        dimensions may differ, the one factor for lengths is optional, and what the pairs
        leave open is settled by the identity.
    See also: `Ridge`, when directions must be stretched as well as turned.
    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(20, 3))
        >>> bool(np.allclose(Procrustes().fit(x, x[:, ::-1]).transform(x), x[:, ::-1], atol=1e-6))
        True
    """

    name: ClassVar[str] = "procrustes"
    learned: ClassVar[Mapping[str, int]] = {
        "weight_": 2,
        "bias_": 1,
        "mean_source_": 1,
        "mean_target_": 1,
        "scale_": 0,
    }

    mean_source_: Float64Array
    mean_target_: Float64Array
    scale_: float

    def __init__(self, center: bool = True, scale: bool = False) -> None:
        self.center = center
        self.scale = scale

    @property
    def promises(self) -> Promises:
        """A rotation is found and kept; a translation only with `center`."""
        found: Literal["rotation", "nothing"] = "rotation" if self.center else "nothing"
        return Promises(recovers=found, tolerance=1e-5, orthogonal=True)

    def _fit(self, X: FloatArray, Y: FloatArray, y: Any) -> None:  # noqa: ARG002
        zero = None if self.center else (np.zeros(X.shape[1]), np.zeros(Y.shape[1]))
        # Lengths under the map need the Gram matrix only where it loses directions.
        gram = self.scale and X.shape[1] > Y.shape[1]
        moments = Moments.of(X, Y, shift=zero, gram=gram)
        if self.center:
            about = moments.centred()
            self.mean_source_, self.mean_target_ = about.mean_x, about.mean_y
            xx, xy, square_x = about.xx, about.xy, about.square_x
        else:
            self.mean_source_, self.mean_target_ = moments.shift
            xx, xy, square_x = moments.xx, moments.xy, moments.square_x
        rotation, sizes = nearest_rotation(xy)
        self.scale_ = 1.0
        if self.scale:
            length = square_x if xx is None else float(np.sum((xx @ rotation) * rotation))
            # Rows that are all alike say nothing about lengths.
            self.scale_ = float(sizes.sum() / length) if length > 0 and sizes.sum() > 0 else 1.0
        self.weight_, self.bias_ = fold(
            self.scale_ * rotation, self.mean_source_, self.mean_target_
        )

    def inverse(self) -> Procrustes:
        """The way back by the transpose.

        Exact where d_source <= d_target. Otherwise the directions that the map lost come
        back as those of the mean.

        Raises:
            NotFitted: Before `fit`.
        """
        self._check_fitted("inverse")
        back = Procrustes(**self.get_params())
        turned = self.weight_.T if self.scale_ == 1.0 else self.weight_.T / self.scale_**2
        back.weight_, back.bias_ = fold(turned, self.mean_target_, self.mean_source_)
        back.mean_source_, back.mean_target_ = self.mean_target_.copy(), self.mean_source_.copy()
        back.scale_ = 1.0 / self.scale_
        back.n_features_in_, back.n_features_out_ = self.n_features_out_, self.n_features_in_
        return back
