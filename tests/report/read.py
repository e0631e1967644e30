"""Reads a report as a browser would, and refuses what a browser would have to guess."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "wbr"}  # the elements without an end that reports use


class Page(HTMLParser):
    """Elements with their attributes and texts; tables by caption.

    Args:
        text: The page.
    Raises:
        ValueError: An end that does not match, an element left open, an attribute twice.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[tuple[str, list[str]]] = []
        self._rows: list[list[str]] = []
        self.feed(text)
        self.close()
        if self._open:
            raise ValueError(f"left open: {[name for name, _ in self._open]}")

    def handle_starttag(self, tag, attrs):
        if len({name for name, _ in attrs}) < len(attrs):
            raise ValueError(f"an attribute twice: <{tag} {attrs}>")
        self.elements.append((tag, dict(attrs)))
        if tag == "table":
            self._rows = []
        if tag == "tr":
            self._rows.append([])
        if tag not in VOID:
            self._open.append((tag, []))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        name, parts = self._open.pop()
        if name != tag:
            raise ValueError(f"</{tag}> closes <{name}>")
        text = "".join(parts)
        self.texts.setdefault(tag, []).append(text)
        if tag in ("th", "td"):
            self._rows[-1].append(text)
        if tag == "caption":
            self.tables[text] = self._rows

    def handle_data(self, data):
        for _, parts in self._open:
            parts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def table(self, words: str) -> list[list[str]]:
        """The rows of the table whose caption has these words, header first."""
        return next(rows for caption, rows in self.tables.items() if words in caption)
