"""The loss of BT^2: like an independent new model in one basis, like the old one in another."""

from __future__ import annotations

from ..tensors import Tensor, as_rows, cosines, functional, same_dim, unit
from .base import Batch, Loss


class BasisTransformation(Loss):
    """Four terms around a `TransformedHead`.

        w0 CE(logits, y) + w1 CE(<b / |b|, p_c>, y) + w2 (1 - cos(n, n*)) + w3 (1 - cos(b, o))

    n the native rows, n* those of an independently trained new model, b the shared
    coordinates, o the old vectors.

    Args:
        prototypes: (classes, d_old) means of the old model's unit vectors: `class_means`.
        weights: (w0, w1, w2, w3).
    Source: BT^2 (Zhou et al. 2023; weights 1, 10, 1, 5). Departs from it: nothing.
    """

    needs = frozenset({"labels", "logits", "native", "other", "old"})
    prototypes: Tensor

    def __init__(
        self,
        prototypes: object,
        weights: tuple[float, float, float, float] = (1.0, 10.0, 1.0, 5.0),
    ) -> None:
        super().__init__()
        self.register_buffer("prototypes", as_rows(prototypes, "BasisTransformation"))
        self.weights = weights

    def value(self, batch: Batch) -> Tensor:
        """The four terms, weighted."""
        same_dim(batch.compared, self.prototypes, "BasisTransformation")
        same_dim(batch.compared, batch.old, "BasisTransformation")
        same_dim(batch.native, batch.other, "BasisTransformation")
        given = unit(batch.compared)
        scores = given @ self.prototypes.to(given.dtype).T
        terms = (
            functional.cross_entropy(batch.logits, batch.labels),
            functional.cross_entropy(scores, batch.labels),
            (1.0 - cosines(batch.native, batch.other)).mean(),
            (1.0 - cosines(batch.compared, batch.old)).mean(),
        )
        return sum(weight * term for weight, term in zip(self.weights, terms, strict=True))
