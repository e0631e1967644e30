"""The one training loop of the learned aligners, and the network it trains. Needs torch.

Adam over batches, judged after every epoch on pairs that were held out, the best epoch
kept, the closed form counting as epoch 0. Every draw comes from numpy's generators, so a
seed gives the same bits again and torch's own generator is never touched. While it trains,
rows are copied a batch at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from ..arrays import FloatArray, IntArray
from ..errors import InvalidInput
from ..optional import need
from .chain import Chain
from .linear import Ridge
from .moments import Float64Array, Moments
from .pairs import held_out_rows, rest_of

Tensor: TypeAlias = Any

PATIENCE = 8  # epochs without a better held-out loss, after which training stops
_JUDGES_MOST = 4096  # held-out rows; more would not change which epoch is kept
_SETTLED_ON = 4096  # training rows that measure what BatchNorm shifts and divides by
_EPSILON = 1e-5  # BatchNorm's guard against columns without spread


@dataclass(frozen=True, slots=True)
class Course:
    """How the network is built and trained.

    Args:
        hidden: Widths of the hidden layers; without any the network is linear.
        epochs: Most passes over the pairs; 0 trains nothing.
        batch: Pairs in a step.
        rate: Adam's learning rate.
        seed: Of weights and batches.
    """

    hidden: tuple[int, ...]
    epochs: int
    batch: int
    rate: float
    seed: int

    @classmethod
    def checked(cls, given: Any, owner: str) -> Course:
        """From an aligner's arguments.

        Raises:
            InvalidInput: One of them is unusable.
        """
        hidden = np.asarray(given.hidden)
        whole = hidden.dtype.kind == "i" or not hidden.size
        if hidden.ndim != 1 or not whole or not (hidden > 0).all():
            raise InvalidInput(owner, "hidden as widths from 1", repr(given.hidden))
        for name, least in (("epochs", 0), ("batch", 2), ("seed", 0)):
            value = getattr(given, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise InvalidInput(owner, f"{name} as an integer from {least}", repr(value))
        if not 0.0 < given.rate < np.inf:
            raise InvalidInput(owner, "a positive rate", repr(given.rate))
        widths = tuple(hidden.tolist())
        return cls(widths, int(given.epochs), int(given.batch), float(given.rate), given.seed)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs, and which of them train and which judge.

    Args:
        X: (n, d_source) rows.
        Y: (n, d_target) rows, paired.
        labels: (n,) numbers of classes, or None.
        rest: Positions that train.
        held: Positions that judge.
    """

    X: FloatArray
    Y: FloatArray
    labels: IntArray | None
    rest: IntArray
    held: IntArray

    @classmethod
    def of(
        cls,
        X: FloatArray,
        Y: FloatArray,
        labels: IntArray | None,
        held_out: float,
        seed: int,
        owner: str,
    ) -> Pairs:
        """Draw those that judge."""
        held = held_out_rows(len(X), held_out, seed, _JUDGES_MOST, owner)
        return cls(X, Y, labels, rest_of(len(X), held), held)

    def tensors(self, rows: IntArray, held: bool) -> tuple[Tensor, Tensor]:
        """Copies of some pairs, by their numbers among those that judge or that train."""
        torch = need("torch")
        places = (self.held if held else self.rest)[rows]
        return torch.from_numpy(self.X[places]), torch.from_numpy(self.Y[places])


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Units of a network: it sees (x - shift) / spread and answers in multiples of `reach`.

    So its learning rate fits rows of any length and any distance from the origin.
    """

    shift: Float64Array
    spread: float
    reach: float


class Layers:
    """Linear, BatchNorm, ReLU, ..., Linear; the last one starts at zero, so the whole does.

    Args:
        frame: Units.
        widths: From the source's dimension through the hidden ones to the target's.
        normalised: Whether there is a BatchNorm after each hidden layer.
        rng: Draws the weights of the hidden layers (He et al. 2015).
    """

    def __init__(
        self, frame: Frame, widths: Sequence[int], normalised: bool, rng: np.random.Generator
    ) -> None:
        torch = need("torch")
        self.frame, self.normalised = frame, normalised
        self._shift = torch.from_numpy(frame.shift.astype(np.float32))
        self.weights, self.gains, self.biases, self.means, self.variances = [], [], [], [], []
        for wide, narrow in pairwise(widths[:-1]):
            drawn = rng.normal(size=(wide, narrow)) * np.sqrt(2.0 / wide)
            self.weights.append(torch.from_numpy(drawn.astype(np.float32)))
            self.gains.append(torch.ones(narrow))
            self.biases.append(torch.zeros(narrow))
            self.means.append(torch.zeros(narrow))
            self.variances.append(torch.ones(narrow) - _EPSILON)
        self.last = [torch.zeros(widths[-2], widths[-1]), torch.zeros(widths[-1])]
        trained = [*self.weights, *self.biases, *self.last]
        for tensor in trained + (self.gains if normalised else []):
            tensor.requires_grad_(True)

    def tensors(self) -> list[Tensor]:
        """All that changes in training; what is not trained is measured by `settle`."""
        hidden = [*self.weights, *self.gains, *self.biases, *self.means, *self.variances]
        return [*hidden, *self.last]

    def __call__(self, x: Tensor, settled: bool, measure: bool = False) -> Tensor:
        """Map rows.

        Args:
            x: (b, d_source) rows.
            settled: Whether BatchNorm uses what `settle` measured, as served, or the batch.
            measure: Keep what this batch measures.
        """
        rows = (x - self._shift) / self.frame.spread
        for place, weight in enumerate(self.weights):
            rows = rows @ weight
            if self.normalised:
                mean, variance = self.means[place], self.variances[place]
                if not settled:
                    batch = rows.mean(0), rows.var(0, unbiased=False)
                    if measure:
                        mean.copy_(batch[0])
                        variance.copy_(batch[1])
                    mean, variance = batch
                rows = (rows - mean) * (self.gains[place] / (variance + _EPSILON).sqrt())
            rows = (rows + self.biases[place]).relu()
        return (rows @ self.last[0] + self.last[1]) * self.frame.reach

    def settle(self, x: Tensor) -> None:
        """Measure on these rows what BatchNorm shifts and divides by."""
        if self.normalised:
            self(x, settled=False, measure=True)

    def folded(self) -> Chain:
        """The same map as plain linear layers: BatchNorm and units inside the weights."""
        chain = []
        for place, weight in enumerate(self.weights):
            variance = _float64(self.variances[place]) + _EPSILON
            factor = _float64(self.gains[place]) / np.sqrt(variance)
            bias = _float64(self.biases[place]) - _float64(self.means[place]) * factor
            if not self.normalised:
                factor, bias = np.ones_like(factor), _float64(self.biases[place])
            chain.append((_float64(weight) * factor, bias))
        reach = self.frame.reach
        chain.append((_float64(self.last[0]) * reach, _float64(self.last[1]) * reach))
        first, bias = chain[0]
        first = first / self.frame.spread
        chain[0] = (first, bias - self.frame.shift @ first)
        return chain


def _float64(tensor: Tensor) -> Float64Array:
    out: Float64Array = tensor.detach().numpy().astype(np.float64)
    return out


class Regression:
    """Squared error of closed form and network, relative to the spread of the targets.

    Also the base of the other objectives, which add terms to `loss`.

    Args:
        pairs: Pairs and their parts.
        closed: The closed form, fitted on the part that trains.
        course: How to train.
        normalised: See `Layers`.
    """

    def __init__(self, pairs: Pairs, closed: Ridge, course: Course, normalised: bool) -> None:
        torch = need("torch")
        self.pairs, self.course = pairs, course
        self._weight, self._bias = (torch.from_numpy(a) for a in (closed.weight_, closed.bias_))
        moments = Moments.of(pairs.X[pairs.rest], pairs.Y[pairs.rest], gram=False)
        self.moments, (source, target) = moments, closed.weight_.shape
        # Rows that are all alike have no unit of length; one serves.
        self.spread_x = moments.square_x / moments.count or 1.0
        self.spread_y = moments.square_y / moments.count or 1.0
        reach = float(np.sqrt(self.spread_y / target))
        self.frame = Frame(moments.shift[0], float(np.sqrt(self.spread_x / source)), reach)
        self.rng = np.random.default_rng(course.seed)
        self.layers = Layers(self.frame, (source, *course.hidden, target), normalised, self.rng)
        self.settled_on = self.rng.permutation(len(pairs.rest))[:_SETTLED_ON]

    def tensors(self) -> list[Tensor]:
        """All that changes in training."""
        return self.layers.tensors()

    def mapped(self, x: Tensor, settled: bool) -> Tensor:
        """(b, d_target) rows as they would be served, if `settled`."""
        return x @ self._weight + self._bias + self.layers(x, settled)

    def error(self, mapped: Tensor, y: Tensor) -> Tensor:
        """(b,) squared distances relative to the spread of the targets."""
        return (mapped - y).square().sum(1) / self.spread_y

    def loss(self, rows: IntArray, held: bool, rng: np.random.Generator) -> Tensor:  # noqa: ARG002
        """Mean loss of a batch.

        Args:
            rows: Numbers among the pairs that train, or among those that judge.
            held: Whether they judge; then the map is the one to be served.
            rng: For further draws.
        """
        x, y = self.pairs.tensors(rows, held)
        return self.error(self.mapped(x, held), y).mean()

    def settle(self) -> None:
        """Make the map the one to be served."""
        self.layers.settle(self.pairs.tensors(self.settled_on, held=False)[0])

    def judge(self) -> float:
        """Mean held-out loss of the map as it would be served."""
        rng = np.random.default_rng(self.course.seed)
        held = np.arange(len(self.pairs.held))
        total = 0.0
        for rows in batches(held, self.course.batch):
            total += float(self.loss(rows, True, rng)) * len(rows)
        return total / len(held)


def batches(order: IntArray, size: int) -> list[IntArray]:
    """Cut into parts of nearly equal size, so that none is too small for BatchNorm.

    Example:
        >>> [len(part) for part in batches(np.arange(9), 4)]
        [3, 3, 3]
    """
    return np.array_split(order, -(-len(order) // size))


def descend(objective: Regression, count: int, course: Course) -> tuple[int, Float64Array]:
    """Train, and leave the objective as it was after its best epoch.

    Args:
        objective: What to minimise.
        count: Number of its pairs that train.
        course: How.
    Returns:
        The best epoch, 0 for none, and the (epochs run + 1,) held-out losses.
    """
    torch = need("torch")
    rng = np.random.default_rng([course.seed, 1])
    tensors = objective.tensors()
    trained = [tensor for tensor in tensors if tensor.requires_grad]
    adam = torch.optim.Adam(trained, lr=course.rate)
    best, losses, kept = 0, [], []
    for epoch in range(course.epochs + 1):
        if epoch:
            with torch.enable_grad():
                _pass(objective, adam, rng.permutation(count), rng)
        with torch.no_grad():
            objective.settle()
            losses.append(objective.judge())
        if not epoch or losses[-1] < losses[best]:
            best, kept = epoch, [tensor.detach().clone() for tensor in tensors]
        elif epoch - best >= PATIENCE:
            break
    with torch.no_grad():
        for tensor, value in zip(tensors, kept, strict=True):
            tensor.copy_(value)
    return best, np.array(losses)


def _pass(objective: Regression, adam: Any, order: IntArray, rng: np.random.Generator) -> None:
    for rows in batches(order, objective.course.batch):
        adam.zero_grad()
        objective.loss(rows, False, rng).backward()
        adam.step()
