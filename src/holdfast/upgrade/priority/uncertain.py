"""Least predictable first: where a map from the old space to the new one errs most."""

from __future__ import annotations

import numpy as np

from ...arrays import FloatArray, Vectors, squared_norms
from ...errors import InvalidInput
from .centers import squares
from .searched import Floats

LEAST = 8  # fewer known items say nothing
_SHARPNESS = 20.0  # of a neighbour's weight, in mean squared distances
_BLOCK = 4_096


class Uncertainty:
    """Predicts how far an item's predicted new vector is from the true one.

    Each half of the known items is mapped by a map that was fitted on the other half; how
    far that was off, near an item, is its uncertainty.

    Args:
        old: m known items in the old space, a fair sample.
        new: The same in the new space.
    Raises:
        InvalidInput: Fewer than 8, or two different numbers of them.
    Source: Jaeckle et al. 2023 (FastFill). Departs from it: the error is averaged over
        neighbours instead of learned by a head of the map, which takes thousands of pairs
        (`align.forward.FastFill` has that head).
    """

    def __init__(self, old: Vectors, new: Vectors) -> None:
        if len(old) != len(new) or len(old) < LEAST:
            raise InvalidInput("Uncertainty", f"{LEAST} pairs or more", f"{len(old)}, {len(new)}")
        from ...align.kernel import Kernel

        self._known = old.array
        self.errors = np.empty(len(old))  # (m,) squared distances, held out
        for seen in (0, 1):
            fit, rest = slice(seen, None, 2), slice(1 - seen, None, 2)
            aligner = Kernel(single=True).fit(old.array[fit], new.array[fit])
            self.errors[rest] = squared_norms(aligner.transform(old.array[rest]) - new.array[rest])
        centred = self._known - self._known.mean(axis=0)
        self._width = max(2.0 * float(squared_norms(centred).mean()), 1e-12)

    def __call__(self, rows: FloatArray) -> Floats:
        """(n,) predicted squared distances of (n, d) rows of the old space."""
        predicted = np.empty(len(rows))
        for start in range(0, len(rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            far = squares(rows[block], self._known) / self._width
            near = np.exp(-_SHARPNESS * (far - far.min(axis=1, keepdims=True)))
            predicted[block] = near @ self.errors / near.sum(axis=1)
        return predicted


def remoteness(rows: FloatArray, known: FloatArray) -> Floats:
    """(n,) squared distances of rows to the nearest known one: what no map has seen."""
    far = [
        squares(rows[start : start + _BLOCK], known).min(axis=1)
        for start in range(0, len(rows), _BLOCK)
    ]
    return np.concatenate(far) if far else np.empty(0)
