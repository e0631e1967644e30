"""A head that extends a space: the mean of an item's tokens, and how they vary together.

    z = [ sqrt(a) * mean , sqrt(1 - a) * second ]        both blocks of length one

The first block is the old vector, so the new space `extends` the old one: an old vector with
zeros behind it scores sqrt(a) times what it did, and keeps its place among old items. Items
that are embedded anew gain the second block; those that are not lose nothing, and no backfill
is owed. It needs a model whose tokens can be read, before they are pooled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, Vectors
from ..errors import ConfigError, EncoderError, HoldfastError
from ..items import Content, Role, as_contents
from ..space import Space, fingerprint
from .base import as_answer, nothing

Tokens: TypeAlias = Sequence[npt.NDArray[Any]]
Reader: TypeAlias = Callable[[list[Content]], Tokens]
Float64Array: TypeAlias = npt.NDArray[np.float64]

_BLOCK = 256  # items whose moments are held at once


class MomentHead:
    """Pools tokens to the mean and a projection of their second moments.

    The moments are taken about the item's own mean, which the first block has already; their
    upper triangle is projected to `extra` numbers by random signs, which keep inner products
    on average. An item of one token has no second block.

    Args:
        dim: Length of a token.
        extra: Length of the second block; 0 is the old head, the mean alone.
        share: a in the module's formula: how much the mean counts.
        seed: Of the signs.
    Raises:
        ConfigError: A dim below 1, extra below 0, or a share outside (0, 1).
    Source: Gao et al. 2023 (Moment Probing, arXiv 2307.11342). Departs from it: nothing is
        trained; whole covariances are projected, where theirs are raw moments of neighbouring
        heads that go through convolutions; the blocks are one vector, not two logits.
    Example:
        >>> head = MomentHead(2, extra=3)
        >>> head.pool([np.eye(2)]).shape
        (1, 5)
    """

    def __init__(self, dim: int, extra: int = 256, share: float = 0.5, seed: int = 0) -> None:
        if dim < 1 or extra < 0 or not 0.0 < share < 1.0:
            raise ConfigError(
                "MomentHead",
                "dim from 1, extra from 0, share between 0 and 1",
                f"{dim}, {extra}, {share}",
            )
        self.dim, self.extra, self.share, self.seed = dim, extra, share, seed

    @cached_property
    def _signs(self) -> Float64Array:
        """(moments, extra) of -1 and 1, from the bits of a generator, which never change."""
        shape = (self.dim * (self.dim + 1) // 2, self.extra)
        raw = np.random.PCG64(self.seed).random_raw(-(-shape[0] * shape[1] // 64))
        bits = np.unpackbits(np.asarray(raw, dtype="<u8").view(np.uint8))
        return bits[: shape[0] * shape[1]].reshape(shape).astype(np.float64) * 2.0 - 1.0

    def pool(self, tokens: Tokens) -> Float64Array:
        """Pool the tokens of items.

        Args:
            tokens: For each of n items its (t, dim) tokens, t at least 1.
        Returns:
            (n, dim + extra) rows of length one; of length zero where all tokens are.
        Raises:
            EncoderError: Tokens of another shape.
        """
        rows = [self._checked(item) for item in tokens]
        first = _unit(np.array([item.mean(axis=0) for item in rows]).reshape(-1, self.dim))
        if not self.extra:
            return first
        starts = range(0, len(rows), _BLOCK)
        parts = [second_moments(rows[at : at + _BLOCK]) @ self._signs for at in starts]
        second = _unit(np.concatenate([np.empty((0, self.extra)), *parts]))
        return np.hstack([np.sqrt(self.share) * first, np.sqrt(1.0 - self.share) * second])

    def _checked(self, item: Any) -> Float64Array:
        array = np.asarray(item, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != self.dim or not len(array):
            raise EncoderError(
                "MomentHead", f"(t, {self.dim}) tokens of each item", f"shape {array.shape}"
            )
        return array


def second_moments(tokens: Tokens) -> Float64Array:
    """(n, d (d + 1) / 2) upper triangles of the covariance of each item's tokens.

    What lies off the diagonal counts sqrt(2) times, so that inner products are those of the
    whole matrices.

    Args:
        tokens: For each of n items its (t, d) tokens.
    """
    dim = tokens[0].shape[1]
    upper = np.triu_indices(dim)
    weight = np.where(upper[0] == upper[1], 1.0, np.sqrt(2.0))
    about = (item - item.mean(axis=0) for item in tokens)
    return np.array([(rest.T @ rest / len(rest))[upper] * weight for rest in about])


def _unit(rows: Float64Array) -> Float64Array:
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    out: Float64Array = rows / np.where(lengths > 0.0, lengths, 1.0)
    return out


class MomentEncoder:
    """A model's tokens by their mean, and by how they vary together.

    With `extra = 0` it is the model as it serves now, by the mean of its tokens; with more
    its space extends that one.

    Args:
        function: "module:function", or a function itself, that answers (t, dim) tokens for each
            of a list of contents.
        dim: Length of a token.
        extra: Length of the second block; 0 is the mean alone.
        share: How much the mean counts, in (0, 1).
        seed: Of the signs that project the second block.
        name: Label of the space.
        revision: Change it whenever the function answers other numbers.
    """

    def __init__(
        self,
        function: Reader | str,
        dim: int,
        extra: int = 256,
        share: float = 0.5,
        seed: int = 0,
        name: str | None = None,
        revision: str = "",
    ) -> None:
        from .registry import imported

        self.function = imported(function) if isinstance(function, str) else function
        self.head = MomentHead(dim, extra, share, seed)
        model = _path(function)
        old = fingerprint(model, revision=revision, pooling="mean", engine="moments")
        label = name or (f"{model}+moments" if extra else model)
        if extra:
            more = fingerprint(
                model,
                revision=revision,
                pooling="mean+moments",
                engine="moments",
                extra=extra,
                share=share,
                seed=seed,
            )
            self.space = Space(label, dim + extra, "cosine", more, extends=old)
        else:
            self.space = Space(label, dim, "cosine", old)

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        given = as_contents(contents, role, repr(self))
        if not given:
            return nothing(self.space)
        count = len(given)
        try:
            tokens = list(self.function(given))
        except HoldfastError:
            raise
        except Exception as cause:
            raise EncoderError(
                repr(self), "tokens of its function", f"{type(cause).__name__}: {cause}"
            ) from cause
        rows: FloatArray = self.head.pool(tokens).astype(np.float32)
        return as_answer(rows, count, self.space, repr(self))

    def __repr__(self) -> str:
        return f"MomentEncoder({self.space.name})"


def _path(function: Reader | str) -> str:
    """Where a function is, so that two of one name are two models; a path is that already."""
    if isinstance(function, str):
        return function
    name = getattr(function, "__qualname__", type(function).__name__)
    return f"{getattr(function, '__module__', '')}:{name}"
