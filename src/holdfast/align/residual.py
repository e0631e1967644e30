"""Aligners that add a small network to the closed form: y = x W + b + net(x).

The network starts at zero, so before training the map is exactly that of `Ridge`, and it is
kept only where it beat the closed form on held-out pairs. Serving needs numpy alone: a
network is a chain of matrix products with a rectifier between them. torch is needed by
`fit`, see `descent.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..arrays import FloatArray, IntArray
from ..errors import InvalidInput, NotEnoughPairs
from .affine import Affine, apply
from .base import Promises
from .chain import add_net, no_net, pack
from .descent import Course, Pairs, Regression, descend
from .linear import Criterion, Ridge
from .moments import Float64Array

MIN_PAIRS = 10  # fewer leave nothing to train on beside what judges


class Residual(Affine):
    """Base of the learned aligners: the closed form, and a network for what it misses.

    Attributes:
        weight_, bias_: The closed form.
        widths_: Widths of the network's layers; empty where the closed form was kept.
        parameters_: Its weights and biases, see `pack`.
        epoch_: The epoch that was kept; 0 is the closed form.
        losses_: (epochs run + 1,) the held-out loss, from that of the closed form on.
    """

    learned: ClassVar[Mapping[str, int]] = {
        "weight_": 2,
        "bias_": 1,
        "widths_": 1,
        "parameters_": 1,
        "epoch_": 0,
        "losses_": 1,
    }

    _normalised: ClassVar[bool] = True  # whether a BatchNorm follows each hidden layer

    widths_: IntArray
    parameters_: Float64Array
    epoch_: int
    losses_: Float64Array

    def __init__(
        self,
        hidden: Sequence[int] = (256, 256),
        epochs: int = 50,
        batch: int = 256,
        rate: float = 1e-3,
        held_out: float = 0.2,
        seed: int = 0,
    ) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.held_out = held_out
        self.seed = seed

    @property
    def promises(self) -> Promises:
        """Nothing is found exactly; there is no way back."""
        return Promises(no_inverse="a network that mixes and cuts directions cannot be undone")

    def _fit(self, X: FloatArray, Y: FloatArray, y: Any) -> None:
        owner = type(self).__name__
        course = Course.checked(self, owner)
        labels = self._checked(y, X, owner)
        if len(X) < MIN_PAIRS:
            fix = "Encode more items with both models, or use Ridge."
            raise NotEnoughPairs(owner, f"at least {MIN_PAIRS} pairs", str(len(X)), fix)
        pairs = Pairs.of(X, Y, labels, self.held_out, self.seed, owner)
        part = self._closed(X[pairs.rest], Y[pairs.rest])
        objective = self._objective(pairs, part, course)
        epoch, losses = descend(objective, len(pairs.rest), course)
        # The closed form needs no held-out pairs, so where it won it is solved on all.
        closed = part if epoch else self._closed(X, Y)
        self._keep(closed, objective, epoch)
        self.weight_, self.bias_ = closed.weight_, closed.bias_
        self.epoch_, self.losses_ = epoch, losses

    def _closed(self, X: FloatArray, Y: FloatArray) -> Ridge:
        return Ridge(criterion=self._criterion, seed=self.seed).fit(X, Y)

    def _keep(self, closed: Ridge, objective: Regression, epoch: int) -> None:  # noqa: ARG002
        """Take over what was trained; only the closed form where `epoch` is 0."""
        self.widths_, self.parameters_ = no_net()
        if epoch:
            self.widths_, self.parameters_ = pack(objective.layers.folded())

    @property
    def _criterion(self) -> Criterion:
        return "cosine"

    def _checked(self, y: Any, X: FloatArray, owner: str) -> IntArray | None:  # noqa: ARG002
        """Labels as numbers from 0, or None; also refuses unusable arguments."""
        return None

    def _objective(self, pairs: Pairs, closed: Ridge, course: Course) -> Regression:
        return Regression(pairs, closed, course, self._normalised)

    def _map(self, X: FloatArray) -> FloatArray:
        out = apply(X, self.weight_, self.bias_)
        add_net(X, self.widths_, self.parameters_, out)
        return out


def checked_labels(y: Any, count: int, owner: str) -> IntArray:
    """(n,) labels as numbers from 0.

    Raises:
        InvalidInput: Not one label a pair, or only one class.
    """
    labels = np.asarray(y)
    if labels.ndim != 1 or len(labels) != count:
        raise InvalidInput(owner, f"{count} labels, one per pair", f"shape {labels.shape}")
    classes, numbers = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        fix = "With one class nothing is unlike; leave the labels out."
        raise InvalidInput(owner, "labels of at least two classes", f"only {classes[0]!r}", fix)
    return numbers.astype(np.int64)
