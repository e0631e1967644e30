"""The server: uvicorn, with clients that dawdle shown out, and an end that loses nothing."""

from __future__ import annotations

import logging
import math
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from ..errors import ConfigError
from ..optional import need
from .grace import Grace
from .settings import (
    CONNECTIONS,
    HEADER_SECONDS,
    IDLE_SECONDS,
    READ_SECONDS,
    Settings,
)
from .wire import App


def bind(settings: Settings) -> socket.socket:
    """Take the address, before anything is opened; who comes is let in once there is a server.

    Raises:
        ConfigError: It cannot be had.
        MissingExtra: Nothing here could serve at it.
    """
    need("uvicorn")  # what is missing is said before an address is told
    host = settings.host.strip("[]")
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(kind, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, settings.port))
        taken.listen()  # until then another one could bind to it as well
    except OSError as cause:
        taken.close()
        raise ConfigError(
            "serve --host, --port",
            "an address that is free",
            f"{settings.host}:{settings.port}: {cause.strerror or cause}",
            "Take another port.",
        ) from cause
    taken.set_inheritable(True)
    return taken


@dataclass(frozen=True, slots=True)
class Ending:
    """What happens once the end is asked for.

    Args:
        seconds: For what is under way.
        asked: Called by the signal: event streams never end by themselves.
        begun: Called on the event loop when nobody comes in any more; it must not wait.
        late: Called from another thread, with how many requests are unanswered, when the time
            is over or the end is asked for again.
    """

    seconds: float
    asked: Callable[[], None]
    begun: Callable[[], None]
    late: Callable[[int], None]


def run(app: App, taken: socket.socket, ending: Ending) -> bool:
    """Serve until SIGTERM or Ctrl-C; answers whether it ever started.

    Args:
        app: What answers.
        taken: From `bind`.
        ending: What happens then.
    """
    uvicorn = need("uvicorn")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app,
        http=_patient(),
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        ws="none",
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=int(IDLE_SECONDS),
        # `ending.late` comes first, while it is known how many are unanswered.
        timeout_graceful_shutdown=math.ceil(ending.seconds) + 1,
    )

    class Server(uvicorn.Server):  # type: ignore[misc, name-defined]
        def handle_exit(self, sig: int, frame: Any) -> None:
            if self.should_exit:
                grace.hurry()
            ending.asked()
            super().handle_exit(sig, frame)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            grace.begin()
            ending.begun()
            await super().shutdown(sockets)

    server = Server(config)
    grace = Grace(ending.seconds, lambda: ending.late(len(server.server_state.tasks)))
    with _quietly(server):
        server.run(sockets=[taken])
    return bool(server.started)


@contextmanager
def _quietly(server: Any) -> Iterator[None]:
    """A signal ends the server and not the process: uvicorn raises it again when it is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        del number, frame
        server.should_exit = True

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Patience:
    """An end to the patience of uvicorn's HTTP protocol, which it is mixed into."""

    conn: Any
    loop: Any
    transport: Any
    _headers_due: Any = None
    _read_due: Any = None

    def connection_made(self, transport: Any) -> None:
        """Headers are due from now on."""
        super().connection_made(transport)  # type: ignore[misc]
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Headers that are complete are due no more."""
        if self._headers_due is None and self._idle():
            self._await_headers()
        super().data_received(data)  # type: ignore[misc]
        if not self._idle():
            _stop(self._headers_due)
            self._headers_due = None

    def _idle(self) -> bool:
        return str(self.conn.their_state) == "IDLE"

    def _await_headers(self) -> None:
        self._headers_due = self.loop.call_later(HEADER_SECONDS, self._abort)

    def pause_writing(self) -> None:
        """The client does not read: its buffers are full."""
        super().pause_writing()  # type: ignore[misc]
        _stop(self._read_due)
        self._read_due = self.loop.call_later(READ_SECONDS, self._abort)

    def resume_writing(self) -> None:
        """It does read."""
        _stop(self._read_due)
        self._read_due = None
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is due from a client that has gone."""
        _stop(self._headers_due)
        _stop(self._read_due)
        super().connection_lost(exc)  # type: ignore[misc]

    def _abort(self) -> None:
        self.transport.abort()


def _stop(timer: Any) -> None:
    if timer is not None:
        timer.cancel()


def _patient() -> Any:
    protocol = need("uvicorn.protocols.http.h11_impl").H11Protocol
    return type("Patient", (_Patience, protocol), {})
