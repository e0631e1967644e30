"""The door: who may come in. Host, origin and token are looked at before a body is read.

    reading                     anybody who reaches the address, unless the service is private
    writing and commanding      a token: `Authorization: Bearer ...`, or a signed-in browser
    from a page                 only from our own: any other origin is refused

Without a token in the environment nothing can be written, and the answer says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from .caller import ANYBODY, CALLER, COOKIE, SECURE, SESSION
from .problem import Problem, problem
from .settings import Settings
from .tokens import DEFAULT
from .wire import App, Message, Receive, Scope, Send, cookie, header, refuse

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# They read, although they are posted.
READS = frozenset({"/api/search", "/api/compare", "/api/items/get", "/compare"})
OPEN = frozenset({"/session", "/health", "/ready"})  # for everybody, always
_FACE = ("/static/",)
_WAIT = 0.25  # seconds before a wrong token is answered

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-store"),
)


class Door:
    """Lets requests in, or says why not.

    Args:
        app: Asked then.
        settings: Who may come in.
        answered: Told the status of every answer.
    """

    def __init__(
        self, app: App, settings: Settings, answered: Callable[[int], None] | None = None
    ) -> None:
        self._app, self._settings, self._answered = app, settings, answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        say = self._saying(send)
        _, port = scope.get("server") or ("", "")
        COOKIE.set(f"holdfast_session_{port}")
        who, told = self._look(scope)
        if told is not None:
            await refuse(say, told)
            return
        CALLER.set(who or ANYBODY)
        SECURE.set(_address(header(scope, b"origin")).scheme == "https")
        SESSION.set(cookie(scope, COOKIE.get()))
        await self._app(scope, receive, say)

    def _saying(self, send: Send) -> Send:
        async def say(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", []))
                named = {bytes(name).lower() for name, _ in given}
                more = [pair for pair in _HEADERS if pair[0] not in named]
                if message["status"] == 401:
                    more.append((b"www-authenticate", b"Bearer"))
                    await asyncio.sleep(_WAIT)
                message = {**message, "headers": [*given, *more]}
                if self._answered is not None:
                    self._answered(int(message["status"]))
            await send(message)

        return say

    def _look(self, scope: Scope) -> tuple[str | None, Problem | None]:
        """Who asks, and why not, if not."""
        host, origin = header(scope, b"host"), header(scope, b"origin")
        if not self._settings.welcomes(host):
            return None, problem(
                421,
                "WrongHost",
                "holdfast serve",
                "a request to this machine by its own name",
                ascii(host)[:80],
                "Allow other names with: holdfast serve --allow-host NAME",
            )
        safe = scope["method"] in SAFE
        if not safe and origin and _address(origin).netloc.lower() != host.lower():
            return None, problem(
                403, "WrongOrigin", "holdfast serve", "a page of this service", "one from elsewhere"
            )
        who, told = self._known(scope, safe)
        if told is None and who is None and self._needs_token(scope, safe):
            told = self._no_token()
        return who, told or _unreadable(bytes(scope.get("raw_path") or b""))

    def _needs_token(self, scope: Scope, safe: bool) -> bool:
        path = scope["path"]
        if path in OPEN or path.startswith(_FACE):
            return False
        reads = safe or path in READS
        return not reads or (self._settings.private and path != "/")

    def _known(self, scope: Scope, safe: bool) -> tuple[str | None, Problem | None]:
        """Whose token or cookie it is; a wrong token is refused, whatever was asked."""
        scheme, _, token = header(scope, b"authorization").partition(" ")
        if scheme:
            # Clients send letters beyond ASCII as UTF-8, as the environment and pages have them.
            shown = token.encode("latin-1").decode("utf-8", "replace").strip()
            who = self._settings.tokens.who(shown) if scheme.lower() == "bearer" else None
            return (who, None) if who else (None, _wrong_token())
        if not safe and not header(scope, b"x-holdfast"):
            return None, None  # forms of other pages can send a cookie, but not this header
        return self._settings.sessions.who(cookie(scope, COOKIE.get())), None

    def _no_token(self) -> Problem:
        if not self._settings.tokens:
            return problem(
                403,
                "NoTokenSet",
                "holdfast serve",
                "a token in its environment, before anybody may write or command",
                "none",
                f"Start it with a token, for example in {DEFAULT}; see docs/how-to/serve.md.",
            )
        return problem(
            401,
            "NoToken",
            "holdfast serve",
            f"a token, to {'read, ' if self._settings.private else ''}write or command",
            "none",
            "Send the header: Authorization: Bearer TOKEN",
        )


def _address(origin: str) -> SplitResult:
    """An origin in its parts; without any where it is none."""
    try:
        return urlsplit(origin)
    except ValueError:  # brackets that are not closed, and the like
        return urlsplit("")


def _unreadable(path: bytes) -> Problem | None:
    """Refuse what would otherwise be read as the path of another item."""
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        return problem(
            400,
            "Unreadable",
            "the request",
            "a path of UTF-8, percent-encoded",
            ascii(path.decode("latin-1"))[:80],
        )
    return None


def _wrong_token() -> Problem:
    return problem(
        401, "WrongToken", "holdfast serve", "a token that it knows", "another one", "Check it."
    )
