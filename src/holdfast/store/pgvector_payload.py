"""Ids and payloads as PostgreSQL can keep them: every string, every number, to the digit.

PostgreSQL's text has no NUL and no half of a surrogate pair, and its jsonb neither. So each of
these is written as a mark and a code, and the mark itself likewise; nothing else is touched. A
float that is a large integer is written with all its digits and ".0", since jsonb keeps digits
but not the kind of a number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .payloads import EMPTY, Form, Payloads, texts, write

_MARK = "\ufdd0"  # Unicode promises that this will never be a character
_BAD = re.compile("[\0\ud800-\udfff\ufdd0]")
_CODE = re.compile(f"{_MARK}([0-9a-f]{{4}})")
_ODD = re.compile(r"\\u(?:0000|fdd0|d[89a-f])|\ufdd0|\d[eE]\+?\d", re.IGNORECASE)
_LARGE = 1e16  # from here on Python writes floats with an exponent


def escaped(text: str) -> str:
    """A string that PostgreSQL can keep; different strings stay different."""
    if _BAD.search(text) is None:
        return text
    return _BAD.sub(lambda found: f"{_MARK}{ord(found[0]):04x}", text)


def unescaped(text: str) -> str:
    """What `escaped` was given."""
    if _MARK not in text:
        return text
    return _CODE.sub(lambda found: chr(int(found[1], 16)), text)


def as_json(value: Any) -> str:
    """A JSON value as text that jsonb takes and keeps."""
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{as_json(k)}:{as_json(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_json, value))}]"
    if isinstance(value, str):
        return json.dumps(escaped(value))
    if isinstance(value, float) and abs(value) >= _LARGE:
        return f"{value:.1f}"
    return json.dumps(value)


def _read(kept: str) -> Mapping[str, Any]:
    payload: dict[str, Any] = {} if kept == EMPTY else json.loads(kept)
    if _MARK in kept:
        payload = _restored(payload)
    return payload


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        return {unescaped(key): _restored(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_restored(part) for part in value]
    return unescaped(value) if isinstance(value, str) else value


def _text(kept: str) -> str:
    return write(_read(kept))


JSONB = Form(_read, _text)  # kept as the text of a jsonb value


def jsonb_texts(payloads: Sequence[Mapping[str, Any]]) -> list[str]:
    """Payloads as texts for jsonb; those that came from there are handed over."""
    if isinstance(payloads, Payloads) and payloads.form is JSONB:
        return payloads.kept
    return [as_json(json.loads(t)) if _ODD.search(t) else t for t in texts(payloads)]
