"""The influence loss of BCT: the old classifier must recognise the new vectors."""

from __future__ import annotations

from ...errors import DimensionMismatch, InvalidInput
from ..tensors import (
    Tensor,
    as_rows,
    as_tensor,
    at_least_float32,
    functional,
    mean_where,
    torch,
    unit,
)
from .base import Batch, Loss
from .prototypes import known_classes, own_rows


class Influence(Loss):
    """Cross-entropy of the new vectors under the frozen classifier of the old model.

    Args:
        rows: (classes, d_old) rows of the old classifier. For classes it never saw, the means
            of the old model's vectors of them (`class_means`) may stand in.
        bias: (classes,) of the old classifier.
        known: (classes,) which rows count; the others are no rivals to these, and their items
            are left out. All without it, and classes from `classes` on are never known.
        scale: None scores vectors as they are; a number scales their cosines with the rows.
    Raises:
        InvalidInput: A bias beside a scale, or not one for each class.
    Source: Shen et al. 2020 (BCT, weight 1). Departs from it: cosines are an option, as
        openBCT has it.
    See also: `FocalDistillation` without focus, which distils old logits instead.
    """

    needs = frozenset({"labels"})
    rows: Tensor
    bias: Tensor | None
    known: Tensor

    def __init__(
        self,
        rows: object,
        bias: object | None = None,
        known: object | None = None,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        table = as_rows(rows, "Influence")
        self.register_buffer("rows", unit(table) if scale else table)
        if bias is not None and scale:
            raise InvalidInput("Influence", "a bias or a scale", "both", "Cosines have no bias.")
        shift = None if bias is None else as_tensor(bias, "Influence").detach()
        self.register_buffer("bias", shift)
        self.register_buffer("known", known_classes(known, table, "Influence"))
        if shift is not None and shift.shape != (len(table),):
            raise InvalidInput("Influence", f"{len(table)} biases", str(tuple(shift.shape)))
        self.scale = scale

    def value(self, batch: Batch) -> Tensor:
        """Mean over the items whose class is known."""
        vectors, labels = batch.compared, batch.labels
        if vectors.shape[1] != self.rows.shape[1]:
            raise DimensionMismatch(
                "Influence",
                f"(b, {self.rows.shape[1]}) vectors",
                f"shape {tuple(vectors.shape)}",
                "Give Batch.shared: the coordinates that are compared with the old ones.",
            )
        own, counted = own_rows(labels, self.known)
        scores = self.scores(vectors)
        scores = scores.masked_fill(~self.known, torch.finfo(scores.dtype).min)
        losses = functional.cross_entropy(scores, own, reduction="none")
        return mean_where(losses, counted)

    def scores(self, vectors: Tensor) -> Tensor:
        """(n, classes) of the old classifier."""
        if self.scale:
            given = unit(vectors)
            return self.scale * (given @ self.rows.to(given.dtype).T)
        given = at_least_float32(vectors)
        logits = given @ self.rows.to(given.dtype).T
        return logits if self.bias is None else logits + self.bias
