"""Who asks: set by the door for the time of a request, read where something is recorded."""

from __future__ import annotations

from contextvars import ContextVar

ANYBODY = "anybody"

CALLER: ContextVar[str] = ContextVar("holdfast_caller", default=ANYBODY)
# Whether a page asks that was loaded by TLS, from a proxy before us.
SECURE: ContextVar[bool] = ContextVar("holdfast_secure", default=False)
SESSION: ContextVar[str] = ContextVar("holdfast_session", default="")  # the cookie that came
# Its name, which has the port in it: browsers keep one jar for all ports of a machine.
COOKIE: ContextVar[str] = ContextVar("holdfast_cookie", default="holdfast_session")
