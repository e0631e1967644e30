"""The event stream: everybody who looks on is told when a part of the page has changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from hashlib import sha256

from ..errors import HoldfastError
from .settings import STREAMS

EVERY = 0.5  # seconds between two looks
_BEAT = 10.0  # seconds without news after which a sign of life is sent

Parts = Mapping[str, str]


class Live:
    """Looks once for everybody, as long as anybody looks on.

    Args:
        look: Answers the parts of the page by name; runs in a thread.
        every: Seconds between two looks.
    """

    def __init__(self, look: Callable[[], Parts], every: float = EVERY) -> None:
        self._look, self._every = look, every
        self._readers: set[asyncio.Queue[str | None]] = set()
        self._seen: dict[str, bytes] = {}
        self._parts: Parts = {}
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def full(self) -> bool:
        """Whether nobody else can look on."""
        return self._closed or len(self._readers) >= STREAMS

    async def stream(self, welcome: Callable[[], bool] = lambda: True) -> AsyncIterator[str]:
        """Events for one reader: first everything, then what changes.

        Args:
            welcome: Whether the reader may still look on; asked before each event.
        """
        queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=16)
        self._readers.add(queue)
        if self._task is None or self._task.done():
            self._seen = {}
            self._task = asyncio.create_task(self._watch())
        elif self._parts:
            queue.put_nowait(_event(self._parts))
        try:
            yield "retry: 1000\n\n"
            while not self._closed:
                try:
                    message = await asyncio.wait_for(queue.get(), _BEAT)
                except TimeoutError:
                    message = ": still here\n\n"
                if message is None or not welcome():
                    return
                yield message
        finally:
            self._readers.discard(queue)

    async def _watch(self) -> None:
        try:
            while self._readers and not self._closed:
                with suppress(HoldfastError):  # the gallery is being opened anew: look again
                    self._parts = await asyncio.to_thread(self._look)
                    self._tell(self._changed(self._parts))
                await asyncio.sleep(self._every)
        finally:
            # A look that failed in a way nobody foresaw must not leave pages that never change:
            # their readers are sent away, come back, and another look is taken.
            for queue in list(self._readers):
                self._send_away(queue)

    def _changed(self, parts: Parts) -> dict[str, str]:
        changed = {}
        for name, text in parts.items():
            digest = sha256(text.encode()).digest()
            if self._seen.get(name) != digest:
                self._seen[name] = digest
                changed[name] = text
        return changed

    def _tell(self, changed: Parts) -> None:
        if not changed:
            return
        for queue in list(self._readers):
            try:
                queue.put_nowait(_event(changed))
            except asyncio.QueueFull:  # it does not read; it will come back and get everything
                self._send_away(queue)

    def _send_away(self, queue: asyncio.Queue[str | None]) -> None:
        self._readers.discard(queue)
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)

    def close(self) -> None:
        """Everybody goes home; call it on the event loop."""
        self._closed = True
        for queue in list(self._readers):
            self._send_away(queue)


def _event(parts: Parts) -> str:
    return f"event: parts\ndata: {json.dumps(dict(parts))}\n\n"
