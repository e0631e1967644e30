"""A backbone and a head as one model, and what is done with whole models."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from ..arrays import IntArray
from ..errors import InvalidInput
from .heads import Answer
from .interface import Interface
from .tensors import Tensor, nn, torch


class Inputs(Protocol):
    """What models are trained on: a tensor (N, ...), or anything that is indexed like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, items: Any, /) -> Any:
        """(b, ...) tensor of the items at (b,) places."""
        ...


class Model(nn.Module):
    """Any backbone, and a head on its rows.

    Args:
        backbone: (b, ...) inputs to (b, m) rows.
        head: (b, m) rows to an `Answer`.
    Attributes:
        fixed: Names of the parameters that were no part of its training: those that whoever
            built it asked no gradient of.
    """

    fixed: frozenset[str] = frozenset()

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, inputs: Tensor) -> Answer:
        """(b, ...) inputs to an `Answer`."""
        return self.answer(self.rows(inputs))

    def rows(self, inputs: Tensor) -> Tensor:
        """(b, ...) inputs to the (b, m) rows of the backbone."""
        rows = self.backbone(inputs)
        if not torch.is_tensor(rows) or rows.ndim != 2:
            shape = f" of shape {tuple(rows.shape)}" if torch.is_tensor(rows) else ""
            raise InvalidInput(
                type(self.backbone).__name__,
                "a backbone that answers (b, m) rows",
                f"{type(rows).__name__}{shape}",
                "Put it into a module that answers its rows alone.",
            )
        return rows

    def answer(self, rows: Tensor) -> Answer:
        """(b, m) rows of the backbone to an `Answer` of the head."""
        answer = self.head(rows)
        if not isinstance(answer, Answer):
            raise InvalidInput(
                type(self.head).__name__,
                "a head that answers an Answer",
                type(answer).__name__,
                "Take LearnedHead, or another of holdfast.train.",
            )
        return answer

    @property
    def outputs(self) -> int | None:
        """Number of classes that the head can tell apart; None where it does not say."""
        capacity = getattr(self.head, "capacity", None)
        classifier = getattr(self.head, "classifier", None)
        if capacity is None and classifier is not None:
            capacity = getattr(classifier, "out_features", None)
        found: int | None = capacity or getattr(self.head, "dim", None)
        return found


def frozen(model: Model) -> Model:
    """A copy that answers and never learns."""
    made = _copied(model)
    asked = {name: value.requires_grad for name, value in made.named_parameters()}
    if any(asked.values()):
        made.fixed = frozenset(name for name, learns in asked.items() if not learns)
    made.eval().requires_grad_(False)
    return made


def grown(model: Model, table: Interface) -> Model:
    """A copy that learns, whose head has a place for every class of the table.

    Where nothing of the model asks for a gradient, as in one that is deployed, all but its
    `fixed` parameters do in the copy; else those that do.

    Raises:
        InvalidInput: The head has too few outputs and cannot grow.
    """
    made = _copied(model)
    if not any(value.requires_grad for value in made.parameters()):
        for name, value in made.named_parameters():
            value.requires_grad_(name not in made.fixed)
    if made.outputs is None or made.outputs >= table.capacity:
        return made
    grow = getattr(made.head, "grown", None)
    if grow is None:
        raise InvalidInput(
            type(made.head).__name__,
            f"a place for {table.capacity} classes",
            f"{made.outputs}, and no way to grow",
            "Make the head large enough for all tasks, or take a head that grows.",
        )
    made.head = grow(table.capacity).requires_grad_(True)
    return made


def _copied(model: Model) -> Model:
    """A copy of everything, but for the graph of what a module keeps of its last answer.

    Hooks and the older normalisations of weights keep such rows, and torch copies none.
    """
    kept = [value for part in model.modules() for value in vars(part).values()]
    rows = [value for value in kept if torch.is_tensor(value) and not value.is_leaf]
    made: Model = copy.deepcopy(model, {id(value): value.detach().clone() for value in rows})
    return made


def digest(model: nn.Module) -> str:
    """16 hexadecimal digits over the names, shapes and bits of the weights."""
    return _digest(sorted(model.state_dict().items()))


def digest_of(inputs: Inputs) -> str:
    """Over the shape and bits of a tensor; of what is read as it is needed, the number alone."""
    return _digest([("inputs", inputs)]) if torch.is_tensor(inputs) else f"{len(inputs)} items"


def _digest(values: Iterable[tuple[str, Tensor]]) -> str:
    made = hashlib.sha256()
    for name, value in values:
        whole = value.detach().cpu().contiguous()
        made.update(f"{name} {whole.dtype} {tuple(whole.shape)}".encode())
        made.update(whole.reshape(-1).view(torch.uint8).numpy())
    return made.hexdigest()[:16]


def answers(
    model: Model, inputs: Inputs, items: IntArray, device: str = "cpu", size: int = 512
) -> Iterator[tuple[IntArray, Answer]]:
    """What a model answers in evaluation mode, part by part; its mode is put back.

    Args:
        model: On `device`.
        inputs: The data set.
        items: (n,) places.
        device: Where the model is.
        size: Items at once.
    """
    training = model.training
    model.eval()
    try:
        for start in range(0, len(items), size):
            part = items[start : start + size]
            with torch.no_grad():
                yield part, model(taken(inputs, part, device))
    finally:
        model.train(training)


def vectors_of(
    model: Model, inputs: Inputs, items: IntArray, device: str = "cpu", shared: bool = False
) -> Tensor:
    """(n, d) float32 vectors on the CPU; with `shared` only what old ones are compared with."""
    rows = []
    for _, answer in answers(model, inputs, items, device):
        chosen = answer.shared if shared and answer.shared is not None else answer.vectors
        rows.append(chosen.float().cpu())
    if not rows:
        raise InvalidInput("vectors_of", "at least one item", "none")
    return torch.cat(rows)


def taken(inputs: Inputs, items: IntArray, device: str) -> Tensor:
    """(b, ...) the inputs at these places, on the device."""
    rows = inputs[torch.from_numpy(np.ascontiguousarray(items))]
    if not torch.is_tensor(rows) or len(rows) != len(items):
        raise InvalidInput(
            "inputs", f"a tensor of {len(items)} items", type(rows).__name__, "Index by a tensor."
        )
    return rows.to(device, non_blocking=True)
