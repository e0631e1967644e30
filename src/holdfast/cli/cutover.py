"""`holdfast cutover`, `rollback`, `finish`: which side answers, and what is given up."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ..errors import HoldfastError, UpgradeError
from .audit import keep
from .face import Face, command, gate_failed
from .progress import bar, waiting
from .search import read_where
from .share import read_share
from .tables import finding_line

if TYPE_CHECKING:
    from ..measure.finding import Finding
    from ..upgrade.engine import Engine
    from ..upgrade.gallery import Gallery
    from ..upgrade.record.records import State
    from ..upgrade.sides.stage import Stage
    from ..upgrade.watching.quality import Quality

WORD = "give up the old side"
_WHY = click.option("--why", default="", metavar="TEXT", help="The reason, kept in the audit.")


@command("cutover")
@click.option(
    "--leave-behind-quarantined",
    is_flag=True,
    help="Accept that quarantined items are not found until a rollback.",
)
@click.option(
    "--share",
    callback=read_share,
    metavar="SHARE",
    help="Only for this share of the traffic: 10% or 0.1. One key stays on one side.",
)
@click.option("--tenant", multiple=True, metavar="NAME", help="Only for searches of this tenant.")
@click.option(
    "--where",
    metavar="JSON",
    help="""Only for searches whose filter asks for this: '{"lang": "en"}'.""",
)
@click.option(
    "--step-back",
    is_flag=True,
    help="Of a cut-over in stages: everybody reads the old side again; both are kept up to date.",
)
@_WHY
def cutover(
    face: Face,
    leave_behind_quarantined: bool,
    share: float | None,
    tenant: tuple[str, ...],
    where: str | None,
    step_back: bool,
    why: str,
) -> None:
    """Answer from the new side alone, all at once or in stages.

    A scan that looks for anything missed comes first. With --share, --tenant or --where it does
    so in stages: who belongs to the stage reads the new side, the rest the old one. Give larger
    stages as trust grows, then none, for everybody.
    """
    stage = _stage(share, tenant, where)
    if step_back:
        _step_back(face, stage, why)
        return
    state = _state(face, "cut over", why)
    if stage is not None:
        _to_stage(face, stage, leave_behind_quarantined, why)
        return
    if state == "cut over":
        _tell(face, {"state": "cut over", "changed": False}, "It is cut over already.")
        return
    with face.gallery() as gallery, waiting(face, "cut over: looking for anything missed"):
        quality = face.project.quality(gallery)  # what cannot be read is refused before the deed
        engine = _engine(face, gallery)
        found = engine.cut_over(leave_behind=leave_behind_quarantined, why=why)
        left = gallery.ledger.counts()["quarantined"] if gallery.ledger else 0
        items = len(gallery)
        finding = _measured(quality)
    data = {
        "state": "cut over",
        "changed": True,
        "left_behind": left,
        "mended": asdict(found),
        "finding": finding.to_json() if finding else None,
    }
    words = f"Cut over: {items - left:,} items answer from the new side."
    if left:
        words += f" {left:,} quarantined ones are left behind."
    if found:
        words += f" The scan mended {_counted(asdict(found))}."
    _tell(face, data, words)
    if finding:
        face.note(finding_line(finding))
    face.note("The old side is kept up to date: holdfast rollback leads back, finish ends that.")
    if finding and finding.verdict == "fail":
        click.echo("holdfast: gate failed: below old/old at new/new.", err=True)
        gate_failed()


def _measured(quality: Quality | None) -> Finding | None:
    """The cell that is read now; a model that does not answer leaves the cut-over as it is."""
    try:
        return quality.measure() if quality else None
    except HoldfastError as error:
        click.echo(f"holdfast: cut over, but not measured: {error}", err=True)
        return None


def _stage(share: float | None, tenants: tuple[str, ...], where: str | None) -> Stage | None:
    """Who reads the new side; None for everybody."""
    from ..upgrade.sides.stage import Stage

    if share is None and not tenants and where is None:
        return None
    # A slice that says nothing, such as a variable that is not set, is not "everybody".
    return Stage(share or 0.0, tenants, {} if where is None else read_where(where))


def _step_back(face: Face, stage: Stage | None, why: str) -> None:
    if stage is not None:
        raise UpgradeError("cut over", "a stage, or --step-back", "both", "Give one of them.")
    _state(face, "step back", why)
    with face.gallery() as gallery:
        _engine(face, gallery).step_back(why=why)
        held = gallery.stage
    data = {"state": "cutting over", "changed": True, "stage": held.to_json() if held else None}
    _tell(face, data, "Stepped back: everybody reads the old side, and both are kept up to date.")
    face.note("Next: a stage again, or holdfast rollback to give the upgrade up.")


def _to_stage(face: Face, stage: Stage, leave_behind: bool, why: str) -> None:
    with face.gallery() as gallery, waiting(face, "cut over: looking for anything missed"):
        found = _engine(face, gallery).stage(stage, leave_behind=leave_behind, why=why)
    data = {"state": "cutting over", "changed": True, "stage": stage.to_json()}
    _tell(face, {**data, "mended": asdict(found)}, f"The new side is read by {stage}.")
    face.note("The rest reads the old side. Next: a larger stage, or holdfast cutover for all.")
    face.note("Both sides are whole: holdfast rollback takes effect at once.")


def _engine(face: Face, gallery: Gallery, **more: Any) -> Engine:
    """The engine, in the name of who runs this."""
    from ..upgrade.record.audit import person

    return face.project.engine(gallery, by=person(), **more)


@command("rollback")
@_WHY
def rollback(face: Face, why: str) -> None:
    """Answer from the old side again, with all written since."""
    if _state(face, "roll back", why) == "rolled back":
        _tell(face, {"state": "rolled back", "changed": False}, "It is rolled back already.")
        return
    with face.gallery(needs_new=False) as gallery, bar(face, "roll back") as show:
        moved = round(gallery.share * len(gallery))
        engine = _engine(
            face,
            gallery,
            listener=lambda s: show(max(moved - round(s.share * s.items), 0), moved),
        )
        engine.roll_back(why=why)
        items = len(gallery)
    _tell(
        face,
        {"state": "rolled back", "changed": True, "items": items},
        f"Rolled back: {items:,} items answer from the old side.",
    )
    face.note("What the new model computed is kept. To try again: holdfast plan.")


@command("finish")
@click.option(
    "--yes-give-up-the-old-side",
    "word",
    is_flag=True,
    help="Without it you are asked, where there is somebody to ask.",
)
@click.option(
    "--leave-behind-quarantined",
    is_flag=True,
    help="Accept that quarantined items, which only the old store has, are lost.",
)
@click.option(
    "--early", is_flag=True, help="Do it although the plan's holdover_hours have not passed."
)
@_WHY
def finish(face: Face, word: bool, leave_behind_quarantined: bool, early: bool, why: str) -> None:
    """Give up the old side for good and delete its store. There is no way back."""
    state = _state(face, "finish", why)
    if state not in ("cut over", "finished"):
        error = UpgradeError(
            "finish", "an upgrade that is cut over", f"one that is {state}", "Cut over first."
        )
        _refuse(face, error, why)
    _confirm(face, word)
    if state == "cut over":
        with face.gallery() as gallery:
            engine = _engine(face, gallery)
            engine.finish(leave_behind=leave_behind_quarantined, early=early, why=why)
    face.project.drop_old()
    keep(face, "delete the old store", why)
    _tell(
        face,
        {"state": "finished", "changed": state == "cut over", "dropped": True},
        "Finished: the new side is the gallery, the old store is deleted.",
    )
    face.note("In holdfast.toml the model under [new] is now the one for [old].")


def _refuse(face: Face, error: UpgradeError, why: str) -> NoReturn:
    keep(face, error.who, why, error)
    raise error


def _confirm(face: Face, word: bool) -> None:
    """The dangerous word, on the command line or typed in full."""
    if word:
        return
    if face.as_json or not _somebody_is_there():
        raise UpgradeError(
            "finish",
            "--yes-give-up-the-old-side",
            "no such word",
            "It deletes the old store and every way back; nothing was done.",
        )
    said = click.prompt(f"This deletes the old store. To go on, type: {WORD}", err=True)
    if said.strip() != WORD:
        raise click.Abort


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()


def _state(face: Face, verb: str, why: str) -> State:
    """State of the latest upgrade, from the ledger alone."""
    with face.ledger() as ledger:
        upgrade = ledger.upgrade()
    if upgrade is None:
        _refuse(face, UpgradeError(verb, "a plan", "none", "Write one with: holdfast plan."), why)
    if upgrade.state == "rolled back" and verb != "roll back":
        error = UpgradeError(
            verb, "an upgrade under way", "one that is rolled back", "Plan again: holdfast plan."
        )
        _refuse(face, error, why)
    if upgrade.state == "finished" and verb != "finish":
        error = UpgradeError(
            verb,
            "an upgrade under way",
            "one that is finished",
            "The old side was given up. Plan a new upgrade to change models again.",
        )
        _refuse(face, error, why)
    return upgrade.state


def _tell(face: Face, data: dict[str, Any], words: str) -> None:
    face.answer(data, *([words] if face.talks else []))


def _counted(found: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in found.items() if count)
