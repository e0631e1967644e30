"""The panels of the dashboard: what is told, as HTML; everything that is not ours is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..measure.finding import Finding
from ..report.build import Moment
from ..report.markup import Html, element, facts, joined, table
from ..report.words import cell_name, counted, duration, event_words, percent, utc
from . import chart
from .compare import Column, Place
from .deeds import DEEDS
from .tempo import WINDOW, Spell

_SIDES = {"old": "Old side", "both": "Both sides", "new": "New side"}
_VERDICTS = {"pass": "✓ pass", "fail": "✗ fail", "info": "–"}
_BUTTONS = ("start", "resume", "pause", "cut-over", "roll-back", "finish", "plan")
_CUT = 180  # characters of a payload that are shown
_EVENTS = 10
_SHOWN = 8  # rows of a list before it is folded


def note(words: str) -> Html:
    """A quiet sentence."""
    return element("p", words, class_="note")


def head(told: Mapping[str, Any], words: str) -> Html:
    """What is upgraded, and in which state it is."""
    state = told["state"] or "no upgrade"
    if measuring(told):
        state, words = "measuring", "Quality is being measured; then items go on moving."
    pill = element("span", state, class_=f"pill {state.replace(' ', '-')}")
    if told["old"]:
        names = (told["old"]["name"], told["new"]["name"])
        title = joined((names[0], element("span", " → ", class_="arrow"), names[1]))
    else:
        title = Html(element("span", told["serves"][0]["name"]))
    parts = [element("p", pill, class_="kind"), element("h1", title), element("p", words)]
    if told["trouble"]:
        parts.append(
            element("p", element("strong", "It stopped: "), told["trouble"], class_="trouble")
        )
    return joined(parts)


def measuring(told: Mapping[str, Any]) -> bool:
    """Whether the backfill stands still only to ask the judged queries."""
    return bool(told["running"]) and told["state"] in ("planned", "paused", "ready")


def progress(told: Mapping[str, Any]) -> Html:
    """The share, what is left, how fast, and until when."""
    share, queued = float(told["share"]), told["queued"] or told["items"]
    aside = told["quarantined"] / queued if queued else 0.0
    big = element(
        "p",
        element("span", percent(share), class_="big", id="share"),
        element("span", " of the gallery is read from the new side", class_="quiet"),
        class_="share",
    )
    left = told["seconds_left"]
    pairs = [
        ("Items", f"{told['items']:,}"),
        ("To move", f"{told['todo']:,}"),
        ("Quarantined", f"{told['quarantined']:,}"),
        ("Rate", f"{told['rate']:,.0f} a second" if told["rate"] else "–"),
        ("Time left", f"about {duration(left)}" if left else "–"),
    ]
    if told["rate_limit"]:
        pairs.append(("Limit", f"{told['rate_limit']:g} a second"))
    return joined((big, chart.bar({"moved": share, "aside": aside}), facts(pairs)))


def controls(told: Mapping[str, Any]) -> Html:
    """A button for each command; those that are not allowed now say why."""
    names = [name for name in _BUTTONS if _is_shown(name, told)]
    busy = told["command"]
    buttons = [_button(name, told) for name in names]
    words = f"{DEEDS[busy].label} is under way." if busy else ""
    return joined(
        (
            element("div", *buttons, class_="buttons"),
            element("p", words, class_="note", role="status"),
        )
    )


def _is_shown(name: str, told: Mapping[str, Any]) -> bool:
    if name in ("start", "resume"):
        return (name == "start") is bool(told["state"] == "planned")
    if name == "plan":
        return not DEEDS["plan"].refusal(told)
    return True


def _button(name: str, told: Mapping[str, Any]) -> Html:
    deed = DEEDS[name]
    why = deed.refusal(told)
    told_by = {
        "data_command": name,
        "data_tells": deed.tells(told),
        "data_confirm": deed.confirm,
        "data_label": deed.label,
        "id": f"do-{name}",
        "type": "button",
    }
    if deed.confirm:
        told_by["aria_haspopup"] = "dialog"
    if why:
        told_by |= {"aria_disabled": "true", "title": f"Not now: {why}.", "data_why": why}
    main = name in ("start", "resume", "cut-over") and not why
    grave = name in ("roll-back", "finish")
    kind = " main" if main else " grave" if grave else ""
    return element("button", deed.label, class_=f"button{kind}", **told_by)


def quality(curve: chart.Curve | None, judged: bool) -> Html:
    """The metric against the share, and the same as a table."""
    if curve is None:
        how = (
            "Nothing has been measured yet: that begins with the backfill."
            if judged
            else "Nothing is measured: name judged queries in holdfast.toml, under [judgements]."
        )
        return note(how)
    keys = (
        [("measured", f"{curve.metric}, measured, with its 95 % interval")]
        if curve.measured
        else []
    )
    keys += (
        [("forecast", "forecast, and where values are to be expected")] if curve.forecast else []
    )
    keys += [("base", "the old system")] if curve.measured else []
    legend = element(
        "ul",
        *(element("li", element("i", class_=f"key {name}"), words) for name, words in keys),
        class_="legend",
    )
    rows = [
        (f"{100 * p.share:.3g} %", f"{p.value:.3f}", f"{p.low:.3f} to {p.high:.3f}")
        for p in curve.measured
    ]
    folded = Html("")
    if rows:
        header = ("Share", curve.metric, "95 % interval")
        grid = table(f"{curve.metric} at each share", header, rows, "cells")
        folded = element("details", element("summary", "As a table"), grid, id="quality-table")
    return joined((chart.quality(curve), legend, folded))


def latency(spells: Sequence[Spell]) -> Html:
    """How long searches took, by the side that answered."""
    most = max((took for spell in spells for _, took in spell.pieces), default=0.0)
    cards = [_spell(spell, most) for spell in spells]
    words = f"Searches of the last {WINDOW / 60:g} minutes, encoding included."
    return joined((element("ul", *cards, class_="sides"), note(words)))


def _spell(spell: Spell, most: float) -> Html:
    name = element("h3", _SIDES.get(spell.side, spell.side))
    if not spell.searches:
        return element("li", element("div", name, element("p", "no searches", class_="quiet")))
    figures = joined(
        (
            element("span", millis(spell.p50), class_="figure"),
            element("span", " p50, ", class_="quiet"),
            element("span", millis(spell.p99), class_="second"),
            element("span", " p99", class_="quiet"),
        )
    )
    count = element("p", counted(spell.searches, "call"), class_="quiet")
    words = element("div", name, element("p", figures), count)
    return element("li", words, chart.spark(spell.pieces, most))


def millis(seconds: float) -> str:
    """For people.

    Example:
        >>> millis(0.00042), millis(0.0123), millis(2.5)
        ('0.42 ms', '12 ms', '2.5 s')
    """
    if seconds >= 1.0:
        return f"{seconds:.2g} s"
    return f"{1e3 * seconds:.2g} ms" if seconds < 0.0995 else f"{1e3 * seconds:.0f} ms"


def quarantine(told: Mapping[str, Any], reasons: Sequence[tuple[str, str]]) -> Html:
    """Items that could not be moved, why, and a button to try again."""
    count = told["quarantined"]
    if not count:
        return note("No item is quarantined.")
    shown = len(reasons)
    caption = counted(count, "item") + (f", the first {shown}" if shown < count else "")
    grid = table(caption, ("Item", "Reason"), reasons, "reasons")
    return joined((grid, element("p", _button("retry", told))))


def gates(rules: Sequence[str], judged: Sequence[Finding]) -> Html:
    """Every rule of the gate with what it says."""
    if not rules:
        return note("No gate is set: add [[gate]] to holdfast.toml, and a failed rule pauses.")
    rows = [
        (
            f"{found.metric} {cell_name(found.cell)}",
            f"{found.value:.3f}",
            verdict(found),
            found.note,
        )
        for found in judged
    ]
    failed = sum(found.verdict == "fail" for found in judged)
    words = f"{counted(failed, 'finding')} failed." if failed else "No rule is broken."
    if not judged:
        words = "Nothing that a rule speaks of has been measured yet."
    line = element("p", words, class_="fail" if failed else "pass" if judged else "note")
    if not rows:
        return joined((line, note(f"Rules: {', '.join(rules)}.")))
    header = ("Finding", "Value", "Verdict", "Why")
    return joined(
        (
            line,
            folding(
                table("Findings held against the gate", header, rows, "gate"),
                len(rows),
                "gate-table",
            ),
        )
    )


def verdict(finding: Finding) -> Html:
    """Pass or fail, in a sign and a word."""
    return element("span", _VERDICTS[finding.verdict], class_=finding.verdict)


def watched(
    findings: Sequence[Finding], numbers: Mapping[str, Any], breach: str, share: float
) -> Html:
    """What the watch sees of live searches."""
    parts = []
    if breach:
        parts.append(element("p", element("strong", "Breach: "), breach, class_="trouble"))
    if findings:
        rows = [
            (f.metric, figure(f.value), f"{figure(f.low)} to {figure(f.high)}", verdict(f))
            for f in findings
        ]
        header = ("What", "Value", "Interval", "Verdict")
        at = percent(share)
        parts.append(table(f"Against the status quo, at {at}", header, rows, "live"))
    sampled = numbers.get("sampled", 0)
    parts.append(
        note(f"{counted(int(sampled), 'search').replace('searchs', 'searches')} compared so far.")
    )
    return joined(parts)


def figure(value: float) -> str:
    """A measured value; rates have three digits, large numbers as many.

    Example:
        >>> figure(0.12345), figure(-3118.8)
        ('0.123', '-3,119')
    """
    return f"{value:.3f}" if abs(value) < 100.0 else f"{value:,.0f}"


def folding(grid: Html, rows: int, name: str) -> Html:
    """A long table is folded away."""
    if rows <= _SHOWN:
        return grid
    summary = element("summary", f"All {rows}")
    return element("details", summary, grid, id=name)


def history(moments: Sequence[Moment], deeds: Sequence[Mapping[str, Any]]) -> Html:
    """What happened when, newest first, and who told it to."""
    if not moments and not deeds:
        return note("Nothing has happened yet.")
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
    """Without the pauses for a measurement, which copying follows at once."""
    kept: list[Moment] = []
    for moment, after in zip(moments, [*moments[1:], None], strict=True):
        if moment.kind == "paused" and after is not None and after.kind == "copying":
            if str(moment.detail.get("why", "")).startswith("reached "):
                continue
        elif moment.kind == "copying" and kept and kept[-1].kind == "copying":
            continue
        kept.append(moment)
    return kept


def _because(why: str) -> str:
    return f": {why}" if why else ""


def _outcome(deed: Mapping[str, Any]) -> str:
    gate = f" (gate: {deed['gate']})" if deed["gate"] else ""
    return f"{deed['outcome']}{gate}"


def _time(moment: float) -> Html:
    when = utc(moment)
    return element(
        "time", f"{when:%H:%M:%S}", datetime=f"{when:%Y-%m-%dT%H:%M:%SZ}", title=f"{when:%Y-%m-%d}"
    )


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
