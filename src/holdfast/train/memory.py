"""The episodic memory: which items of earlier tasks are seen again.

Every item has a rank that depends on the seed and on nothing else, and the memory keeps the
items of lowest rank: of each class, or of everything seen. That is a uniform sample without
replacement, the same one in whatever order and in however many pieces the items came, so there
is no generator whose state could be lost.

The memory holds places of items in the data set, not the items: keep what it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import artifact
from ..arrays import IntArray
from ..errors import InvalidInput

Ranks = npt.NDArray[np.uint64]
Names = npt.NDArray[np.str_]


class Memory:
    """Items kept for later tasks. Never changes: `added` and `without` answer a new one.

    Args:
        per_class: Items kept of each class. Or else:
        capacity: Items kept of everything seen, as a reservoir keeps them.
        seed: Decides which ones.
        items: (n,) places in the data set of what is in it.
        classes: (n,) names of their classes.
    Raises:
        InvalidInput: Both bounds or none, one below 1, or a seed below 0.
    Source: Biondi et al. 2023 (CL2R, 20 random images a class); Vitter 1985 for the
        reservoir. Departs from them: the sample follows from the seed and the items, not from
        the order in which they came.
    Example:
        >>> memory = Memory(per_class=1).added([4, 7, 9], ["cat", "dog", "dog"])
        >>> len(memory), sorted(memory.classes.tolist())
        (2, ['cat', 'dog'])
    """

    def __init__(
        self,
        per_class: int | None = None,
        capacity: int | None = None,
        seed: int = 0,
        items: npt.ArrayLike = (),
        classes: npt.ArrayLike = (),
    ) -> None:
        given = [size for size in (per_class, capacity) if size is not None]
        if len(given) != 1 or given[0] < 1 or seed < 0:
            raise InvalidInput(
                "Memory",
                "per_class or capacity, from 1, and a seed from 0",
                f"per_class={per_class}, capacity={capacity}, seed={seed}",
            )
        self.per_class, self.capacity, self.seed = per_class, capacity, seed
        self.items, self.classes = _items(items, classes)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        size = f"per_class={self.per_class}" if self.per_class else f"capacity={self.capacity}"
        return f"Memory({size}, {len(self)} items of {len(np.unique(self.classes))} classes)"

    def added(self, items: npt.ArrayLike, classes: npt.ArrayLike) -> Memory:
        """The memory after more items were seen.

        Args:
            items: (n,) places in the data set.
            classes: (n,) names of their classes.
        Raises:
            InvalidInput: No pairs of a place and a name, or one place under two names.
        """
        more, names = _items(items, classes)
        places, first = np.unique(np.concatenate([self.items, more]), return_index=True)
        together = np.concatenate([self.classes, names])
        kept = together[first]
        if not np.array_equal(kept[np.searchsorted(places, more)], names):
            raise InvalidInput("Memory", "one class an item", "an item under two names")
        chosen = self._chosen(places, kept)
        return self._with(places[chosen], kept[chosen])

    def without(self, items: Iterable[int]) -> Memory:
        """The memory without some items; what they displaced does not come back."""
        stays = ~np.isin(self.items, np.fromiter(items, dtype=np.int64))
        return self._with(self.items[stays], self.classes[stays])

    def _chosen(self, places: IntArray, classes: Names) -> npt.NDArray[np.bool_]:
        ranks = _ranks(places, self.seed)
        _, numbers = np.unique(classes, return_inverse=True)
        groups = numbers if self.per_class else np.zeros(len(places), dtype=np.int64)
        order = np.lexsort((ranks, groups))
        sizes = np.bincount(groups) if len(groups) else np.zeros(0, dtype=np.int64)
        starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
        chosen = np.zeros(len(places), dtype=bool)
        quota = self.per_class or self.capacity or 0
        chosen[order] = np.arange(len(places)) - starts < quota
        return chosen

    def _with(self, items: IntArray, classes: Names) -> Memory:
        return Memory(self.per_class, self.capacity, self.seed, items, classes)

    def to_arrays(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Arrays and a JSON object that `from_arrays` reads back."""
        names, numbers = np.unique(self.classes, return_inverse=True)
        arrays = {"items": self.items, "numbers": numbers.astype(np.int64)}
        sizes = {"per_class": self.per_class, "capacity": self.capacity, "seed": self.seed}
        return arrays, {**sizes, "names": names.tolist()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], meta: Mapping[str, Any]) -> Memory:
        """Read what `to_arrays` wrote."""
        fields = dict(meta)
        names = np.array(fields.pop("names"), dtype=np.str_)
        return cls(**fields, items=arrays["items"], classes=names[arrays["numbers"]])

    def save(self, path: Path | str) -> None:
        """Write to a file."""
        artifact.save(path, artifact.Artifact("memory", *self.to_arrays()))

    @classmethod
    def load(cls, path: Path | str) -> Memory:
        """Read what `save` wrote.

        Raises:
            ArtifactError: Missing, or of another kind.
        """
        read = artifact.load(path, "memory")
        return cls.from_arrays(read.arrays, read.meta)


def _items(items: npt.ArrayLike, classes: npt.ArrayLike) -> tuple[IntArray, Names]:
    places, names = np.atleast_1d(items), np.atleast_1d(classes)
    if not places.size and not names.size:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.str_)
    whole = np.issubdtype(places.dtype, np.integer) and names.dtype.kind == "U"
    if not whole or places.ndim != 1 or places.shape != names.shape or places.min() < 0:
        raise InvalidInput(
            "Memory",
            "places from 0, and a name for each",
            f"{places.dtype} {places.shape} and {names.dtype} {names.shape}",
        )
    return places.astype(np.int64), names.astype(np.str_)


def _ranks(places: IntArray, seed: int) -> Ranks:
    """Numbers that look drawn, one for each place: the finaliser of splitmix64, twice."""
    start = np.array([seed], dtype=np.uint64)
    return _mixed(places.astype(np.uint64) + _mixed(start))


def _mixed(values: Ranks) -> Ranks:
    z = values + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
