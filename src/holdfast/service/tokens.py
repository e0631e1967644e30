"""Tokens: who may write and command. They come from the environment and are kept as digests."""

from __future__ import annotations

import hmac
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from ..errors import ConfigError

DEFAULT = "HOLDFAST_TOKEN"
SHORTEST = 16  # characters
LASTING = 12 * 3600.0  # seconds that a browser stays signed in
_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_SESSIONS = 256


class Tokens:
    """Knows tokens by the names of the variables they came from.

    Args:
        named: Name to token.
    """

    def __init__(self, named: Mapping[str, str]) -> None:
        self._digests = {name: _digest(token) for name, token in named.items()}

    def __bool__(self) -> bool:
        return bool(self._digests)

    def who(self, presented: str) -> str | None:
        """The name of a token, if it is one; takes as long for a wrong one as for a right one."""
        digest, found = _digest(presented), None
        for name, known in self._digests.items():
            if hmac.compare_digest(known, digest):
                found = name
        return found


def read_tokens(names: Sequence[str], environment: Mapping[str, str]) -> Tokens:
    """The tokens that are set.

    Args:
        names: Of environment variables; those that are not set, or empty, are left out.
        environment: Where they are looked up.
    Raises:
        ConfigError: Not the name of a variable, or a token that can be guessed.
    """
    for name in names:
        if not _NAME.fullmatch(name):  # it may be a token: do not repeat it
            raise ConfigError(
                "serve --token-env",
                "the name of an environment variable, in capitals",
                "something else",
                "Put the token into a variable and give the variable's name.",
            )
    named = {name: environment[name].strip() for name in names if environment.get(name, "").strip()}
    for name, token in named.items():
        if len(token) < SHORTEST:
            raise ConfigError(
                f"the token in {name}",
                f"at least {SHORTEST} characters",
                f"{len(token)}",
                "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
    return Tokens(named)


class Sessions:
    """Browsers that showed a token once; they carry a random cookie instead of it.

    Args:
        clock: Answers seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[bytes, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def begin(self, who: str) -> str:
        """A new cookie for somebody; the oldest goes when there are too many."""
        cookie = secrets.token_urlsafe(32)
        with self._lock:
            while len(self._open) >= _SESSIONS:
                del self._open[next(iter(self._open))]
            self._open[_digest(cookie)] = (who, self._clock() + LASTING)
        return cookie

    def who(self, cookie: str) -> str | None:
        """Who carries this cookie, if it still counts."""
        who, until = self._open.get(_digest(cookie), ("", 0.0))
        return who if self._clock() < until else None

    def end(self, cookie: str) -> None:
        """The cookie counts no more."""
        with self._lock:
            self._open.pop(_digest(cookie), None)


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()
