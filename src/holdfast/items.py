"""Items: what is searched, before it becomes a vector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from .errors import InvalidInput

Content: TypeAlias = Any  # text, image, record: whatever the encoder at hand takes
Payload: TypeAlias = Mapping[str, Any]  # JSON values
Role: TypeAlias = Literal["query", "document"]

ROLES: tuple[Role, ...] = get_args(Role)


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


def as_items(items: Iterable[Item], owner: str) -> list[Item]:
    """Check a call and copy what the caller gave.

    Args:
        items: What is to be stored.
        owner: Who asks, for the message.
    Raises:
        InvalidInput: One item where a list of them belongs, or something that is no `Item`.
    """
    if not isinstance(items, Iterable):
        raise InvalidInput(owner, "a list of items", f"one {type(items).__name__}", "Use [item].")
    given = list(items)
    for place, item in enumerate(given):
        if not isinstance(item, Item):
            raise InvalidInput(
                owner,
                "items",
                f"{type(item).__name__} at place {place}",
                "Make each one: Item(id, content, payload).",
            )
    return given


def as_contents(contents: Iterable[Content], role: Role, owner: str) -> list[Content]:
    """Check a call and copy the caller's sequence.

    Args:
        contents: What `encode` was given.
        role: What `encode` was given.
        owner: Who asks, for the message.
    Raises:
        InvalidInput: An unknown role, or one content where a sequence of them belongs.
    """
    if role not in ROLES:
        raise InvalidInput(owner, f"a role among {', '.join(ROLES)}", repr(role))
    if isinstance(contents, str | bytes | Mapping) or not hasattr(contents, "__iter__"):
        raise InvalidInput(
            owner, "a sequence of contents", f"one {type(contents).__name__}", "Put it in a list."
        )
    return list(contents)
