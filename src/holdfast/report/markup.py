"""HTML by functions: whatever is not markup already is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

_VOID = frozenset({"input", "link", "meta", "wbr"})  # elements without an end


class Html(str):
    """Text that is markup: made here, never from what users wrote."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str) -> Html:
    """An element; children that are not `Html` are escaped, and so are attributes.

    Args:
        name: The tag.
        children: What it holds.
        attributes: `class_` for class, `aria_label` for aria-label.
    Example:
        >>> element("p", "a < b", class_="note")
        '<p class="note">a &lt; b</p>'
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items()
    )
    if name in _VOID:
        return Html(f"<{name}{told}>")
    return Html(f"<{name}{told}>{joined(children)}</{name}>")


def joined(parts: Iterable[str], between: str = "") -> Html:
    """Parts one after the other, escaped where they are not markup."""
    return Html(between.join(p if isinstance(p, Html) else escape(p) for p in parts))


def breakable(name: str) -> Html:
    """A name that a narrow screen breaks after its last @.

    Example:
        >>> breakable("mixed@10%")
        'mixed@<wbr>10%'
    """
    before, at, behind = name.rpartition("@")
    return joined((before, at, element("wbr"), behind)) if at else joined((name,))


def table(caption: str, header: Iterable[str], rows: Iterable[Iterable[str]], name: str) -> Html:
    """A table whose first column names its rows; it scrolls on its own where it is too wide."""
    head = element("tr", *(element("th", word, scope="col") for word in header))
    body = []
    for first, *rest in rows:
        cells = [element("th", first, scope="row"), *(element("td", cell) for cell in rest)]
        body.append(element("tr", *cells))
    inner = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", *body),
    )
    wide = {"class_": f"wide {name}", "role": "region", "aria_label": caption, "tabindex": "0"}
    return element("div", inner, **wide)


def facts(pairs: Iterable[tuple[str, str]]) -> Html:
    """Names and values."""
    return element(
        "dl", *(element("div", element("dt", name), element("dd", told)) for name, told in pairs)
    )
