"""What goes wrong, as JSON: one form for every refusal, whoever makes it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import (
    ArtifactError,
    ConfigError,
    EncoderError,
    EncoderUnavailable,
    HoldfastError,
    InvalidInput,
    LedgerError,
    MissingExtra,
    MissingIds,
    SourceError,
    StoreError,
    Throttled,
    UnfitContent,
    UpgradeError,
    WrongSpace,
)
from ..report.build import scrubbed
from ..settings import asked_for

MEDIA = "application/problem+json"
_SHOWN = 80  # characters of what came

# The first that fits counts.
_STATUS: tuple[tuple[type[HoldfastError], int], ...] = (
    (MissingIds, 404),
    (InvalidInput, 422),
    (WrongSpace, 422),
    (LedgerError, 503),
    (UpgradeError, 409),
    (ConfigError, 409),
    (ArtifactError, 409),
    (UnfitContent, 422),
    (Throttled, 503),
    (EncoderUnavailable, 503),
    (EncoderError, 502),
    (SourceError, 502),
    (StoreError, 503),
    (MissingExtra, 501),
)
Problem = dict[str, Any]


def problem(status: int, title: str, who: str, expected: str, got: str, fix: str = "") -> Problem:
    """One refusal.

    Args:
        status: Of HTTP.
        title: The kind of error.
        who: What refuses.
        expected: What would have been accepted.
        got: What came instead; never a secret.
        fix: What the reader can do about it.
    """
    text = f"{who}: expected {expected}, got {got}."
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": f"{text} {fix}" if fix else text,
        "who": who,
        "expected": expected,
        "got": got,
        "fix": fix,
    }


def of_error(error: HoldfastError) -> Problem:
    """An error of ours."""
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    name = type(error).__name__
    return problem(
        status, name, scrubbed(error.who), scrubbed(error.expected), scrubbed(error.got), error.fix
    )


def retry_after(error: HoldfastError) -> Mapping[str, str]:
    """Headers for one that may pass."""
    if not getattr(error, "transient", False):
        return {}
    seconds = getattr(error, "retry_after", None) or 1.0
    return {"Retry-After": str(max(1, round(float(seconds))))}


def of_validation(errors: Sequence[Mapping[str, Any]]) -> Problem:
    """The first thing wrong with a request."""
    first = errors[0] if errors else {"loc": ("request",), "msg": "a valid request", "type": ""}
    where = ".".join(str(part) for part in first["loc"])
    wanted, got, fix = _wanted(first)
    more = f" ({len(errors)} problems in all)" if len(errors) > 1 else ""
    if first["type"] == "json_invalid":
        where = str(first["loc"][0])  # the rest is a place, not a name
    return problem(422, "InvalidRequest", where, wanted, f"{scrubbed(got)}{more}", fix)


def _wanted(first: Mapping[str, Any]) -> tuple[str, str, str]:
    """What was expected, what came, and what to do."""
    fix = "The form of every request is in /openapi.json."
    kind, given = first["type"], first.get("input")
    got = ascii(given)[:_SHOWN] if "input" in first else "something else"
    if kind == "json_invalid":
        why = str(first.get("ctx", {}).get("error", "other text"))
        return "JSON", f"{why} at character {first['loc'][-1]}", fix
    if isinstance(given, bytes):
        said = "Send the header: Content-Type: application/json"
        return (
            "JSON that says so in its Content-Type",
            f"{len(given):,} bytes of another kind",
            said,
        )
    if kind == "missing":
        return "a value", "none", fix
    if kind == "extra_forbidden":
        return "a field of this request", "an unknown one", fix
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        return "a JSON object", got, fix
    return asked_for(str(first["msg"])), got, fix


def of_status(status: int) -> Problem:
    """What the router refuses."""
    told = {
        400: ("Unreadable", "JSON, encoded as UTF-8", "something else", ""),
        404: ("NotFound", "a path that exists", "one that does not", "See /openapi.json."),
        405: ("MethodNotAllowed", "a method of this path", "another", "See /openapi.json."),
    }
    title, expected, got, fix = told.get(status, ("Refused", "a valid request", "another", ""))
    return problem(status, title, "the request", expected, got, fix)


def unexpected() -> Problem:
    """A defect of ours: its words are for the log, not for whoever asked."""
    return problem(
        500,
        "Unexpected",
        "holdfast serve",
        "to answer",
        "an error nobody foresaw",
        "The log of the service has it.",
    )


def written(told: Mapping[str, Any]) -> bytes:
    """Plain ASCII, so that nothing a client sent can fail to be written."""
    return json.dumps(told, ensure_ascii=True).encode("ascii")
