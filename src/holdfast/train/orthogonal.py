"""A linear layer whose matrix stays orthogonal while it is trained.

Three ways to hold a rotation in free numbers, exact at every step, each the identity at
first:

    exponential   exp(A) of a skew-symmetric A, by a Taylor polynomial, scaled and squared
    cayley        (I - A)(I + A)^-1, by one solve; no rotation by a half turn
    householder   a product of reflections, applied all at once (UT transform):
                  I - V^T S^-1 V with S = striu(V V^T) + I / 2, rows of V of length one

Source: OCA (arXiv 2408.08793; exponential, with a bias); Lezcano-Casado & Martinez-Rubio 2019
    (exponential), Helfrich et al. 2018 (Cayley), Joffrain et al. 2006 (UT transform).
    Departs from them: the polynomial is ours, since its gradient costs two products a
    product; an even number of reflections, in equal pairs at the start.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

from ..errors import InvalidInput
from .tensors import Tensor, at_least_float32, functional, nn, torch

Rotation = Literal["exponential", "cayley", "householder"]

# Largest norm at which the polynomial of degree 8 is exact to the last digit.
_REACH = {torch.float32: 0.5, torch.float64: 0.065}


class OrthogonalLayer(nn.Module):
    """y = Q x + b with an orthogonal Q: distances between rows are kept.

    Args:
        dim: Length of a row, at least 2.
        rotation: How Q is held.
        bias: Whether there is a b.
        reflections: Of "householder": how many, even; fewer are cheaper and reach fewer
            rotations. All, that is `dim` or one less, without it.
    Raises:
        InvalidInput: An unknown rotation, a dimension below 2, or reflections that cannot be.
    Attributes:
        free: The numbers that are trained.
    """

    def __init__(
        self,
        dim: int,
        rotation: Rotation = "cayley",
        bias: bool = True,
        reflections: int | None = None,
    ) -> None:
        super().__init__()
        if rotation not in get_args(Rotation):
            ways = ", ".join(get_args(Rotation))
            raise InvalidInput("OrthogonalLayer", f"a rotation among {ways}", repr(rotation))
        if dim < 2:
            raise InvalidInput("OrthogonalLayer", "a dimension of at least 2", str(dim))
        self.dim, self.rotation = dim, rotation
        if rotation == "householder":
            self.free = nn.Parameter(_pairs(dim, reflections))
        elif reflections is not None:
            raise InvalidInput("OrthogonalLayer", "reflections with householder only", rotation)
        else:
            self.free = nn.Parameter(torch.zeros(dim, dim))
        self.bias = nn.Parameter(torch.zeros(dim)) if bias else None

    def forward(self, rows: Tensor) -> Tensor:
        """(..., dim) rows, turned, in float32 at least."""
        with torch.autocast(rows.device.type, enabled=False):  # half precision turns crookedly
            turned = self._turned(rows.to(at_least_float32(self.free).dtype))
        return turned if self.bias is None else turned + self.bias

    def _turned(self, rows: Tensor) -> Tensor:
        if self.rotation == "householder":
            return _reflected(rows, at_least_float32(self.free))
        if self.rotation == "cayley" and rows.ndim == 2 and len(rows) < self.dim:
            return _cayley_rows(rows, self._skew())
        return rows @ self.matrix().T

    def matrix(self) -> Tensor:
        """(dim, dim) the matrix Q."""
        free = at_least_float32(self.free)
        eye = torch.eye(self.dim, dtype=free.dtype, device=free.device)
        if self.rotation == "householder":
            return _reflected(eye, free).T
        skew = self._skew()
        if self.rotation == "cayley":
            return torch.linalg.solve(eye + skew, eye - skew)
        return exponential(skew)

    def _skew(self) -> Tensor:
        upper = at_least_float32(self.free).triu(1)
        return upper - upper.T


def _pairs(dim: int, reflections: int | None) -> Tensor:
    """Reflections in equal pairs, which undo each other."""
    most = dim - dim % 2
    count = most if reflections is None else reflections
    if count < 2 or count > most or count % 2:
        raise InvalidInput(
            "OrthogonalLayer", f"an even number of reflections from 2 to {most}", str(reflections)
        )
    return torch.randn(count // 2, dim).repeat_interleave(2, 0)


def _reflected(rows: Tensor, mirrors: Tensor) -> Tensor:
    """Rows through all reflections, the last one first."""
    v = functional.normalize(mirrors, dim=1)
    gram = v @ v.T
    half = 0.5 * torch.eye(len(v), dtype=v.dtype, device=v.device)
    inner = torch.linalg.solve_triangular(gram.triu(1) + half, v @ rows.mT, upper=True)
    return rows - (v.T @ inner).mT


def _cayley_rows(rows: Tensor, skew: Tensor) -> Tensor:
    """Q x for a few rows x, without making Q: one solve with as many right-hand sides."""
    eye = torch.eye(len(skew), dtype=skew.dtype, device=skew.device)
    return torch.linalg.solve(eye + skew, (rows - rows @ skew.T).T).T


def exponential(skew: Tensor) -> Tensor:
    """exp(A) by products only; for a skew-symmetric A an orthogonal matrix.

    Args:
        skew: (d, d), float32 or float64.
    """
    norm = float(skew.detach().abs().sum(0).max())
    reach = _REACH.get(skew.dtype, 0.5)
    far = reach < norm < math.inf  # what is not finite stays so, for the loop to refuse
    squarings = max(0, math.ceil(math.log2(norm / reach))) if far else 0
    a = skew / 2.0**squarings
    eye = torch.eye(len(a), dtype=a.dtype, device=a.device)
    a2 = a @ a
    a3 = a2 @ a
    low = eye + a + a2 / 2.0
    middle = eye / 6.0 + a / 24.0 + a2 / 120.0
    high = eye / 720.0 + a / 5040.0 + a2 / 40320.0
    out = low + a3 @ (middle + a3 @ high)
    for _ in range(squarings):
        out = out @ out
    # One step towards the nearest orthogonal matrix removes what the squarings added up.
    return out @ (1.5 * eye - 0.5 * (out.T @ out)) if squarings else out
