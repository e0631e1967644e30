"""Where the service listens, and for whom; and every limit on what is asked of it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from ..errors import ConfigError
from .tokens import Sessions, Tokens

PORT = 8111

# Limits of one request.
BODY = 4 * 2**20  # bytes
QUERIES = 256
ITEMS = 512
HITS = 1_000  # k
ANSWERED = 25_600  # hits of all queries
CONDITIONS = 256  # and numbers of a filter: a store may look at each of them for each item
WORDS = 10_000  # texts in the lists of a filter
SPACES = 8  # that vectors are given of
FIELDS = 100  # of an object with known ones
TEXT = 100_000  # characters of one content
NAME = 1_000  # characters of an id
DIM = 65_536
DEPTH = 32  # of nested JSON
LISTED = 10_000  # rows of a list

# Seconds that a client may take.
HEADER_SECONDS = 10.0
BODY_SECONDS = 20.0
READ_SECONDS = 30.0  # with its buffers full
IDLE_SECONDS = 30.0  # between two requests
GRACE_SECONDS = 20.0  # for what is under way when the service stops
CONNECTIONS = 256
ASKED = 192  # of these, requests that wait for a model at once: the rest is for whoever looks on
STREAMS = 64  # dashboards that look on at once
PATIENCE = 10.0  # seconds that a search waits for a model while another one can stand in

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the service listens, and for whom.

    Args:
        host: Address to bind.
        port: Its port; 0 for any that is free.
        tokens: Whoever shows one of them may write and command.
        private: Reading needs a token too.
        hosts: Names it may be asked for by, beside its address. On a loopback address any
            other name is refused: a page from elsewhere cannot have one point here.
        sessions: Browsers that are signed in.
    Raises:
        ConfigError: An address that others can reach, and no token; or private without one.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    tokens: Tokens = field(default_factory=lambda: Tokens({}))
    private: bool = False
    hosts: tuple[str, ...] = ()
    sessions: Sessions = field(default_factory=Sessions)

    def __post_init__(self) -> None:
        fix = "Set a token, see docs/how-to/serve.md."
        if not self.tokens and not self.loopback:
            raise ConfigError(
                "serve --host",
                "127.0.0.1 or ::1 while no token is set",
                repr(self.host),
                f"Others could reach the gallery there. {fix}",
            )
        if self.private and not self.tokens:
            raise ConfigError("serve --private", "a token", "none", fix)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    def welcomes(self, host: str) -> bool:
        """Whether a request may name this host, with or without a port."""
        name = _without_port(host.lower())
        known = {name.lower() for name in self.hosts}
        if self.loopback:
            known |= {*_LOOPBACK, self.host.lower()}
        elif not known:
            return True
        return name in known


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
