"""Kills that are aimed: at each state of the upgrade in turn, at a random moment of it.

A kill at a random moment of the whole falls where an upgrade spends its time, which is copying;
"paused" lasts for milliseconds. So the victim is told where to go, takes the way there and says
when it enters a state; the kill comes after a part, drawn evenly, of the time that this state
took before.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections import defaultdict
from typing import IO

from holdfast.upgrade.record.records import BEFORE_FINISHED

STATES: tuple[str, ...] = BEFORE_FINISHED
ANYWHERE = ""  # the moment alone is drawn, before the process is up too
PATIENCE = 60.0  # seconds until a kill that was aimed falls wherever the upgrade is
_UNKNOWN = 0.2  # seconds, of a state that was never left


class Aims:
    """What each kill is aimed at: rounds of all states and one of none, in random order.

    Args:
        chance: Draws order and moments.
        span: Seconds within which a kill without an aim falls.
    """

    def __init__(self, chance: random.Random, span: float) -> None:
        self._chance, self._span = chance, span
        self._left: list[str] = []
        self._took: dict[str, list[float]] = defaultdict(list)

    def next(self) -> str:
        """A state, or ANYWHERE."""
        if not self._left:
            self._left = [*STATES, ANYWHERE]
            self._chance.shuffle(self._left)
        return self._left.pop()

    def wait(self, seen: Seen, aim: str) -> None:
        """Until the moment of the kill."""
        if aim == ANYWHERE:
            time.sleep(self._chance.uniform(0.05, self._span))
        elif seen.wait(aim, PATIENCE):
            took = self._took[aim]
            time.sleep(self._chance.uniform(0.0, statistics.median(took) if took else _UNKNOWN))

    def learn(self, seen: Seen) -> None:
        """How long states took."""
        for state, seconds in seen.took:
            self._took[state] = [*self._took[state], seconds][-20:]


class Seen:
    """What a victim says, as it says it: "open", then each state that it enters.

    Args:
        said: Its standard output.
    """

    def __init__(self, said: IO[bytes]) -> None:
        self.took: list[tuple[str, float]] = []
        self._state, self._since, self._ended = "", 0.0, False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen, args=(said,), daemon=True)
        self._thread.start()

    def _listen(self, said: IO[bytes]) -> None:
        for line in said:
            self._note(line.decode().strip())
        self._note("", ended=True)

    def _note(self, state: str, ended: bool = False) -> None:
        with self._changed:
            now = time.monotonic()
            if self._state in STATES and not ended:
                self.took.append((self._state, now - self._since))
            self._state, self._since, self._ended = state, now, ended
            self._changed.notify_all()

    def wait(self, state: str, seconds: float) -> bool:
        """Until it is in a state; any, where none is named. Whether it got there."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._ended or (self._state == state if state else self._state), seconds
            )
            return self._state == state if state else bool(self._state)

    def end(self) -> None:
        """The process is gone."""
        self._thread.join()
