"""Questions made from the documents themselves, where nobody judged any.

The first sentence of a document (its title, most often) asks; the document without it is the
answer. The passage is taken out of the answer, or the question would be answered by spelling.
So the answers are embedded again, by both models, which is why this needs the old one alive.

Such questions are easier, and more alike, than those of people: they tell two models
apart, they do not say how good either is. Judged queries of your own tell more.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...items import Item

_END = re.compile(r"(?<=[.!?])\s+|\n+")
_SHORTEST_QUESTION, _LONGEST_QUESTION, _SHORTEST_ANSWER = 3, 40, 8  # words


@dataclass(frozen=True, slots=True)
class Question:
    """One of them.

    Args:
        id: Of the document that answers.
        text: What is asked.
        answer: The document without it.
    """

    id: str
    text: str
    answer: str


def question(item: Item) -> Question | None:
    """The question that a document makes; None where it is too short, or no text.

    Where no sentence ends early enough, the first third of the words asks.

    Example:
        >>> text = "How kelp holds on. It grows an anchor of branching cells, called a holdfast."
        >>> question(Item("a", text)).text
        'How kelp holds on.'
    """
    if not isinstance(item.content, str):
        return None
    text = item.content.strip()
    first, rest = _split(text)
    asked, left = len(first.split()), len(rest.split())
    if not _SHORTEST_QUESTION <= asked <= _LONGEST_QUESTION or left < _SHORTEST_ANSWER:
        words = text.split()
        third = min(len(words) // 3, _LONGEST_QUESTION)
        if third < _SHORTEST_QUESTION or len(words) - third < _SHORTEST_ANSWER:
            return None
        first, rest = " ".join(words[:third]), " ".join(words[third:])
    return Question(item.id, first, rest.replace(first, " ").strip() or rest)


def questions(items: Sequence[Item | None], most: int) -> list[Question]:
    """Up to so many questions, of the first documents that make one."""
    found: list[Question] = []
    for item in items:
        made = None if item is None else question(item)
        if made is not None:
            found.append(made)
        if len(found) == most:
            break
    return found


def _split(text: str) -> tuple[str, str]:
    parts = _END.split(text, maxsplit=1)
    return parts[0].strip(), parts[1].strip() if len(parts) > 1 else ""
