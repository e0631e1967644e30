"""Halving: what fails for many items is done for each half, until those at fault stand alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from ...arrays import IntArray
from ...errors import HoldfastError

T = TypeVar("T")


@dataclass(slots=True)
class Halved(Generic[T]):
    """What became of some places.

    Args:
        kept: Those for which it was done, in their order.
        answers: What each call for some of them answered, in that order.
        errors: Why it could not be done for the others.
    """

    kept: list[int] = field(default_factory=list)
    answers: list[T] = field(default_factory=list)
    errors: dict[int, HoldfastError] = field(default_factory=dict)


def halve(
    count: int, do: Callable[[IntArray], T], blames: Callable[[HoldfastError], bool]
) -> Halved[T]:
    """Do something for all places from 0 at once, or, where it fails, for fewer and fewer.

    Args:
        count: How many places there are; for none nothing is done.
        do: Does it for some rising places; what failed must have left nothing behind, or may be
            done again.
        blames: Whether an error is about the items; any other one is raised.
    """
    found: Halved[T] = Halved()
    open_ones = [np.arange(count)] if count else []
    while open_ones:
        places = open_ones.pop()
        try:
            found.answers.append(do(places))
        except HoldfastError as error:
            if not blames(error):
                raise
            if len(places) == 1:
                found.errors[int(places[0])] = error
                continue
            half = len(places) // 2
            open_ones += [places[half:], places[:half]]  # the first half is next
        else:
            found.kept += places.tolist()
    return found
