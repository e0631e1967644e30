"""Maps from the old space to the new one: stored vectors are led there without re-embedding.

A gallery led forward is searched by the new model at once and improves at once; re-embedding
then replaces its rows one by one. `FastFill` says which rows it is least certain of, so that
those can go first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..arrays import FloatArray, IntArray
from ..errors import InvalidInput
from ..optional import need
from .descent import Course, Pairs, Regression, Tensor
from .linear import Ridge
from .moments import Float64Array
from .pairs import as_rows
from .residual import Residual, checked_labels

_SMOOTHED = 0.1  # of the probability of each row, shared by all classes
_SHARPNESS = 10.0  # squared distances count in tenths of the spread of the new rows


class Forward(Residual):
    """The forward transform: stored vectors of the old model, led to the new space.

    Args:
        hidden: Widths of the hidden layers, each with a BatchNorm and a rectifier.
        epochs: Most passes over the pairs; 0 gives `Ridge`.
        batch: Pairs in a step.
        rate: Adam's learning rate.
        held_out: Share of the pairs that chooses the epoch, at most 4096 of them.
        seed: Of the split, the weights and the batches.
    Attributes:
        weight_, bias_: The closed form.
        widths_, parameters_: The network; empty where the closed form was kept.
        epoch_: The epoch that was kept; 0 is the closed form.
        losses_: Held-out squared error over the targets' variance, by epoch, from 0.
    Source: Ramanujan et al. 2022 (FCT). Departs from it: no side information (append its
        columns to X yourself); the network is added to the ridge map and starts at zero;
        a fixed learning rate and no weight decay; the epoch is chosen on held-out pairs;
        BatchNorm's statistics are measured after each epoch, and folded afterwards.
    See also: `FastFill`, which also tells how certain it is of each row.
    """

    name: ClassVar[str] = "forward"


class FastFill(Forward):
    """A forward transform that also predicts, row by row, how far it is from the truth.

    Args:
        discriminate: Weight of a term that asks mapped rows to be classified rightly; above
            0 it needs labels.
        hidden, epochs, batch, rate, held_out, seed: See `Forward`.
    Attributes:
        variance_weight_, variance_bias_: The linear map from mapped rows to `uncertainty`.
        weight_, bias_, widths_, parameters_, epoch_, losses_: See `Forward`; the loss is a
            likelihood here and may be negative.
    Source: Jaeckle et al. 2023 (FastFill). Departs from it: as `Forward` departs from FCT;
        instead of the frozen classifier of the new model, which an embedding model does not
        have, classes are told by the nearest prototype, the mean of the class in the new
        space; squared errors count relative to the targets' variance; the predicted
        variance starts at the closed form's error.
    """

    name: ClassVar[str] = "fastfill"
    learned: ClassVar[Mapping[str, int]] = {
        **Forward.learned,
        "variance_weight_": 1,
        "variance_bias_": 0,
    }

    variance_weight_: FloatArray
    variance_bias_: float

    def __init__(
        self,
        discriminate: float = 0.0,
        hidden: Sequence[int] = (256, 256),
        epochs: int = 50,
        batch: int = 256,
        rate: float = 1e-3,
        held_out: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__(hidden, epochs, batch, rate, held_out, seed)
        self.discriminate = discriminate

    def uncertainty(self, X: Any) -> Float64Array:
        """How unsure the map is of each row: the log of its predicted squared error.

        Re-embed rows with the highest values first. Where the closed form was kept, all
        rows have one value.

        Args:
            X: (n, d_source) numbers.
        Returns:
            (n,) float64. With `discriminate` the predicted error includes that term.
        Raises:
            NotFitted: Before `fit`.
            InvalidInput: Rows of another length, NaN or infinity.
        """
        self._check_fitted("uncertainty")
        mapped = self._map(as_rows(X, "FastFill.uncertainty", "source", self.n_features_in_))
        out: Float64Array = mapped.astype(np.float64) @ self.variance_weight_.astype(np.float64)
        return out + self.variance_bias_

    def _checked(self, y: Any, X: FloatArray, owner: str) -> IntArray | None:
        if not 0.0 <= self.discriminate < np.inf:
            raise InvalidInput(owner, "discriminate from 0", repr(self.discriminate))
        if not self.discriminate:
            return None
        if y is None:
            fix = "Pass y, or leave discriminate at 0."
            raise InvalidInput(owner, "labels, since discriminate is above 0", "none", fix)
        return checked_labels(y, len(X), owner)

    def _objective(self, pairs: Pairs, closed: Ridge, course: Course) -> Regression:
        return Likelihood(pairs, closed, course, self.discriminate)

    def _keep(self, closed: Ridge, objective: Regression, epoch: int) -> None:
        super()._keep(closed, objective, epoch)
        if isinstance(objective, Likelihood):
            weight, self.variance_bias_ = objective.folded_variance()
            self.variance_weight_ = weight.astype(np.float32)

    def _check_map(self, owner: str) -> None:
        super()._check_map(owner)
        if len(self.variance_weight_) != self.n_features_out_:
            wanted = f"variance_weight_ of {self.n_features_out_} numbers"
            raise InvalidInput(owner, wanted, f"shape {self.variance_weight_.shape}")


def prototypes(rows: FloatArray, labels: IntArray) -> FloatArray:
    """(classes, d) mean of the rows of each class.

    Args:
        rows: (n, d) rows.
        labels: (n,) numbers of classes, from 0, none left out.
    Example:
        >>> prototypes(np.array([[1.0], [5.0], [3.0]]), np.array([0, 1, 0])).tolist()
        [[2.0], [5.0]]
    """
    order = np.argsort(labels, kind="stable")
    sizes = np.bincount(labels)
    sums = np.add.reduceat(rows[order].astype(np.float64), np.cumsum(sizes) - sizes)
    out: FloatArray = (sums / sizes[:, None]).astype(np.float32)
    return out


class Likelihood(Regression):
    """Minus the log-likelihood of the errors, each under its own predicted variance.

    Args:
        pairs, closed, course: See `Regression`.
        discriminate: Weight of the term that asks for the right class.
    """

    def __init__(self, pairs: Pairs, closed: Ridge, course: Course, discriminate: float) -> None:
        super().__init__(pairs, closed, course, normalised=True)
        torch = need("torch")
        self.discriminate, mean = discriminate, self.moments.shift[1]
        self._mean = torch.from_numpy(mean.astype(np.float32))
        if pairs.labels is not None:
            self._labels = torch.from_numpy(pairs.labels)
            self._prototypes = torch.from_numpy(prototypes(pairs.Y, pairs.labels)) - self._mean
        with torch.no_grad():
            losses = self.losses(self.settled_on, held=False, settled=True)[0]
            start = losses.mean().clamp(min=1e-12).log()
        self.slope = torch.zeros(len(mean)).requires_grad_(True)
        self.level = start.clone().requires_grad_(True)

    def tensors(self) -> list[Tensor]:
        """All that changes in training."""
        return [*super().tensors(), self.slope, self.level]

    def losses(self, rows: IntArray, held: bool, settled: bool) -> tuple[Tensor, Tensor]:
        """(b,) errors, and the (b, d_target) mapped rows they belong to."""
        x, y = self.pairs.tensors(rows, held)
        mapped = self.mapped(x, settled)
        errors = self.error(mapped, y)
        if self.discriminate:
            places = (self.pairs.held if held else self.pairs.rest)[rows]
            errors = errors + self.discriminate * self._misclassified(mapped, places)
        return errors, mapped

    def loss(self, rows: IntArray, held: bool, rng: np.random.Generator) -> Tensor:  # noqa: ARG002
        """See `Regression.loss`."""
        errors, mapped = self.losses(rows, held, settled=held)
        variance = (mapped - self._mean) @ self.slope / self.frame.reach + self.level
        return 0.5 * ((-variance).exp() * errors + variance).mean()

    def _misclassified(self, mapped: Tensor, places: IntArray) -> Tensor:
        """(b,) cross-entropy, with smoothed labels, of the nearest prototypes."""
        torch = need("torch")
        # About the mean: squares of near rows far from the origin differ in no digit.
        mapped = mapped - self._mean
        squares = mapped.square().sum(1)[:, None] + self._prototypes.square().sum(1)[None, :]
        gaps = squares - 2.0 * (mapped @ self._prototypes.T)
        return torch.nn.functional.cross_entropy(
            gaps * (-_SHARPNESS / self.spread_y),
            self._labels[places],
            reduction="none",
            label_smoothing=_SMOOTHED,
        )

    def folded_variance(self) -> tuple[Float64Array, float]:
        """Weight and bias from mapped rows to the log of the squared error."""
        slope = self.slope.detach().numpy().astype(np.float64) / self.frame.reach
        level = float(self.level.detach()) + float(np.log(self.spread_y))
        return slope, level - float(self.moments.shift[1] @ slope)
