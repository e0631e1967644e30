"""What happened, as HTML: the latest events, and the latest commands with who gave them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ..report.build import Moment
from ..report.markup import Html, element, joined, table
from ..report.words import counted, event_words, utc

_EVENTS = 10


def history(moments: Sequence[Moment], deeds: Sequence[Mapping[str, Any]]) -> Html:
    """What happened when, newest first, and who told it to."""
    if not moments and not deeds:
        return element("p", "Nothing has happened yet.", class_="note")
    parts = []
    if moments:
        rows = [(_time(m.time), event_words(m)) for m in reversed(_joined(moments)[-_EVENTS:])]
        parts.append(table("Events, newest first", ("UTC", "Event"), rows, "history"))
    if deeds:
        told = [
            (_time(d["time"]), d["who"], joined((d["what"], _because(d["why"]))), _outcome(d))
            for d in reversed(deeds)
        ]
        header = ("UTC", "Who", "What", "Outcome")
        grid = table("Commands, newest first", header, told, "audit")
        summary = element("summary", f"Audit: the last {counted(len(told), 'command')}")
        parts.append(element("details", summary, grid, id="audit-table"))
    return joined(parts)


def _joined(moments: Sequence[Moment]) -> list[Moment]:
    """Without pauses for a measurement, which copying follows at once, and limits told twice."""
    kept: list[Moment] = []
    measured = False  # whether copying goes on after a measurement
    for place, moment in enumerate(moments):
        after = next((m.kind for m in moments[place + 1 :] if m.kind != "rate"), "")
        reached = str(moment.detail.get("why", "")).startswith("reached ")
        if moment.kind == "paused" and reached and after == "copying":
            measured = True
            continue
        if not (kept and _again(moment, kept[-1], measured)):
            kept.append(moment)
        measured = measured and moment.kind != "copying"
    return kept


def _again(moment: Moment, last: Moment, measured: bool) -> bool:
    """Whether a moment tells nothing that is not told already."""
    if moment.kind == "copying":
        return measured or last.kind == "copying"
    key = "items_per_second"
    return moment.kind == last.kind == "rate" and moment.detail.get(key) == last.detail.get(key)


def _because(why: str) -> str:
    return f": {why}" if why else ""


def _outcome(deed: Mapping[str, Any]) -> str:
    gate = f" (gate: {deed['gate']})" if deed["gate"] else ""
    return f"{deed['outcome']}{gate}"


def _time(moment: float) -> Html:
    when = utc(moment)
    return element("time", clock(when), datetime=f"{when:%Y-%m-%dT%H:%M:%SZ}")


def clock(when: datetime) -> str:
    """The time of today, the day and the time of any other."""
    if when.date() == datetime.now(UTC).date():
        return f"{when:%H:%M:%S}"
    return f"{when:%Y-%m-%d %H:%M}"
