"""Curves of orders, each computed once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from holdfast.align.kernel import Kernel
from holdfast.arrays import FloatArray, IntArray
from holdfast.upgrade.search.mixed import CANDIDATES

from .at_once import at_once
from .mixture import World, curve, fused

_KEPT = 16  # maps, 8 MB each


class Remembered(Kernel):
    """The map of the package, fitted once on the same pairs: shares of an order have many alike."""

    _maps: ClassVar[dict[str, dict[str, Any]]] = {}

    def fit(self, X: FloatArray, Y: FloatArray, y: Any = None) -> Self:
        """Fit, or remember."""
        maps, key = self._maps, digest(X, Y)
        if key not in maps:
            while len(maps) >= _KEPT:
                del maps[next(iter(maps))]
            maps[key] = dict(vars(super().fit(X, Y, y)))
        vars(self).update(maps[key])
        return self


class Curves:
    """Curves by their order, kept in a folder, since two schemes share many."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._kept: dict[str, FloatArray] = {}
        aligner = Remembered(single=True)
        self._serving = partial(fused, aligner=aligner, candidates=CANDIDATES["fused"])

    def __call__(self, world: World, order: IntArray, shares: Sequence[float]) -> FloatArray:
        """(s, q) nDCG@10."""
        key = digest(order, np.asarray(shares), world.judged.new_queries.array)
        path = self._folder and self._folder / f"{key}.npy"
        if key not in self._kept and path and path.exists():
            self._kept[key] = np.load(path)
        if key not in self._kept:
            self._kept[key] = curve(world, self._serving, order, shares)
            if path:
                with at_once(path) as partial:
                    np.save(partial, self._kept[key])
        return self._kept[key]


def digest(*arrays: Any) -> str:
    """Of what arrays hold."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
