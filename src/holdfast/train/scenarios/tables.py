"""What scenarios share: names of classes, tables of vertices, and items in a drawn order."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...arrays import IntArray
from ...errors import InvalidInput
from ..interface import Interface, Side
from ..memory import Names
from .task import Steps


def names_of(classes: npt.ArrayLike) -> Names:
    """(N,) names of classes, checked."""
    names = np.asarray(classes)
    if names.ndim != 1 or names.dtype.kind != "U" or not len(names):
        raise InvalidInput("a scenario", "(N,) names of classes", f"{names.dtype} {names.shape}")
    return names


def tables_of(names: Names, interface: Interface, steps: Steps, side: Side) -> list[Interface]:
    """The interface as it is with each task's classes.

    Raises:
        InvalidInput: A step without new classes, or a class that has no item.
    """
    tables: list[Interface] = []
    there = set(names.tolist())
    for new in steps:
        known = [name for name in new if any(name in step for step in steps[: len(tables)])]
        if known or not new or len(set(new)) < len(new):
            raise InvalidInput("a scenario", "new classes in every step", f"{list(new)[:5]}")
        missing = sorted(set(new) - there)
        if missing:
            raise InvalidInput("a scenario", "classes that have items", f"{missing[:5]}")
        interface = interface.filled(new, side)
        tables.append(interface)
    return tables


def labels_of(names: Names, table: Interface) -> IntArray:
    """(N,) vertices of items; -1 where the table lacks the class."""
    found, inverse = np.unique(names, return_inverse=True)
    vertices = [table.places.get(name, -1) for name in found.tolist()]
    return np.array(vertices, dtype=np.int64)[inverse]


def ranks(labels: IntArray, order: IntArray) -> tuple[IntArray, IntArray]:
    """(N,) place of each item within its class, in the drawn order, and (N,) that class's size."""
    drawn = order[np.argsort(labels[order], kind="stable")]
    _, sizes = np.unique(labels, return_counts=True)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    places, among = np.empty_like(labels), np.empty_like(labels)
    places[drawn] = np.arange(len(labels)) - starts
    among[drawn] = np.repeat(sizes, sizes)
    return places, among
