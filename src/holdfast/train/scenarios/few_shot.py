"""One model goes on with new classes of a few items each, and nothing is remembered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...arrays import IntArray
from ...errors import InvalidInput
from ..batches import generator
from ..interface import Interface
from .tables import labels_of, names_of, ranks, tables_of
from .task import Scenario, Start, Steps, Task


def few_shot(
    classes: npt.ArrayLike,
    interface: Interface,
    steps: Steps,
    shots: int = 5,
    seed: int = 0,
    chosen: Sequence[npt.ArrayLike] | None = None,
) -> Scenario:
    """A base task with all items of its classes, then tasks with a few items of new classes.

    Args:
        classes: (N,) name of the class of every item.
        interface: To be filled from the front.
        steps: Classes of the base task, then the new ones of each later task.
        shots: Items of each class after the base task. More of them include the fewer.
        seed: Decides which ones.
        chosen: Places of the items of each later task, instead, where a protocol lists them.
    Raises:
        InvalidInput: A class with fewer items than `shots`, or chosen items of other classes.

    Source: the protocol of few-shot class-incremental learning, Tao et al. 2020 (TOPIC); 60 +
        8 x 5 classes of 5 items each for CIFAR-100. Departs from it: nothing.
    Example:
        >>> names = ["a", "a", "b", "b", "c", "c"]
        >>> found = few_shot(names, Interface("x", capacity=8), [["a", "b"], ["c"]], shots=1)
        >>> [len(task.items) for task in found.tasks]
        [4, 1]
    """
    if shots < 1:
        raise InvalidInput("few_shot", "shots from 1", str(shots))
    names = names_of(classes)
    tables = tables_of(names, interface, steps, "front")
    if chosen is not None and len(chosen) != len(steps) - 1:
        raise InvalidInput("few_shot", f"items of {len(steps) - 1} tasks", str(len(chosen)))
    tasks = []
    for t, table in enumerate(tables):
        items = np.flatnonzero(np.isin(names, list(steps[t])))
        if t and chosen is not None:
            items = _listed(chosen[t - 1], items, str(t + 1))
        elif t:
            items = _drawn(names, items, steps[t], shots, seed)
        start: Start = "deployed" if t else "fresh"
        tasks.append(
            Task(str(t + 1), items, labels_of(names, table), table, tuple(steps[t]), start)
        )
    return Scenario(names, tuple(tasks))


def _drawn(
    names: npt.NDArray[np.str_], items: IntArray, classes: Sequence[str], shots: int, seed: int
) -> IntArray:
    _, numbers = np.unique(names, return_inverse=True)
    places, _ = ranks(numbers, generator(seed).permutation(len(names)))
    kept = items[places[items] < shots]
    for name in classes:
        count = int((names[kept] == name).sum())
        if count < shots:
            raise InvalidInput("few_shot", f"{shots} items of each class", f"{count} of {name!r}")
    return kept


def _listed(given: npt.ArrayLike, allowed: IntArray, task: str) -> IntArray:
    items = np.unique(np.asarray(given, dtype=np.int64))
    if not len(items) or not np.isin(items, allowed).all():
        raise InvalidInput(f"few_shot task {task}", "items of its classes", f"{items[:5]}")
    return items
