"""Two models as one space: their vectors weighted and joined.

    z = [ w f , (1 - w) g ] / length        f and g of length one

A product of two such rows is the weighted mean of both models' cosines, with weights w^2 and
(1 - w)^2: fused search with one index and no second path for queries. The first coordinates
are the first model's, so the space `extends` its: old vectors need not be embedded anew at
once. It gains where two models are about equally good and wrong in different places; beside
a much weaker model the better one alone is better, see `choose_weight`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Vectors
from ..errors import ConfigError
from ..items import Content, Role, as_contents
from ..space import Space, fingerprint
from .base import Encoder, as_answer


class JoinedEncoder:
    """Asks both models.

    Args:
        first: Of the space that is extended.
        second: The other one.
        weight: w of the module's formula, the first model's.
        name: Label of the space.
    Raises:
        ConfigError: A weight outside (0, 1), or a model whose metric is not the cosine.
    Source: Zhang et al. 2023 (A Tale of Two Features, arXiv 2305.15347). Departs from it: no
        principal components of the pair at hand, which no index could hold.
    """

    def __init__(
        self, first: Encoder, second: Encoder, weight: float = 0.5, name: str | None = None
    ) -> None:
        metrics = {first.space.metric, second.space.metric}
        if metrics != {"cosine"} or not 0.0 < weight < 1.0:
            raise ConfigError(
                "JoinedEncoder",
                "two models under cosine and a weight between 0 and 1",
                f"{', '.join(sorted(metrics))}, {weight}",
                "At weight 0 or 1 use one of the models alone.",
            )
        self.first, self.second, self.weight = first, second, weight
        one, other = first.space, second.space
        mark = fingerprint(
            "joined", first=one.fingerprint, second=other.fingerprint, weight=float(weight)
        )
        label = name or f"{one.name}+{other.name}"
        self.space = Space(label, one.dim + other.dim, "cosine", mark, extends=one.fingerprint)

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        given = as_contents(contents, role, repr(self))
        rows = joined(self.first.encode(given, role), self.second.encode(given, role), self.weight)
        return as_answer(rows, len(given), self.space, repr(self))

    def __repr__(self) -> str:
        return f"JoinedEncoder({self.space.name})"


def joined(first: Vectors, second: Vectors, weight: float) -> Any:
    """(n, d + e) float32 rows of length one, from n unit rows of each.

    Args:
        first: (n, d).
        second: (n, e), the same items.
        weight: Of the first, in (0, 1).
    """
    length = np.hypot(weight, 1.0 - weight)
    shares = np.float32(weight / length), np.float32((1.0 - weight) / length)
    return np.hstack([first.array * shares[0], second.array * shares[1]])


def open_joined(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    weight: float = 0.5,
    name: str | None = None,
) -> JoinedEncoder:
    """Two models as one space, which extends that of the first.

    Args:
        first: A table of `encoder` and its options: the model that serves now.
        second: The same of the other model.
        weight: Of the first, in (0, 1).
        name: Label of the space.
    Raises:
        ConfigError: A table without `encoder`.
    """
    return JoinedEncoder(_opened(first, "first"), _opened(second, "second"), weight, name)


def _opened(told: Mapping[str, Any], which: str) -> Encoder:
    from .registry import open_encoder

    options = dict(told)
    kind = options.pop("encoder", None)
    if not isinstance(kind, str):
        raise ConfigError(f"encoder 'joined': {which}", "a table with `encoder`", repr(told))
    return open_encoder(kind, **options)
