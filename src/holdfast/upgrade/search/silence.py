"""Silence: a model that does not answer searches, and when it is asked again.

In the middle of an upgrade a search need not fail with one of its two models: the other one
stands in, see `stand_in.py`. Once a model has fallen silent no search waits for it. Now and then
it is sent one query, beside the search; the first answer that comes in time ends the silence.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

from ...arrays import Vectors
from ...encode.cache import uncached
from ...errors import EncoderError, EncoderMisconfigured, EncoderUnavailable
from ...items import Content
from ..side import Encodes, Side
from .routes import Routes

_FIRST, _LONGEST = 1.0, 30.0  # seconds between two tries

Tell = Callable[[str, Mapping[str, Any]], None]


def afresh(error: EncoderError) -> EncoderError:
    """The same error without its traceback, which keeps alive all that was there when it came."""
    try:
        return copy(error)
    except TypeError:  # of a class of somebody's own, made of other things
        kind = EncoderUnavailable if error.transient else EncoderError
        return kind(error.who, error.expected, error.got, error.fix)


class Silence:
    """Asks a model that another one can stand in for.

    Args:
        tell: Told when it begins and when it ends: what, and the details.
        clock: Answers seconds.
    Attributes:
        error: The model's last one, while it is silent; None otherwise.
        patience: Seconds that a search waits for the model; None for as long as it takes.
        searches: So many were answered without it since it fell silent.
    """

    def __init__(self, tell: Tell, clock: Callable[[], float] = time.monotonic) -> None:
        self.error: EncoderError | None = None
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
        if self.error is None and (beside or self.patience is not None):
            routes.begin(side)

    def ask(self, routes: Routes, side: Side) -> Vectors | EncoderError:
        """The contents in the space of a side, or why they are not."""
        silent = self.error
        if silent is not None and not routes.knows(side):
            with self._lock:
                self.searches += 1
            self._ask_again(routes, side)
            return silent
        try:
            return routes.into(side, self.patience)
        except EncoderError as error:
            if error.transient or isinstance(error, EncoderMisconfigured):
                self._fell_silent(side.space.name, error)
            return error

    def _fell_silent(self, name: str, error: EncoderError) -> None:
        with self._lock:
            self.searches += 1
            if self.error is not None:
                return
            self.error, self._since = afresh(error), self._clock()
            self._next = self._since + self._rest
        self._tell("silent", {"model": name, "why": str(error)})

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
        begun = self._clock()
        try:
            # What a cache remembers says nothing of the model.
            uncached(encoder).encode([content], "query")
        except Exception as error:  # noqa: BLE001 - whatever it is, the model does not answer
            self._still_silent(error)
            return
        if self.patience is not None and self._clock() - begun > self.patience:
            self._still_silent()
            return
        with self._lock:
            seconds, searches = self._clock() - self._since, self.searches
            self.error, self.searches, self._rest = None, 0, _FIRST
        self._tell("answers again", {"model": name, "seconds": seconds, "searches": searches})

    def _still_silent(self, error: Exception | None = None) -> None:
        with self._lock:
            if isinstance(error, EncoderError):
                self.error = afresh(error)
            self._rest = min(2.0 * self._rest, _LONGEST)
            self._next = self._clock() + self._rest
