"""Breaches: what the watch found and wrote down, until somebody goes on all the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

BREACH = "breach"  # kind of the event
_ONWARD = ("planned", "copying", "cut over", "finished")


def standing(events: Iterable[tuple[float, str, Mapping[str, Any]]]) -> dict[str, Any] | None:
    """The breach that nobody has answered yet; None where there is none.

    It is answered by going on: items move again, another stage is given, or all cut over. A pause,
    a step back or a rollback is what it asked for, and leaves it standing.

    Args:
        events: (time, kind, detail), oldest first.
    Returns:
        "time", "why", "finding" as JSON, and "did": "paused", "stepped back", "rolled back"
        or "told".
    """
    found: dict[str, Any] | None = None
    for time, kind, detail in events:
        if kind == BREACH:
            found = {"time": time, **detail}
        elif kind in _ONWARD or (kind == "cutting over" and not _held(detail)):
            found = None
    return found


def _held(detail: Mapping[str, Any]) -> bool:
    return bool(detail.get("stage", {}).get("held", False))
