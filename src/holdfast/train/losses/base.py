"""What a loss is called with, what it promises, and sums of losses.

A loss is a module: it is called with a `Batch` and answers a number to minimise. `needs` names
the fields of the batch it reads, so that a loop computes nothing in vain. What it knows of
classes (prototypes, an old classifier) comes to its constructor and moves with `.to(device)`.
No gradient reaches what the old model answered. A batch that a loss has nothing to say about
gives zero, with a gradient of zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ...errors import InvalidInput
from ..heads import Answer
from ..tensors import Tensor, nn, torch

_BY_ITEM = (
    *("new", "shared", "logits", "native", "old", "old_logits", "other", "other_logits"),
    *("memory", "credible"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """One batch as the losses see it; fields that no loss needs may be None.

    Args:
        labels: (b,) class numbers.
        new: (b, d) vectors of the model in training, as its head answers them.
        shared: (b, d_old) the coordinates of `new` that are compared with old vectors; None
            where it is all of them.
        logits: (b, classes) of the head.
        native: (b, d_native) rows that are matched to `other`.
        old: (b, d_old) vectors of the old model, or of the teacher, of the same items.
        old_logits: (b, classes_old) of the old model.
        other: (b, d_native) vectors of an independently trained new model.
        other_logits: (b, classes) of it.
        memory: (b,) whether an item comes from the episodic memory.
        credible: (b,) whether the old vector of an item can be believed.
        classify: Vectors to logits, by the head in training.
        class_rows: (classes, d) rows of the classifier in training.
        progress: Share of the training that is done, in [0, 1].
    Raises:
        InvalidInput: Rows of another number of items: one alone would stand beside each of them.
    """

    labels: Tensor
    new: Tensor
    shared: Tensor | None = None
    logits: Tensor | None = None
    native: Tensor | None = None
    old: Tensor | None = None
    old_logits: Tensor | None = None
    other: Tensor | None = None
    other_logits: Tensor | None = None
    memory: Tensor | None = None
    credible: Tensor | None = None
    classify: Callable[[Tensor], Tensor] | None = None
    class_rows: Tensor | None = None
    progress: float = 0.0

    def __post_init__(self) -> None:
        for name in _BY_ITEM:
            rows = getattr(self, name)
            if rows is not None and len(rows) != len(self.labels):
                wanted = f"{name} of {len(self.labels)} items, as there are labels"
                raise InvalidInput("Batch", wanted, str(len(rows)))
        for name in ("old", "old_logits", "other", "other_logits"):
            object.__setattr__(self, name, _as_taught(getattr(self, name), self.new))

    @classmethod
    def of(cls, labels: Tensor, answer: Answer, **more: object) -> Batch:
        """From what a head answers.

        Args:
            labels: (b,) class numbers.
            answer: Of the head in training.
            more: The other fields.
        """
        fields = {"shared": answer.shared, "logits": answer.logits, "native": answer.native}
        return cls(labels, answer.vectors, **fields, **more)  # type: ignore[arg-type]

    @property
    def compared(self) -> Tensor:
        """(b, d_old) what is compared with old vectors."""
        return self.new if self.shared is None else self.shared

    def nothing(self) -> Tensor:
        """Zero, with a gradient of zero."""
        return (self.new * 0.0).sum()


def _as_taught(values: Tensor | None, new: Tensor) -> Tensor | None:
    """What stays as it is, in the precision of the model in training: a store has another."""
    if values is None:
        return None
    return values.detach().to(torch.promote_types(new.dtype, torch.float32))


class Loss(nn.Module):
    """Base of all losses: checks the batch, then asks `value`."""

    needs: frozenset[str] = frozenset()

    def forward(self, batch: Batch) -> Tensor:
        """The number to minimise.

        Raises:
            InvalidInput: The batch lacks a field that this loss needs.
        """
        require(batch, self.needs, type(self).__name__)
        return self.value(batch)

    def value(self, batch: Batch) -> Tensor:
        """What `forward` answers, once the batch is known to have what is needed."""
        raise NotImplementedError


def require(batch: Batch, needs: frozenset[str], owner: str) -> None:
    """Refuse a batch that lacks a field.

    Raises:
        InvalidInput: It does.
    """
    missing = sorted(name for name in needs if getattr(batch, name) is None)
    if missing:
        raise InvalidInput(
            owner,
            f"a batch with {', '.join(sorted(needs))}",
            f"one without {', '.join(missing)}",
            "Loss.needs says what to compute.",
        )


class WeightedSum(Loss):
    """Several losses at once, each with its weight.

    Args:
        terms: Name -> (weight, loss). A weight of zero leaves the term out.
    Raises:
        InvalidInput: No loss with a weight.
    Attributes:
        needs: What all of them need.
    """

    def __init__(self, terms: Mapping[str, tuple[float, Loss]]) -> None:
        super().__init__()
        kept = {name: (weight, loss) for name, (weight, loss) in terms.items() if weight}
        if not kept:
            raise InvalidInput("WeightedSum", "a loss with a weight", repr(dict(terms))[:80])
        self.weights = {name: float(weight) for name, (weight, _) in kept.items()}
        self.losses = nn.ModuleDict({name: loss for name, (_, loss) in kept.items()})
        self.needs = frozenset().union(*(loss.needs for _, loss in kept.values()))

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """Each term, not weighted: for those who watch."""
        return {name: loss(batch) for name, loss in self.losses.items()}

    def value(self, batch: Batch) -> Tensor:
        """The weighted sum."""
        return self.total(self.terms(batch))

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of what `terms` answered."""
        return sum(self.weights[name] * value for name, value in terms.items())
