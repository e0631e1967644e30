"""The follower: writes that went past the gallery, taken over from the feed of the source.

Somebody writes into the table the content comes from, and knows nothing of Holdfast. The source
remembers which items that were; the follower reads their content and writes it through the
gallery, as any application would: embedded by the models of the moment, on the sides of the
moment. A change is forgotten by the feed when it has arrived, so one that was cut off is taken
over again, and doing that twice changes nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from ..encode.retry import hearing
from ..errors import EncoderError, EncoderMisconfigured, HoldfastError, InvalidInput, SourceError
from ..items import Item
from ..source.feed import Change, Feed
from .gallery import Gallery

_LOG = logging.getLogger("holdfast.upgrade")
_BATCH = 256  # changes taken over at once
_EVERY = 1.0  # seconds between two looks
_LONGEST = 60.0  # seconds between two tries while nothing works


class Followed(Feed, Protocol):
    """A source with a feed."""

    def get(self, ids: Sequence[str]) -> list[Item | None]: ...


class Follower:
    """Keeps a gallery up to what its source says.

    Args:
        gallery: Written to.
        source: With a feed.
        every: Seconds between two looks of the thread.
    Attributes:
        error: What went wrong the last time, until it works again.
    """

    def __init__(self, gallery: Gallery, source: Followed, every: float = _EVERY) -> None:
        self._gallery, self._source, self._every = gallery, source, every
        self._turn = threading.Lock()
        self._refused: set[str] = set()  # items whose change cannot be taken over
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None

    def catch_up(self) -> int:
        """Take over all that is in the feed now; answers how many changes arrived.

        What comes in meanwhile is left for the next time: others may never stop writing.
        What one item's content or model makes impossible stays in the feed, and is tried again the
        next time. While another process follows, nothing is done here.

        Raises:
            EncoderError: A model that is needed gave no answer.
            SourceError: The feed or the content cannot be read.
        """
        arrived, after = 0, 0
        with self._turn, self._source.following() as mine:
            until = self._source.latest() if mine else 0
            while after < until and (changes := self._source.changed(_BATCH, after)):
                after = changes[-1].mark
                arrived += self._settle(changes)
        return arrived

    def _settle(self, changes: list[Change]) -> int:
        refused = self._take(list(dict.fromkeys(change.id for change in changes)))
        done = [change for change in changes if change.id not in refused]
        if done:
            self._source.taken(done)
            self._refused -= {change.id for change in done}
        fresh = [key for key in refused if key not in self._refused]
        if fresh and self._gallery.ledger is not None:  # said once, though tried again and again
            detail = {"items": len(fresh), "first": fresh[0], "why": str(refused[fresh[0]])}
            self._gallery.ledger.event("not followed", detail)
        self._refused.update(fresh)
        return len(done)

    def _take(self, ids: list[str]) -> dict[str, HoldfastError]:
        """Write what is there, delete what is not; answers what could not be, and why."""
        try:
            items = self._source.get(ids)
            there = [item for item in items if item is not None]
            if there:
                self._gallery.upsert(there)
            gone = [key for key, item in zip(ids, items, strict=True) if item is None]
            if gone:
                self._gallery.delete(gone)
        except (EncoderError, InvalidInput, SourceError) as error:
            if isinstance(error, EncoderMisconfigured) or getattr(error, "transient", False):
                raise  # no item is at fault
            if len(ids) == 1:
                if isinstance(error, SourceError) and not self._source.answers():
                    raise
                return {ids[0]: error}
        else:
            return {}
        half = len(ids) // 2
        return self._take(ids[:half]) | self._take(ids[half:])

    def start(self) -> None:
        """Catch up again and again, in a thread, until `close`."""
        if self._thread is None:
            self._thread = threading.Thread(target=self.run, name="follower", daemon=True)
            self._thread.start()

    def run(self, tell: Callable[[int], None] | None = None) -> None:
        """Catch up again and again until `close`; what fails is tried again, later and later.

        Args:
            tell: Called with how many changes arrived, when there were any.
        """
        pause = self._every
        while not self._end.is_set():
            try:
                with hearing(self._end.is_set):  # whoever closes it waits for no further try
                    arrived = self.catch_up()
            except Exception as error:  # noqa: BLE001 - it is kept, and tried again
                if str(error) != str(self.error):
                    _LOG.warning("the source is not followed just now: %s", error)
                self.error, pause = error, min(2 * pause, _LONGEST)
            else:
                self.error, pause = None, self._every
                if arrived and tell is not None:
                    tell(arrived)
            self._end.wait(pause)

    def close(self) -> None:
        """End the thread after what it is at. Calling it twice is fine."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
