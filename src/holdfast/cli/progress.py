"""Long work at a terminal: a bar that says how fast, and how long it will take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .face import Face

_SMOOTH = 0.3  # weight of the latest rate


@contextmanager
def bar(face: Face, what: str, until: float = 1.0) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, at terminals only; called with (done, total).

    The first call sets where this run began, so that the rate is this run's. The time left is
    to where it stops.

    Args:
        face: The caller.
        what: Said before the bar.
        until: Share of the total at which this run stops.
    """
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} items"),
        TextColumn("{task.fields[pace]}"),
    )
    shown = face.talks and face.side.is_terminal
    with Progress(*columns, console=face.side, transient=True, disable=not shown) as progress:
        task = progress.add_task(what, total=None, visible=False, pace="")
        pace = _Pace()

        def show(done: int, total: int) -> None:
            words = pace.text(done, math.ceil(until * total))
            progress.update(task, completed=done, total=max(total, 1), visible=True, pace=words)

        yield show


@contextmanager
def waiting(face: Face, what: str) -> Iterator[None]:
    """Says on stderr, at terminals only, that work of unknown length goes on, and since when."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    shown = face.talks and face.side.is_terminal
    with Progress(*columns, console=face.side, transient=True, disable=not shown) as progress:
        progress.add_task(what, total=None)
        yield


class _Pace:
    """Items a second in this run, smoothed, and the time left at that rate."""

    def __init__(self) -> None:
        self._last: tuple[float, int] | None = None
        self._rate = 0.0

    def text(self, done: int, total: int) -> str:
        now = time.monotonic()
        if self._last is None:
            self._last = (now, done)
        elif now - self._last[0] > 0.2:
            rate = max(done - self._last[1], 0) / (now - self._last[0])
            self._rate = _SMOOTH * rate + (1 - _SMOOTH) * self._rate if self._rate else rate
            self._last = (now, done)
        if self._rate <= 0.0:
            return ""
        left = max(total - done, 0) / self._rate
        return f"{self._rate:,.0f} a second, {lasting(left)} left"


def lasting(seconds: float) -> str:
    """A duration for people.

    Example:
        >>> lasting(65.2), lasting(7322)
        ('1:05', '2:02:02')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
