"""Contrastive losses over two systems at once: what makes their distances comparable.

A query x is asked in two systems: `old`, its image in the old space against stored old rows,
and `new`, its new vector against stored new rows. With s = exp(-distance / temperature),
P the alike rows and N the others,

    own     -log P_old / (P_old + N_old)          - log P_new / (P_new + N_new)
    both    -log P_old / (P_old + N_old + N_new)  - log P_new / (P_new + N_new + N_old)

each letter a sum of s. With "both", what is unlike in either system must lie further than
what is alike in each: that is the calibration.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from ..optional import need
from .descent import Tensor
from .likeness import Alike

Metric: TypeAlias = Literal["cosine", "euclidean"]
Negatives: TypeAlias = Literal["own", "both"]

_FAR = -1e9  # in the place of what does not count, before an exponential


def distances(a: Tensor, b: Tensor, metric: Metric) -> Tensor:
    """(n, m) distances of (n, d) rows to (m, d) rows: one minus the cosine, or Euclidean."""
    functional = need("torch.nn.functional")
    if metric == "cosine":
        return 1.0 - functional.normalize(a) @ functional.normalize(b).T
    # About a point near the rows: squares of near rows far from the origin differ in no digit.
    middle = b.detach().mean(0)
    a, b = a - middle, b - middle
    squares = a.square().sum(1)[:, None] + b.square().sum(1)[None, :] - 2.0 * (a @ b.T)
    # The slope of the root is infinite at zero, where a row meets itself.
    return squares.clamp(min=1e-12).sqrt()


def contrast(old: Tensor, new: Tensor, alike: Alike, same: Alike, negatives: Negatives) -> Tensor:
    """Mean over the rows of both terms.

    An item is no match for itself, since that is the easiest one to find. Where nothing else
    is alike it counts in the old system, where query and stored row are two things; the new
    term leaves such rows out.

    Args:
        old: (n, n) minus distance over temperature, row i the query, column j stored.
        new: (n, n) the same in the new system.
        alike: (n, n) whether two rows are alike.
        same: (n, n) whether they are one item.
        negatives: "own" or "both".
    """
    torch = need("torch")
    unlike = ~alike
    n_old, n_new = _total(old, unlike), _total(new, unlike)
    if negatives == "both":
        n_old = n_new = torch.logaddexp(n_old, n_new)
    others = alike & ~same
    alone = ~others.any(axis=1, keepdims=True)
    out = _term(old, others | (same & alone), n_old)
    return out if alone.all() else out + _term(new, others, n_new)


def _total(logits: Tensor, counted: Alike) -> Tensor:
    torch = need("torch")
    return logits.masked_fill(torch.from_numpy(~counted), _FAR).logsumexp(1)


def _term(logits: Tensor, positives: Alike, negative: Tensor) -> Tensor:
    """Mean of -log P / (P + N), which is softplus(log N - log P), where there is a P."""
    torch = need("torch")
    rows = torch.from_numpy(np.flatnonzero(positives.any(axis=1)))
    gap = negative[rows] - _total(logits, positives)[rows]
    return torch.nn.functional.softplus(gap).mean()
