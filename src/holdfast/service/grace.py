"""Grace: an end that was asked for comes, also where a model never answers.

A thread that hangs in a model cannot be ended, and an interpreter waits for its threads. What it
was at stands in the ledger as not done and is done again, so the process may go without it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_LOOK = 0.05  # seconds between two looks at the clock


class Grace:
    """Counts down, in a thread of its own, from the moment at which the end is asked for.

    Args:
        seconds: For what is under way.
        over: Called when they have passed, or somebody is in a hurry.
    """

    def __init__(self, seconds: float, over: Callable[[], object]) -> None:
        self.seconds = seconds
        self._over = over
        self._hurry = False
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """The end is asked for; to be called by one thread only."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._wait, name="holdfast-grace", daemon=True)
            self._thread.start()

    def hurry(self) -> None:
        """Time is up; a signal handler may say so, since no lock is taken."""
        self._hurry = True

    def _wait(self) -> None:
        until = time.monotonic() + self.seconds
        while time.monotonic() < until and not self._hurry:
            time.sleep(_LOOK)
        self._over()
