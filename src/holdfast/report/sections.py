"""The sections of a report, each a heading and what stands under it."""

from __future__ import annotations

from collections.abc import Iterable

from .. import plots
from ..errors import MissingExtra
from ..measure.interval import LEVEL, RESAMPLES, Interval
from .build import Cell, Moment, Report
from .markup import Html, breakable, element, facts, joined, table
from .words import counted, duration, event_words, next_steps, percent, utc

_VERDICTS = {"pass": "✓ pass", "fail": "✗ fail", "info": "–"}
_PLAN = ("merge", "calibrator", "mover", "order")  # what people ask for first


def _section(title: str, *parts: Html) -> Html:
    name = title.lower().replace(" ", "-")
    heading = element("h2", title, id=name)
    return element("section", heading, *parts, aria_labelledby=name)


def quality(report: Report) -> Html:
    """The curve, the cells, and the area."""
    if not report.cells:
        nothing = (
            "Nothing was measured yet. A backfill measures by judged queries: "
            "they are named in holdfast.toml, under [judgements]."
        )
        return _section("Quality", element("p", nothing))
    return _section("Quality", _figure(report), _cells(report), _area(report))


def _figure(report: Report) -> Html:
    points = {c.share: _interval(c) for c in report.main}
    metric, start = report.main[0].finding.metric, report.main[0].finding.cell
    try:
        drawn = Html(plots.quality_curve(report.curve or points, metric=metric, start=start))
    except MissingExtra as missing:
        note = f"The curve is not drawn: plots need holdfast[plots]. {missing.fix}"
        return element("p", note, class_="note")
    told = f"{metric} while the share in the new space grew; its values are in the table below."
    return element("figure", drawn, element("figcaption", told))


def _interval(cell: Cell) -> Interval:
    finding = cell.finding
    return Interval(finding.value, finding.low, finding.high, LEVEL, finding.n)


def _cells(report: Report) -> Html:
    metrics = {cell.finding.metric for cell in report.cells}
    one = metrics.pop() if len(metrics) == 1 else ""
    start = report.main[0].finding.cell_name
    level = f"{100 * LEVEL:g} %"
    header = ("Cell", one or "Value", f"{level} interval", "n", f"Against {start}", "Verdict")
    note = (
        f"n is the number of queries. Differences are taken query by query; a cell fails when "
        f"the whole {level} interval of its difference lies below zero."
    )
    rows = [_row(cell, not one) for cell in report.cells]
    caption = "Measured cells, query space/gallery space"
    notes = [note, *_notes(report)]
    told = [element("p", each, class_="note") for each in notes]
    return joined((table(caption, header, rows, "cells"), *told))


def _notes(report: Report) -> list[str]:
    """What to know of cells that are compared with nothing."""
    alone = [cell.finding for cell in report.cells if cell.difference is None]
    return [f"{finding.cell_name}: {finding.note}." for finding in alone if finding.note]


def _row(cell: Cell, with_metric: bool) -> tuple[str, ...]:
    finding, gap = cell.finding, cell.difference
    words = [element("span", f"{finding.metric} ")] if with_metric else []
    words.append(breakable(finding.cell_name))
    if finding.slice != "all":
        words.append(element("span", f" ({finding.slice})", class_="slice"))
    return (
        joined(words),
        element("data", f"{finding.value:.3f}", value=repr(finding.value)),
        f"{finding.low:.3f} to {finding.high:.3f}",
        f"{finding.n:,}",
        "–" if gap is None else f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]",
        element("span", _VERDICTS[finding.verdict], class_=finding.verdict),
    )


def _area(report: Report) -> Html:
    if report.curve is None:
        words = "The area under the curve is told once 0 % and 100 % have been measured."
        return element("p", words, class_="note")
    area, gain = report.curve.area, report.curve.gain
    words = f"Area under the curve {area}, by the trapezoid rule over shares 0 % to 100 %. "
    if gain is None:
        words += "Old and new are equal, so there is no gain to take a part of."
    else:
        lost = report.curve.values[-1] < report.curve.values[0]
        words += (
            f"Area {'loss' if lost else 'gain'} {gain}: (area − old) / (new − old), which is 0 for "
            "keeping the old system, 0.5 for a straight line and 1 for an instant switch."
        )
        words += " The new system measured lower, so less of it is better." if lost else ""
    return element("p", words)


def steps(report: Report) -> Html:
    """Commands, with a sentence each."""
    entries = (
        element("li", element("code", command), " ", element("span", told))
        for command, told in next_steps(report)
    )
    return _section("What to do next", element("ul", *entries, class_="steps"))


def history(report: Report) -> Html:
    """Events, oldest first."""
    if not report.moments:
        return _section("What happened when", element("p", "Nothing has happened yet."))
    rows = [
        (
            _time(moment),
            event_words(moment) + (", then went on" if resumed else ""),
            "" if moment.lasted is None else duration(moment.lasted),
        )
        for moment, resumed in _without_resumptions(report.moments)
    ]
    parts = [table("Events of this upgrade", ("Time (UTC)", "Event", "Lasted"), rows, "history")]
    if report.left_out:
        left = f"{counted(report.left_out, 'earlier event')} not shown."
        parts.append(element("p", left, class_="note"))
    return _section("What happened when", *parts)


def _without_resumptions(moments: Iterable[Moment]) -> list[tuple[Moment, bool]]:
    """A pause that copying followed at once tells both."""
    told: list[tuple[Moment, bool]] = []
    for moment in moments:
        if moment.kind == "copying" and told and told[-1][0].kind == "paused":
            told[-1] = (told[-1][0], True)
        else:
            told.append((moment, False))
    return told


def _time(moment: Moment) -> Html:
    when = utc(moment.time)
    date, clock = element("span", f"{when:%Y-%m-%d}"), element("span", f"{when:%H:%M:%S}")
    return element("time", date, " ", clock, datetime=f"{when:%Y-%m-%dT%H:%M:%SZ}")


def quarantine(report: Report) -> Html:
    """Quarantined items."""
    if not report.quarantined:
        return _section("Quarantine", element("p", "No item is quarantined."))
    shown = len(report.reasons)
    caption = f"{counted(report.quarantined, 'quarantined item')}"
    if shown < report.quarantined:
        caption += f", the first {shown} of them"
    return _section("Quarantine", table(caption, ("Item", "Reason"), report.reasons, "reasons"))


def plan(report: Report) -> Html:
    """Both spaces and every setting."""
    upgrade = report.upgrade
    if upgrade is None:
        return _section("The plan", element("p", "There is none."))
    spaces = [
        (side, s.name, f"{s.dim:,}", s.metric, element("code", s.fingerprint))
        for side, s in (("old", upgrade.old), ("new", upgrade.new))
    ]
    header = ("Side", "Name", "Dimensions", "Metric", "Fingerprint")
    names = [name for name in _PLAN if name in upgrade.plan]
    names += [name for name in upgrade.plan if name not in names]
    settings = [
        (name.replace("_", " "), str(upgrade.plan[name]))
        for name in names
        if upgrade.plan[name] is not None
    ]
    return _section("The plan", table("Spaces", header, spaces, "spaces"), facts(settings))


def reproduce(report: Report) -> Html:
    """Versions and commands."""
    measured = (
        "holdfast backfill asks the judged queries at every tenth of the gallery and keeps each "
        f"answer in the ledger. Intervals are percentile bootstraps over queries: {RESAMPLES:,} "
        "resamples, seed 0."
    )
    again = ("To write this page again: ", element("code", "holdfast report"))
    return _section(
        "How to reproduce",
        element("p", measured),
        element("p", *again),
        facts(report.versions.items()),
    )


def summary(report: Report) -> Html:
    """The figures a reader looks for first."""
    pairs: list[tuple[str, str]] = [("State", report.state or "none")]
    if report.upgrade is not None:
        waits = report.state == "planned" and not report.upgrade.queued
        open_ = "every item" if waits else counted(report.todo, "item")
        pairs += [("Still to move", open_), ("Quarantined", counted(report.quarantined, "item"))]
    if report.main:
        pairs.append(("Measured up to", percent(report.main[-1].share)))
    if report.copying:
        pairs.append(("Spent copying", duration(report.copying)))
    if report.moments:
        pairs.append(("Last event (UTC)", f"{utc(report.moments[-1].time):%Y-%m-%d %H:%M}"))
    return facts(pairs)
