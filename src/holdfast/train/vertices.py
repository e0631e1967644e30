"""Fixed vertices that classes are given: the simplex, and one axis each.

The simplex of K vertices lies in K - 1 dimensions. With n = K - 1,

    c = (1 - 1 / sqrt(n + 1)) / n        rho = sqrt(n / (n + 1))
    w_k = (e_k - c 1) / rho              for k < n
    w_n = -1 / sqrt(n)

has unit rows, inner products -1 / n between different rows, rows that add up to zero, and
W^T W = (K / n) I. Products with all K rows therefore cost O(d) and no matrix:
with S the sum of z, W z = [(z - c S) / rho, -S / sqrt(n)].

Source: Pernici et al. 2019 (fixed classifiers on regular polytopes), Biondi et al. 2023.
    Departs from them: the closed form, where they centre and normalise a matrix.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..arrays import IntArray
from ..errors import InvalidInput

Float64Array = npt.NDArray[np.float64]


def coefficients(capacity: int) -> tuple[float, float]:
    """The numbers c and rho of the simplex.

    Args:
        capacity: Number of vertices K, at least 2.
    Raises:
        InvalidInput: Fewer than 2 vertices.
    Example:
        >>> [round(x, 4) for x in coefficients(3)]
        [0.2113, 0.8165]
    """
    if capacity < 2:
        raise InvalidInput("a simplex", "a capacity of at least 2 classes", str(capacity))
    n = capacity - 1
    return float((1.0 - 1.0 / np.sqrt(n + 1.0)) / n), float(np.sqrt(n / (n + 1.0)))


def simplex(capacity: int, vertices: IntArray | None = None) -> Float64Array:
    """Rows of the simplex.

    Args:
        capacity: Number of vertices K.
        vertices: (m,) numbers of vertices; all without them.
    Returns:
        (m, K - 1) unit rows.
    Example:
        >>> simplex(3).round(4).tolist()
        [[0.9659, -0.2588], [-0.2588, 0.9659], [-0.7071, -0.7071]]
    """
    c, rho = coefficients(capacity)
    n = capacity - 1
    chosen = _checked(capacity, vertices)
    rows = np.full((len(chosen), n), -c / rho)
    inner = np.flatnonzero(chosen < n)
    rows[inner, chosen[inner]] += 1.0 / rho
    rows[chosen == n] = -1.0 / np.sqrt(n)
    return rows


def axes(capacity: int, vertices: IntArray | None = None) -> Float64Array:
    """Rows of the identity: one axis a class, so that a class more is a coordinate more.

    Args:
        capacity: Number of axes.
        vertices: (m,) numbers of axes; all without them.
    Returns:
        (m, capacity) unit rows.
    Example:
        >>> axes(3, np.array([2])).tolist()
        [[0.0, 0.0, 1.0]]
    """
    chosen = _checked(capacity, vertices)
    rows = np.zeros((len(chosen), capacity))
    rows[np.arange(len(chosen)), chosen] = 1.0
    return rows


def _checked(capacity: int, vertices: IntArray | None) -> IntArray:
    if vertices is None:
        return np.arange(capacity)
    chosen = np.asarray(vertices)
    if chosen.ndim != 1 or (chosen.size and (chosen.min() < 0 or chosen.max() >= capacity)):
        raise InvalidInput("vertices", f"numbers from 0 to {capacity - 1}", repr(vertices)[:80])
    return chosen.astype(np.int64)
