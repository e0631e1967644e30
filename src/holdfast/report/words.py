"""The sentences of a report: states, events, gains and next steps in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from ..measure.interval import FEW
from ..upgrade.sides.stage import Stage
from ..upgrade.watching.quality import too_few
from .build import Cell, Moment, Report

_STATES: Mapping[str | None, str] = MappingProxyType(
    {
        None: "No upgrade has been planned yet.",
        "planned": "Nothing has moved yet. Searches read the old side.",
        "copying": "Items are moving to the new side. Searches read both sides.",
        "paused": "Nothing moves at present. Searches read both sides, and writes go on.",
        "ready": "Every item that can move has moved. Searches still read both sides.",
        "cutting over": "The new side is read as far as the stage goes, the old one by the rest.",
        "cut over": "Searches read the new side alone. The old side is kept up to date.",
        "rolling back": "Items are moving back to the old side. Searches read both sides.",
        "rolled back": "Searches read the old side alone, with everything written since.",
        "finished": "The new side is the gallery. The old side was given up.",
    }
)
_BEGINNINGS: Mapping[str | None, str] = MappingProxyType(
    {
        "planned": "The upgrade is planned:",
        "copying": "The upgrade is under way:",
        "paused": "The upgrade is paused:",
        "ready": "The upgrade is ready to cut over:",
        "cutting over": "The upgrade is being cut over in stages:",
        "cut over": "The upgrade is cut over:",
        "rolling back": "The upgrade is being rolled back; before that,",
        "rolled back": "The upgrade was rolled back; before that,",
        "finished": "The upgrade is finished:",
    }
)
_EVENTS: Mapping[str, str] = MappingProxyType(
    {
        "planned": "Planned, from {old} to {new}",
        "copying": "Copying began",
        "paused": "Paused",
        "gate": "The gate failed",
        "ready": "Ready: every item that can move has moved",
        "cutting over": "Cut over in part: the rest reads the old side",
        "breach": "The watch found a breach: {why}",
        "cut over": "Cut over: searches read the new side alone",
        "rolling back": "Rolling back began",
        "rolled back": "Rolled back: searches read the old side alone",
        "finished": "Finished: the old side was given up",
        "dropped": "Deleted the store of {space}",
        "silent": "{model} gives no answer, the other model serves searches alone",
        "answers again": "{model} answers searches again",
    }
)
_BACKFILL = "holdfast backfill"
_ROLLBACK = (
    "holdfast rollback",
    "Answers from the old side alone; every document written since is kept.",
)


def headline(report: Report) -> str:
    """The verdict in one sentence."""
    if report.upgrade is None and report.assessment is not None:
        return f"Assessed before an upgrade. Verdict: {report.assessment.verdict}."
    if report.upgrade is None:
        return "There is no upgrade to report on."
    return f"{_BEGINNINGS[report.state]} {gain(report.main)}."


def state_words(report: Report) -> str:
    """What the state means for whoever searches."""
    words = _STATES[report.state]
    if report.quarantined and report.state in ("cutting over", "cut over", "finished"):
        lost = counted(report.quarantined, "quarantined item")
        words += f" {lost} cannot be found on the new side."
    return words


def gain(cells: Sequence[Cell]) -> str:
    """What happened to quality so far; clauses without a full stop."""
    if not cells:
        return "no quality was measured"
    first, last = cells[0], cells[-1]
    if first is last or first.share > 0.0:
        named = last.finding
        return f"{named.metric} is {named.value:.3f} in {named.cell_name}"
    clauses = f"{last.finding.metric} {_change(first, last)}"
    if last.share < 1.0:
        clauses += f" at {percent(last.share)} of the gallery"
    if last.finding.n < FEW:
        return f"{clauses}; {too_few(last.finding.n)}"
    return f"{clauses}; {_shares_below(first, cells[1:])}"


def _change(first: Cell, last: Cell) -> str:
    ends = f"from {first.finding.value:.3f} to {last.finding.value:.3f}"
    gap = last.difference
    if gap is not None and gap.low <= 0.0 <= gap.high:
        return f"went {ends}, a difference that {gap.n:,} queries do not tell from none"
    return f"{'rose' if last.finding.value >= first.finding.value else 'fell'} {ends}"


def _shares_below(first: Cell, later: Sequence[Cell]) -> str:
    lower = [cell for cell in later if cell.finding.value < first.finding.value]
    failed = [cell for cell in later if cell.finding.verdict == "fail"]
    of = f"of {len(later)} measured shares"
    if failed:
        worst = min(failed, key=lambda cell: cell.finding.value)
        return (
            f"{len(failed)} {of} fell below the old system, {worst.finding.cell_name} "
            f"furthest, at {worst.finding.value:.3f}"
        )
    if lower:
        verb = "lies" if len(lower) == 1 else "lie"
        return f"{len(lower)} {of} {verb} below the old system, none beyond its interval"
    return "no share fell below the old system"


def next_steps(report: Report) -> list[tuple[str, str]]:
    """(command, what it will do), the likeliest first."""
    again = []
    if report.quarantined and report.state in ("planned", "copying", "paused", "ready"):
        what = f"Gives {counted(report.quarantined, 'quarantined item')} another try"
        again = [("holdfast quarantine --retry", f"{what}, once the cause is mended.")]
    match report.state:
        case "planned":
            steps = [(_BACKFILL, "Begins to move items; searches and writes go on meanwhile.")]
            steps += [("holdfast rollback", "Gives the plan up; nothing has moved.")]
        case "copying":
            steps = [("holdfast status", "Says how far it is and how long it will take.")]
            steps += [(_BACKFILL, "Goes on where it stopped, if no process is at it."), _ROLLBACK]
        case "paused":
            steps = [(_BACKFILL, "Goes on where it stopped."), _ROLLBACK]
        case "ready":
            steps = _when_ready(report)
        case "cutting over" | "cut over":
            steps = _when_over(report)
        case "rolling back":
            steps = [("holdfast rollback", "Goes on with the rollback where it stopped.")]
        case "rolled back":
            steps = [("holdfast plan", "Plans another try, with other settings or another model.")]
        case "finished":
            steps = [("holdfast plan", "Plans the next upgrade, when the next model comes.")]
        case _:
            steps = [("holdfast plan --dry-run", "Says what an upgrade would do; writes nothing.")]
    return [*again, *steps]


def _when_over(report: Report) -> list[tuple[str, str]]:
    if report.state == "cutting over":
        return [("holdfast cutover", "Lets everybody read the new side."), _ROLLBACK]
    return [("holdfast finish", _finish(report)), _ROLLBACK]


def _when_ready(report: Report) -> list[tuple[str, str]]:
    over = "Looks for anything missed, then answers from the new side alone; can be undone."
    if report.quarantined:
        over += " It refuses while items are quarantined, unless told to leave them behind."
    steps = [("holdfast cutover", over), _ROLLBACK]
    if report.main and report.main[-1].finding.verdict == "fail":
        return [(_ROLLBACK[0], f"The new system measured worse. {_ROLLBACK[1]}"), steps[0]]
    return steps


def _finish(report: Report) -> str:
    words = "Gives up the old side and deletes its store; nothing leads back."
    if report.quarantined:
        words += f" Only that store has the {counted(report.quarantined, 'quarantined item')}."
    return words


def event_words(moment: Moment) -> str:
    """What happened, for people."""
    detail = moment.detail
    match moment.kind:
        case "quarantined":
            return f"Quarantined {counted(detail.get('items', 0), 'item')}"
        case "reconciled":
            told = [f"{count:,} {what}" for what, count in detail.items() if count]
            return f"The reconciling scan mended {', '.join(told)}"
        case "rate":
            rate = detail.get("items_per_second", 0.0)
            limit = f"limited to {rate:g} items a second" if rate else "freed of its limit"
            return f"The rate was {limit}"
        case "cutting over" if detail.get("stage"):
            stage = Stage.from_json(detail["stage"])
            words = f"Cut over in part: the new side is read by {stage}"
            if stage.held:
                words = "Stepped back: everybody reads the old side again"
            return f"{words}: {detail['why']}" if detail.get("why") else words
    known = _EVENTS.get(moment.kind)
    if known is None:
        return moment.kind.capitalize()
    words = known.format_map(_Known(detail))
    if detail.get("left_behind"):
        words += f"; {counted(detail['left_behind'], 'item')} left behind"
    return f"{words}: {detail['why']}" if detail.get("why") else words


class _Known(dict[str, Any]):
    """Details that a sentence names and an event lacks."""

    def __missing__(self, key: str) -> str:
        return f"the {key} one"


def counted(number: int, noun: str) -> str:
    """A number and its noun.

    Example:
        >>> counted(1, "item"), counted(1200, "item")
        ('1 item', '1,200 items')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(share: float) -> str:
    """For people; what is less than all is not called 100 %.

    Example:
        >>> percent(0.30042), percent(0.99999)
        ('30 %', '99.9 %')
    """
    shown = round(100.0 * share, 1)
    return f"{min(shown, 99.9) if share < 1.0 else shown:g} %"


def money(value: float, currency: str) -> str:
    """A sum; what is less than the smallest that is shown is not called nothing.

    Example:
        >>> money(1234.5, "USD"), money(0.0003, "USD"), money(0.0, "USD")
        ('1,234.50 USD', 'less than 0.01 USD', '0.00 USD')
    """
    if 0.0 < value < 0.005:
        return f"less than 0.01 {currency}".rstrip()
    return f"{value:,.2f} {currency}".rstrip()


def cost(told: Mapping[str, Any]) -> str:
    """What embedding some items takes, from the JSON of a `Cost`.

    Example:
        >>> cost({"money": 0.2, "currency": "EUR", "tokens": 0, "seconds": None, "note": ""})
        '0.20 EUR, no tokens'
    """
    words = []
    if told["money"] is not None:
        words.append(money(told["money"], told["currency"]))
    if told["tokens"] is not None:
        words.append(f"about {told['tokens']:,} tokens" if told["tokens"] else "no tokens")
    if told["seconds"]:
        brief = told["seconds"] < 1.0
        words.append("less than a second" if brief else f"about {duration(told['seconds'])}")
    if told["note"]:
        words.append(told["note"])
    return ", ".join(words)


def duration(seconds: float) -> str:
    """For people, in the two largest units.

    Example:
        >>> duration(0.42), duration(200), duration(90_000)
        ('0.4 s', '3 min 20 s', '1 d 1 h')
    """
    if seconds < 10.0:
        return f"{seconds:.1f} s"
    left, parts = round(seconds), []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def utc(time: float) -> datetime:
    """Seconds since 1970 as a moment; in any year that the calendar has."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time)
