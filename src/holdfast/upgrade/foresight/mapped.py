"""A smooth map from the old space to the new one, fitted on a sample.

Source: kernel ridge regression (Saunders et al. 1998), with its exact leave-one-out residuals.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...arrays import FloatArray, IntArray, squared_norms

Floats = npt.NDArray[np.float64]

_PENALTIES = (1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0)
_BLOCK = 4096


def mapped(
    docs: FloatArray, rows: IntArray, new_docs: FloatArray, old: FloatArray, new: FloatArray
) -> FloatArray:
    """(n, d_new) predicted vectors; of sampled ones as if they had not been sampled.

    Args:
        docs: (n, d_old) all documents.
        rows: (m,) the sampled ones.
        new_docs: (m, d_new) theirs.
        old: (p, d_old) more pairs, which are not predicted.
        new: (p, d_new) theirs.
    """
    x: Floats = np.concatenate([docs[rows], old]).astype(np.float64)
    y: Floats = np.concatenate([new_docs, new]).astype(np.float64)
    centre, bias = x.mean(axis=0), y.mean(axis=0)
    width = 2.0 * float(squared_norms(x - centre).mean()) or 1.0
    kernel, origin = _gauss(x, x, width), _gauss(x, centre[None], width)[:, 0]
    # Without the constant part, which the bias has already.
    values, basis = np.linalg.eigh(kernel - origin[:, None] - origin[None, :] + 1.0)
    values = np.maximum(values, 0.0)
    turned = basis.T @ (y - bias)
    best, weights, missed = np.inf, turned, turned
    for penalty in _PENALTIES:
        inverse = 1.0 / (values + penalty * values.mean() + 1e-12)
        tried = basis @ (inverse[:, None] * turned)
        left_out = tried / ((basis**2) @ inverse)[:, None]  # missed by each row left out in turn
        error = float(squared_norms(left_out).mean())
        if error < best:
            best, weights, missed = error, tried, left_out
    predicted = np.empty((len(docs), y.shape[1]), dtype=np.float32)
    for start in range(0, len(docs), _BLOCK):
        block: Floats = docs[start : start + _BLOCK].astype(np.float64)
        table = _gauss(block, x, width) - _gauss(block, centre[None], width) - origin[None] + 1.0
        predicted[start : start + _BLOCK] = table @ weights + bias
    predicted[rows] = new_docs - missed[: len(rows)]
    return predicted


def _gauss(a: Floats, b: Floats, width: float) -> Floats:
    squares = squared_norms(a)[:, None] + squared_norms(b)[None, :] - 2.0 * (a @ b.T)
    similar: Floats = np.exp(-np.maximum(squares, 0.0) / width)
    return similar
