"""`holdfast assess`: a verdict before anyone pays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .face import Face, command, gate_failed
from .progress import waiting
from .share import Amount, percent, read_share
from .tables import BAR, facts, failure_line, grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..measure.finding import Finding
    from ..upgrade.assess import Assessment, Request

_PRICES = "prices.toml"


@command("assess")
@click.option("--dry-run", is_flag=True, help="Say what would be asked; ask and write nothing.")
@click.option(
    "--sample",
    callback=read_share,
    default="10%",
    show_default=True,
    metavar="SHARE",
    help="Part of the gallery that the new model may read.",
)
@click.option("--budget", type=Amount(min=0.0), metavar="MONEY", help="What that may cost at most.")
@click.option(
    "--prices",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Your table of prices; {_PRICES} beside the configuration if there is one.",
)
@click.option("--slice", "slice_by", metavar="FIELD", help="Payload field to cut results by.")
@click.option(
    "--label",
    multiple=True,
    metavar="FIELD",
    help="Payload field that says what an item is; several, from the coarsest to the finest.",
)
@click.option(
    "--worth",
    type=Amount(min=0.0),
    default=0.01,
    metavar="GAIN",
    show_default=True,
    help="A gain below this is not worth an upgrade.",
)
def assess(face: Face, dry_run: bool, **told: Any) -> None:
    """Say before you pay: keep, bridge, upgrade or hold.

    Old and bridged are measured, mixed and new are forecast. The new model reads a tenth of the
    gallery at most; its answers are kept, so a later backfill does not pay for them again.
    Queries are your judged ones, else made from the documents. Payload fields of the sampled
    items are audited: what the new space lost, and, with --label, whether a field became a
    shortcut. Such an alarm, or a slice that got worse beyond chance, turns "upgrade" into "hold".
    The exit code is 1 when a [[gate]] of the configuration fails.
    """
    from ..upgrade.assess import Assessor
    from ..upgrade.gate import failed, judge

    with waiting(face, "assess: both models read a sample"):
        made = Assessor(face.project, _request(face, **told)).run(dry_run)
    if isinstance(made, dict):
        face.answer({**made, "dry_run": True}, facts(_planned(made)))
        face.note("\nNothing was asked and nothing written.")
        return
    worse = failed(judge(face.project.config.gate, made.findings))
    data = {**made.to_json(), "gate": [finding.to_json() for finding in worse]}
    face.answer(data, *_words(made))
    face.note(_next(made))
    for finding in worse:
        click.echo(f"holdfast: gate failed: {failure_line(finding)}.", err=True)
    if worse:
        gate_failed()


def _request(face: Face, prices: Path | None, **told: Any) -> Request:
    from ..upgrade.assess import Request
    from ..upgrade.price import Prices, read_prices

    beside = face.config.parent / _PRICES
    path = prices or (beside if beside.exists() else None)
    told["label"] = tuple(told["label"])
    return Request(prices=Prices() if path is None else read_prices(path), **told)


def _planned(plan: Mapping[str, Any]) -> list[tuple[str, Any]]:
    from ..report.words import cost

    asked = "made from documents" if plan["made"] else "judged"
    return [
        ("old", plan["old"]),
        ("new", plan["new"]),
        ("items", f"{plan['items']:,}"),
        ("queries", f"{plan['queries']:,}, {asked}"),
        ("sample", f"{plan['sample']:,} items for the new model to read, and the queries"),
        ("cost of the sample", cost(plan["cost"])),
        ("cost of all items", cost(plan["whole"])),
    ]


def _words(made: Assessment) -> list[Any]:
    from ..measure.diagnose import CELL

    known = made.facts
    metric, note = made.curve["metric"], "forecast from the sample"
    cells = [f for f in made.findings if f.metric == metric and f.slice == "all"]
    others = [f for f in made.findings if f.slice != "all" and f.metric.startswith("change")]
    cuts = [f for f in made.findings if f.metric.startswith("threshold")]
    looked = [f for f in made.findings if f.cell == CELL]
    words: list[Any] = [
        f"Verdict: {made.verdict}. {made.reasons[0]}",
        *(f"  {reason}" for reason in made.reasons[1:]),
        "",
        _asked(known),
        *(_line(f, "forecast" if note in f.note else "measured") for f in cells),
    ]
    if others:
        words += ["", grid(("slice", "change", "interval", "queries"), map(_slice, others))]
    if looked:
        words += [
            "",
            grid(("old space to new", "value", "interval", "n", "", ""), map(_found, looked)),
        ]
    if cuts:
        words += ["", grid(("cut-off on old scores", "on new ones", "interval"), map(_cut, cuts))]
    words += ["", facts(_costs(made.costs))]
    return [*words, *(f"Note: {note}" for note in made.notes)]


def _asked(known: Mapping[str, Any]) -> str:
    return (
        f"{known['queries']:,} queries, {known['questions']}; the new model read "
        f"{known['sample']:,} of {known['items']:,} items ({known['paid']:,} contents paid for)"
    )


def _line(finding: Finding, source: str) -> str:
    bar = "█" * max(0, round(BAR * min(finding.value, 1.0)))
    interval = f"[{finding.low:.3f}, {finding.high:.3f}]"
    name = f"{finding.cell_name:<12} {finding.metric} {finding.value:.3f} {interval}"
    return f"{name}  {source:<8}  {bar}"


def _slice(finding: Finding) -> tuple[str, ...]:
    ends = f"[{finding.low:+.3f}, {finding.high:+.3f}]"
    return finding.slice, f"{finding.value:+.3f}", ends, f"{finding.n:,}"


def _found(finding: Finding) -> tuple[str, ...]:
    ends = f"[{finding.low:+.3f}, {finding.high:+.3f}]"
    alarm = "look" if finding.verdict == "fail" else ""
    return finding.metric, f"{finding.value:+.3f}", ends, f"{finding.n:,}", alarm, finding.note


def _cut(finding: Finding) -> tuple[str, ...]:
    old = finding.metric.removeprefix("threshold for ").partition(" ")[0]
    return f"{float(old):.3f}", f"{finding.value:.3f}", f"[{finding.low:.3f}, {finding.high:.3f}]"


def _costs(costs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    from ..report.words import cost, money

    size = f"{costs['bytes'] / 1e9:,.3f} GB of vectors"
    if costs["storage_month"] is None:
        size += ", price unknown"
    else:
        size += f", {money(costs['storage_month'], costs['currency'])} a month"
    return [
        ("paid for this sample", cost(costs["sample"])),
        ("still to pay for an upgrade", cost(costs["rest"])),
        ("more to store until finish", size),
    ]


def _next(made: Assessment) -> str:
    share = percent(made.facts["kept"] / max(made.facts["items"], 1))
    advice = {
        "keep": "Nothing to do.",
        "bridge": "Serve new queries over a bridge; see docs/how-to/choose-a-bridge.md.",
        "upgrade": f"Next: holdfast plan. {share} of the items are embedded already.",
        "hold": _settle(made),
    }
    return f"\n{advice[made.verdict]}"


def _settle(made: Assessment) -> str:
    from ..upgrade.assess import LOOK

    if made.reasons[0].startswith(LOOK):
        return "See docs/how-to/look-first.md."
    sample = made.facts["sample"] / max(made.facts["items"], 1)
    if sample >= 1.0:
        return "Name more judged queries."
    larger = min(2.0 * sample, 1.0)
    return f"Name more judged queries, or allow a larger sample: --sample {larger:.0%}."
