"""Models that are asked once before a search needs them.

The first answer of a model takes longer than the others: it opens its connections, loads what it
had left for later, makes room for its numbers. A search should not wait for that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from ..encode.cache import uncached
from ..errors import HoldfastError
from ..items import Content

SECONDS = 5.0  # for all of them: one that hangs, or is not to be had, is left to its users


def warm(encoders: Iterable[Any], content: Content, seconds: float = SECONDS) -> None:
    """Ask each model for one vector, whatever comes of it.

    Args:
        encoders: None stands for a model that is dead.
        content: What is asked, of the kind that the models take.
        seconds: To wait at most.
    """
    until = time.monotonic() + seconds
    asking = [
        threading.Thread(target=_ask, args=(each, content), name="holdfast-warm", daemon=True)
        for each in encoders
        if each is not None
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(max(0.0, until - time.monotonic()))


def _ask(encoder: Any, content: Content) -> None:
    with suppress(HoldfastError):
        uncached(encoder).encode([content], "query")
