"""Aligners whose map is one matrix and one bias: y = x W + b."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray
from .base import Aligner

# Rows mapped at once. Large enough for the matrix product to run at full speed, small
# enough that the product is still in the cache when the bias is added.
BLOCK = 2048


def fold(
    weight: npt.NDArray[Any], mean_source: npt.NDArray[Any], mean_target: npt.NDArray[Any]
) -> tuple[FloatArray, FloatArray]:
    """Weight and bias of y = (x - mean_source) W + mean_target, rounded to float32 once."""
    bias = mean_target - mean_source @ weight
    return np.ascontiguousarray(weight, dtype=np.float32), bias.astype(np.float32)


def apply(X: FloatArray, weight: FloatArray, bias: FloatArray) -> FloatArray:
    """(n, d_target) rows x W + b, block by block.

    Args:
        X: (n, d_source) float32.
        weight: (d_source, d_target) float32.
        bias: (d_target,) float32.
    """
    out = np.empty((len(X), weight.shape[1]), dtype=np.float32)
    for start in range(0, len(X), BLOCK):
        block = out[start : start + BLOCK]
        np.matmul(X[start : start + BLOCK], weight, out=block)
        block += bias
    return out


class Affine(Aligner):
    """Base of the aligners that learn `weight_` (d_source, d_target) and `bias_` (d_target,)."""

    weight_: FloatArray
    bias_: FloatArray

    def _map(self, X: FloatArray) -> FloatArray:
        return apply(X, self.weight_, self.bias_)
