"""The best affine map under a penalty on its size, the penalty chosen on held-out pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ..arrays import FloatArray, squared_norms
from ..errors import InvalidInput
from .affine import Affine, fold
from .base import Promises
from .moments import Centred, Float64Array, Moments
from .pairs import held_out_rows

Criterion = Literal["cosine", "squared"]

# Penalties relative to the mean eigenvalue of the source's Gram matrix, so that one grid
# serves any number of pairs and any length of rows.
GRID = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)

_HELD_OUT_MOST = 4096  # rows that judge a penalty; more would not change the choice
_TIE = 1e-14  # of a score: closer ones differ by rounding, otherwise on each processor


@dataclass(frozen=True, slots=True, eq=False)
class RidgePath:
    """Every ridge map of one set of pairs, from one eigendecomposition.

    Args:
        mean_x, mean_y: (d_source,) and (d_target,) means.
        values: (d_source,) eigenvalues of the centred Gram matrix, none negative.
        basis: (d_source, d_source) its eigenvectors, in columns.
        coefficients: (d_source, d_target) the centred cross product in that basis, less what
            the anchor explains of it.
        anchor: (d_source, d_target) the map that a penalty without bound leads to; without
            one, the zero map. The penalty is on the distance from it.
    """

    mean_x: Float64Array
    mean_y: Float64Array
    values: Float64Array
    basis: Float64Array
    coefficients: Float64Array
    anchor: Float64Array | None = None

    @classmethod
    def of(cls, about: Centred, anchor: Float64Array | None = None) -> RidgePath:
        """Decompose once."""
        values, basis = np.linalg.eigh(about.xx)
        missed = about.xy if anchor is None else about.xy - about.xx @ anchor
        values = np.maximum(values, 0.0)
        return cls(about.mean_x, about.mean_y, values, basis, basis.T @ missed, anchor)

    def penalty(self, strength: float) -> float:
        """The absolute penalty for a strength relative to the mean eigenvalue."""
        # Without any spread in the source each penalty gives the zero map; one avoids 0 / 0.
        return strength * (float(self.values.mean()) or 1.0)

    def shrunk(self, penalty: float) -> Float64Array:
        """(d_source, d_target) the map in the basis of the eigenvectors."""
        out: Float64Array = self.coefficients / (self.values + penalty)[:, None]
        return out if self.anchor is None else out + self.basis.T @ self.anchor

    def weight(self, penalty: float) -> Float64Array:
        """(d_source, d_target) the map."""
        return self.basis @ self.shrunk(penalty)


def score(predicted: Float64Array, truth: FloatArray, criterion: Criterion) -> float:
    """Mean agreement of rows, higher is better: the cosine, or minus the squared distance.

    A row of zeros has cosine 0 with everything.
    """
    if criterion == "squared":
        return -float(squared_norms(predicted - truth).mean())
    lengths = np.sqrt(squared_norms(predicted) * squared_norms(truth.astype(np.float64)))
    products = np.einsum("ij,ij->i", predicted, truth)
    return float(np.mean(products / np.where(lengths > 0.0, lengths, 1.0)))


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """What the search for a penalty found.

    Args:
        total: Moments of all pairs.
        part: The path of the pairs that were not held out.
        held: (m,) positions held out.
        strengths: (g,) the grid, strongest first.
        scores: (g,) the held-out criterion, higher is better.
    """

    total: Moments
    part: RidgePath
    held: Any
    strengths: Float64Array
    scores: Float64Array

    @property
    def best(self) -> float:
        """The strength with the best score; the strongest of tied ones."""
        most = float(self.scores.max())
        return float(self.strengths[np.argmax(self.scores >= most - _TIE * abs(most))])


def search(
    X: FloatArray,
    Y: FloatArray,
    grid: Sequence[float],
    criterion: Criterion,
    held_out: float,
    seed: int,
    owner: str,
    anchor: Callable[[Centred], Float64Array] | None = None,
) -> Search:
    """Judge every strength of a grid on held-out pairs.

    Args:
        X: (n, d_source) rows.
        Y: (n, d_target) rows, paired.
        grid: Positive strengths.
        criterion: "cosine" or "squared".
        held_out: Share of the pairs that judges.
        seed: Of the split.
        owner: Who asks, for the message.
        anchor: From the moments of the pairs fitted on, the anchor of their path.
    Raises:
        InvalidInput: An unusable grid, criterion or share.
    """
    try:
        strengths = np.sort(np.asarray(grid, dtype=np.float64).ravel())[::-1]
    except (TypeError, ValueError):
        strengths = np.empty(0)
    if not len(strengths) or not (np.isfinite(strengths) & (strengths > 0)).all():
        raise InvalidInput(owner, "a grid of positive numbers", repr(grid))
    if criterion not in ("cosine", "squared"):
        raise InvalidInput(owner, "criterion 'cosine' or 'squared'", repr(criterion))
    held = held_out_rows(len(X), held_out, seed, _HELD_OUT_MOST, owner)
    total = Moments.of(X, Y)
    x, truth = X[held], Y[held]
    about = total.without(Moments.of(x, truth, total.shift)).centred()
    path = RidgePath.of(about, None if anchor is None else anchor(about))
    turned = (x - path.mean_x) @ path.basis
    scores = [
        score(turned @ path.shrunk(path.penalty(s)) + path.mean_y, truth, criterion)
        for s in strengths
    ]
    return Search(total, path, held, strengths, np.array(scores))


class Ridge(Affine):
    """Affine map with the least squared error plus a penalty on its squared size.

    The penalty is chosen from a grid on held-out pairs, then the map is solved again on all
    of them. The Gram matrices are summed once and all penalties share one
    eigendecomposition, so the choice costs little more than one fit.

    It stretches directions as well as turning them: closer than `Procrustes` to vectors like
    those it was fitted on, and further from others.

    There is no way back. A ridge map shrinks what it cannot predict, so its pseudo-inverse
    would blow up exactly the directions it knows least about.

    Args:
        grid: Strengths to try, relative to the mean eigenvalue of the centred X^T X. One
            alone is taken as it is.
        criterion: What judges on held-out pairs: "cosine" or "squared" error.
        held_out: Share of the pairs that judges, at most 4096 of them.
        seed: Of the split.
    Attributes:
        weight_: (d_source, d_target) float32.
        bias_: (d_target,) float32.
        penalty_: The absolute penalty of the final map: scikit-learn's `alpha`.
        strengths_: (g,) the grid, strongest first.
        scores_: (g,) the held-out criterion of each, higher is better.
    Source: Hoerl & Kennard 1970 (ridge regression). Departs from it: rows are centred and
        the bias is not penalised; the penalty comes from held-out pairs, not a ridge trace.
    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(50, 3))
        >>> ridge = Ridge().fit(x, 2 * x + 1)
        >>> ridge.transform(np.ones((1, 3))).round(3).tolist()
        [[3.0, 3.0, 3.0]]
    """

    name: ClassVar[str] = "ridge"
    learned: ClassVar[Mapping[str, int]] = {
        "weight_": 2,
        "bias_": 1,
        "penalty_": 0,
        "strengths_": 1,
        "scores_": 1,
    }

    penalty_: float
    strengths_: Float64Array
    scores_: Float64Array

    def __init__(
        self,
        grid: Sequence[float] = GRID,
        criterion: Criterion = "cosine",
        held_out: float = 0.2,
        seed: int = 0,
    ) -> None:
        self.grid = grid
        self.criterion = criterion
        self.held_out = held_out
        self.seed = seed

    @property
    def promises(self) -> Promises:
        """Any affine map is found; there is no way back."""
        why = "a ridge map shrinks what it cannot predict, and undoing that magnifies noise"
        return Promises(recovers="affine", tolerance=1e-4, no_inverse=why)

    def _fit(self, X: FloatArray, Y: FloatArray, y: Any) -> None:  # noqa: ARG002
        found = search(X, Y, self.grid, self.criterion, self.held_out, self.seed, "Ridge")
        path = RidgePath.of(found.total.centred())
        self.strengths_, self.scores_ = found.strengths, found.scores
        self.penalty_ = path.penalty(found.best)
        self.weight_, self.bias_ = fold(path.weight(self.penalty_), path.mean_x, path.mean_y)
