"""`holdfast plan`: say what would be done, or record it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from ..errors import UpgradeError
from .audit import keep
from .face import Face, command
from .progress import waiting
from .simulate import outlook, simulating
from .tables import facts, grid


@command("plan")
@click.option("--dry-run", is_flag=True, help="Print the plan and write nothing.")
@click.option(
    "--simulate", is_flag=True, help="Tell what it would take at other sizes; write nothing."
)
@simulating
def plan(face: Face, dry_run: bool, simulate: bool, **asked: Any) -> None:
    """Plan the upgrade to the new model; nothing moves yet.

    A plan that needs a bridge fits it here, on a sample of the gallery, and shows how well each
    way of fitting did on items it had not seen.

    With --simulate a sample of the gallery is upgraded beside it, and thrown away, to measure
    how fast model and stores are here; the new model is run, and if need be paid, for the
    sample. A model of queues then tells time, money, storage and the load of searches.
    """
    if simulate:
        outlook(face, **asked)
        return
    try:
        with waiting(face, "plan"):
            summary = face.project.plan(dry_run=dry_run)
    except UpgradeError as error:
        if not dry_run:
            keep(face, "plan", refused=error)
        raise
    if not dry_run:
        keep(face, "plan")
    words: list[Any] = [facts((key.replace("_", " "), value) for key, value in _told(summary))]
    for bridge in summary.get("bridges", []):
        words.append(f"\nB{bridge['bridge'][1:]}, from {bridge['pairs']:,} pairs:")
        rows = [
            (r["aligner"], f"{r['cosine']:.3f}", f"{r['R@1']:.3f}", "chosen" if r["chosen"] else "")
            for r in bridge["tried"]
        ]
        words.append(grid(("aligner", "cosine", "R@1", ""), rows))
    loud = dry_run or face.talks
    face.answer({**summary, "dry_run": dry_run}, *(words if loud else []))
    face.note(
        "\nNothing was written. To record it: holdfast plan."
        if dry_run
        else "\nPlanned. Next: holdfast backfill, all at once or --until 30%."
    )


def _told(summary: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What matters in this plan, as people say it."""
    idle = {"bridges"}
    if summary["executor"] == "threads":
        idle |= {"executor", "address", "actors", "cpus", "gpus"}
    if not summary["yield_above"]:
        idle |= {"yield_above", "yield_most"}
    if not summary["holdover_hours"]:
        idle.add("holdover_hours")
    for key, value in summary.items():
        if key not in idle:
            yield key, "no limit" if key == "rate" and not value else value
