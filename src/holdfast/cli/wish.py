"""A wish to stop: heard between two batches, and kept also where a model never answers."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

_LAST = 3.0  # seconds for an orderly end of what was told to stop at once


class Wish:
    """Turns the first Ctrl-C or SIGTERM into a wish to stop; the second stops at once.

    A signal handler must not take locks, so it only remembers; whoever works looks at
    `name` between two batches.

    Args:
        talks: Whether to say on stderr what will happen.
        grace: Seconds after which the wish becomes a second one by itself; None for as long as
            the work takes.
        leave: With `grace`: ends the process, a little after a second signal that did not.
            Handlers run in one thread, between two instructions of Python, so a model
            that hangs need not notice any of them; and an interpreter waits for its threads.
    """

    def __init__(
        self,
        talks: bool,
        grace: float | None = None,
        leave: Callable[[], object] = lambda: None,
    ) -> None:
        self.name = ""
        self._talks, self._grace, self._leave = talks, grace, leave
        self._before: dict[int, Any] = {}
        self._pipe: tuple[int, int] | None = None
        self._wakeup = -1
        self._main = threading.get_ident()

    def __enter__(self) -> Wish:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)
            if self._grace is not None:
                self._pipe = os.pipe()
                os.set_blocking(self._pipe[1], False)
                self._wakeup = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
                threading.Thread(
                    target=self._attend, args=(self._pipe[0],), name="holdfast-wish", daemon=True
                ).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._pipe is not None:
            signal.set_wakeup_fd(self._wakeup)
            if kind is not KeyboardInterrupt:  # else threads may be left that hang
                os.close(self._pipe[1])  # the thread sees that, and ends

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.name:
            raise KeyboardInterrupt
        self.name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        if self._talks:
            os.write(2, f"\nPausing after the batch under way{self._most}.\n".encode())

    @property
    def _most(self) -> str:
        within = "" if self._grace is None else f", within {self._grace:g} seconds"
        return f"{within}; once more stops at once"

    def _attend(self, pipe: int) -> None:
        """In a thread of its own, which hears of signals whatever the first one does."""
        with os.fdopen(pipe, "rb", buffering=0) as signals:  # open until all have been heard
            if not signals.read(1):
                return
            again, _, _ = select.select([signals], [], [], self._grace)
            if not again:
                signal.pthread_kill(self._main, signal.SIGINT)
            elif not signals.read(1):
                return
            time.sleep(_LAST)
            self._leave()
