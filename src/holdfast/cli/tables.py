"""How results look to people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..measure.finding import Finding

BAR = 30  # columns of a full bar: a rate of 1


def facts(rows: Iterable[tuple[str, Any]]) -> str:
    """Names and values, one pair a line; values that are None are left out.

    Example:
        >>> print(facts([("state", "ready"), ("to move", 0), ("rate", None)]))
        state    ready
        to move  0
    """
    told = [(name, visible(str(value))) for name, value in rows if value is not None]
    width = max((len(name) for name, _ in told), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in told)


def grid(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    r"""Columns under names; never wrapped, so that they can be cut and sorted.

    Example:
        >>> print(grid(("id", "reason"), [("a1", "too long"), ("b", "gone")]))
        id  reason
        a1  too long
        b   gone
        >>> print(grid(("a", ""), [("日本", 1), ("e\u0301", 2), ("kelp", 3)]))
        a
        日本  1
        é     2
        kelp  3
    """
    from rich.cells import cell_len

    told = [tuple(header), *(tuple(visible(str(cell)) for cell in row) for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*told, strict=True)]
    return "\n".join(
        "  ".join(
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in told
    )


def visible(text: str) -> str:
    r"""Text with what would move the cursor or colour the terminal spelled out.

    Example:
        >>> visible("a\x1b[31mb"), visible("日本"), visible("a\nb")
        ('a\\x1b[31mb', '日本', 'a\\nb')
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == " " else ascii(c)[1:-1] for c in text)


def cut(text: str, width: int) -> str:
    """A long text with its middle left out.

    Example:
        >>> cut("abcdefghij", 7), cut("abc", 7)
        ('abc…hij', 'abc')
    """
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def finding_line(finding: Finding) -> str:
    """One measurement in one line, in columns that stand under each other."""
    mark = {"pass": "", "fail": "  below old/old", "info": f"  {finding.note}"}[finding.verdict]
    bar = "█" * max(0, round(BAR * min(finding.value, 1.0)))
    interval = f"[{finding.low:.3f}, {finding.high:.3f}]"
    words = f"{finding.cell_name:<12} {finding.metric} {finding.value:.3f} {interval}"
    return f"{words}  {bar:<{BAR}}{mark}".rstrip()


def failure_line(finding: Finding) -> str:
    """What a gate found wrong."""
    part = "" if finding.slice == "all" else f" of {finding.slice}"
    where = f"{finding.metric} {finding.cell_name}{part}"
    if not finding.n:
        return f"{where}: {finding.note}"
    interval = f"{finding.value:.3f} [{finding.low:.3f}, {finding.high:.3f}]"
    return f"{where} {interval}: {finding.note}"


def spoken(payload: Mapping[str, Any], width: int = 60) -> str:
    """A payload in one short line."""
    text = ", ".join(f"{key}={value}" for key, value in payload.items())
    return text if len(text) <= width else text[: width - 1] + "…"
