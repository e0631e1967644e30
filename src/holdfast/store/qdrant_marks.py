"""What a point says about each of its vectors: its revision, and whether it is hidden.

    {"r-VECTOR": revision, "h-VECTOR": true}

The second field is there only while the row is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, TypeAlias

from ..space import Space
from .base import NO_REVISION
from .edge_payload import ID, Plain
from .qdrant_collection import Point
from .qdrant_connection import has_id

Seen: TypeAlias = tuple[tuple[str, int], ...]  # field of a revision, and what it was

_REVISION, _HIDDEN = "r-", "h-"
_PLAIN = re.compile(r"[A-Za-z0-9]+")


def vector_of(space: Space) -> str:
    """Name of a space's vector: the metric and the fingerprint.

    Example:
        >>> vector_of(Space("demo", 2, fingerprint="0f3a"))
        'cosine-0f3a'
    """
    mark = space.fingerprint
    if not _PLAIN.fullmatch(mark):
        mark = blake2b(mark.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{space.metric}-{mark}"


def revision_of(vector: str) -> str:
    """The field of a vector's revision."""
    return _REVISION + vector


def hidden_of(vector: str) -> str:
    """The field that hides a vector."""
    return _HIDDEN + vector


def is_mark(key: str) -> bool:
    """Whether a field belongs to one vector rather than to the item."""
    return key.startswith((_REVISION, _HIDDEN))


def newest(marks: Mapping[str, Any]) -> int:
    """The newest revision of any vector; -1 where there is none."""
    return max((v for k, v in marks.items() if k.startswith(_REVISION)), default=NO_REVISION)


def unchanged(
    points: Sequence[Point], there: Mapping[str, Any], mine: str, others: Sequence[str]
) -> Plain:
    """What stored points must fulfil to be replaced: nothing newer here, and elsewhere what was
    read before.

    Args:
        points: That are about to be written.
        there: What was read, by id.
        mine: The field of this side's revision.
        others: Those of other vectors.
    """
    groups: dict[Seen, list[str]] = {}
    for point in points:
        old = there.get(point.payload[ID])
        marks = {} if old is None else old.payload
        seen = [(key, marks.get(key, NO_REVISION)) for key in others]
        groups.setdefault(((mine, point.payload[mine]), *seen), []).append(point.key)
    cases = [{"must": [has_id(keys), *_conditions(case)]} for case, keys in groups.items()]
    return {"should": cases}


def _conditions(case: Seen) -> list[Plain]:
    (mine, number), *others = case
    older = {"key": mine, "range": {"lte": number}}
    found: list[Plain] = [{"should": [older, {"is_empty": {"key": mine}}]}]
    for key, seen in others:
        same = {"key": key, "range": {"gte": seen, "lte": seen}}
        found.append({"is_empty": {"key": key}} if seen == NO_REVISION else same)
    return found
