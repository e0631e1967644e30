"""A trial: an aligner fitted on a part of the pairs and measured on the rest, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from ..arrays import IntArray, Vectors, as_vectors
from ..errors import InvalidInput, NotEnoughPairs
from ..space import Space
from .base import Aligner
from .evidence import Evidence, figures, measure, naive
from .moments import Float64Array
from .pairs import held_out_rows, rest_of
from .procrustes import Procrustes

MIN_PAIRS = 50
_HELD_OUT_MOST = 5000  # rows that judge; beyond, finding costs more than fitting


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One aligner fitted on a part of the pairs and measured on the rest.

    Args:
        aligner: Unfitted.
        X, Y: All pairs.
        y: Labels or None.
        seed: Of the split and the intervals.
        rows: (m, 5) what `measure` says of the held-out pairs.
        naive: The same for the baselines, by name.
        back: The same for the way back, or None.
        naive_back: The same for the baselines of the way back.
        part: The aligner fitted on the rest.
        held: (m,) positions held out.
    """

    aligner: Aligner
    X: Vectors
    Y: Vectors
    y: Any
    seed: int
    rows: Float64Array
    naive: Mapping[str, Float64Array]
    back: Float64Array | None
    naive_back: Mapping[str, Float64Array]
    part: Aligner
    held: IntArray

    @classmethod
    def of(
        cls, aligner: Aligner, X: Vectors, Y: Vectors, held_out: float, seed: int, y: Any
    ) -> Trial:
        """Fit on a part, measure on the rest; arguments and errors as of `Bridge.fit`."""
        if not isinstance(aligner, Aligner):
            raise InvalidInput("Bridge.fit", "an aligner, such as Ridge()", repr(aligner))
        _check_vectors(X, Y)
        X, Y = (as_vectors(rows, rows.space, "Bridge.fit") for rows in (X, Y))
        held = held_out_rows(len(X), held_out, seed, _HELD_OUT_MOST, "Bridge.fit")
        rest = rest_of(len(X), held)
        labels = None if y is None else _check_labels(y, len(X))[rest]
        part = clone(aligner).fit(X.array[rest], Y.array[rest], labels)
        plain = None
        if not isinstance(aligner, Procrustes):
            plain = Procrustes().fit(X.array[rest], Y.array[rest])
        mapped, truth = part.transform(X.array[held]), Y.take(held)
        back, naive_back = None, {}
        if not part.promises.no_inverse:
            back = measure(part.inverse().transform(truth.array), X.take(held))
            naive_back = _naive(Y, X, held, rest, None if plain is None else plain.inverse())
        baselines = _naive(X, Y, held, rest, plain)
        rows, fresh = measure(mapped, truth), clone(aligner)
        return cls(fresh, X, Y, y, seed, rows, baselines, back, naive_back, part, held)

    def evidence(self) -> Evidence:
        """What it says of the way there."""
        return self._evidence(self.X.space, self.rows, self.naive)

    def evidence_back(self) -> Evidence | None:
        """What it says of the way back, where there is one."""
        if self.back is None:
            return None
        return self._evidence(self.Y.space, self.back, self.naive_back)

    def _evidence(
        self, origin: Space, rows: Float64Array, baselines: Mapping[str, Float64Array]
    ) -> Evidence:
        beside = {name: figures(values, self.seed) for name, values in baselines.items()}
        return Evidence(len(self.X), len(rows), origin.dim, figures(rows, self.seed), beside)


def _naive(
    X: Vectors, Y: Vectors, held: IntArray, rest: IntArray, plain: Aligner | None
) -> dict[str, Float64Array]:
    mapped = naive(X.array, Y.array, held, rest)
    if plain is not None:
        mapped["procrustes"] = plain.transform(X.array[held])
    truth = Y.take(held)
    return {name: measure(rows, truth) for name, rows in mapped.items()}


def _check_vectors(X: Any, Y: Any) -> None:
    owner = "Bridge.fit"
    for name, value in (("X", X), ("Y", Y)):
        if not isinstance(value, Vectors):
            raise InvalidInput(
                owner,
                f"{name} as Vectors, which know their space",
                type(value).__name__,
                "Make them with holdfast.arrays.as_vectors(values, space, owner).",
            )
    check_spaces(X.space, Y.space)
    if len(X) != len(Y):
        raise InvalidInput(
            owner,
            "as many vectors in Y as in X",
            f"{len(X)} in X and {len(Y)} in Y",
            "Row i of both must be the same item.",
        )
    if len(X) < MIN_PAIRS:
        raise NotEnoughPairs(
            owner,
            f"at least {MIN_PAIRS} pairs",
            str(len(X)),
            f"Encode more items with both models; {5 * X.space.dim} would be five a dimension.",
        )


def _check_labels(y: Any, count: int) -> Any:
    labels = np.asarray(y)
    if labels.ndim != 1 or len(labels) != count:
        raise InvalidInput("Bridge.fit", f"{count} labels, one per pair", f"shape {labels.shape}")
    return labels


def check_spaces(origin: Space, target: Space) -> None:
    """Refuse a bridge from a space to itself.

    Raises:
        InvalidInput: The spaces are one.
    """
    if origin == target:
        raise InvalidInput(
            f"bridge from {origin.name} to {target.name}",
            "two different spaces",
            f"{origin} twice",
            "Vectors of one space need no bridge.",
        )
