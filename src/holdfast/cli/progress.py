"""Long work at a terminal: a bar that says how fast and how long, and a polite way to stop."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

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


class Wish:
    """Turns the first Ctrl-C or SIGTERM into a wish to stop; the second stops at once.

    A signal handler must not take locks, so it only remembers; whoever works looks at
    `name` between two batches.

    Args:
        talks: Whether to say on stderr what will happen.
    """

    def __init__(self, talks: bool) -> None:
        self.name = ""
        self._talks = talks
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Wish:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.name:
            raise KeyboardInterrupt
        self.name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        if self._talks:
            os.write(2, b"\nPausing after the batch under way; once more stops at once.\n")
