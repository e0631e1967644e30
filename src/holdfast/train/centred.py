"""Centred logits: vectors of any softmax classifier that already exists, without training.

A classifier of C classes gives an item C logits. Less their mean they are a vector with a
coordinate a class, the same coordinate in every model that knows the class: vectors of a
model of fewer classes are padded with zeros. The cosine of two vectors on the simplex is
exactly the cosine of the centred logits of a free classifier, so this is what training on a
fixed simplex starts from, and the baseline that it has to beat.

Source: Biondi et al. (TMLR submission on simplex vectors from softmax outputs), and the
    identity W^T W = K/(K-1) I. Departs from it: logits rather than softmax outputs.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InvalidInput
from .heads import Answer
from .interface import Interface
from .tensors import Tensor, as_rows, nn, torch


def centred(logits: Tensor) -> Tensor:
    """(n, C) logits less the mean of each row, which no softmax depends on."""
    return logits - logits.mean(-1, keepdim=True)


class CentredHead(nn.Module):
    """An existing classifier, with its centred logits as the vectors.

    Args:
        classifier: (b, m) rows of its backbone to (b, C) logits, such as its last layer.
        classes: Their names, in the order of the logits.
        interface: A "centred" one that has them all. Its coordinates are the vector's:
            classes that the classifier does not know stay zero.
    Attributes:
        grows: As that of `OneHotHead`.
    Raises:
        InvalidInput: An interface of another kind, or classes it does not have.
    """

    columns: Tensor
    grows = True

    def __init__(self, classifier: nn.Module, classes: Sequence[str], interface: Interface) -> None:
        super().__init__()
        if interface.kind != "centred":
            raise InvalidInput("CentredHead", "a centred interface", repr(interface))
        self.classifier, self.dim = classifier, interface.dim
        columns = torch.from_numpy(interface.vertices_of(classes))
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, rows: Tensor) -> Answer:
        """(b, m) rows of the backbone to an `Answer`."""
        logits = self.classifier(rows)
        if logits.shape[1] != len(self.columns):
            raise InvalidInput(
                "CentredHead", f"{len(self.columns)} logits, one a class", str(logits.shape[1])
            )
        vectors = logits.new_zeros(len(logits), self.dim)
        return Answer(vectors.index_copy(1, self.columns, centred(logits)), logits)


def on_simplex(classifier: nn.Linear, classes: Sequence[str], interface: Interface) -> nn.Linear:
    """The projection of a `SimplexHead` that answers what this classifier answers.

    Its vectors have the cosines of the classifier's centred logits, vertices without a class
    counting as logits of zero, and the head's logits are those. So an existing model moves
    onto an interface without training, and can be trained further there.

    Args:
        classifier: The last layer, (C, m).
        classes: Names of its outputs.
        interface: A simplex that has them all.
    Returns:
        A layer for `SimplexHead.project`; it has a bias where the classifier has one.
    Raises:
        InvalidInput: An interface of another kind, or classes it does not have.
    """
    if interface.kind != "simplex":
        raise InvalidInput("on_simplex", "a simplex", repr(interface))
    weight = as_rows(classifier.weight, "on_simplex")
    vertices = torch.from_numpy(interface.prototypes(classes)).to(weight)
    if len(vertices) != len(weight):
        raise InvalidInput("on_simplex", f"{len(weight)} classes", str(len(vertices)))
    share = interface.dim / interface.capacity  # W^T W = (K / n) I
    made = nn.Linear(weight.shape[1], interface.dim, bias=classifier.bias is not None)
    made = made.to(weight)
    with torch.no_grad():
        made.weight.copy_(share * vertices.T @ weight)
        if classifier.bias is not None:
            made.bias.copy_(share * vertices.T @ classifier.bias)
    return made
