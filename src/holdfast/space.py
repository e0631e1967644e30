"""A space: what one version of one model produces, and how two spaces relate.

Equality of spaces is the only licence to compare vectors. Dimension proves nothing: two
models of 384 dimensions, or one model with another prefix, are two spaces.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from numbers import Integral
from typing import Any, Literal, Protocol, get_args

from .errors import InvalidInput

Metric = Literal["cosine", "dot", "euclidean"]
Relation = Literal["same", "extends", "mapped", "unrelated"]

METRICS: tuple[str, ...] = get_args(Metric)


def fingerprint(
    model: str,
    *,
    revision: str = "",
    query_prefix: str = "",
    document_prefix: str = "",
    pooling: str = "",
    max_length: int | None = None,
    normalised: bool = True,
    **more: str | float | bool | None,
) -> str:
    """Digest of everything that decides which numbers a model answers.

    Args:
        model: Name of the model, or of the weights.
        revision: Version of the weights: a commit, a tag, a date.
        query_prefix: Text put before every query.
        document_prefix: Text put before every document.
        pooling: How token vectors become one.
        max_length: Tokens after which text is cut; None for the model's own limit.
        normalised: Whether the model answers unit vectors.
        more: Anything else that changes the answer (dtype, truncated dimensions, engine).
    Returns:
        16 hexadecimal digits.
    Example:
        >>> fingerprint("e5") == fingerprint("e5", query_prefix="query: ")
        False
    """
    recipe = {
        "model": model,
        "revision": revision,
        "query_prefix": query_prefix,
        "document_prefix": document_prefix,
        "pooling": pooling,
        "max_length": max_length,
        "normalised": normalised,
        **more,
    }
    canonical = json.dumps(recipe, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Space:
    """One model version's output.

    Args:
        name: Label for people, "minilm@1". Not part of equality.
        dim: Length of a vector.
        metric: How two vectors are compared. Scores are always higher-is-better:
            the cosine, the inner product, or minus the Euclidean distance.
        fingerprint: What the model is, see `fingerprint`. Without one, the name is digested.
        extends: Fingerprint of the space whose coordinates are this one's first ones
            (`new = [old, extra]`), for models trained that way.
    Raises:
        InvalidInput: No name, a dimension below 1 or none, or an unknown metric.
    Example:
        >>> Space("a", 3, fingerprint="x") == Space("b", 3, fingerprint="x")
        True
    """

    name: str = field(compare=False)
    dim: int
    metric: Metric = "cosine"
    fingerprint: str = ""
    extends: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidInput("Space", "a name", "an empty one", "Name the model and its version.")
        if isinstance(self.dim, bool) or not isinstance(self.dim, Integral) or self.dim < 1:
            raise InvalidInput(
                f"Space {self.name!r}", "a whole dimension of at least 1", repr(self.dim)
            )
        object.__setattr__(self, "dim", int(self.dim))  # NumPy's integers are none of JSON's
        if self.metric not in METRICS:
            raise InvalidInput(
                f"Space {self.name!r}", f"a metric among {', '.join(METRICS)}", repr(self.metric)
            )
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", fingerprint(self.name))

    def __str__(self) -> str:
        return f"{self.name} ({self.dim}-d {self.metric}, {self.fingerprint})"

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Space:
        """Read what `to_json` wrote."""
        return cls(**data)


class Joins(Protocol):
    """Anything with a typed direction from one space to another, such as a bridge."""

    @property
    def origin(self) -> Space: ...

    @property
    def target(self) -> Space: ...


def relation(query: Space, gallery: Space, bridges: Iterable[Joins] = ()) -> Relation:
    """How vectors of `query` may be compared with stored vectors of `gallery`.

    Args:
        query: Space of the side that asks.
        gallery: Space of the side that is stored.
        bridges: Known bridges; only one from `query` to `gallery` counts.
    Returns:
        "same": compare as they are. "extends": `gallery` is the first coordinates of
        `query`. "mapped": a bridge leads from `query` to `gallery`. "unrelated": never.
    Example:
        >>> relation(Space("a", 3), Space("b", 3))
        'unrelated'
    """
    if query == gallery:
        return "same"
    if (
        query.extends == gallery.fingerprint
        and query.metric == gallery.metric
        and query.dim > gallery.dim
    ):
        return "extends"
    if any(b.origin == query and b.target == gallery for b in bridges):
        return "mapped"
    return "unrelated"
