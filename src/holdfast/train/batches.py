"""Which items make the batches of an epoch: shuffled, or half memory and half current.

The order is a function of the seed, the task and the epoch, so a run that goes on in the
middle of an epoch needs to remember nothing but how far it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..arrays import IntArray
from ..errors import InvalidInput

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Epoch:
    """The batches of one pass.

    Args:
        items: (batches, b) places in the data set.
        memory: (batches, b) which of them come from the memory.
    """

    items: IntArray
    memory: Mask

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[IntArray, Mask]]:
        return zip(self.items, self.memory, strict=True)


def count(current: int, memory: int, size: int) -> int:
    """Batches of one pass: floor((current + memory) / size), but at least one.

    Raises:
        InvalidInput: Nothing to train on, or a batch that cannot hold both halves.
    """
    if current < 1 or memory < 0 or size < (2 if memory else 1):
        raise InvalidInput(
            "batches", "current items, and batches of 2 or more", f"{current}, size {size}"
        )
    return max((current + memory) // size, 1)


def shuffled(items: IntArray, size: int, rng: np.random.Generator) -> Epoch:
    """Whole batches of all items in a drawn order; what is left over waits for another epoch.

    Args:
        items: (n,) places.
        size: Of a batch; fewer items than that make one batch of all of them.
        rng: Draws the order.
    """
    batches = count(len(items), 0, size)
    size = min(size, len(items))
    chosen = rng.permutation(items)[: batches * size].reshape(batches, size)
    return Epoch(chosen, np.zeros(chosen.shape, dtype=bool))


def balanced(items: IntArray, memory: IntArray, size: int, rng: np.random.Generator) -> Epoch:
    """Batches whose first half is memory and whose other half is current.

    Each half is drawn without replacement as long as its items last. A side that is too
    short is gone through again in a new order, so that no item is used twice more often than
    another.

    Args:
        items: (n,) places of the current task.
        memory: (m,) places of the memory; without any, batches are `shuffled`.
        size: Of a batch; an odd one has one current item more.
        rng: Draws the order.
    Source: Biondi et al. 2023 (CL2R: 64 + 64, floor((n + m) / 128) batches). Departs from
        it: a short side is gone through again where they draw with replacement.
    """
    if not len(memory):
        return shuffled(items, size, rng)
    batches, half = count(len(items), len(memory), size), size // 2
    kept = _drawn(memory, batches * half, rng).reshape(batches, half)
    now = _drawn(items, batches * (size - half), rng).reshape(batches, size - half)
    mask = np.broadcast_to(np.arange(size) < half, (batches, size)).copy()
    return Epoch(np.concatenate([kept, now], axis=1), mask)


def _drawn(pool: IntArray, wanted: int, rng: np.random.Generator) -> IntArray:
    rounds = -(-wanted // len(pool))
    return np.concatenate([rng.permutation(pool) for _ in range(rounds)])[:wanted]


def generator(seed: int, *where: int) -> np.random.Generator:
    """A generator of its own for each place in a run, such as a task and an epoch."""
    return np.random.default_rng([seed, *where])
