"""Heads whose vectors are longer than the old ones: the first part serves the old gallery.

What the new model knows beyond the old one gets coordinates of its own, so that being
comparable with the old vectors costs it less. Vectors are compared with old ones by their
first coordinates only, and with each other whole: the new space `extends` the old one.
"""

from __future__ import annotations

from ..errors import InvalidInput
from ..space import Space
from .heads import Answer
from .orthogonal import OrthogonalLayer, Rotation
from .tensors import Tensor, functional, nn, torch, unit


def extended_space(name: str, old: Space, extra: int, fingerprint: str) -> Space:
    """The space of a model with an expansion head.

    Args:
        name: Label for people.
        old: The space of the model it is compatible with.
        extra: Coordinates beyond those of `old`.
        fingerprint: Of the new model, see `holdfast.fingerprint`.
    Raises:
        InvalidInput: No extra coordinate, or the fingerprint of the old space.
    Example:
        >>> from holdfast.space import relation
        >>> old = Space("resnet@1", 128)
        >>> relation(extended_space("resnet@2", old, 32, "b7"), old)
        'extends'
    """
    if extra < 1:
        raise InvalidInput("extended_space", "at least 1 coordinate more", str(extra))
    if fingerprint == old.fingerprint or not fingerprint:
        raise InvalidInput("extended_space", "a fingerprint of its own", repr(fingerprint))
    return Space(name, old.dim + extra, old.metric, fingerprint, extends=old.fingerprint)


def truncated(vectors: Tensor, dim: int) -> Tensor:
    """(n, dim) the first coordinates, scaled to length one: what old vectors are searched with.

    Raises:
        InvalidInput: There are fewer.
    """
    if not 1 <= dim <= vectors.shape[-1]:
        raise InvalidInput("truncated", f"at most {vectors.shape[-1]} coordinates", str(dim))
    return unit(vectors[..., :dim])


def padded(vectors: Tensor, dim: int) -> Tensor:
    """(n, dim) the same vectors among longer ones: zeros behind.

    Raises:
        InvalidInput: They are longer already.
    """
    more = dim - vectors.shape[-1]
    if more < 0:
        raise InvalidInput("padded", f"at least {vectors.shape[-1]} coordinates", str(dim))
    return functional.pad(vectors, (0, more))


class AlignedHead(nn.Module):
    """The head of OCA: unit vectors [shared, extra], classified behind an orthogonal layer.

    Behind a free classifier the layer adds nothing that the classifier could not hold by
    itself (`absorbed`); it changes the path of the optimiser, and its bias adds one a class.
    Train without it too, and compare.

    Args:
        inputs: Length of the backbone's rows.
        old_dim: Length of old vectors.
        extra: Coordinates beyond those.
        classes: Number of classes.
        rotation: How the layer is held; None leaves it out.
    Raises:
        InvalidInput: old_dim below 1, or extra below 0.
    Source: OCA (arXiv 2408.08793). Departs from it: a projection makes the old_dim + extra
        coordinates, so that any backbone serves; a backbone that answers as many as that is
        used as it is. The layer is held by Cayley's transform unless asked for the matrix
        exponential, which theirs is.
    """

    def __init__(
        self,
        inputs: int,
        old_dim: int,
        extra: int,
        classes: int,
        rotation: Rotation | None = "cayley",
    ) -> None:
        super().__init__()
        if old_dim < 1 or extra < 0:
            raise InvalidInput("AlignedHead", "old_dim from 1, extra from 0", f"{old_dim}, {extra}")
        self.old_dim, self.dim = old_dim, old_dim + extra
        fits = inputs == self.dim
        self.project = nn.Identity() if fits else nn.Linear(inputs, self.dim, bias=False)
        self.turn = None if rotation is None else OrthogonalLayer(self.dim, rotation)
        self.classifier = nn.Linear(self.dim, classes, bias=False)

    def forward(self, rows: Tensor) -> Answer:
        """(b, m) rows of the backbone to an `Answer`."""
        vectors = unit(self.project(rows))
        return Answer(vectors, self.classify(vectors), shared=vectors[:, : self.old_dim])

    def classify(self, vectors: Tensor) -> Tensor:
        """(b, classes) logits of unit vectors."""
        turned = vectors if self.turn is None else self.turn(vectors)
        return self.classifier(turned.to(self.classifier.weight.dtype))

    def absorbed(self) -> nn.Linear:
        """The classifier with the orthogonal layer inside, as it is exported."""
        made = nn.Linear(self.dim, self.classifier.out_features, bias=self.turn is not None)
        made = made.to(self.classifier.weight)
        with torch.no_grad():
            weight = self.classifier.weight
            made.weight.copy_(weight)
            if self.turn is not None:
                Q = self.turn.matrix()
                made.weight.copy_(weight.to(Q.dtype) @ Q)
                made.bias.copy_(self.classifier(self.turn.bias))
        return made


class TransformedHead(nn.Module):
    """The head of BT^2: old-like coordinates spread over a basis that the new ones share.

    With n the native row of length one, u a row of length one from the backbone's second
    branch, and P, R orthogonal: z = [u, P (reach n)]; b = R z[:old_dim]; the vector is
    [b, z[old_dim:]]. Old vectors are compared with b. Lengths and angles are those of
    [u, reach n], so nothing of n is lost.

    Args:
        inputs: Length of the backbone's rows.
        native_dim: Length of n, that of the independently trained model it is matched to.
        old_dim: Length of old vectors, at most native_dim + extra.
        extra: Length of u.
        classes: Number of classes, told apart from n.
        reach: Length of n beside u: 2 for residual networks, 3 for transformers.
        rotation: How P and R are held.
    Raises:
        InvalidInput: extra below 1, or old_dim below 2 or above native_dim + extra.
    Source: BT^2 (Zhou et al. 2023). Departs from it: u comes straight from a linear, ReLU,
        linear branch of `extra` outputs, where they cut it from one of old_dim; n is a linear
        map of the backbone's row.
    """

    def __init__(
        self,
        inputs: int,
        native_dim: int,
        old_dim: int,
        extra: int,
        classes: int,
        reach: float = 2.0,
        rotation: Rotation = "cayley",
    ) -> None:
        super().__init__()
        if extra < 1 or not 2 <= old_dim <= native_dim + extra:
            raise InvalidInput(
                "TransformedHead",
                f"extra from 1, old_dim from 2 to {native_dim + extra}",
                f"{extra}, {old_dim}",
            )
        self.old_dim, self.dim, self.reach = old_dim, native_dim + extra, reach
        self.native = nn.Linear(inputs, native_dim, bias=False)
        self.branch = nn.Sequential(
            nn.Linear(inputs, inputs), nn.ReLU(), nn.Linear(inputs, extra, bias=False)
        )
        self.spread = OrthogonalLayer(native_dim, rotation, bias=False)
        self.turn = OrthogonalLayer(old_dim, rotation, bias=False)
        self.classifier = nn.Linear(native_dim, classes, bias=False)

    def forward(self, rows: Tensor) -> Answer:
        """(b, m) rows of the backbone to an `Answer`."""
        native = unit(self.native(rows))
        z = torch.cat([unit(self.branch(rows)), self.spread(self.reach * native)], 1)
        shared = self.turn(z[:, : self.old_dim])
        vectors = torch.cat([shared, z[:, self.old_dim :]], 1)
        logits = self.classifier(native.to(self.classifier.weight.dtype))
        return Answer(vectors, logits, shared, native)
