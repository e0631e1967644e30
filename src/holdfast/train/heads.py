"""Heads: what stands between a backbone and the losses, and what they answer.

A head is a module called with the (b, m) rows of a backbone. Its `Answer` says which vectors
are served and stored, which logits are trained, and which coordinates the old model's
vectors are compared with. Its `dim` is the length of those vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InvalidInput
from .tensors import Tensor, nn, torch


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a head makes of a batch.

    Args:
        vectors: (b, d) rows to serve and store, not scaled to length one.
        logits: (b, classes) of its classifier; None without one.
        shared: (b, d_old) the coordinates of `vectors` that old vectors are compared with;
            None where it is all of them.
        native: (b, d_native) rows to be matched to an independently trained model; None
            where the method has no such rows.
    """

    vectors: Tensor
    logits: Tensor | None = None
    shared: Tensor | None = None
    native: Tensor | None = None


class LearnedHead(nn.Module):
    """A linear classifier on the backbone's rows, which are the vectors: no compatibility.

    The head of experience replay and of BCT, and what the others are compared with.

    Args:
        inputs: Length of the backbone's rows.
        classes: Number of classes.
        bias: Whether the classifier has one.
    """

    def __init__(self, inputs: int, classes: int, bias: bool = False) -> None:
        super().__init__()
        self.classifier = nn.Linear(inputs, classes, bias=bias)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.classifier.in_features)

    def forward(self, rows: Tensor) -> Answer:
        """(b, m) rows of the backbone to an `Answer`."""
        return Answer(rows, self.classifier(rows))

    def classify(self, vectors: Tensor) -> Tensor:
        """(b, classes) logits of any vectors."""
        return self.classifier(vectors)

    def grown(self, classes: int) -> LearnedHead:
        """A head for more classes, whose first ones are this head's.

        Raises:
            InvalidInput: Fewer classes than now.
        """
        has_bias = self.classifier.bias is not None
        made: LearnedHead = LearnedHead(self.dim, classes, has_bias).to(self.classifier.weight)
        copy_rows(self.classifier, made.classifier, "LearnedHead")
        return made


def copy_rows(narrow: nn.Linear, wide: nn.Linear, owner: str) -> None:
    """Make the first outputs of `wide` those of `narrow`.

    Raises:
        InvalidInput: `wide` has fewer outputs.
    """
    count = narrow.out_features
    if wide.out_features < count:
        raise InvalidInput(
            owner, f"at least the {count} outputs it has", str(wide.out_features), "Growing only."
        )
    with torch.no_grad():
        wide.weight[:count] = narrow.weight
        if narrow.bias is not None:
            wide.bias[:count] = narrow.bias
