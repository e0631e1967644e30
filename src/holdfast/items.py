"""Items: what is searched, before it becomes a vector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Content: TypeAlias = Any  # text, image, record: whatever the encoder at hand takes
Payload: TypeAlias = Mapping[str, Any]  # JSON values
Role: TypeAlias = Literal["query", "document"]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that can be found.

    Args:
        id: Non-empty string, unique in its gallery.
        content: What the encoder reads.
        payload: JSON fields that filters and applications read.
    """

    id: str
    content: Content
    payload: Payload = field(default_factory=dict)
