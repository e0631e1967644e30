"""Silence: a new model that does not answer searches, and when it is asked again.

A search need not fail with it: until an upgrade is finished the old side has every item, and the
old model scores them (`Mixed.by_old`). Once the new model has fallen silent no search waits for
it. Now and then it is sent one query, beside the search; the first answer that comes in time ends
the silence.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ..arrays import Vectors
from ..encode.cache import uncached
from ..errors import EncoderError, EncoderMisconfigured
from ..items import Content
from .routes import Routes
from .side import Encodes, Side

_FIRST, _LONGEST = 1.0, 30.0  # seconds between two tries

Tell = Callable[[str, Mapping[str, Any]], None]


class Silence:
    """Asks a model that another one can stand in for.

    Args:
        tell: Told when it begins and when it ends: what, and the details.
        clock: Answers seconds.
    Attributes:
        why: The model's last error, while it is silent; empty otherwise.
        patience: Seconds that a search waits for the model; None for as long as it takes.
        searches: So many were answered without it since it fell silent.
    """

    def __init__(self, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        self.why = ""
        self.patience: float | None = None
        self.searches = 0
        self._tell, self._clock = tell, clock
        self._lock = threading.Lock()
        self._since = self._next = 0.0
        self._rest = _FIRST

    def begin(self, routes: Routes, side: Side, beside: bool) -> None:
        """Let the model begin, unless it is silent.

        Args:
            routes: Have the contents.
            side: Whose model.
            beside: Whether another model is asked meanwhile.
        """
        if not self.why and (beside or self.patience is not None):
            routes.begin(side)

    def ask(self, routes: Routes, side: Side) -> Vectors | str:
        """The contents in the space of a side, or why they are not."""
        if self.why and not routes.knows(side):
            with self._lock:
                self.searches += 1
            self._ask_again(routes, side)
            with self._lock:
                return self.why or f"{side.space.name} answers again, from the next search on"
        try:
            return routes.into(side, self.patience)
        except EncoderError as error:
            if error.transient or isinstance(error, EncoderMisconfigured):
                self._fell_silent(side.space.name, str(error))
            return str(error)

    def _ask_again(self, routes: Routes, side: Side) -> None:
        content = routes.first
        if content is None or side.encoder is None:
            return
        with self._lock:
            if self._clock() < self._next:
                return
            self._next = math.inf  # until it has been heard
        asking = side.encoder, side.space.name, content
        threading.Thread(
            target=self._try, args=asking, name="holdfast-silence", daemon=True
        ).start()

    def _try(self, encoder: Encodes, name: str, content: Content) -> None:
        begun, why = self._clock(), ""
        try:
            # What a cache remembers says nothing of the model.
            uncached(encoder).encode([content], "query")
        except Exception as error:  # noqa: BLE001 - whatever it is, the model does not answer
            why = str(error) or type(error).__name__
        with self._lock:
            now = self._clock()
            if why or (self.patience is not None and now - begun > self.patience):
                self.why = why or self.why
                self._rest = min(2.0 * self._rest, _LONGEST)
                self._next = now + self._rest
                return
            told = {"model": name, "seconds": now - self._since, "searches": self.searches}
            self.why, self.searches, self._rest = "", 0, _FIRST
        self._tell("answers again", told)

    def _fell_silent(self, name: str, why: str) -> None:
        with self._lock:
            self.searches += 1
            if self.why:
                return
            self.why, self._since = why, self._clock()
            self._next = self._since + self._rest
        self._tell("silent", {"model": name, "why": why})
