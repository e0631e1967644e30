"""torch, asked for politely, and the few operations that heads and losses share."""

from __future__ import annotations

import numpy as np

from ..errors import DimensionMismatch, InvalidInput, said
from ..optional import need

need("torch")  # says what to install, which the import below would not

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

__all__ = [
    "Tensor",
    "as_labels",
    "as_rows",
    "as_tensor",
    "at_least_float32",
    "cosines",
    "functional",
    "mean_where",
    "nn",
    "same_dim",
    "torch",
    "unit",
]

_NO_LENGTH = 1e-12


def unit(rows: Tensor) -> Tensor:
    """(n, d) rows scaled to length one, in float32 at least; zero rows stay zero."""
    wide = at_least_float32(rows)
    length = wide.norm(dim=-1, keepdim=True)
    # Rows without a direction are not divided: a slope of one over next to nothing, of the one
    # row that a rectifier left empty, would undo what was learned.
    return wide / length.masked_fill(length <= _NO_LENGTH, 1.0)


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision widened: exponentials and sums of squares overflow in it."""
    return values.float() if values.dtype in {torch.float16, torch.bfloat16} else values


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """(n,) cosines of paired rows."""
    return (unit(a) * unit(b)).sum(-1)


def mean_where(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of the values that count; zero, with a gradient of zero, where none does."""
    kept = torch.where(counted, values, torch.zeros_like(values))
    return kept.sum() / counted.sum().clamp(min=1)


def same_dim(a: Tensor, b: Tensor, owner: str) -> None:
    """Refuse to compare rows of different length: nothing is cut in silence.

    Raises:
        DimensionMismatch: They differ.
    """
    if a.shape[-1] != b.shape[-1]:
        raise DimensionMismatch(
            owner,
            "new and old vectors of one length",
            f"{a.shape[-1]} and {b.shape[-1]}",
            "Give Batch.shared: the coordinates that are compared with the old ones.",
        )


def as_rows(values: object, owner: str) -> Tensor:
    """(n, d) floating-point rows that no gradient reaches.

    Raises:
        InvalidInput: Another shape, no numbers, or some that are not finite.
    """
    rows = as_tensor(values, owner).detach()
    rows = rows if rows.is_floating_point() else rows.float()
    if rows.ndim != 2 or not bool(torch.isfinite(rows).all()):
        raise InvalidInput(owner, "finite rows (n, d)", f"shape {tuple(rows.shape)}, or NaN")
    return rows


def as_labels(values: object, count: int, owner: str) -> Tensor:
    """(n,) int64 class numbers.

    Raises:
        InvalidInput: Another number of them, or no integers from 0.
    """
    labels = as_tensor(values, owner)
    labels = labels if labels.is_floating_point() or labels.is_complex() else labels.long()
    whole = not labels.is_floating_point() and not labels.is_complex()
    if labels.shape != (count,) or not whole or (count and int(labels.min()) < 0):
        raise InvalidInput(
            owner, f"{count} class numbers from 0", f"{labels.dtype} of {tuple(labels.shape)}"
        )
    return labels


def as_tensor(values: object, owner: str) -> Tensor:
    """A tensor of numbers; of arrays that torch takes with a warning or not at all, a copy.

    Those are read-only ones, reversed ones, and ones of another order of bytes.

    Raises:
        InvalidInput: Not numbers, or lists of two lengths.
    """
    if isinstance(values, np.ndarray):
        values = np.require(values, values.dtype.newbyteorder("="), ["C", "W"])
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as cause:
        raise InvalidInput(owner, "an array of numbers", said(cause)) from cause
