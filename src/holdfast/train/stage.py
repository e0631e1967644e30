"""One task as it is trained: the model, its teachers, and what the losses are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..arrays import IntArray
from ..errors import InvalidInput
from .heads import Answer
from .losses.base import Batch, Loss
from .losses.prototypes import credible_rows
from .memory import Memory
from .model import Inputs, Model, taken, vectors_of
from .scenarios import Task
from .teachers import Teaches
from .tensors import Tensor, torch

_OLD = frozenset({"old", "old_logits", "credible"})
_OTHER = frozenset({"other", "other_logits"})


@dataclass(eq=False)
class Stage:
    """What a function that makes the loss of a task may look at.

    Args:
        task: What is trained.
        model: In training, as it starts.
        teacher: Fills the old vectors; None where there is nothing old.
        other: Fills what an independently trained new model answers; None without one.
        deployed: The model that serves until this one does; None before the first.
        inputs: The data set.
        memory: As it is before this task.
        device: Where everything is.
        credible: Share of each class whose old vectors are believed, nearest its mean first.
    """

    task: Task
    model: Model
    teacher: Teaches | None
    other: Teaches | None
    deployed: Model | None
    inputs: Inputs
    memory: Memory | None
    device: str = "cpu"
    credible: float = 0.9

    @property
    def remembered(self) -> IntArray:
        """(m,) places of what the memory has; none where the task does not remember."""
        if self.memory is None or not self.task.remembers:
            return np.zeros(0, dtype=np.int64)
        return self.memory.items

    @cached_property
    def items(self) -> IntArray:
        """(n,) places of everything this task trains on, memory included, in order."""
        return np.union1d(self.task.items, self.remembered)

    @property
    def labels(self) -> IntArray:
        """(n,) class numbers of `items`."""
        labels: IntArray = self.task.labels[self.items]
        return labels

    @cached_property
    def old(self) -> tuple[IntArray, Tensor]:
        """(m,) places among `items` that have an old vector, and (m, d_old) those, on the CPU."""
        if self.teacher is None:
            raise InvalidInput(
                f"Task {self.task.name!r}", "a teacher", "none", "Ask Stage.teacher first."
            )
        parts, rows = [], []
        for start in range(0, len(self.items), 512):
            part = self.items[start : start + 512]
            given = self._taught(taken(self.inputs, part, self.device), part)
            known = given.get("credible")
            kept = np.ones(len(part), dtype=bool) if known is None else known.cpu().numpy()
            parts.append(part[kept])
            rows.append(given["old"].float().cpu()[torch.from_numpy(kept)])
        return np.concatenate(parts), torch.cat(rows)

    def old_vectors(self) -> tuple[Tensor, Tensor]:
        """(m, d_old) old vectors and (m,) class numbers, such as `class_means` takes."""
        places, rows = self.old
        return rows, torch.from_numpy(self.task.labels[places])

    def new_vectors(self) -> Tensor:
        """(m, d_old) of the model as it is now, of the items that `old_vectors` has."""
        places, _ = self.old
        return vectors_of(self.model, self.inputs, places, self.device, shared=True)

    @cached_property
    def believed(self) -> Tensor:
        """(N,) whether the old vector of an item is among the credible ones."""
        rows, labels = self.old_vectors()
        count = int(labels.max()) + 1 if len(labels) else 0  # a gallery may have none of them
        chosen = credible_rows(rows, labels, count, self.credible)
        table = torch.zeros(len(self.task.labels), dtype=torch.bool)
        table[torch.from_numpy(self.old[0])] = chosen
        return table

    @cached_property
    def numbers(self) -> Tensor:
        """(N,) class number of every item, on the device."""
        return torch.from_numpy(self.task.labels).to(self.device)

    def batch(
        self,
        loss: Loss,
        inputs: Tensor,
        items: IntArray,
        memory: Tensor,
        answer: Answer,
        progress: float,
    ) -> Batch:
        """What the loss needs, and nothing more."""
        given: dict[str, Any] = {}
        if self.teacher is not None and loss.needs & _OLD:
            given.update(self._taught(inputs, items))
            if "credible" in loss.needs:
                given["credible"] = self.believed[torch.from_numpy(items)].to(inputs.device)
        if self.other is not None and loss.needs & _OTHER:
            given.update(self.other(inputs, items))
        if "classify" in loss.needs:
            given["classify"] = getattr(self.model.head, "classify", None)
        if "class_rows" in loss.needs:
            classifier = getattr(self.model.head, "classifier", None)
            given["class_rows"] = getattr(classifier, "weight", None)
        fields = {name: value for name, value in given.items() if name in loss.needs}
        labels = self.numbers[torch.from_numpy(items).to(self.device)]
        return Batch.of(labels, self._shared(answer), memory=memory, progress=progress, **fields)

    def _shared(self, answer: Answer) -> Answer:
        """Where a coordinate is a class, old vectors are the first coordinates of new ones."""
        # what a gallery stores is what the deployed model answered
        old: Any = getattr(getattr(self.teacher, "model", self.deployed), "head", None)
        both = getattr(old, "grows", False) and getattr(self.model.head, "grows", False)
        if not both or answer.shared is not None or old.dim >= answer.vectors.shape[1]:
            return answer
        return replace(answer, shared=answer.vectors[:, : old.dim])

    def _taught(self, inputs: Tensor, items: IntArray) -> Mapping[str, Tensor]:
        return {} if self.teacher is None else self.teacher(inputs, items)
