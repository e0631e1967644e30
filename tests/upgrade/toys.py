"""Small models, sources and stores for the tests of the upgrade."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from holdfast.arrays import Vectors, as_vectors
from holdfast.items import Item, Role
from holdfast.space import Space


class ToyEncoder:
    """Content is a tuple of floats; the model is a fixed matrix with a bend."""

    def __init__(self, space: Space, width: int = 4, seed: int = 0) -> None:
        self.space = space
        self._matrix = np.random.default_rng(seed).normal(size=(width, space.dim))
        self.calls = 0
        self.fail: list[Exception] = []

    def encode(self, contents: Sequence[Any], role: Role) -> Vectors:
        self.calls += 1
        if self.fail:
            raise self.fail.pop(0)
        array = np.zeros((0, self.space.dim))
        if len(contents):
            raw = np.array(contents, dtype=np.float64)
            array = np.tanh(raw[:, : len(self._matrix)] @ self._matrix)
        return as_vectors(array, self.space, f"toy {self.space.name}")


class ToySource:
    """A dictionary that can be changed."""

    def __init__(self, items: dict[str, Any] | None = None) -> None:
        self.items = items if items is not None else {}

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        return [Item(i, self.items[i]) if i in self.items else None for i in ids]


class Clock:
    """Counts up by one whenever it is read."""

    def __init__(self, start: int = 1) -> None:
        self._ticks = itertools.count(start)

    def __call__(self) -> int:
        return next(self._ticks)


def contents(count: int, seed: int = 0, width: int = 4) -> dict[str, tuple[float, ...]]:
    """Items i0, i1, ... with random content."""
    table = np.random.default_rng(seed).normal(size=(count, width))
    return {f"i{row}": tuple(map(float, values)) for row, values in enumerate(table)}


def pressed_weight(rule: Any, part: Any) -> Any:
    """Of old scores where a part of the best candidates waits, as `fusion_rule.py` writes it."""
    if not rule.heard:
        return 0.0 * part
    sure, usual = 0.35 * rule.heard, rule.weight if rule.usual is None else rule.usual
    times = max(1.0, usual / (rule.heard * (0.35 + rule.few)))
    told = part / (part + (1.0 - part) * times)
    return sure + told * (usual - sure) + part * (rule.weight - usual)
