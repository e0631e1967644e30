"""The best affine map through few directions, their number chosen on held-out pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..arrays import FloatArray, squared_norms
from ..errors import InvalidInput
from .affine import Affine, fold
from .base import Promises
from .linear import GRID, Criterion, RidgePath, Search, search
from .moments import Float64Array

_NO_SPREAD = 1e-12  # of the largest eigenvalue: what rounding leaves of zero
_TIE = 1e-9  # of a cosine, or of the spread of the targets: rounding, magnified by weak penalties


def directions(path: RidgePath, penalty: float) -> Float64Array:
    """(d_target, d_target) orthonormal columns, those a ridge map predicts most along first.

    Keeping the first r of them is the best map of rank r under the same penalty.
    """
    predicted = path.coefficients.T @ path.shrunk(penalty)
    _, basis = np.linalg.eigh((predicted + predicted.T) / 2)
    return basis[:, ::-1]


def rank_scores(
    predicted: Float64Array, mean: Float64Array, truth: Float64Array, criterion: Criterion
) -> Float64Array:
    """(d_target,) the criterion at each rank from 1, all ranks in one pass.

    Args:
        predicted: (m, d_target) mapped rows less the mean, in coordinates of `directions`.
        mean: (d_target,) mean of the targets, in the same coordinates.
        truth: (m, d_target) targets, in the same coordinates.
        criterion: "cosine" or "squared", see `linear.score`.
    """
    # Rank r keeps the first r columns of `predicted`: products and squares are running sums.
    products = np.cumsum(predicted * truth, axis=1) + (truth @ mean)[:, None]
    squares = np.cumsum(predicted * (predicted + 2.0 * mean), axis=1) + mean @ mean
    lengths = squared_norms(truth)[:, None]
    if criterion == "squared":
        return np.asarray(-(squares - 2.0 * products + lengths).mean(axis=0))
    both = np.sqrt(np.maximum(squares, 0.0) * lengths)
    return np.asarray((products / np.where(both > 0.0, both, 1.0)).mean(axis=0))


def best_rank(ranks: Any, scores: Float64Array, told: int, slack: float) -> int:
    """The fewest directions that predict as well as any.

    From `told` on all ranks give one map, of which rounding would choose; none of them leaves
    anything out, so the largest is taken: more pairs may tell of more directions.

    Args:
        ranks: (r,) rising.
        scores: (r,) the criterion of each, higher is better.
        told: Directions in which the pairs that were fitted on differ.
        slack: Scores that are closer are equal.
    Example:
        >>> ranks, scores = np.array([1, 2, 3, 4]), np.array([0.5, 0.7, 0.9, 0.9])
        >>> best_rank(ranks, scores, told=4, slack=1e-9), best_rank(ranks, scores, 3, 1e-9)
        (3, 4)
    """
    fewest = int(ranks[np.argmax(scores >= scores.max() - slack)])
    return fewest if fewest < told else int(ranks[-1])


class LowRank(Affine):
    """Affine map of limited rank: reduced-rank regression under the penalty of `Ridge`.

    The penalty is chosen first, at full rank, then the rank at that penalty; both on the same
    held-out pairs and from the same eigendecomposition. With few pairs, or where the spaces
    share few directions, fewer directions are better determined.

    Between the sentence models of `tests/golden` it keeps all directions but a few and
    serves as `Ridge` does.

    There is no way back: what was left out is lost.

    Args:
        ranks: Ranks to try; all of them if None. Those beyond both dimensions count as full.
        grid: Strengths of the penalty to try, see `Ridge`.
        criterion: What judges on held-out pairs: "cosine" or "squared" error.
        held_out: Share of the pairs that judges, at most 4096 of them.
        seed: Of the split.
    Attributes:
        weight_: (d_source, d_target) float32 of rank `rank_`.
        bias_: (d_target,) float32.
        rank_: The rank of the final map.
        penalty_: The absolute penalty of the final map.
        ranks_: (r,) ranks tried, rising.
        scores_: (r,) the held-out criterion of each, higher is better.
    Source: Izenman 1975 (reduced-rank regression), Mukherjee & Zhu 2011 (with a ridge
        penalty). Departs from them: penalty and rank are chosen one after the other, on one
        held-out part instead of cross-validation.
    See also: `Ridge`, the same at full rank.
    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(60, 4))
        >>> LowRank().fit(x, x[:, :1] * np.ones(3)).rank_
        1
    """

    name: ClassVar[str] = "low_rank"
    learned: ClassVar[Mapping[str, int]] = {
        "weight_": 2,
        "bias_": 1,
        "rank_": 0,
        "penalty_": 0,
        "ranks_": 1,
        "scores_": 1,
    }

    rank_: int
    penalty_: float
    ranks_: Any
    scores_: Float64Array

    def __init__(
        self,
        ranks: Sequence[int] | None = None,
        grid: Sequence[float] = GRID,
        criterion: Criterion = "cosine",
        held_out: float = 0.2,
        seed: int = 0,
    ) -> None:
        self.ranks = ranks
        self.grid = grid
        self.criterion = criterion
        self.held_out = held_out
        self.seed = seed

    @property
    def promises(self) -> Promises:
        """Any affine map is found, unless `ranks` forbids its rank; there is no way back."""
        why = "a map of limited rank leaves directions out, and they are lost"
        found = Promises(recovers="affine", tolerance=1e-4, no_inverse=why)
        return found if self.ranks is None else Promises(no_inverse=why)

    def _fit(self, X: FloatArray, Y: FloatArray, y: Any) -> None:  # noqa: ARG002
        ranks = self._candidates(min(X.shape[1], Y.shape[1]))
        found = search(X, Y, self.grid, self.criterion, self.held_out, self.seed, "LowRank")
        scores = self._judge(found, X, Y)[ranks - 1]
        self.ranks_, self.scores_ = ranks, scores
        told = int(np.count_nonzero(found.part.values > _NO_SPREAD * found.part.values[-1]))
        off = Y[found.held] - found.part.mean_y
        size = 1.0 if self.criterion == "cosine" else float(squared_norms(off).mean())
        self.rank_ = best_rank(ranks, scores, told, _TIE * size)
        path = RidgePath.of(found.total.centred())
        self.penalty_ = path.penalty(found.best)
        kept = directions(path, self.penalty_)[:, : self.rank_]
        weight = (path.weight(self.penalty_) @ kept) @ kept.T
        self.weight_, self.bias_ = fold(weight, path.mean_x, path.mean_y)

    def _judge(self, found: Search, X: FloatArray, Y: FloatArray) -> Float64Array:
        path, penalty = found.part, found.part.penalty(found.best)
        basis = directions(path, penalty)
        turned = (X[found.held] - path.mean_x) @ path.basis
        predicted = turned @ (path.shrunk(penalty) @ basis)
        return rank_scores(predicted, path.mean_y @ basis, Y[found.held] @ basis, self.criterion)

    def _candidates(self, full: int) -> Any:
        if self.ranks is None:
            return np.arange(1, full + 1)
        ranks = np.asarray(self.ranks)
        if ranks.ndim != 1 or not len(ranks) or ranks.dtype.kind != "i" or ranks.min() < 1:
            raise InvalidInput("LowRank", "ranks as integers from 1", repr(self.ranks))
        return np.unique(np.minimum(ranks, full))
