"""A chain of linear layers with a rectifier between them, applied with numpy alone.

It is kept and applied in float64: a row's last bit in float32 would depend on the rows it
is mapped with, and layers pile that up.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, IntArray
from .affine import BLOCK
from .moments import Float64Array

Chain: TypeAlias = list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]


def pack(chain: Chain) -> tuple[IntArray, Float64Array]:
    """Widths of the layers, and all weights and biases in one row.

    Args:
        chain: (d_in, d_out) weight and (d_out,) bias of each layer.
    """
    widths = [len(chain[0][0]), *(len(bias) for _, bias in chain)]
    flat = [part.astype(np.float64).ravel() for layer in chain for part in layer]
    return np.array(widths, dtype=np.int64), np.concatenate(flat)


def unpack(widths: IntArray, parameters: Float64Array) -> Chain:
    """What `pack` was given, as views.

    Raises:
        ValueError: The row has another length than the widths call for.
    """
    sizes = list(pairwise(widths.tolist()))
    if any(size < 1 for size in widths) or len(parameters) != sum((a + 1) * b for a, b in sizes):
        raise ValueError(f"{len(parameters)} parameters for layers of {widths.tolist()}")
    chain, start = [], 0
    for wide, narrow in sizes:
        middle, end = start + wide * narrow, start + (wide + 1) * narrow
        chain.append((parameters[start:middle].reshape(wide, narrow), parameters[middle:end]))
        start = end
    return chain


def no_net() -> tuple[IntArray, Float64Array]:
    """The widths and parameters of no network."""
    return np.empty(0, dtype=np.int64), np.empty(0)


def add_net(X: FloatArray, widths: IntArray, parameters: Float64Array, out: FloatArray) -> None:
    """Add net(X) to `out`, block by block; without widths there is no net.

    Args:
        X: (n, d_source) float32.
        widths: (layers + 1,) from d_source to d_target, or empty.
        parameters: As `pack` answers.
        out: (n, d_target) float32, written to.
    """
    chain = unpack(widths, parameters)
    for start in range(0, len(X) if chain else 0, BLOCK):
        rows: Any = X[start : start + BLOCK]
        for place, (weight, bias) in enumerate(chain, start=1):
            rows = rows @ weight
            rows += bias
            if place < len(chain):
                np.maximum(rows, 0.0, out=rows)
        out[start : start + BLOCK] += rows
