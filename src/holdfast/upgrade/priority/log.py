"""Past searches, from a file: what was asked, and how often."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...settings import json_of
from ..order import read_lines

MOST = 10_000  # different searches that are looked at, the most frequent ones


@dataclass(frozen=True, slots=True)
class Log:
    """What readers did.

    Args:
        searches: Text of a search to how often it was made; the most frequent first.
        items: Id of an item to how often it was read, where that was counted instead.
    """

    searches: dict[str, float]
    items: dict[str, float]


def read_log(path: Path) -> Log:
    """From lines that are JSON objects, or plain text: one search a line.

    An object has `text`, a search, or `id`, an item that was read; and `count`, 1 if absent.
    Lines that say the same add up. Of searches the 10,000 most frequent are kept.

    Raises:
        ConfigError: No such file, nothing in it, or a line that is neither.
    """
    lines = read_lines(path, "a readable log of searches")
    searches: Counter[str] = Counter()
    items: Counter[str] = Counter()
    for number, line in enumerate((line.strip() for line in lines), start=1):
        if line.startswith("{"):
            kind, name, count = _record(line, f"{path.name} line {number}")
            (searches if kind == "text" else items)[name] += count  # type: ignore[assignment]
        elif line:
            searches[line] += 1
    if not searches and not items:
        raise ConfigError("plan: order_file", "past searches", f"nothing in {path.name}")
    return Log(dict(searches.most_common(MOST)), dict(items.most_common()))


def _record(line: str, where: str) -> tuple[str, str, float]:
    try:
        record: Any = json_of(line)
    except ValueError as cause:
        raise ConfigError(where, "a JSON object", str(cause)) from cause
    kind = "text" if "text" in record else "id"
    name, count = record.get(kind), record.get("count", 1)
    if not isinstance(name, str) or not name:
        raise ConfigError(where, "a string in `text`, or in `id`", repr(name))
    number = isinstance(count, int | float) and not isinstance(count, bool)
    if not number or not 0 <= count < float("inf"):
        raise ConfigError(where, "a number from 0 in `count`", repr(count))
    return kind, name, count
