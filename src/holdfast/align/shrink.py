"""Shrinking a network by merging hidden units that do the same.

    D_ij = |w_i - w_j|^2 + |a_i - a_j|^2        w: what comes in, with the bias; a: what goes out
    merge the nearest pair:  w = w_i + w_j;  a = (k_i a_i + k_j a_j) / (k_i + k_j);  k = k_i + k_j
    until the nearest are further apart than a part of the furthest pair

Exact where both take in the same and the rectifier lets sums through, since relu(2 x) is
2 relu(x); elsewhere a heuristic without a bound, so the smaller network is judged on pairs
before it is taken. The share of units that go says how wide the network need have been.

Source: Iterative Feature Merging (Chen et al. 2024, arXiv 2310.06756). Departs from it: linear
layers alone, one hidden layer at a time; how far to go is found on pairs, by `shrink`.
"""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise

import numpy as np

from ..arrays import FloatArray
from ..errors import InvalidInput
from .chain import Chain, pack, unpack
from .linear import score
from .moments import Float64Array
from .pairs import as_pairs
from .residual import Residual


def merge_units(chain: Chain, beta: float) -> Chain:
    """Merge the hidden units of every layer that are near each other.

    Args:
        chain: (d_in, d_out) weight and (d_out,) bias of each layer, a rectifier between them.
        beta: Units go on being merged while the nearest pair is nearer than this part of the
            furthest pair, in [0, 1).
    Returns:
        A chain of the same ends and as many layers, no wider.
    Raises:
        InvalidInput: Another beta.
    """
    if not 0.0 <= beta < 1.0:
        raise InvalidInput("merge_units", "beta in [0, 1)", str(beta))
    layers = [(np.array(w, np.float64), np.array(b, np.float64)) for w, b in chain]
    for at, _ in enumerate(pairwise(layers)):
        (weight, bias), (out, last) = layers[at], layers[at + 1]
        weight, bias, out = _merged(weight, bias, out, beta)
        layers[at], layers[at + 1] = (weight, bias), (out, last)
    return layers


def _merged(
    weight: Float64Array, bias: Float64Array, out: Float64Array, beta: float
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """One hidden layer: (d_in, h), (h,) and (h, d_out), with fewer units."""
    sums, outs = np.vstack([weight, bias]).T.copy(), out.copy()
    sizes, alive = np.ones(len(outs)), np.ones(len(outs), dtype=bool)
    table = _distances(np.hstack([sums, outs]))
    while alive.sum() > 1:
        i, j = np.unravel_index(int(np.argmin(table)), table.shape)
        if table[i, j] > beta * float(table[np.isfinite(table)].max()):
            break
        total = sizes[i] + sizes[j]
        outs[i] = (sizes[i] * outs[i] + sizes[j] * outs[j]) / total
        sums[i] += sums[j]
        sizes[i], alive[j] = total, False
        table[j, :] = table[:, j] = np.inf
        units = np.hstack([sums, outs])
        table[i, :] = np.where(alive, ((units - units[i]) ** 2).sum(axis=1), np.inf)
        table[i, i] = np.inf
        table[:, i] = table[i, :]
    return sums[alive, :-1].T.copy(), sums[alive, -1].copy(), outs[alive]


def _distances(units: Float64Array) -> Float64Array:
    squares = np.einsum("ij,ij->i", units, units)
    table: Float64Array = squares[:, None] + squares - 2.0 * units @ units.T
    np.fill_diagonal(table, np.inf)
    return np.maximum(table, 0.0)


def shrink(
    aligner: Residual,
    X: FloatArray,
    Y: FloatArray,
    betas: tuple[float, ...] = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3),
    tolerance: float = 0.005,
) -> Residual:
    """The narrowest network that maps pairs it was not fitted on as well, but for a tolerance.

    Args:
        aligner: Fitted; it is copied.
        X: (n, d_source) rows that it was not fitted on.
        Y: (n, d_target) rows, paired.
        betas: How far units may lie apart, rising.
        tolerance: How much of the mean cosine may go.
    Returns:
        The aligner with fewer hidden units; a copy as it is where none can go.
    Raises:
        NotFitted: The aligner is not.
        InvalidInput: Unusable rows, or not as many of both.
    """
    rows, targets = as_pairs(X, Y, "shrink")
    least = _cosine(aligner, rows, targets) - tolerance
    made = deepcopy(aligner)
    if not len(aligner.widths_):
        return made
    chain = unpack(aligner.widths_, aligner.parameters_)
    for beta in betas:
        trial = deepcopy(aligner)
        trial.widths_, trial.parameters_ = pack(merge_units(chain, beta))
        if _cosine(trial, rows, targets) < least:
            break
        made = trial
    return made


def _cosine(aligner: Residual, X: FloatArray, Y: FloatArray) -> float:
    return score(aligner.transform(X).astype(np.float64), Y, "cosine")
