"""Columns: payload fields that items can be told apart by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...arrays import IntArray
from ..interval import FEW
from ..slices import NONE

BINS = 4  # of a number that takes many values
_MANY = 20  # values of a number from which it is cut into bins
_MOST = 0.1  # of the rows: a text of more values names items, it does not describe them


def columns(payloads: Sequence[Mapping[str, Any] | None]) -> dict[str, IntArray]:
    """Every field that describes items, as numbers from 0.

    Texts, truth values and whole numbers count as they are, other numbers and numbers of
    many values by their quarter. A missing value is a value of its own. Left out are fields
    that hold lists or objects, that hardly ever vary, and that are as good as an id.

    Args:
        payloads: One for each of n rows; None where there is none.
    Returns:
        (n,) numbers by field, names rising.
    Example:
        >>> german = [{"lang": "de", "id": f"x{row}"} for row in range(30)]
        >>> list(columns(german + [{"lang": "en"}] * 30))
        ['lang']
    """
    names = sorted({name for payload in payloads if payload for name in payload})
    found = {name: codes([(p or {}).get(name) for p in payloads]) for name in names}
    return {name: numbers for name, numbers in found.items() if numbers is not None}


def codes(values: Sequence[Any]) -> IntArray | None:
    """(n,) numbers from 0 for the values of one column; None where it describes nothing."""
    if any(not isinstance(value, str | bool | int | float | None) for value in values):
        return None
    told = [value for value in values if value is not None]
    numeric = bool(told) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in told
    )
    if numeric and len(set(told)) > _MANY:
        return _useful(_binned(values))
    return _useful(_numbered(values))


def levels_of(
    payloads: Sequence[Mapping[str, Any] | None], fields: Sequence[str]
) -> list[IntArray] | None:
    """(n,) numbers of each field of a label, coarsest first; None where no row has a field."""
    found = []
    for field in fields:
        values = [(payload or {}).get(field) for payload in payloads]
        if all(value is None for value in values):
            return None
        found.append(_numbered(values))
    return found


def _numbered(values: Sequence[Any]) -> IntArray:
    told = [NONE if value is None else repr(value) for value in values]
    return np.unique(told, return_inverse=True)[1].astype(np.int64)


def _binned(values: Sequence[Any]) -> IntArray:
    numbers = np.array([np.nan if value is None else float(value) for value in values])
    known = np.isfinite(numbers)
    edges = np.quantile(numbers[known], np.arange(1, BINS) / BINS) if known.any() else []
    out: IntArray = np.where(known, np.searchsorted(edges, numbers, side="left"), BINS)
    return np.unique(out, return_inverse=True)[1].astype(np.int64)


def _useful(numbers: IntArray) -> IntArray | None:
    sizes = np.bincount(numbers)
    rest = len(numbers) - sizes.max()
    if len(sizes) < 2 or rest < FEW or len(sizes) > max(BINS, _MOST * len(numbers)):
        return None
    return numbers.astype(np.int64)
