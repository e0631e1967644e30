"""A bridge: a fitted aligner, the two spaces it joins in a typed direction, its evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from .. import artifact
from ..arrays import IntArray, Vectors, VectorsLike, as_vectors
from ..errors import (
    ArtifactError,
    HoldfastError,
    InvalidInput,
    NotEnoughPairs,
    WrongDirection,
    WrongSpace,
)
from ..space import Space
from .base import Aligner
from .evidence import Evidence, figures, measure, naive
from .moments import Float64Array
from .pairs import held_out_rows, rest_of
from .procrustes import Procrustes
from .registry import aligner_class

MIN_PAIRS = 50
_HELD_OUT_MOST = 5000  # rows that judge; beyond, finding costs more than fitting


@dataclass(frozen=True, slots=True, eq=False)
class Bridge:
    """Maps vectors of one space into another, and knows how well it does.

    Args:
        aligner: Fitted, from `origin.dim` to `target.dim` dimensions.
        origin: The space it leads from.
        target: The space it leads to.
        evidence: What held-out pairs said.
        back: The same about the way back; None where there is none.
    Raises:
        NotFitted: `aligner` is not.
        InvalidInput: Its dimensions are not those of the spaces, or the spaces are one.
    """

    aligner: Aligner
    origin: Space
    target: Space
    evidence: Evidence
    back: Evidence | None = None

    def __post_init__(self) -> None:
        _check_spaces(self.origin, self.target)
        dims = self.aligner.get_state()["dims_"].tolist()
        if dims != [self.origin.dim, self.target.dim]:
            raise InvalidInput(
                str(self),
                f"an aligner from {self.origin.dim} to {self.target.dim} dimensions",
                f"one from {dims[0]} to {dims[1]}",
            )

    def __str__(self) -> str:
        return f"bridge from {self.origin.name} to {self.target.name}"

    @classmethod
    def fit(
        cls,
        aligner: Aligner,
        X: Vectors,
        Y: Vectors,
        held_out: float = 0.2,
        seed: int = 0,
        y: Any = None,
    ) -> Bridge:
        """Fit on a part of the pairs, measure on the rest, then fit on all of them.

        Args:
            aligner: What to fit; a clone is, so yours stays as it is.
            X: n vectors of the space to lead from.
            Y: n vectors of the space to lead to; row i is the same item as row i of X.
            held_out: Share of the pairs that judges, at most 5000 of them.
            seed: Of the split and the intervals.
            y: (n,) labels, for the aligners that need them.
        Raises:
            InvalidInput: Not `Vectors`, not as many in Y as in X, or one space for both.
            NotEnoughPairs: Fewer than 50.
        """
        trial = Trial.of(aligner, X, Y, held_out, seed, y)
        return trial.bridge()

    def transform(self, vectors: VectorsLike) -> Vectors:
        """Map vectors of `origin` to vectors of `target`; unit rows where its metric is cosine.

        Raises:
            WrongDirection: They are of `target` already.
            WrongSpace: They are of a third space.
            InvalidInput: Unusable rows, see `as_vectors`.
        """
        owner = str(self)
        if isinstance(vectors, Vectors):
            self._check_direction(vectors.space)
        rows = as_vectors(vectors, self.origin, owner)
        return as_vectors(self.aligner.transform(rows.array), self.target, owner)

    def inverse(self) -> Bridge:
        """The bridge from `target` to `origin`, with the evidence about that way.

        Raises:
            NotInvertible: The aligner has no way back; the message says why.
        """
        back = self.aligner.inverse()
        return Bridge(back, self.target, self.origin, self.back or self.evidence, self.evidence)

    def save(self, path: Path | str) -> None:
        """Write one file that `load` reads back, bit for bit."""
        state = self.aligner.get_state()
        meta = {
            "aligner": self.aligner.name,
            "params": self.aligner.get_params(deep=False),
            "origin": self.origin.to_json(),
            "target": self.target.to_json(),
            "evidence": self.evidence.to_json(),
            "back": None if self.back is None else self.back.to_json(),
            "digest": _digest(state),
        }
        artifact.save(path, artifact.Artifact("bridge", state, meta))

    @classmethod
    def load(cls, path: Path | str, aligners: Mapping[str, type[Aligner]] | None = None) -> Bridge:
        """Read what `save` wrote.

        Args:
            path: Where.
            aligners: Classes of your own by name, beside those of `registry.py`.
        Raises:
            ArtifactError: Missing, corrupt, not a bridge, of an unknown aligner, or with
                spaces or arrays that make no sense.
        """
        file = artifact.load(path, "bridge")
        meta = file.meta
        try:
            if meta["digest"] != _digest(file.arrays):
                raise InvalidInput("arrays", "the bytes that were saved", "others")
            name = meta["aligner"]
            kind = (aligners or {}).get(name) or aligner_class(name)
            aligner = kind(**{key: _as_tuple(value) for key, value in meta["params"].items()})
            aligner.set_state(file.arrays)
            back = None if meta["back"] is None else Evidence.from_json(meta["back"])
            origin, target = Space.from_json(meta["origin"]), Space.from_json(meta["target"])
            return cls(aligner, origin, target, Evidence.from_json(meta["evidence"]), back)
        except (HoldfastError, KeyError, TypeError, ValueError, AttributeError) as cause:
            raise ArtifactError(
                str(path),
                "a bridge that this version of Holdfast understands",
                f"{type(cause).__name__}: {cause}",
                "Fit it again, or restore the file from a copy.",
            ) from cause

    def _check_direction(self, space: Space) -> None:
        if space == self.origin:
            return
        if space == self.target:
            raise WrongDirection(
                str(self),
                f"vectors of {self.origin}",
                f"vectors of {space}",
                f"This bridge leads from {self.origin.name} to {self.target.name}; "
                f"fit one from {self.target.name} to {self.origin.name} or use .inverse().",
            )
        raise WrongSpace(
            str(self),
            f"vectors of {self.origin}",
            f"vectors of {space}",
            f"Encode with the model of {self.origin.name}, or fit a bridge from {space.name}.",
        )


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

    @classmethod
    def of(
        cls, aligner: Aligner, X: Vectors, Y: Vectors, held_out: float, seed: int, y: Any
    ) -> Trial:
        """Fit on the part, measure on the rest."""
        _check_vectors(X, Y)
        held = held_out_rows(len(X), held_out, seed, _HELD_OUT_MOST, "Bridge.fit")
        rest = rest_of(len(X), held)
        labels = None if y is None else np.asarray(y)[rest]
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
        rows = measure(mapped, truth)
        return cls(clone(aligner), X, Y, y, seed, rows, baselines, back, naive_back)

    def evidence(self) -> Evidence:
        """What the trial says of the way there."""
        return self._evidence(self.X.space, self.rows, self.naive)

    def bridge(self) -> Bridge:
        """Fit on all pairs."""
        origin, target = self.X.space, self.Y.space
        back = None
        if self.back is not None:
            back = self._evidence(target, self.back, self.naive_back)
        aligner = clone(self.aligner).fit(self.X.array, self.Y.array, self.y)
        return Bridge(aligner, origin, target, self.evidence(), back)

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
    _check_spaces(X.space, Y.space)
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


def _check_spaces(origin: Space, target: Space) -> None:
    if origin == target:
        raise InvalidInput(
            f"bridge from {origin.name} to {target.name}",
            "two different spaces",
            f"{origin} twice",
            "Vectors of one space need no bridge.",
        )


def _digest(state: Mapping[str, Any]) -> str:
    """Of names, types, shapes and bytes: a flipped bit in a weight is not seen otherwise."""
    digest = hashlib.sha256()
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
