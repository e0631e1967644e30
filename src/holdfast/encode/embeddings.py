"""The body of an answer of `/v1/embeddings`: JSON in, checked rows out."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arrays import FloatArray
from ..errors import EncoderError, EncoderMisconfigured, EncoderUnavailable, WrongCount
from ..space import Space
from .base import as_answer

_STATUSES = range(400, 600)


def read_embeddings(
    body: bytes,
    count: int,
    space: Space,
    owner: str,
    failure: Callable[[int], EncoderError] | None = None,
) -> FloatArray:
    """Read, order and check the rows of one answer.

    Args:
        body: What the server sent with status 200.
        count: How many texts it was sent.
        space: What the rows must be.
        owner: Whose answer it is, for the message.
        failure: Makes the error of a status that the body tells of: a gateway may pass on in a
            good answer that the server behind it is overloaded.
    Returns:
        (count, d) float32, in the order of the texts.
    Raises:
        EncoderUnavailable: No JSON, or cut short: another try may help.
        WrongCount: More or fewer rows than texts.
        EncoderMisconfigured: No `data`, or rows of another length: no text is to blame.
        EncoderError: Rows without an order, without numbers, or with NaN.
    """
    entries = _entries(body, owner, failure)
    if len(entries) != count:
        raise WrongCount(
            owner,
            f"{count} vectors, one for each text",
            str(len(entries)),
            "The server drops or adds texts: lower max_batch, or look at its log.",
        )
    ordered = _in_order(entries, owner)
    rows = [_numbers(entry, place, owner) for place, entry in enumerate(ordered)]
    for place, row in enumerate(rows):
        if row.shape != (space.dim,):
            # Nothing in a row is about its text; numbers, but not as many, about the model.
            kind = EncoderMisconfigured if row.size else EncoderError
            raise kind(
                owner,
                f"rows of {space.dim} numbers",
                f"{'x'.join(map(str, row.shape)) or 'one number'} at place {place}",
                "Set dim to what the model answers; is it the model you mean?",
            )
    return as_answer(np.array(rows, dtype=np.float32), count, space, owner).array


def _entries(body: bytes, owner: str, failure: Callable[[int], EncoderError] | None) -> list[Any]:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as cause:
        raise EncoderUnavailable(
            owner, "JSON", f"{len(body)} bytes that are not: {cause}", "Is there a proxy between?"
        ) from cause
    entries = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(entries, list):
        keys = sorted(answer) if isinstance(answer, dict) else []
        status = _status(answer) if "error" in keys else None
        if failure is not None and status is not None:
            raise failure(status)
        # A gateway may put an error about one text into a good answer.
        kind = EncoderError if "error" in keys else EncoderMisconfigured
        raise kind(
            owner,
            "a list under the key `data`",
            f"the keys {', '.join(keys)[:100]}" if keys else "none",
            "Is this the address of an OpenAI-compatible server? base_url often ends in /v1.",
        )
    return entries


def _status(answer: dict[str, Any]) -> int | None:
    """The HTTP status that an error in a body names, as a number or in digits."""
    error = answer["error"]
    for told in (error if isinstance(error, dict) else {}, answer):
        for key in ("code", "status", "status_code"):
            given = told.get(key)
            if isinstance(given, str) and len(given) == 3 and given.isdecimal():
                given = int(given)
            if type(given) is int and given in _STATUSES:
                return given
    return None


def _in_order(entries: list[Any], owner: str) -> list[dict[str, Any]]:
    """Entries by their `index`; where none has one, as they came."""
    if not all(isinstance(entry, dict) and "embedding" in entry for entry in entries):
        raise EncoderError(owner, "entries with the key `embedding`", "one without")
    places = [entry.get("index") for entry in entries]
    if all(place is None for place in places):
        return entries
    try:
        by_place = dict(zip(places, entries, strict=True))
        return [by_place[place] for place in range(len(entries))]
    except (KeyError, TypeError) as cause:
        last = len(entries) - 1
        raise EncoderError(owner, f"each `index` from 0 to {last} once", "another set") from cause


def _numbers(entry: dict[str, Any], place: int, owner: str) -> FloatArray:
    """One row; base64 carries float32 in little-endian order."""
    values = entry["embedding"]
    if values is None:  # for a text that the model behind it could not take
        raise EncoderError(owner, "an `embedding` of each text", f"null at place {place}")
    try:
        if isinstance(values, str):
            return np.frombuffer(base64.b64decode(values, validate=True), dtype="<f4")
        with np.errstate(over="ignore"):  # infinity is refused with the other rows
            return np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as cause:
        raise EncoderError(
            owner, "an `embedding` of numbers, or of base64", f"something else at place {place}"
        ) from cause
