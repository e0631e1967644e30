"""Calls of parts that are being extended, with the keywords that they know already."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def call(function: Callable[..., Any], *given: Any, **wanted: Any) -> Any:
    """Call it without the keywords it does not know."""
    known = inspect.signature(function).parameters
    return function(*given, **{k: v for k, v in wanted.items() if k in known})
