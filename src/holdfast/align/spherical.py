"""A query between two models: the old query and the bridged new one, joined on the sphere.

While the old model still answers, its query and the new model's, brought into the old space
by a bridge, are two opinions about one question. A point between them asks the old gallery
better than either, at the price of two encoders a query:

    join = Interpolation.fit(old_queries, bridge.transform(new_queries), stored, own)
    hits = store.search(join.between(old_query, bridge.transform(new_query)), k)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from ..arrays import IntArray, Vectors, as_vectors, unit_rows
from ..errors import InvalidInput, WrongSpace
from .moments import Float64Array
from .recall import found

Rule = Literal["slerp", "nlerp", "adaptive"]

# alpha by tenths, for "slerp" and "nlerp"; (offset, slope) for "adaptive".
ALPHAS = tuple(round(0.1 * i, 1) for i in range(11))
OFFSETS = (-3.0, -1.5, 0.0, 1.5, 3.0)
SLOPES = (-3.0, 0.0, 3.0, 6.0)

_PARALLEL = 1e-7  # sine of the angle below which rows of float32 span no plane


@dataclass(frozen=True, slots=True)
class Interpolation:
    """How far a query goes from the old model's towards the new one's.

    "slerp" goes the share `alpha` of the angle. "nlerp" adds the two with weights 1 - alpha
    and alpha: the ranking is that of mixing the scores of two searches. "adaptive" does the
    same with a weight for each query, sigmoid(offset + slope <old, bridged>), so that
    queries on which the models agree may be trusted differently.

    Args:
        alpha: 0 is the old query, 1 the bridged one. Unused by "adaptive".
        rule: "slerp", "nlerp" or "adaptive".
        offset, slope: Of "adaptive".
        score: R@1 on the support pairs that chose it, or the mean of several depths; None
            where nothing did.
    Raises:
        InvalidInput: An alpha outside 0 to 1, or an unknown rule.
    Source: Spherical interpolation for backward-compatible representations (arXiv 2609.39836,
        2026). Departs from it: the bridge may be any; opposite queries have a defined
        answer; of equally good settings the one nearest to the old query is taken.
    Example:
        >>> from holdfast.space import Space
        >>> a = as_vectors([[1.0, 0.0]], Space("old", 2), "demo")
        >>> b = as_vectors([[0.0, 1.0]], Space("old", 2), "demo")
        >>> [f"{x:.3f}" for x in Interpolation(0.5).between(a, b).array[0]]
        ['0.707', '0.707']
    """

    alpha: float = 0.5
    rule: Rule = "slerp"
    offset: float = 0.0
    slope: float = 0.0
    score: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.alpha <= 1.0:
            raise InvalidInput("Interpolation", "alpha from 0 to 1", repr(self.alpha))
        if self.rule not in ("slerp", "nlerp", "adaptive"):
            raise InvalidInput("Interpolation", "slerp, nlerp or adaptive", repr(self.rule))

    @classmethod
    def fit(
        cls,
        old: Vectors,
        bridged: Vectors,
        stored: Vectors,
        own: Any,
        rule: Rule = "slerp",
        depths: Sequence[int] = (1,),
    ) -> Self:
        """The setting that finds most on support pairs which the bridge was not fitted on.

        Args:
            old: (q, d) queries by the old model.
            bridged: (q, d) the same by the new model, brought into the old space.
            stored: (n, d) rows of the old gallery, by the old model.
            own: (q,) the row of `stored` that each query should find, or for each query all
                rows that are right. A document must not ask for itself: its old vector is
                the stored one.
            rule: "slerp", "nlerp" or "adaptive".
            depths: What finds most by the mean of R@k for these k is taken.
        Raises:
            InvalidInput: No queries, rows that are not there, or a depth below 1.
            WrongSpace: Not all of one space, or one without angles.
        """
        _check_pair(old, bridged)
        as_vectors(stored, old.space, "Interpolation.fit")
        places = _places(own, len(old), len(stored))
        if min(depths, default=0) < 1:
            raise InvalidInput("Interpolation.fit", "depths from 1", repr(depths))
        best: Self | None = None
        for tried in cls._settings(rule):
            asked = tried.between(old, bridged).array
            score = float(found(asked, stored.array, places, depths).mean())
            if best is None or score > (best.score or 0.0):
                best = cls(tried.alpha, rule, tried.offset, tried.slope, score)
        return best or cls(0.0, rule)

    @classmethod
    def _settings(cls, rule: Rule) -> Sequence[Self]:
        """All that are tried, those nearest to the old query first."""
        if rule != "adaptive":
            return [cls(alpha, rule) for alpha in ALPHAS]
        pairs = sorted((o + s, o, s) for o in OFFSETS for s in SLOPES)
        return [cls(0.0, rule, offset, slope) for _, offset, slope in pairs]

    def between(self, old: Vectors, bridged: Vectors) -> Vectors:
        """The queries to ask the old gallery.

        Args:
            old: (q, d) queries by the old model.
            bridged: (q, d) the same by the new model, brought into the old space.
        Returns:
            (q, d) unit rows of the old space. Where both are opposite and the rule adds
            them up to nothing, the old query.
        Raises:
            InvalidInput: Not as many of both.
            WrongSpace: Not of one space, or one without angles.
        """
        _check_pair(old, bridged)
        u, v = (rows.array.astype(np.float64) for rows in (old, bridged))
        if self.rule == "slerp":
            joined = slerp(u, v, self.alpha)
        else:
            weight = self.weights(u, v)[:, None]
            joined = (1.0 - weight) * u + weight * v
            lost = np.linalg.norm(joined, axis=1) < _PARALLEL
            joined[lost] = u[lost]
            joined /= np.linalg.norm(joined, axis=1, keepdims=True)
        return Vectors(old.space, unit_rows(joined.astype(np.float32)))

    def weights(self, u: Float64Array, v: Float64Array) -> Float64Array:
        """(q,) weights of the bridged queries in a sum, for "nlerp" and "adaptive"."""
        if self.rule != "adaptive":
            return np.full(len(u), self.alpha)
        cosine = np.einsum("ij,ij->i", u, v)
        weights: Float64Array = 1.0 / (1.0 + np.exp(-(self.offset + self.slope * cosine)))
        return weights


def slerp(u: Float64Array, v: Float64Array, alpha: float) -> Float64Array:
    """(q, d) unit rows at the share `alpha` of the angle from u to v.

    Written as cos(alpha t) u + sin(alpha t) w with w the part of v that is at a right angle
    to u: the same as the usual form, without its division by sin t. Where u and v are
    opposite every way is as short; w is then made from the axis that u has least of.

    Args:
        u, v: (q, d) unit rows.
        alpha: From 0 to 1.
    """
    u, v = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (u, v))
    cosine = np.einsum("ij,ij->i", u, v)[:, None]
    aside = v - cosine * u
    sine = np.linalg.norm(aside, axis=1, keepdims=True)
    opposite = ((sine < _PARALLEL) & (cosine < 0.0)).ravel()
    if opposite.any():
        axis = np.zeros_like(u[opposite])
        axis[np.arange(len(axis)), np.abs(u[opposite]).argmin(axis=1)] = 1.0
        axis -= np.einsum("ij,ij->i", axis, u[opposite])[:, None] * u[opposite]
        aside[opposite] = axis
    lengths = np.linalg.norm(aside, axis=1, keepdims=True)
    aside /= np.where(lengths > 0.0, lengths, 1.0)
    angle = alpha * np.arctan2(sine, cosine)
    joined: Float64Array = np.cos(angle) * u + np.sin(angle) * aside
    return joined


def _check_pair(old: Vectors, bridged: Vectors) -> None:
    as_vectors(bridged, old.space, "Interpolation")
    if old.space.metric != "cosine":
        raise WrongSpace(
            "Interpolation",
            "a space whose metric is cosine",
            str(old.space),
            "Between other vectors there is no angle to go along; mix the scores instead.",
        )
    if len(old) != len(bridged):
        counts = f"{len(old)} and {len(bridged)}"
        raise InvalidInput("Interpolation", "as many old queries as bridged ones", counts)


def _places(own: Any, queries: int, stored: int) -> list[IntArray]:
    if not isinstance(own, np.ndarray) and len(own) and np.ndim(own[0]):
        places = [np.unique(np.asarray(row)) for row in own]
    else:
        flat = np.asarray(own)
        places = list(flat[:, None]) if flat.ndim == 1 else []
    good = len(places) == queries > 0 and all(_rows_of(row, stored) for row in places)
    if not good:
        raise InvalidInput(
            "Interpolation.fit",
            f"for each of {queries} queries the row, below {stored}, that it should find, or more",
            f"{len(places)} of them, or rows that are not there",
        )
    return places


def _rows_of(row: Any, stored: int) -> bool:
    whole = row.ndim == 1 and row.size > 0 and row.dtype.kind in "iu"
    return bool(whole and row.min() >= 0 and row.max() < stored)
