"""The dashboard: one page, drawn here, whose parts the event stream replaces when they change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from .. import __version__
from ..measure.finding import Finding
from ..report.build import Report, moments
from ..report.markup import Html, element, joined
from ..report.words import percent, state_words
from ..upgrade.assess import latest
from ..upgrade.backfill.room import ROOM
from ..upgrade.gate import judge
from ..upgrade.watching.quality import measured
from ..upgrade.watching.watch import Watch
from . import chart, panels
from .answers import answers
from .caller import ANYBODY, CALLER
from .compare import Column
from .forms import confirm_dialog, scriptless, search_form, sign_in_dialog, throttle_form, top
from .office import Office
from .past import history
from .reading import by_name_alone, read_new
from .settings import Settings
from .steward import Steward
from .tempo import Latency

_REASONS = 20  # quarantined items that are named
_MOMENTS = 40  # of which the latest are told, without resumptions
_DEEDS = 10
_MEDIA = {"app.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8"}
_PANELS = (
    ("progress", "Progress"),
    ("controls", "Controls"),
    ("quality", "Quality"),
    ("latency", "Latency"),
    ("compare", "Ask old, mixed and new"),
    ("gates", "Findings and gates"),
    ("watch", "Live searches"),
    ("quarantine", "Quarantine"),
    ("history", "What happened"),
)


class Page:
    """Draws the page and its parts.

    Args:
        steward: Has the gallery.
        office: Says where the upgrade stands.
        latency: Knows how long searches took.
        settings: Who may come in.
    """

    def __init__(
        self, steward: Steward, office: Office, latency: Latency, settings: Settings
    ) -> None:
        self._steward, self._office = steward, office
        self._latency, self._settings = latency, settings

    def parts(self) -> dict[str, str]:
        """Every part that changes, by name."""
        told = self._office.status()
        ledger = self._steward.ledger
        upgrade = ledger.upgrade()
        report = Report(upgrade, todo=told["todo"], quarantined=told["quarantined"])
        happened = [m for m in moments(ledger.events()) if m.kind != "rate" or m.detail]
        found = {
            "head": panels.head(told, state_words(report)),
            "progress": panels.progress(told),
            "controls": panels.controls(told),
            "throttle": panels.throttle(told),
            "quality": panels.quality(self._curve(told), self._judged),
            "latency": panels.latency(self._latency.spells()),
            "gates": self._gates(),
            "watch": self._watch(told),
            "quarantine": panels.quarantine(told, self._reasons()),
            "history": history(happened[-_MOMENTS:], self._deeds()),
        }
        return {**found, "title": _title(told), "say": _spoken(told)}

    def _reasons(self) -> list[tuple[str, str]]:
        items = self._office.quarantine(_REASONS)["items"]
        return [(item["id"], item["reason"]) for item in items]

    @property
    def _judged(self) -> bool:
        return self._steward.project.config.judgements is not None

    def _curve(self, told: Mapping[str, Any]) -> chart.Curve | None:
        ledger = self._steward.ledger
        records = measured(ledger)
        points = [
            chart.Point(share, f["value"], f["low"], f["high"])
            for share, f in ((share, record["finding"]) for share, record in records.items())
        ]
        metric = next((r["finding"]["metric"] for r in records.values()), "")
        made, forecast = latest(ledger), []
        if made is not None and metric in ("", made.curve["metric"]):
            metric = made.curve["metric"]
            triples = zip(
                made.curve["shares"], made.curve["points"], made.curve["band"], strict=True
            )
            forecast = [
                chart.Point(float(share), point["value"], float(low), float(high))
                for share, point, (low, high) in triples
            ]
        if not points and not forecast:
            return None
        moving = told["reads"] == "both" and not told["stage"]
        return chart.Curve(metric, points, forecast, told["share"] if moving else None)

    def _gates(self) -> Html:
        rules = self._steward.project.config.gate
        records = self._steward.ledger.findings()
        known = [Finding.from_json(record["finding"]) for record in records]
        newest = {(f.metric, f.cell, f.slice): f for f in known}
        judged = judge(rules, list(newest.values()), whole=False) if rules else []
        return panels.gates([str(rule) for rule in rules], judged)

    def _watch(self, told: Mapping[str, Any]) -> Html:
        with self._steward.using() as gallery:
            watch, share = gallery.watch, gallery.share
        if not isinstance(watch, Watch):
            if self._steward.project.config.watch is None:
                return panels.note("Nothing is watched: see [watch] in holdfast.toml.")
            return panels.note("Nothing is watched now: that begins with an upgrade.")
        breach = told["breach"]
        if breach and breach["finding"]["metric"] == ROOM:
            breach = None  # it is no finding about searches
        return panels.watched(watch.findings(), watch.numbers(), breach, share)

    def _deeds(self) -> Sequence[Mapping[str, Any]]:
        return self._office.last_deeds(_DEEDS)

    def whole(self) -> str:
        """The page with everything in it, for whoever asks."""
        who = CALLER.get()
        signed = who if who != ANYBODY else ""
        shut = self._settings.private and not signed
        body = self._body(signed, shut)
        head = element(
            "head",
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("title", "Holdfast" if shut else _title(self._office.status())),
            element("link", rel="stylesheet", href="/static/app.css"),
            element("link", rel="icon", href="data:,"),
            element("script", src="/static/app.js", defer=""),
        )
        return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"

    def _body(self, signed: str, shut: bool) -> Html:
        dialogs = joined((sign_in_dialog(), confirm_dialog()))
        header = top(signed, bool(self._settings.tokens), __version__)
        if shut:
            told = panels.note("Sign in to look at this gallery.")
            main = element("main", scriptless(), told, id="main")
            return element("body", header, main, dialogs, class_="shut")
        parts = self.parts()
        state = element("section", Html(parts["head"]), id="part-head", class_="head")
        limit = self._steward.rate_limit or 0.0
        sections = [_section(name, title, parts, limit) for name, title in _PANELS]
        said = element("p", parts["say"], id="part-say", class_="unseen", role="status")
        lost = element("p", "Connection lost. Trying again …", id="lost", role="status", hidden="")
        grid = element("div", *sections, class_="grid")
        main = element("main", scriptless(), lost, state, grid, id="main")
        return element("body", header, main, said, dialogs)

    def compared(self, columns: Sequence[Column]) -> str:
        """Three answers, as a part of the page."""
        return str(answers(columns))

    def static(self, name: str) -> tuple[bytes, str] | None:
        """A file of the page and its media type; None where there is no such file."""
        return (_file(name), _MEDIA[name]) if name in _MEDIA else None


def _section(name: str, title: str, parts: Mapping[str, str], limit: float) -> Html:
    heading = element("h2", title, id=f"title-{name}")
    inner: list[Html] = [heading]
    if name == "compare":
        inner.append(search_form())
    else:
        inner.append(element("div", Html(parts[name]), id=f"part-{name}"))
    if name == "controls":
        inner.append(throttle_form(limit, Html(parts["throttle"])))
    return element("section", *inner, class_=f"card {name}", aria_labelledby=f"title-{name}")


def _title(told: Mapping[str, Any]) -> str:
    if told["state"] in (None, "planned", "rolled back", "finished"):
        return f"{(told['state'] or 'no upgrade').capitalize()} · Holdfast"
    state = "measuring" if panels.measuring(told) else told["state"]
    if by_name_alone(told):
        return f"{state.capitalize()} · Holdfast"
    return f"{percent(read_new(told))} · {state} · Holdfast"


def _spoken(told: Mapping[str, Any]) -> str:
    """For screen readers: changes with the state and at every tenth, not with every batch."""
    if told["stage"]:
        return f"The upgrade is {told['state']}; the new side is read by {told['stage']['words']}."
    tenth = int(10 * told["share"] + 1e-9) * 10
    return f"The upgrade is {told['state'] or 'not planned'}, {tenth} % on the new side."


@cache
def _file(name: str) -> bytes:
    return files(__package__).joinpath("static", name).read_bytes()
