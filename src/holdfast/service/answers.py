"""Three answers side by side, as HTML: what rose, what fell, what is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..report.markup import Html, element
from .compare import Column, Place
from .panels import note

_CUT = 180  # characters of a payload that are shown


def answers(columns: Sequence[Column]) -> Html:
    """Three lists side by side, each hit with how far it moved."""
    return element("div", *(_column(column) for column in columns), class_="columns")


def _column(column: Column) -> Html:
    name = {"old": "Old", "both": "As served now", "new": "New"}[column.name]
    heading = element("h3", name, id=f"answer-{column.name}")
    if column.why_not:
        body = note(column.why_not)
    elif not column.places:
        body = note("No hits.")
    else:
        body = element("ol", *(_hit(place, column.name) for place in column.places), class_="hits")
    parts = [heading, body]
    if column.gone:
        listed = ", ".join(column.gone[:5]) + (" …" if len(column.gone) > 5 else "")
        parts.append(note(f"No longer here: {listed}"))
    return element("section", *parts, aria_labelledby=f"answer-{column.name}")


def _hit(place: Place, column: str) -> Html:
    parts = [element("span", place.id, class_="id")]
    if column != "old":
        parts.append(_moved(place))
    parts.append(element("span", f"{place.score:.3f}", class_="score"))
    text = excerpt(place.payload)
    first = element("div", *parts, class_="line-of-hit")
    return element("li", first, element("p", text, class_="excerpt") if text else Html(""))


def _moved(place: Place) -> Html:
    moved = place.moved
    if moved is None:
        return element("span", "new here", class_="moved came")
    if moved == 0:
        return element("span", "same place", class_="moved")
    sign, word = ("▲", "up") if moved > 0 else ("▼", "down")
    hidden = element("span", f"{word} ", class_="unseen")
    return element("span", f"{sign} ", hidden, f"{abs(moved)}", class_=f"moved {word}")


def excerpt(payload: Mapping[str, Any]) -> str:
    """What to show of a payload: its text or title, else its strings.

    Example:
        >>> excerpt({"text": "a  b", "n": 1}), excerpt({"lang": "en", "n": 1})
        ('a b', 'lang: en')
    """
    words = next((payload[k] for k in ("text", "title") if isinstance(payload.get(k), str)), None)
    if words is None:
        words = ", ".join(f"{k}: {v}" for k, v in payload.items() if isinstance(v, str))
    flat = " ".join(words[: 4 * _CUT].split())
    return flat if len(flat) <= _CUT else f"{flat[: _CUT - 1]}…"
