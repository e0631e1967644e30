"""`holdfast backfill`, and what other processes may do meanwhile: `pause` and `status`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from ..errors import UpgradeError
from .audit import keep
from .door import INTERRUPTED, leave_now
from .face import Face, command, gate_failed
from .progress import bar, lasting
from .share import percent, read_share
from .tables import facts, failure_line, finding_line
from .wish import Wish

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..measure.finding import Finding
    from ..upgrade.backfill.status import Status
    from ..upgrade.engine import Engine
    from ..upgrade.gallery import Gallery
    from ..upgrade.project import Project

_POLL = 0.2  # seconds between two looks for an answer


@command("backfill")
@click.option(
    "--until",
    callback=read_share,
    default="100%",
    metavar="SHARE",
    help="Pause at this share of the gallery: 30% or 0.3.",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0.0),
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help="For the batch under way when it is stopped; then it ends all the same.",
)
def backfill(face: Face, until: float, grace: float) -> None:
    """Move items to the new side; the gallery goes on answering.

    Ctrl-C pauses after the batch under way; started again, it goes on where it was. With
    [judgements] in the configuration, quality is measured at every tenth of the gallery, and
    the exit code is 1 when a share answers worse than the old side did. A [[gate]] there
    pauses the upgrade when one of its rules fails.
    """
    from ..upgrade.backfill.room import refuse_short

    refuse_short("backfill", face.project.folder)
    with (
        face.gallery() as gallery,
        Wish(face.talks, grace, lambda: _abandon(face, grace)) as wish,
        bar(face, "backfill", until) as show,
    ):
        status, findings = move(face, gallery, until, wish, show)
    worse = [finding for finding in findings if finding.verdict == "fail"]
    broken = [f for f in held_against(face.project, findings) if f not in worse]
    data = {
        "state": status.state,
        "share": status.share,
        "items": status.items,
        "todo": status.todo,
        "quarantined": status.quarantined,
        "paused_by": wish.name or None,
        "findings": [finding.to_json() for finding in findings],
        "failed": [finding.cell for finding in worse],
        "gate": [finding.to_json() for finding in broken],
    }
    face.answer(data, *([_outcome(status, wish.name)] if face.talks else []))
    if worse:
        cells = ", ".join(finding.cell_name for finding in worse)
        click.echo(f"holdfast: gate failed: below old/old at {cells}.", err=True)
    for finding in broken:
        click.echo(f"holdfast: gate failed: {failure_line(finding)}.", err=True)
    if worse or broken:
        gate_failed()
    if status.state == "paused" and not wish.name:
        refuse_short("backfill", face.project.folder)


def _abandon(face: Face, grace: float) -> None:
    error = UpgradeError(
        "backfill",
        f"an end of the batch under way, in {grace:g} seconds and before a second signal",
        "none",
        "It is moved again. To go on: holdfast backfill.",
    )
    leave_now(error, face.as_json, INTERRUPTED)


def move(
    face: Face, gallery: Gallery, until: float, wish: Wish, show: Callable[[int, int], None]
) -> tuple[Status, list[Finding]]:
    """Run the engine of an open gallery; measures where the project has judgements."""
    from ..upgrade.record.audit import person

    project = face.project
    if gallery.ledger is None:
        raise UpgradeError("backfill", "a plan", "none", "Write one with: holdfast plan.")
    from ..upgrade.backfill.room import Room
    from ..upgrade.backfill.stand import Pace, drop_stale

    upgrade = gallery.ledger.upgrade()
    if upgrade is not None and upgrade.plan["mover"] == "re-embed":
        project.content(gallery.old.store)  # what cannot be read is refused before anything moves
    drop_stale(gallery.ledger)
    pace = Pace(gallery.ledger)

    def hear(status: Status) -> None:
        show(round(status.share * status.items), status.items)
        if status.state == "copying" and wish.name:
            engine.pause(wish.name)
        else:
            room(status)

    engine = project.engine(gallery, hear, by=person())
    room = Room(project.folder, engine)
    try:
        return _run(face, project, engine, gallery, until)
    finally:
        pace.end()


def _run(
    face: Face, project: Project, engine: Engine, gallery: Gallery, until: float
) -> tuple[Status, list[Finding]]:
    quality = project.quality(gallery)
    if quality is None:
        return engine.run(until), []
    from ..upgrade.guard import Guard
    from ..upgrade.watching.quality import run_measured

    status, findings = run_measured(
        engine,
        quality,
        until,
        tell=lambda finding: face.note(finding_line(finding)),
        guard=Guard(project.config.gate, engine),
    )
    return status, list(findings)


def held_against(project: Project, findings: list[Finding]) -> list[Finding]:
    """Where the gate failed in what was measured now."""
    from ..upgrade.gate import failed, judge

    return failed(judge(project.config.gate, findings, whole=False))


def _outcome(status: Status, stopped: str) -> str:
    words = f"{percent(status.share)} of {status.items:,} items moved"
    if status.state == "ready":
        words = f"All {status.items - status.quarantined:,} items that can move have moved"
        if not status.quarantined:
            words = f"All {status.items:,} items moved"
    if status.quarantined:
        words += f", {status.quarantined:,} quarantined (see holdfast quarantine)"
    if status.state == "ready":
        return f"{words}. Ready. Next: holdfast cutover."
    why = f" by {stopped}" if stopped else ""
    return f"{words}. {str(status.state).capitalize()}{why}. To go on: holdfast backfill."


@command("pause")
@click.option(
    "--wait",
    type=click.FloatRange(min=0.0),
    metavar="SECONDS",
    default=60.0,
    show_default=True,
    help="Seconds to wait for the answer.",
)
def pause(face: Face, wait: float) -> None:
    """Ask the running backfill to pause after the batch under way."""
    from ..upgrade.record.audit import person

    _refuse_without_backfill(face)
    with face.ledger(readonly=False) as ledger:
        number = ledger.ask("pause", why="asked for", by=person())
        until, answer = time.monotonic() + wait, None
        while answer is None and time.monotonic() < until:
            time.sleep(_POLL)
            if number not in {n for n, _, _ in ledger.asked()}:
                answer = "done"
        upgrade = ledger.upgrade()
    state = upgrade.state if upgrade else None
    words = (
        "Asked, not answered yet: it pauses after the batch under way."
        if answer is None
        else f"Answered: the upgrade is {state}."
    )
    face.answer({"state": state, "answered": answer is not None}, *([words] if face.talks else []))


def _refuse_without_backfill(face: Face) -> None:
    """A command that nobody reads would stop the next run instead."""
    from ..upgrade.backfill.stand import alive, read_pace

    with face.ledger() as ledger:
        upgrade, pace = ledger.upgrade(), read_pace(ledger)
    state = upgrade.state if upgrade else "not planned"
    if state != "copying":
        error = UpgradeError("pause", "a backfill that runs", f"an upgrade that is {state}")
    elif pace and not alive(pace):
        error = UpgradeError(
            "pause",
            "a backfill that runs",
            f"one whose process {pace['pid']} is gone",
            "There is nothing to stop. To go on: holdfast backfill.",
        )
    else:
        return
    keep(face, "pause", refused=error)
    raise error


@command("status")
def status(face: Face) -> None:
    """Say where the upgrade stands, also while a backfill runs."""
    from ..upgrade.backfill.stand import stand
    from ..upgrade.watching.quality import cells

    with face.ledger() as ledger:
        data = stand(ledger)
        lines = [finding_line(finding) for finding in cells(ledger)] if data["findings"] else []
        face.answer(data, facts(_spoken(data)), *lines)


def _spoken(data: dict[str, Any]) -> list[tuple[str, Any]]:
    if data["state"] is None:
        return [("state", "no upgrade planned")]
    rows: list[tuple[str, Any]] = [
        ("state", data["state"]),
        ("old", f"{data['old']['name']}, {data['old']['dim']}-d"),
        ("new", f"{data['new']['name']}, {data['new']['dim']}-d"),
    ]
    if data["queued"]:
        rows += [
            ("share", f"{percent(data['share'])} of {data['queued']:,} items"),
            ("to move", f"{data['todo']:,}"),
            ("quarantined", f"{data['quarantined']:,}"),
        ]
    if data["stage"]:
        rows.append(("new side", f"read by {data['stage']['words']}"))
    if data["held_over"]:
        rows.append(("held over", f"finish is due in {lasting(3600.0 * data['held_over'])}"))
    if data["breach"]:
        rows.append(("breach", f"{data['breach']['why']} ({data['breach']['did']})"))
    if data["running"]:
        left = data["seconds_left"]
        words = f"process {data['pid']}, {data['rate']:,.0f} items a second"
        rows.append(("running", words + (f", {lasting(left)} left" if left is not None else "")))
    elif data["state"] == "copying":
        rows.append(("running", "no: it was cut off; holdfast backfill goes on"))
    elif data["state"] == "paused":
        rows.append(("paused", _why(data["events"])))
    return rows


def _why(events: list[dict[str, Any]]) -> str | None:
    """The reason that was noted with the latest pause."""
    pauses = [event["detail"] for event in events if event["kind"] == "paused"]
    return pauses[-1].get("why") if pauses else None
