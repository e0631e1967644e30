"""What works beside a gallery, as the gallery sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ...hits import Hits
from ...store.where import Where
from .routes import Routes


class Hears(Protocol):
    """What listens to live searches, see `watch.py`."""

    def hear(self, routes: Routes, k: int, where: Where | None, hits: Hits, took: float) -> None:
        """A search was answered, in so many seconds."""
        ...

    def close(self) -> None:
        """Listen no more."""
        ...


class Follows(Protocol):
    """What takes over writes that went past the gallery, see `follow.py`."""

    def catch_up(self) -> int:
        """Take over all there is; answers how many changes that were."""
        ...

    def run(self, tell: Callable[[int], None] | None = None) -> None:
        """Go on doing so, until `close`; `tell` hears how many changes arrived."""
        ...

    def start(self) -> None:
        """Do that in a thread."""
        ...

    def close(self) -> None:
        """End the thread."""
        ...
