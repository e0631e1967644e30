"""One index for old and new vectors: the old coordinates first, what the new model adds behind.

A bridge into the old space lets new queries ask old rows, but a new row that went through it has
lost what the old space has no room for: a gallery of mapped rows stays as poor as the old one.
So new rows keep everything, behind the coordinates that the old ones fill:

    a rotation into fewer dimensions        new -> [v R, v N]    N spans what R leaves out
    any other bridge    queries             new -> [phi(v), v]   scaled to length one
                        stored rows         new -> [0, v]
    old rows            stored as they are  old -> [u, 0]

New queries rank old rows exactly as the bridge alone does, and new rows exactly as the new model
does. The space extends the old one, so a gallery needs no calibrator to serve both. But how high
old rows score beside new ones is left as it comes, and on our pictures it comes out wrong: a
half-moved gallery finds less so than by mode "fused". Use it where the old model is gone, or
where new rows are few or nearly all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..arrays import FloatArray, Vectors, as_vectors, unit_rows
from ..errors import InvalidInput
from ..items import Content, Role
from ..space import Space, fingerprint
from .bridge import Bridge
from .procrustes import Procrustes


class _Encodes(Protocol):
    @property
    def space(self) -> Space: ...

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors: ...


@dataclass(frozen=True, slots=True, eq=False)
class Augment:
    """Rows of the new space as rows of one that extends the old.

    Args:
        bridge: From the new space to the old one.
        space: What it answers; extends the old space.
        turned: (d_new, d_new) orthogonal, [R, N]; None where the bridge is no rotation.
    """

    bridge: Bridge
    space: Space
    turned: FloatArray | None

    @classmethod
    def of(cls, bridge: Bridge) -> Augment:
        """The index of a bridge.

        Raises:
            InvalidInput: The spaces are not compared by the cosine.
        """
        origin, target = bridge.origin, bridge.target
        if {origin.metric, target.metric} != {"cosine"}:
            raise InvalidInput(
                "Augment", "two spaces whose metric is cosine", f"{origin} and {target}"
            )
        turned = _rotation(bridge)
        dim = origin.dim if turned is not None else target.dim + origin.dim
        state = bridge.aligner.get_state()
        mark = fingerprint(
            f"{origin.fingerprint} over {target.fingerprint}",
            revision=_digest(state),
            pooling="rotated" if turned is not None else "beside",
        )
        name = f"{origin.name} over {target.name}"
        return cls(bridge, Space(name, dim, "cosine", mark, target.fingerprint), turned)

    def documents(self, new: Vectors) -> Vectors:
        """New rows to store."""
        rows = as_vectors(new, self.bridge.origin, "Augment").array
        if self.turned is not None:
            return as_vectors(rows @ self.turned, self.space, "Augment")
        front = np.zeros((len(rows), self.bridge.target.dim), dtype=np.float32)
        return Vectors(self.space, np.concatenate([front, rows], axis=1))

    def queries(self, new: Vectors) -> Vectors:
        """New rows that ask."""
        if self.turned is not None:
            return self.documents(new)
        rows = as_vectors(new, self.bridge.origin, "Augment").array
        both = np.concatenate([self.bridge.transform(new).array, rows], axis=1)
        return Vectors(self.space, unit_rows(both))

    def old(self, old: Vectors) -> Vectors:
        """Old rows as they stand in one index with new ones: zeros behind."""
        rows = as_vectors(old, self.bridge.target, "Augment").array
        out = np.zeros((len(rows), self.space.dim), dtype=np.float32)
        out[:, : rows.shape[1]] = rows
        return Vectors(self.space, out)


@dataclass(frozen=True, slots=True)
class Augmented:
    """The new model as an encoder of a space that extends the old one.

    Args:
        encoder: The new model.
        augment: Of a bridge from its space.
    """

    encoder: _Encodes
    augment: Augment

    @property
    def space(self) -> Space:
        """The space of the augmented rows."""
        return self.augment.space

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        """Encode, then augment; queries and documents differ where the bridge is no rotation."""
        rows = self.encoder.encode(contents, role)
        return self.augment.queries(rows) if role == "query" else self.augment.documents(rows)


def _rotation(bridge: Bridge) -> FloatArray | None:
    """[R, N] of a rotation about the origin into fewer dimensions, else None."""
    aligner = bridge.aligner
    plain = isinstance(aligner, Procrustes) and not aligner.center and not aligner.scale
    if not plain or bridge.origin.dim <= bridge.target.dim:
        return None
    weight = np.asarray(getattr(aligner, "weight_", None), dtype=np.float64)
    whole, _ = np.linalg.qr(weight, mode="complete")
    rest = whole[:, weight.shape[1] :]
    out: FloatArray = np.concatenate([weight, rest], axis=1).astype(np.float32)
    return out


def _digest(state: dict[str, Any]) -> str:
    import hashlib

    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(np.ascontiguousarray(state[name]).tobytes())
    return digest.hexdigest()[:16]
