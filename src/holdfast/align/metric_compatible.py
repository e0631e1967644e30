"""Maps from the new space to the old one whose scores can be compared with new scores.

While a gallery is part old, part new, a query is answered by both parts and the answers are
merged by score. That is right only if a distance means the same on both sides. The
aligners here lead queries of the new model to the old space, and learn to make it so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from ..arrays import FloatArray, IntArray
from ..errors import InvalidInput
from .chain import add_net, no_net, pack
from .contrast import Metric, Negatives, contrast, distances
from .descent import Course, Frame, Layers, Pairs, Regression, Tensor
from .likeness import Likeness, Neighbours, SameLabel
from .linear import Criterion, Ridge
from .mlp import ResidualMLP
from .moments import Float64Array
from .residual import Residual, checked_labels


class ReverseQuery(Residual):
    """The reverse query transform: queries of the new model, led to the old space.

    A search over a gallery that is part old, part new then needs one pass of the new
    model: `transform(v)` asks the old part, v itself the new one.

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
    Source: Seo et al. 2023 (reverse query transform). Departs from it: the network is added
        to the ridge map and starts at zero; squared error; epochs are chosen; BatchNorm's
        statistics are measured on training rows after each epoch, and folded afterwards.
    See also: `MetricCompatible`, which also makes distances comparable.
    """

    name: ClassVar[str] = "reverse_query"


class MetricCompatible(Residual):
    """A reverse query transform trained so that old and new scores can be merged as they are.

    Where rows are alike, both systems must score them higher than either scores what is
    unlike. What is alike is told by labels, or, without labels, by the new model: a row and
    its nearest neighbours.

    With a head the new model changes too: `head_` maps new vectors to better ones, and
    then stored rows and queries of the new side must both pass through it. `transform`
    takes vectors as the model gives them in any case.

    Under "euclidean" no map of queries can change how far stored old rows lie apart: where
    the two spaces differ in scale this fails (see docs/benchmarks/toy.md), and a calibrated
    merge does not. By itself, without a merge, it is no better a bridge than `Procrustes`
    between the sentence models of `tests/golden`.

    Args:
        hidden: Widths of the hidden layers, each with a BatchNorm and a rectifier.
        negatives: "both": unlike rows of both systems push; "own": each system is trained
            by itself, which does not make them comparable.
        head: Whether to train a head on the new model as well.
        metric: How vectors are compared: "cosine" or "euclidean".
        weight: Of the contrastive loss; that of the squared error is 1.
        temperature: Distances are divided by it; under "euclidean" it counts in root mean
            squared distances of the new space.
        neighbours: Without labels, how many nearest rows are alike; 0 demands labels.
        epochs: Most passes over the pairs; 0 gives `Ridge`.
        batch: Pairs in a step; to each comes a partner that is alike.
        rate: Adam's learning rate.
        held_out: Share of the pairs that chooses the epoch, at most 4096 of them.
        seed: Of the split, the weights and the batches.
    Attributes:
        weight_, bias_: The closed form.
        widths_, parameters_: The network; empty where the closed form was kept.
        head_: The head: a fitted aligner from the new space to the better one.
        head_widths_, head_parameters_: The head's network; empty without one.
        epoch_: The epoch that was kept; 0 is the closed form.
        losses_: Held-out loss by epoch, from 0.
    Source: Seo et al. 2023 (metric-compatible contrastive learning, eq. 8 and 11, learnable
        new embedding), known from its abstract and readings of it. Departs from it: sums
        inside the logarithm; a temperature; the squared error counts relative to the
        targets' variance; no mining of hard negatives; partners instead of large batches;
        networks are added to ridge and identity and start at zero; labels may be replaced
        by the new model's neighbours.
    """

    name: ClassVar[str] = "metric_compatible"
    learned: ClassVar[Mapping[str, int]] = {
        **Residual.learned,
        "head_widths_": 1,
        "head_parameters_": 1,
    }

    head_widths_: IntArray
    head_parameters_: Float64Array

    def __init__(  # noqa: PLR0913  (scikit-learn wants every setting flat)
        self,
        hidden: Sequence[int] = (256, 256),
        *,
        negatives: Negatives = "both",
        head: bool = False,
        metric: Metric = "cosine",
        weight: float = 1.0,
        temperature: float = 0.1,
        neighbours: int = 10,
        epochs: int = 50,
        batch: int = 256,
        rate: float = 1e-3,
        held_out: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__(hidden, epochs, batch, rate, held_out, seed)
        self.negatives = negatives
        self.head = head
        self.metric = metric
        self.weight = weight
        self.temperature = temperature
        self.neighbours = neighbours

    @property
    def head_(self) -> ResidualMLP:
        """The head, ready to be saved and to serve by itself.

        Raises:
            NotFitted: Before `fit`.
            InvalidInput: It was fitted without `head=True`.
        """
        self._check_fitted("head_")
        if not self.head:
            fix = "Without a head new vectors serve as they are."
            raise InvalidInput("MetricCompatible.head_", "head=True", "head=False", fix)
        dim = self.n_features_in_
        head = ResidualMLP(self.hidden, self.epochs, self.batch, self.rate, self.held_out)
        head.set_params(seed=self.seed)
        return head.set_state(
            {
                "dims_": np.array([dim, dim]),
                "weight_": np.eye(dim, dtype=np.float32),
                "bias_": np.zeros(dim, dtype=np.float32),
                "widths_": self.head_widths_,
                "parameters_": self.head_parameters_,
                "epoch_": np.array([self.epoch_]),
                "losses_": self.losses_,
            }
        )

    @property
    def _criterion(self) -> Criterion:
        return "cosine" if self.metric == "cosine" else "squared"

    def _checked(self, y: Any, X: FloatArray, owner: str) -> IntArray | None:
        choices = {"negatives": ("own", "both"), "metric": ("cosine", "euclidean")}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                wanted = f"{name} as one of {', '.join(known)}"
                raise InvalidInput(owner, wanted, repr(getattr(self, name)))
        if not 0.0 < self.temperature < np.inf:
            raise InvalidInput(owner, "a positive temperature", repr(self.temperature))
        if not 0.0 <= self.weight < np.inf:
            raise InvalidInput(owner, "a weight from 0", repr(self.weight))
        if not isinstance(self.neighbours, int | np.integer) or self.neighbours < 0:
            raise InvalidInput(owner, "neighbours as an integer from 0", repr(self.neighbours))
        if y is not None:
            return checked_labels(y, len(X), owner)
        if not self.neighbours:
            fix = "Pass y, or let neighbours above 0 tell what is alike."
            raise InvalidInput(owner, "labels, since neighbours is 0", "none", fix)
        return None

    def _objective(self, pairs: Pairs, closed: Ridge, course: Course) -> Regression:
        return Compatible(self, pairs, closed, course)

    def _keep(self, closed: Ridge, objective: Regression, epoch: int) -> None:
        super()._keep(closed, objective, epoch)
        self.head_widths_, self.head_parameters_ = no_net()
        if isinstance(objective, Compatible) and objective.head is not None and epoch:
            self.head_widths_, self.head_parameters_ = pack(objective.head.folded())

    def _map(self, X: FloatArray) -> FloatArray:
        rows = X
        if self.head_widths_.size:
            rows = X.copy()
            add_net(X, self.head_widths_, self.head_parameters_, rows)
        return super()._map(rows)


class Compatible(Regression):
    """Squared error, and the contrast of both systems.

    Args:
        given: The aligner's arguments.
        pairs, closed, course: See `Regression`.
    """

    def __init__(
        self, given: MetricCompatible, pairs: Pairs, closed: Ridge, course: Course
    ) -> None:
        super().__init__(pairs, closed, course, normalised=True)
        self.given = given
        unit = 1.0 if given.metric == "cosine" else float(np.sqrt(2.0 * self.spread_x))
        self.temperature = given.temperature * unit
        self.likeness = [self._likeness(pairs.rest, 1.0)]
        self.likeness += [self._likeness(pairs.held, len(pairs.held) / len(pairs.rest))]
        self.head: Layers | None = None
        if given.head:
            reach = self.frame.spread
            frame = Frame(self.frame.shift, self.frame.spread, reach)
            widths = (pairs.X.shape[1], *course.hidden, pairs.X.shape[1])
            self.head = Layers(frame, widths, True, self.rng)

    def _likeness(self, part: IntArray, share: float) -> Likeness:
        if self.pairs.labels is not None:
            return SameLabel(self.pairs.labels[part])
        # A sparser part has its neighbours of the same meaning fewer places away.
        count = max(1, round(self.given.neighbours * share))
        return Neighbours(self.pairs.X[part], count, self.given.metric)

    def tensors(self) -> list[Tensor]:
        """All that changes in training."""
        return super().tensors() + ([] if self.head is None else self.head.tensors())

    def headed(self, x: Tensor, settled: bool) -> Tensor:
        """(b, d_source) new vectors as they would be stored."""
        return x if self.head is None else x + self.head(x, settled)

    def loss(self, rows: IntArray, held: bool, rng: np.random.Generator) -> Tensor:
        """See `Regression.loss`; to each row comes a partner that is alike."""
        rows, alike = self.likeness[held].compose(rows, rng)
        x, y = self.pairs.tensors(rows, held)
        x = self.headed(x, held)
        mapped = self.mapped(x, held)
        metric, cool = self.given.metric, -1.0 / self.temperature
        old, new = distances(mapped, y, metric) * cool, distances(x, x, metric) * cool
        same = rows[:, None] == rows[None, :]
        contrasted = contrast(old, new, alike, same, self.given.negatives)
        return self.error(mapped, y).mean() + self.given.weight * contrasted

    def settle(self) -> None:
        """Make the map, and the head before it, those to be served."""
        x = self.pairs.tensors(self.settled_on, held=False)[0]
        if self.head is not None:
            self.head.settle(x)
        self.layers.settle(self.headed(x, settled=True))
