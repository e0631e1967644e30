"""The panels of the dashboard: what is told, as HTML; everything that is not ours is escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..measure.finding import Finding
from ..report.markup import Html, element, facts, joined, table
from ..report.words import counted, duration, percent, utc
from . import chart
from .deeds import DEEDS
from .past import clock
from .reading import by_name_alone, read_new
from .tempo import WINDOW, Spell

_SIDES = {"old": "Old side", "both": "Both sides", "new": "New side"}
_VERDICTS = {"pass": "✓ pass", "fail": "✗ fail", "info": "–"}
_BUTTONS = (
    *("start", "resume", "pause", "stage", "cut-over", "step-back", "roll-back", "finish", "plan"),
)
_DID = {
    "paused": "The backfill was paused.",
    "stepped back": "Everybody was led back to the old side.",
    "rolled back": "The upgrade was rolled back.",
    "told": "Nothing was stopped.",
}
_SHOWN = 8  # rows of a list before it is folded
_SEEN = {  # by the watch, see `watch.py`
    "overlap": "of the best hits, found by the status quo too",
    "flips": "right by the status quo, wrong as answered",
    "empty": "nothing found, where the status quo finds something",
    "slow": "answered later than allowed",
    "agreement": "of both models about the same items",
    "likeness": "of a query's two vectors: compared with the first sampled queries only",
    "bridge": "how much less alike bridged items are than at first",
}


def note(words: str) -> Html:
    """A quiet sentence."""
    return element("p", words, class_="note")


def head(told: Mapping[str, Any], words: str) -> Html:
    """What is upgraded, and in which state it is."""
    state = told["state"] or "no upgrade"
    if measuring(told):
        state, words = "measuring", "Quality is being measured; then items go on moving."
    elif told["stage"] and not told["whole"]:
        words = "Searches read the new side until the old one is whole again."
    elif told["stage"] and told["stage"]["held"]:
        words = "Searches read the old side for now. Both sides are kept up to date."
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
    for half, why in told["silent"].items():
        words = f"The {half} model gives no answer, the other one serves searches alone: "
        parts.append(element("p", element("strong", words), why, class_="trouble"))
    if told["breach"]:
        parts.append(_breach(told["breach"]))
    return joined(parts)


def _breach(breach: Mapping[str, Any]) -> Html:
    """What the watch found, and what it did."""
    did = _DID.get(breach["did"], "")
    when = utc(breach["time"])
    moment = element("time", f"{clock(when)} UTC", datetime=f"{when:%Y-%m-%dT%H:%M:%SZ}")
    words = (element("strong", "Breach, "), moment, f": {breach['why']}. {did}")
    return element("p", *words, class_="trouble")


def measuring(told: Mapping[str, Any]) -> bool:
    """Whether the backfill stands still only to ask the judged queries."""
    return bool(told["running"]) and told["state"] in ("planned", "paused", "ready")


def progress(told: Mapping[str, Any]) -> Html:
    """The share, what is left, how fast, and until when."""
    share, queued = read_new(told), told["queued"] or told["items"]
    aside = told["quarantined"] / queued if queued and not told["stage"] else 0.0
    large, words = _reading(told, share)
    big = element(
        "p",
        element("span", large, class_="big", id="share"),
        element("span", words, class_="quiet"),
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
    if told["rate_limit"] and not DEEDS["throttle"].refusal(told):
        pairs.append(("Limit", f"{told['rate_limit']:g} a second"))
    if told["held_over"]:
        pairs.append(("Old side held over", f"another {duration(3600.0 * told['held_over'])}"))
    parts = [big, chart.bar({"moved": share, "aside": aside}), facts(pairs)]
    return joined([*parts, _stage(told)] if told["stage"] else parts)


def _reading(told: Mapping[str, Any], share: float) -> tuple[str, str]:
    """How much is read from the new side, and of what."""
    stage = told["stage"]
    if not stage:
        return percent(share), " of the gallery is read from the new side"
    if by_name_alone(told):
        return "Some searches", " are answered by the new side"
    named = 0.0 < share < 1.0 and (stage["tenants"] or stage["where"])
    words = f" of the traffic reads the new side{', and who is named' if named else ''}"
    return percent(share), words


def _stage(told: Mapping[str, Any]) -> Html:
    """Who reads the new side, while a cut-over goes in stages."""
    words = told["stage"]["words"]
    if not told["whole"]:
        return note("The old side is made whole again; until it is, everybody reads the new side.")
    if told["stage"]["held"]:
        return note(f"The new side is read by {words}. Both sides are kept up to date.")
    return note(f"The new side is read by {words}, the old side by the rest.")


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
    if name == "step-back":
        return bool(told["stage"])
    return True


def throttle(told: Mapping[str, Any]) -> Html:
    """The button of the form that says how fast items may move."""
    deed = DEEDS["throttle"]
    words = {"data_label": deed.label, "id": "do-throttle", "type": "submit"}
    return element("button", deed.label, class_="button", **words, **_barred(deed.refusal(told)))


def _barred(why: str) -> dict[str, str]:
    """What a button says of itself that is not allowed now; it can be reached all the same."""
    return {"aria_disabled": "true", "title": f"Not now: {why}.", "data_why": why} if why else {}


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
    if name == "stage" and told["stage"]:
        told_by["data_stage"] = json.dumps(told["stage"])
    if name == "finish" and told["held_over"]:
        told_by["data_early"] = "yes"
    told_by |= _barred(why)
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
            f"{found.metric} {found.cell_name}",
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
        return joined((line, note(f"Rules: {'; '.join(rules)}.")))
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
    findings: Sequence[Finding],
    numbers: Mapping[str, Any],
    breach: Mapping[str, Any] | None,
    share: float,
) -> Html:
    """What the watch sees of live searches; a breach that stands comes first."""
    parts = []
    if breach:
        found = Finding.from_json(breach["finding"])
        findings = [found, *(f for f in findings if f != found)]
    if findings:
        rows = [
            (f.metric, figure(f.value), f"{figure(f.low)} to {figure(f.high)}", verdict(f))
            for f in findings
        ]
        header = ("What", "Value", "Interval", "Verdict")
        at = percent(share)
        parts.append(table(f"Against the status quo, at {at}", header, rows, "live"))
        parts.append(_explained([f.metric for f in findings]))
    sampled = numbers.get("sampled", 0)
    parts.append(
        note(f"{counted(int(sampled), 'search').replace('searchs', 'searches')} compared so far.")
    )
    return joined(parts)


def _explained(metrics: Sequence[str]) -> Html:
    told = {metric: _SEEN.get(metric.partition("@")[0], "") for metric in metrics}
    lines = (
        element("li", element("b", metric), f": {words}") for metric, words in told.items() if words
    )
    summary = element("summary", "What these are")
    return element("details", summary, element("ul", *lines, class_="note"), id="live-words")


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
