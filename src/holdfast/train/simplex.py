"""Heads with a fixed classifier: the simplex, and one axis a class. Neither stores a matrix.

The classifier is never trained, so the region of a class is the same in every model that is
trained on it: that is what makes them comparable. Classes that do not exist yet act as
negatives, which keeps their regions empty until they come.

Source: Pernici et al. 2021, Biondi et al. 2023 (CoReS, CL2R) and 2024 (d-Simplex-HOC).
    Departs from them: logits in O(d) from a closed form where they store K x (K - 1) numbers;
    the one-hot figure, which grows, as the alternative to a fixed capacity.
"""

from __future__ import annotations

import numpy as np

from ..errors import InvalidInput
from .heads import Answer, copy_rows
from .tensors import Tensor, nn, torch, unit
from .vertices import coefficients


def simplex_logits(vectors: Tensor, capacity: int) -> Tensor:
    """Products with all vertices of the simplex, in O(d) a row.

    Args:
        vectors: (..., K - 1).
        capacity: Number of vertices K.
    Returns:
        (..., K) logits.
    """
    n = capacity - 1
    c, rho = coefficients(capacity)
    if vectors.shape[-1] != n:
        raise InvalidInput("simplex_logits", f"(..., {n}) vectors", str(tuple(vectors.shape)))
    total = vectors.sum(-1, keepdim=True)
    return torch.cat([(vectors - c * total) / rho, total * (-1.0 / np.sqrt(n))], -1)


class SimplexHead(nn.Module):
    """Projection to K - 1 coordinates, scored by the vertices of the simplex.

    Vectors are not scaled to length one in training, so the network sets how sharp the
    softmax is; with a `scale` cosines are trained instead.

    Args:
        inputs: Length of the backbone's rows.
        capacity: Number of vertices K; labels are vertices, see `Interface.vertices_of`.
        scale: None trains on the vectors as they are; a number scales their cosines.
    Attributes:
        project: The only weights, (K - 1, inputs), without a bias.
    """

    def __init__(self, inputs: int, capacity: int, scale: float | None = None) -> None:
        super().__init__()
        coefficients(capacity)
        self.capacity, self.scale = capacity, scale
        self.project = nn.Linear(inputs, capacity - 1, bias=False)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.capacity - 1

    def forward(self, rows: Tensor) -> Answer:
        """(b, m) rows of the backbone to an `Answer`."""
        vectors = self.project(rows)
        return Answer(vectors, self.classify(vectors))

    def classify(self, vectors: Tensor) -> Tensor:
        """(b, K) logits of any vectors."""
        if self.scale is not None:
            vectors = self.scale * unit(vectors)
        return simplex_logits(vectors, self.capacity)


class OneHotHead(nn.Module):
    """Projection to one coordinate a class; the coordinates are the logits.

    Args:
        inputs: Length of the backbone's rows.
        capacity: Number of classes, and of coordinates.
        scale: None trains on the vectors as they are; a number scales their cosines.
    Raises:
        InvalidInput: A capacity below 1.
    Attributes:
        grows: A coordinate is a class: vectors of fewer classes are compared with the first
            coordinates.
    See also: `padded`, which makes vectors of fewer classes comparable with those of more.
    """

    grows = True

    def __init__(self, inputs: int, capacity: int, scale: float | None = None) -> None:
        super().__init__()
        if capacity < 1:
            raise InvalidInput("OneHotHead", "a capacity of at least 1 class", str(capacity))
        self.scale = scale
        self.project = nn.Linear(inputs, capacity, bias=False)

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.project.out_features)

    def forward(self, rows: Tensor) -> Answer:
        """(b, m) rows of the backbone to an `Answer`."""
        vectors = self.project(rows)
        return Answer(vectors, self.classify(vectors))

    def classify(self, vectors: Tensor) -> Tensor:
        """(b, classes) logits of any vectors."""
        if self.scale is not None:
            return self.scale * unit(vectors)
        return vectors

    def grown(self, capacity: int) -> OneHotHead:
        """A head for more classes, which answers the same first coordinates.

        Raises:
            InvalidInput: Fewer classes than now.
        """
        made: OneHotHead = OneHotHead(self.project.in_features, capacity, self.scale).to(
            self.project.weight
        )
        copy_rows(self.project, made.project, "OneHotHead")
        return made
