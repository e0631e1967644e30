"""Learning rates of sessions: by the share of classes that are new, and over a session."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from ...errors import InvalidInput

Rate: TypeAlias = Callable[[int, float], float]


def class_ratios(new: Sequence[int]) -> list[float]:
    """For each session, the share of its new classes among all that are known by then.

    It scales the learning rate of prompts, so that few new classes move little what many
    share. Scaling gradients instead is the same under SGD, weight decay aside, and does
    nothing under Adam, which divides by their size.

    Args:
        new: Number of classes that each session brings.
    Raises:
        InvalidInput: A session without classes.
    Example:
        >>> [round(share, 4) for share in class_ratios([60, 5, 5])]
        [1.0, 0.0769, 0.0714]

    Source: D'Alessandro et al. 2023 (CPE-CLIP, prompt regularisation). Departs from it: the
        rate is scaled, not the gradient.
    """
    if not new or min(new) < 1:
        raise InvalidInput("class_ratios", "new classes in every session", str(list(new)))
    return [count / sum(new[: t + 1]) for t, count in enumerate(new)]


def constant(rate: float) -> Rate:
    """The same rate at every step."""
    return lambda epoch, done: rate  # noqa: ARG005


def warmed(rate: float, share: float = 0.1, floor: float = 0.05) -> Rate:
    """Rising in a line over the first share of the steps, then half a cosine down.

    Args:
        rate: The highest.
        share: Of a session's steps, in [0, 1).
        floor: Share of the rate at both ends.
    """

    def at(epoch: int, done: float) -> float:  # noqa: ARG001
        if done < share:
            return rate * (floor + (1.0 - floor) * done / share)
        down = 0.5 * (1.0 + math.cos(math.pi * (done - share) / (1.0 - share)))
        return rate * (floor + (1.0 - floor) * down)

    return at


def published() -> Rate:
    """What the published runs used: 0.001, and 0.00198 more each epoch.

    Their schedule warms up over 50 steps from 0.001 to 0.1 and is asked once an epoch, so
    that no session gets further than its first points.
    """
    return lambda epoch, done: 0.001 + epoch * (0.1 - 0.001) / 50  # noqa: ARG005
