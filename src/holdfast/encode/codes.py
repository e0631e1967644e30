"""Sequences of codes, such as diagnoses, log events or baskets: co-occurrence vectors.

    M_ij = max(0, log( C_ij C / (C_i C_j) ))      positive pointwise mutual information
    M ~ U S U^T,   a code's vector  E = U sqrt(S),   a sequence: sum of idf(code) E(code)

Trained anew every night, the same method on nearly the same data turns the space at
random: no vector may be compared with yesterday's. A Procrustes bridge turns it back.

It helps where answers are few; a full gallery is searched as well by the codes themselves.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import artifact
from ..arrays import FloatArray, Vectors
from ..errors import EncoderError, InvalidInput
from ..items import Content, Role, as_contents
from ..space import Space, fingerprint
from .base import as_answer, nothing

Float64Array = npt.NDArray[np.float64]

KIND = "codes"
_PAIRS = 1_000_000  # counted at once
_OVER, _POWERS = 40, 24  # columns beyond the dimension, and passes, of the random search


@dataclass(frozen=True, slots=True, eq=False)
class CodeModel:
    """Vectors of codes.

    Args:
        codes: Their names.
        vectors: (c, d) a row each.
        idf: (c,) the logarithm of how rare a code is among sequences.
    """

    codes: tuple[str, ...]
    vectors: FloatArray
    idf: FloatArray

    @classmethod
    def fit(
        cls,
        sequences: Iterable[Sequence[str]],
        dim: int = 100,
        window: int | None = None,
        least: int = 2,
        seed: int = 0,
    ) -> CodeModel:
        """Learn which codes come together.

        Args:
            sequences: Codes in order.
            dim: Length of a vector; cut to one less than the number of codes.
            window: How far apart codes still come together; None for the whole sequence.
            least: Codes in fewer sequences are left out.
            seed: Of the random search for the main directions.
        Raises:
            InvalidInput: Fewer than two codes are left.
        Source: Choi et al. 2016 (arXiv 1602.03686), skip-grams of medical codes; their
            factorised form is Levy & Goldberg 2014. Departs from it: counts are factorised
            by a random projection (Halko et al. 2011), nothing is descended.
        """
        given = [list(sequence) for sequence in sequences]
        frequency = Counter(code for sequence in given for code in set(sequence))
        codes = tuple(sorted(code for code, count in frequency.items() if count >= least))
        if len(codes) < 2 or dim < 1:
            raise InvalidInput("CodeModel.fit", "two or more codes that recur", str(len(codes)))
        place = {code: at for at, code in enumerate(codes)}
        rows = [[place[code] for code in sequence if code in place] for sequence in given]
        vectors = _factorised(
            _information(rows, len(codes), window), min(dim, len(codes) - 1), seed
        )
        idf = np.log(len(given) / np.array([frequency[code] for code in codes]) + 1e-9)
        return cls(codes, vectors.astype(np.float32), np.maximum(idf, 1e-3).astype(np.float32))

    @property
    def digest(self) -> str:
        """Of all that decides a vector."""
        made = hashlib.sha256("\n".join(self.codes).encode())
        made.update(np.ascontiguousarray(self.vectors).tobytes())
        made.update(np.ascontiguousarray(self.idf).tobytes())
        return made.hexdigest()[:16]

    def save(self, path: Path | str) -> None:
        """Write one file that `load` reads back, bit for bit."""
        arrays = {"vectors": self.vectors, "idf": self.idf}
        artifact.save(path, artifact.Artifact(KIND, arrays, {"codes": list(self.codes)}))

    @classmethod
    def load(cls, path: Path | str) -> CodeModel:
        """Read what `save` wrote.

        Raises:
            ArtifactError: Missing, corrupt, or no model of codes.
        """
        file = artifact.load(path, KIND)
        return cls(tuple(file.meta["codes"]), file.arrays["vectors"], file.arrays["idf"])


def _information(rows: Sequence[Sequence[int]], count: int, window: int | None) -> Any:
    """(c, c) sparse positive pointwise mutual information."""
    from scipy.sparse import coo_array

    table = _counted([], [], count)
    first: list[int] = []
    second: list[int] = []
    for row in rows:
        for at, code in enumerate(row):
            near = row[at + 1 :] if window is None else row[at + 1 : at + 1 + window]
            first += [code] * len(near)
            second += near
            if len(first) >= _PAIRS:  # a long sequence has far more pairs than codes
                table += _counted(first, second, count)
                first, second = [], []
    table = (table + _counted(first, second, count)).tocoo()
    sums = np.asarray(table.sum(axis=0)).ravel()
    values = np.log(table.data * sums.sum() / (sums[table.row] * sums[table.col]))
    kept = values > 0.0
    return coo_array(
        (values[kept], (table.row[kept], table.col[kept])), shape=(count, count)
    ).tocsr()


def _counted(first: list[int], second: list[int], count: int) -> Any:
    """(c, c) sparse: how often two codes are a pair, in either order."""
    from scipy.sparse import coo_array

    places = np.array([first + second, second + first], dtype=np.int64)
    counts = coo_array((np.ones(places.shape[1]), places), shape=(count, count))
    return counts.tocsr()  # adds up equal pairs


def _factorised(table: Any, dim: int, seed: int) -> Float64Array:
    """(c, dim) U sqrt(S) of a symmetric table, by a random subspace."""
    width = min(dim + _OVER, table.shape[0])
    basis = np.random.default_rng(seed).standard_normal((table.shape[0], width))
    for _ in range(_POWERS):
        basis = np.linalg.qr(table @ basis)[0]
    left, values, _ = np.linalg.svd(basis.T @ (table @ basis))
    made: Float64Array = (basis @ left[:, :dim]) * np.sqrt(values[:dim])
    return made


class CodesEncoder:
    """Sequences of codes, such as diagnoses or log events, by what comes together.

    A content is text of codes with blanks between, or a sequence of codes. Codes that the
    model does not know are passed over; a content without any known one is refused.

    Args:
        path: File of a `CodeModel`, or such a model itself.
        name: Label of the space.
    Raises:
        ArtifactError: No usable file.
    """

    def __init__(self, path: Path | str | CodeModel, name: str | None = None) -> None:
        self.model = path if isinstance(path, CodeModel) else CodeModel.load(path)
        digest = self.model.digest
        dim = int(self.model.vectors.shape[1])
        mark = fingerprint("codes", revision=digest, pooling="idf")
        self.space = Space(name or f"codes-{digest[:6]}", dim, "cosine", mark)
        self._place = {code: at for at, code in enumerate(self.model.codes)}
        self._weighted = self.model.vectors * self.model.idf[:, None]

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        given = as_contents(contents, role, repr(self))
        if not given:
            return nothing(self.space)
        rows = np.zeros((len(given), self.space.dim), dtype=np.float32)
        for at, content in enumerate(given):
            codes = content.split() if isinstance(content, str) else content
            try:
                known = [self._place[code] for code in codes if code in self._place]
            except TypeError as cause:
                raise EncoderError(
                    repr(self), "codes with blanks between", f"{content!r:.60} at place {at}"
                ) from cause
            if not known:
                raise EncoderError(
                    repr(self), "a code that the model knows", f"{content!r:.60} at place {at}"
                )
            rows[at] = self._weighted[known].sum(axis=0)
        return as_answer(rows, len(given), self.space, repr(self))

    def __repr__(self) -> str:
        return f"CodesEncoder({self.space.name})"
