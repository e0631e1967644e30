"""The section of a report that tells the assessment: what was decided, from what."""

from __future__ import annotations

from collections.abc import Sequence

from .. import plots
from ..errors import MissingExtra
from ..measure.diagnose import CELL
from ..measure.finding import Finding
from ..measure.interval import LEVEL, Interval
from ..upgrade.assess import Assessment
from .build import Report
from .markup import Html, breakable, element, facts, table
from .words import cost, counted, money

SLICES = 100  # that are told, the worst ones
_ENDS = f"{100 * LEVEL:g} % interval"


def decision(report: Report, made: Assessment) -> Html:
    """Verdict, reasons, cells, the curve with its band, slices, thresholds, costs."""
    parts = [
        element("p", element("strong", f"Verdict: {made.verdict}. "), made.reasons[0]),
        element("ul", *(element("li", reason) for reason in made.reasons[1:])),
        facts(_known(made)),
        _figure(report, made),
        *_tables(made),
        *(element("p", note, class_="note") for note in made.notes),
    ]
    heading = element("h2", "Decision", id="decision")
    return element("section", heading, *parts, aria_labelledby="decision")


def _known(made: Assessment) -> list[tuple[str, str]]:
    known, costs = made.facts, made.costs
    asked = f"{counted(known['queries'], 'query').replace('querys', 'queries')}"
    size = f"{costs['bytes'] / 1e9:,.3f} GB"
    if costs["storage_month"] is not None:
        size += f", {money(costs['storage_month'], costs['currency'])} a month"
    return [
        ("Asked", f"{asked}, {known['questions']}"),
        ("Sampled", f"{known['sample']:,} of {counted(known['items'], 'item')}"),
        ("Cost of all items", cost(costs["whole"])),
        ("Still to pay", cost(costs["rest"])),
        ("More to store", size),
    ]


def _figure(report: Report, made: Assessment) -> Html:
    curve = made.curve
    points = {
        share: Interval(**point)
        for share, point in zip(curve["shares"], curve["points"], strict=True)
    }
    band = {
        share: (float(low), float(high))
        for share, (low, high) in zip(curve["shares"], curve["band"], strict=True)
    }
    since = {
        cell.share: Interval(cell.finding.value, cell.finding.low, cell.finding.high, LEVEL, 1)
        for cell in report.main
        if cell.finding.metric == curve["metric"]
    }
    try:
        drawn = Html(plots.forecast_curve(points, band, since, metric=curve["metric"]))
    except MissingExtra as missing:
        note = f"The forecast is not drawn: plots need holdfast[plots]. {missing.fix}"
        return element("p", note, class_="note")
    words = "The forecast, where measured values are to be expected, and what was measured since."
    return element("figure", drawn, element("figcaption", words))


def _tables(made: Assessment) -> list[Html]:
    metric = made.curve["metric"]
    cells = [f for f in made.findings if f.metric == metric and f.slice == "all"]
    slices = [f for f in made.findings if f.slice != "all" and f.metric.startswith("change")]
    cuts = [f for f in made.findings if f.metric.startswith("threshold")]
    looked = [f for f in made.findings if f.cell == CELL]
    rows = [
        (*_row(f.cell_name, f), "measured" if f.note == "measured" else "forecast") for f in cells
    ]
    found = [
        table("Cells before the upgrade", ("Cell", metric, _ENDS, "n", "How"), rows, "decided")
    ]
    if slices:
        name = f"Change of {metric} by slice, forecast"
        if len(slices) > SLICES:
            name += f", the worst {SLICES} of {len(slices):,}"
        named = [_row(f.slice, f) for f in slices[:SLICES]]
        found.append(table(name, ("Slice", "Change", _ENDS, "n"), named, "slices"))
    if looked:
        found.append(_looked(looked))
    if cuts:
        found.append(_cuts(cuts))
    return found


def _looked(found: Sequence[Finding]) -> Html:
    rows = [
        (
            f.metric,
            f"{f.value:+.3f}",
            f"{f.low:+.3f} to {f.high:+.3f}",
            f"{f.n:,}",
            element("span", "look first" if f.verdict == "fail" else "", class_=f.verdict),
            f.note,
        )
        for f in found
    ]
    header = ("What", "Value", _ENDS, "n", "", "How to read it")
    return table("The sampled items in the old space and in the new", header, rows, "looked")


def _row(name: str, finding: Finding) -> tuple[str, ...]:
    return (
        breakable(name),
        f"{finding.value:.3f}",
        f"{finding.low:.3f} to {finding.high:.3f}",
        f"{finding.n:,}",
    )


def _cuts(cuts: Sequence[Finding]) -> Html:
    rows = []
    for finding in cuts:
        old = finding.metric.removeprefix("threshold for ").partition(" ")[0]
        ends = f"{finding.low:.3f} to {finding.high:.3f}"
        rows.append((f"{float(old):.3f}", f"{finding.value:.3f}", ends, finding.note))
    header = ("On old scores", "On new ones", _ENDS, "What it keeps")
    return table("Where cut-offs on scores move", header, rows, "cuts")
