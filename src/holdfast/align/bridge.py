"""A bridge: a fitted aligner, the two spaces it joins in a typed direction, its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import clone

from .. import artifact
from ..arrays import (
    Vectors,
    VectorsLike,
    as_vectors,
    check_squares,
    quiet_squares,
    scale_to_unit,
)
from ..errors import (
    InvalidInput,
    NotInvertible,
    WrongDirection,
    WrongSpace,
)
from ..space import Space
from .affine import BLOCK
from .base import Aligner
from .evidence import Evidence
from .registry import aligner_class
from .trial import Trial, check_spaces


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
        check_spaces(self.origin, self.target)
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
        return cls.of(Trial.of(aligner, X, Y, held_out, seed, y))

    @classmethod
    def of(cls, trial: Trial) -> Bridge:
        """Fit on all pairs the aligner that was tried on a part of them."""
        aligner = clone(trial.aligner).fit(trial.X.array, trial.Y.array, trial.y)
        origin, target = trial.X.space, trial.Y.space
        return cls(aligner, origin, target, trial.evidence(), trial.evidence_back())

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
        rows = as_vectors(vectors, self.origin, owner).array
        out = np.empty((len(rows), self.target.dim), dtype=np.float32)
        squares = np.empty(len(rows), dtype=np.float32)
        finish = scale_to_unit if self.target.metric == "cosine" else quiet_squares
        # Mapped, measured and scaled while a block is in the cache: one pass over memory.
        for start in range(0, len(rows), BLOCK):
            part = slice(start, start + BLOCK)
            mapped = self.aligner.map_checked(rows[part])
            if mapped.shape != out[part].shape:
                as_vectors(mapped, self.target, owner)  # refuses it
            out[part] = mapped
            squares[part] = finish(out[part])
        check_squares(squares, self.target, owner)
        return Vectors(self.target, out)

    def inverse(self) -> Bridge:
        """The bridge from `target` to `origin`, with the evidence about that way.

        Raises:
            NotInvertible: The aligner has no way back, or none that was measured.
        """
        back = self.aligner.inverse()
        if self.back is None:
            raise NotInvertible(
                str(self),
                "evidence about the way back",
                "none",
                "Make the bridge with Bridge.fit, which measures both ways.",
            )
        return Bridge(back, self.target, self.origin, self.back, self.evidence)

    def save(self, path: Path | str) -> None:
        """Write one file that `load` reads back, bit for bit.

        Raises:
            InvalidInput: The aligner has an argument that JSON cannot hold.
        """
        state = self.aligner.get_state()
        meta = {
            "aligner": self.aligner.name,
            "params": {
                key: _plain(value, f"{self.aligner.name}.{key}")
                for key, value in self.aligner.get_params(deep=False).items()
            },
            "origin": self.origin.to_json(),
            "target": self.target.to_json(),
            "evidence": self.evidence.to_json(),
            "back": None if self.back is None else self.back.to_json(),
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
        again = "Fit it again, or restore the file from a copy."
        with artifact.understood(path, "a bridge", again):
            name = meta["aligner"]
            kind = (aligners or {}).get(name) or aligner_class(name)
            aligner = kind(**{key: _as_tuple(value) for key, value in meta["params"].items()})
            aligner.set_state(file.arrays)
            back = None if meta["back"] is None else Evidence.from_json(meta["back"])
            origin, target = Space.from_json(meta["origin"]), Space.from_json(meta["target"])
            return cls(aligner, origin, target, Evidence.from_json(meta["evidence"]), back)

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


def _plain(value: Any, owner: str) -> Any:
    """An argument as JSON holds it."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple | range):
        return [_plain(part, owner) for part in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise InvalidInput(owner, "a number, a string or a list of them", type(value).__name__)


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
