"""Teachers: whatever fills the fields of a batch that no gradient reaches.

A model that is at hand answers the very inputs of the batch. Where the old model is gone,
the gallery still has what it answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy.typing as npt

from ..arrays import IntArray
from ..errors import InvalidInput
from .memory import _items
from .model import Model, frozen
from .tensors import Tensor, as_rows, torch


class Teaches(Protocol):
    """Fields of a batch from its inputs and places."""

    def __call__(self, inputs: Tensor, items: IntArray) -> Mapping[str, Tensor]:
        """Field -> (b, ...) values, on the device of the inputs."""
        ...


class ModelTeacher:
    """A frozen copy of a model, in evaluation mode.

    Args:
        model: Is copied.
        field: "old" fills old and old_logits; "other" fills other and other_logits.
    Raises:
        InvalidInput: Another field.
    """

    def __init__(self, model: Model, field: str = "old") -> None:
        if field not in {"old", "other"}:
            raise InvalidInput("ModelTeacher", "field as old or other", repr(field))
        self.model, self.field = frozen(model), field

    def __call__(self, inputs: Tensor, items: IntArray) -> Mapping[str, Tensor]:  # noqa: ARG002
        """Vectors, and logits where its head has a classifier."""
        with torch.no_grad():
            answer = self.model(inputs)
        given = {self.field: answer.vectors}
        if answer.logits is not None:
            given[f"{self.field}_logits"] = answer.logits
        return given


class StoredVectors:
    """Vectors as the gallery stores them; the model that made them may be gone.

    Args:
        items: (n,) places in the data set.
        vectors: (n, d) their vectors.
        partial: Whether other items may be asked for. They get zeros, which give HOC and
            feature distillation no gradient, and `credible` says no.
    Raises:
        InvalidInput: No item, one twice, or another number of vectors.
    """

    def __init__(self, items: npt.ArrayLike, vectors: object, partial: bool = False) -> None:
        self.vectors, self.partial = as_rows(vectors, "StoredVectors"), partial
        places, _ = _items(items, ["x"] * len(self.vectors))
        if len(set(places.tolist())) != len(places) or not len(places):
            raise InvalidInput("StoredVectors", "each item once", f"{len(places)} items")
        self.rows = torch.full((int(places.max()) + 1,), -1, dtype=torch.long)
        self.rows[torch.from_numpy(places)] = torch.arange(len(places))

    def __call__(self, inputs: Tensor, items: IntArray) -> Mapping[str, Tensor]:
        """Old vectors by place.

        Raises:
            InvalidInput: Items without one, and `partial` was not said.
        """
        places = torch.from_numpy(items)
        inside = places < len(self.rows)
        rows = torch.where(inside, self.rows[places.clamp(max=len(self.rows) - 1)], -1)
        known = rows >= 0
        if not self.partial and not bool(known.all()):
            raise InvalidInput(
                "StoredVectors",
                "a vector of every item",
                f"none of {int((~known).sum())} of {len(items)}",
                "Say partial=True to train without them.",
            )
        old = self.vectors[rows.clamp(min=0)] * known[:, None]
        return {"old": old.to(inputs.device), "credible": known.to(inputs.device)}
