"""Models behind an OpenAI-compatible `/v1/embeddings` endpoint."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic
from types import MappingProxyType
from typing import Any, Literal, Self

import numpy as np

from ..arrays import FloatArray, Vectors
from ..errors import (
    ConfigError,
    EncoderError,
    EncoderMisconfigured,
    EncoderUnavailable,
    Throttled,
)
from ..items import Content, Role
from ..optional import need
from ..settings import check_variable
from ..space import Metric, Space, fingerprint
from .base import as_texts, nothing
from .body import ASKED, read_body
from .embeddings import read_embeddings
from .retry import Retry
from .turn import Turn

_EXCERPT = 200  # characters of a server's message that are repeated
_AGAIN = frozenset({408, 409, 429})  # and every 5xx
_TOO_LARGE = 413
_LONGEST = 86_400.0  # seconds of a `timeout`
_WHOLE = 5.0  # times `timeout`, for an answer that comes in pieces
_NUMBER, _REST = 64, 2**24  # bytes of an answer for each coordinate, at most, and beside them

# What to do about a status that no item is to blame for.
_SETTINGS = MappingProxyType(
    {
        401: "Set the environment variable named by token_env to a valid token.",
        402: "The account has no credit left.",
        403: "The token is valid but may not use this model: ask for access, or change it.",
        404: "Check base_url (it often ends in /v1) and the model's name.",
        405: "Check base_url: it often ends in /v1.",
    }
)


@dataclass(eq=False)
class HttpEncoder:
    """A model that a server runs: OpenAI, vLLM, TEI, Ollama, llama.cpp, Infinity and others.

    The fingerprint covers the model, not the server: the same model elsewhere is the same
    space. Where a server runs something else under the name (a quantised copy), say so in
    `revision`. May be called from any thread; `close` it, or use it in a `with` statement.

    Args:
        base_url: Address up to and including `/v1`.
        model: Name that the server knows.
        dim: Length of the rows it answers.
        metric: How rows are compared.
        revision: Version of the weights, if you know it.
        query_prefix: Text before every query.
        document_prefix: Text before every document.
        dimensions: Ask the server for `dim` coordinates, for models that can cut theirs.
        encoding_format: "base64" makes answers four times smaller, where the server can.
        token_env: Name of the environment variable that holds the token. The token is read
            for each request and kept nowhere.
        max_batch: Texts in one request.
        concurrency: Requests at once, over all threads; queries go before documents that wait.
        timeout: Seconds without a sign of life; a whole answer may take five times as long.
        retry: How often and when to try again.
        name: Label of the space; the model's name without one.
    Raises:
        ConfigError: An address, a name of a variable, a number or a time that cannot be.
    Example:
        >>> encoder = HttpEncoder("https://api.openai.com/v1", "text-embedding-3-small", 1536,
        ...                       token_env="OPENAI_API_KEY")
        >>> encoder.encode(["how to join threads"], "query").array.shape  # doctest: +SKIP
        (1, 1536)
    """

    base_url: str
    model: str
    dim: int
    metric: Metric = "cosine"
    revision: str = ""
    query_prefix: str = ""
    document_prefix: str = ""
    dimensions: bool = False
    encoding_format: Literal["float", "base64"] = "float"
    token_env: str | None = None
    max_batch: int = 64
    concurrency: int = 4
    timeout: float = 60.0
    retry: Retry = field(default_factory=Retry, repr=False)
    name: str | None = None

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")) or set("?#@") & set(self.base_url):
            raise ConfigError(
                "HttpEncoder: base_url",
                "http:// or https:// and an address without user, password or parameters",
                # What stands there may be a secret, so it is not repeated.
                "something else",
                "Name the environment variable that holds the token with token_env.",
            )
        if self.token_env is not None:
            check_variable(self.token_env, "HttpEncoder: token_env")
        for option in ("max_batch", "concurrency"):
            if getattr(self, option) <= 0:
                raise ConfigError(
                    f"HttpEncoder: {option}", "more than 0", repr(getattr(self, option))
                )
        if not 0 < self.timeout <= _LONGEST:
            wanted = f"more than 0, and {_LONGEST:,.0f} seconds at most"
            raise ConfigError("HttpEncoder: timeout", wanted, repr(self.timeout))
        if not isinstance(self.retry, Retry):  # no setting of a file, although it has a name
            raise ConfigError("HttpEncoder: retry", "a Retry", f"a {type(self.retry).__name__}")
        self._begin()

    def _begin(self) -> None:
        self._opening = threading.Lock()
        self._turn = Turn(self.concurrency)
        self._opened: tuple[Any, ThreadPoolExecutor] | None = None
        self._process = os.getpid()

    @cached_property
    def space(self) -> Space:
        """What the server answers, taken from the settings; no request is made."""
        mark = fingerprint(
            self.model,
            revision=self.revision,
            query_prefix=self.query_prefix,
            document_prefix=self.document_prefix,
            normalised=self.metric == "cosine",
            engine="http",
            dim=self.dim,
            dimensions=self.dimensions,
        )
        return Space(self.name or self.model, self.dim, self.metric, mark)

    @property
    def _owner(self) -> str:
        return f"{self.model} at {self.base_url}"

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        prefix = self.query_prefix if role == "query" else self.document_prefix
        texts = [prefix + text for text in as_texts(contents, role, self._owner)]
        if not texts:
            return nothing(self.space)
        step = self.max_batch
        parts = [texts[start : start + step] for start in range(0, len(texts), step)]
        if len(parts) == 1:
            return Vectors(self.space, self._ask(parts[0], role))
        _, pool = self._open()
        contexts = [copy_context() for _ in parts]  # what the caller hears is heard there too
        try:
            asked = pool.map(
                lambda context, part: context.run(self._ask, part, role), contexts, parts
            )
            rows = list(asked)
        except (CancelledError, RuntimeError) as cause:  # the latter: shut down before it began
            raise EncoderUnavailable(
                self._owner,
                "threads until all texts are asked for",
                str(cause) or "close() by another one",
            ) from cause
        return Vectors(self.space, np.concatenate(rows))

    def open(self) -> None:
        """Make what connections need, which the first call would wait for; nothing is sent."""
        self._open()

    def close(self) -> None:
        """Let go of connections and threads; the next call opens them again."""
        with self._opening:
            opened, self._opened = self._opened, None
        if opened is not None:
            client, pool = opened
            pool.shutdown(cancel_futures=True)
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> tuple[Any, ThreadPoolExecutor]:
        if self._process != os.getpid():
            self._begin()  # forked: without the threads, and an answer may be for the other process
        with self._opening:
            if self._opened is None:
                httpx = need("httpx")
                # `_turn` bounds the connections; a bound here would count waiting as a time-out.
                limits = httpx.Limits(
                    max_connections=None, max_keepalive_connections=self.concurrency
                )
                try:
                    client = httpx.Client(timeout=self.timeout, limits=limits)
                except (OSError, ValueError, ImportError) as cause:
                    raise self._astray(f"{type(cause).__name__}: {cause}") from cause
                except httpx.InvalidURL:  # what it says may be part of a proxy's password
                    raise self._astray("the address of a proxy that is none") from None
                self._opened = client, ThreadPoolExecutor(self.concurrency, "holdfast-http")
            return self._opened

    def _astray(self, got: str) -> EncoderMisconfigured:
        """What httpx reads of the environment does not let it begin."""
        wanted = "a proxy and certificates that httpx can use"
        fix = "Check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY and SSL_CERT_FILE."
        return EncoderMisconfigured(self._owner, wanted, got, fix)

    def _ask(self, texts: list[str], role: Role) -> FloatArray:
        """Rows of one request, tried as often as `retry` says."""
        tried = 0
        while True:
            tried += 1
            try:
                return self._ask_once(texts, role)
            except EncoderError as error:
                if not error.transient:
                    raise
                wait = self.retry.wait(tried, getattr(error, "retry_after", None))
                if wait is None or not self.retry.rest(wait):
                    error.add_note(f"Given up after {tried} of {self.retry.tries} tries.")
                    raise

    def _ask_once(self, texts: list[str], role: Role) -> FloatArray:
        token = self._token()
        body: dict[str, Any] = {
            "model": self.model,
            "input": texts,
            "encoding_format": self.encoding_format,
        }
        if self.dimensions:
            body["dimensions"] = self.dim
        headers = {"Accept-Encoding": ASKED}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        httpx, (client, _) = need("httpx"), self._open()
        address = f"{self.base_url.rstrip('/')}/embeddings"
        try:
            with self._turn.of(role):
                until = monotonic() + _WHOLE * self.timeout
                with client.stream("POST", address, json=body, headers=headers) as response:
                    content = read_body(
                        response.iter_raw(),
                        response.headers.get("Content-Encoding", ""),
                        _NUMBER * len(texts) * self.dim + _REST,
                        lambda: monotonic() > until,
                        self._owner,
                    )
        # A host that no name can be is found in several ways, the last by the resolver.
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as cause:
            raise EncoderMisconfigured(
                self._owner, "an address", f"none: {cause}", _SETTINGS[405]
            ) from cause
        except httpx.RequestError as cause:
            raise EncoderUnavailable(
                self._owner,
                "an answer",
                f"{type(cause).__name__}: {_scrubbed(str(cause), token)}",
                f"Is the server up? Is {self.timeout:g} s (timeout) enough for it?",
            ) from cause

        def failure(status: int) -> EncoderError:
            after = response.headers.get("Retry-After")
            return self._failure(status, content.decode("utf-8", "replace"), after, token)

        if response.status_code != 200:
            raise failure(response.status_code)
        return read_embeddings(content, len(texts), self.space, self._owner, failure)

    def _token(self) -> str:
        if self.token_env is None:
            return ""
        token = os.environ.get(self.token_env, "").strip()
        # Anything else would be refused further down, by a message that repeats it.
        if not token or not token.isascii() or not token.isprintable():
            raise EncoderMisconfigured(
                self._owner,
                f"a token in the environment variable {self.token_env}",
                "characters that no header can carry" if token else "nothing there",
                f"Set it: export {self.token_env}=...",
            )
        return token

    def _failure(self, status: int, text: str, after: str | None, token: str) -> EncoderError:
        """The error for a status other than 200, of the answer or told in its body."""
        said = _scrubbed(text, token)
        got = f"HTTP {status}: {said}" if said else f"HTTP {status}"
        answer = "vectors"
        if status == 429 and "insufficient_quota" in text:
            return EncoderMisconfigured(self._owner, answer, got, _SETTINGS[402])
        if status in _AGAIN or status >= 500:
            asked = self.retry.read_after(after)
            if status == 429 or asked is not None:
                fix = "Lower concurrency or the rate of the upgrade, or wait."
                return Throttled(self._owner, answer, got, fix, retry_after=asked)
            return EncoderUnavailable(self._owner, answer, got, "Look at the server's log.")
        if status in _SETTINGS:
            return EncoderMisconfigured(self._owner, answer, got, _SETTINGS[status])
        if 300 <= status < 400:
            fix = "Set base_url to where the server sends us."
            return EncoderMisconfigured(self._owner, answer, got, fix)
        fix = (
            "Lower max_batch, or cut the texts in the source."
            if status == _TOO_LARGE
            else "Check model, dim and dimensions, and whether a text is empty or too long."
        )
        return EncoderError(self._owner, answer, got, fix)


def _scrubbed(text: str, token: str) -> str:
    """What a server said, on one line, cut, and without our token should it repeat it."""
    if token:
        text = text.replace(token, "***")
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT else f"{line[:_EXCERPT]}..."
