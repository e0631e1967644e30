"""How much a request may carry, and how slowly: bodies are read here, before anything else runs."""

from __future__ import annotations

import asyncio

from .problem import Problem, problem
from .settings import ASKED, BODY, BODY_SECONDS
from .wire import App, Message, Receive, Scope, Send, header, refuse

# They take as long as a model does.
_ASKING = frozenset({"/api/search", "/api/compare", "/compare", "/api/items"})


class Limits:
    """Reads a whole body, within a size and a time, and passes it on.

    Args:
        app: Asked then.
        most: Bytes of a body.
        seconds: That a body may take.
        asked: Requests that may wait for a model at once.
    """

    def __init__(
        self, app: App, most: int = BODY, seconds: float = BODY_SECONDS, asked: int = ASKED
    ) -> None:
        self._app, self._most, self._seconds = app, most, seconds
        self._asked, self._asking = asked, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        told = header(scope, b"content-length")
        if told.isdigit() and int(told) > self._most:
            await refuse(send, self._too_large(f"{int(told):,} bytes"))
            return
        try:
            body = await asyncio.wait_for(self._read(receive), self._seconds)
        except TimeoutError:
            await refuse(send, self._too_slow())
            return
        if body is None:
            return  # whoever asked has gone
        if len(body) > self._most:
            await refuse(send, self._too_large("more"))
            return
        if scope["path"] not in _ASKING:
            await self._app(scope, _replayed(body, receive), send)
            return
        if self._asking >= self._asked:
            await refuse(send, self._too_many(), (b"retry-after", b"1"))
            return
        self._asking += 1
        try:
            await self._app(scope, _replayed(body, receive), send)
        finally:
            self._asking -= 1

    async def _read(self, receive: Receive) -> bytes | None:
        parts, size = [], 0
        while size <= self._most:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if not message.get("more_body", False):
                break
        return b"".join(parts)

    def _too_large(self, got: str) -> Problem:
        return problem(
            413,
            "TooLarge",
            "the request",
            f"at most {self._most:,} bytes",
            got,
            "Send less at once.",
        )

    def _too_many(self) -> Problem:
        return problem(
            503,
            "Full",
            "holdfast serve",
            f"at most {self._asked} requests that wait for a model",
            "another one",
            "Try again later; if it stays so, a model may hang.",
        )

    def _too_slow(self) -> Problem:
        return problem(
            408,
            "TooSlow",
            "the request",
            f"its body within {self._seconds:g} seconds",
            "a part of it",
        )


def _replayed(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message
