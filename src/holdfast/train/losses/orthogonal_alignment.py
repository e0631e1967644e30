"""The alignment of OCA: the shared part of a vector lies where the old model puts its class."""

from __future__ import annotations

from ...errors import InvalidInput
from ..tensors import (
    Tensor,
    as_rows,
    cosines,
    functional,
    mean_where,
    same_dim,
    unit,
)
from .base import Batch, Loss
from .prototypes import known_classes, own_rows


class OrthogonalAlignment(Loss):
    """Classification behind the orthogonal layer, and alignment with old prototypes.

    With h the shared coordinates, p_c the prototypes and CE_s the smoothed cross-entropy:

        w0 CE_s(logits, y) + w1 CE_s(<h / |h|, p_c>, y) + w2 (1 - cos(h, p_y))

    The scores of the second term are at most one, so that it cannot fall far: it aligns
    rather than classifies. Sharper scores hurt.

    Args:
        prototypes: (classes, d_old) means of the old model's unit vectors of all classes,
            including those it never saw, not scaled to length one: `class_means`.
        known: (classes,) which classes have a prototype; the others are no rivals to these in
            the second term, and their items are left out of the second and the third. All
            without it, and classes from `classes` on are never known.
        weights: (w0, w1, w2).
        smoothing: Of the labels.
    Raises:
        InvalidInput: Smoothing outside [0, 1).
    Source: OCA (arXiv 2408.08793; weights 5, 10, 5 and smoothing 0.1). Departs from it:
        classes may be unknown.
    See also: `AlignedHead`.
    """

    needs = frozenset({"labels", "logits"})
    prototypes: Tensor
    known: Tensor

    def __init__(
        self,
        prototypes: object,
        weights: tuple[float, float, float] = (5.0, 10.0, 5.0),
        smoothing: float = 0.1,
        known: object | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 <= smoothing < 1.0:
            raise InvalidInput("OrthogonalAlignment", "smoothing in [0, 1)", repr(smoothing))
        self.register_buffer("prototypes", as_rows(prototypes, "OrthogonalAlignment"))
        table = known_classes(known, self.prototypes, "OrthogonalAlignment")
        self.register_buffer("known", table)
        self.weights, self.smoothing = weights, smoothing

    def value(self, batch: Batch) -> Tensor:
        """The three terms, weighted."""
        same_dim(batch.compared, self.prototypes, "OrthogonalAlignment")
        own, counted = own_rows(batch.labels, self.known)
        classes = functional.cross_entropy(
            batch.logits, batch.labels, label_smoothing=self.smoothing
        )
        terms = (
            classes,
            mean_where(self._told_apart(batch.compared, own), counted),
            mean_where(1.0 - cosines(batch.compared, self.prototypes[own]), counted),
        )
        return sum(weight * term for weight, term in zip(self.weights, terms, strict=True))

    def _told_apart(self, vectors: Tensor, labels: Tensor) -> Tensor:
        """(b,) smoothed cross-entropies among the prototypes that are known."""
        given = unit(vectors)
        rows = self.prototypes[self.known].to(given.dtype)
        if not len(rows):
            return 0.0 * given.sum(1)
        place = (self.known.cumsum(0) - 1).clamp(min=0)[labels]
        return functional.cross_entropy(
            given @ rows.T, place, label_smoothing=self.smoothing, reduction="none"
        )
