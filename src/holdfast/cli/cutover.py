"""`holdfast cutover`, `rollback`, `finish`: which side answers, and what is given up."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from ..errors import UpgradeError
from .face import Face, command, gate_failed
from .progress import bar
from .tables import finding_line

if TYPE_CHECKING:
    from ..upgrade.records import State

WORD = "give up the old side"


@command("cutover")
@click.option(
    "--leave-behind-quarantined",
    is_flag=True,
    help="Accept that quarantined items are not found until a rollback.",
)
def cutover(face: Face, leave_behind_quarantined: bool) -> None:
    """Answer from the new side alone, after a scan that looks for anything missed."""
    if _state(face, "cut over") == "cut over":
        _tell(face, {"state": "cut over", "changed": False}, "It is cut over already.")
        return
    with face.gallery() as gallery:
        found = face.project.engine(gallery).cut_over(leave_behind=leave_behind_quarantined)
        left = gallery.ledger.counts()["quarantined"] if gallery.ledger else 0
        items = len(gallery)
        quality = face.project.quality(gallery)
        finding = quality.measure() if quality else None
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


@command("rollback")
def rollback(face: Face) -> None:
    """Answer from the old side alone, with everything written since."""
    if _state(face, "roll back") == "rolled back":
        _tell(face, {"state": "rolled back", "changed": False}, "It is rolled back already.")
        return
    with face.gallery() as gallery, bar(face, "roll back") as show:
        moved = round(gallery.share * len(gallery))
        engine = face.project.engine(
            gallery, lambda s: show(max(moved - round(s.share * s.items), 0), moved)
        )
        engine.roll_back()
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
def finish(face: Face, word: bool, leave_behind_quarantined: bool) -> None:
    """Give up the old side for good and delete its store. There is no way back."""
    state = _state(face, "finish")
    if state not in ("cut over", "finished"):
        raise UpgradeError(
            "finish", "an upgrade that is cut over", f"one that is {state}", "Cut over first."
        )
    _confirm(face, word)
    if state == "cut over":
        with face.gallery() as gallery:
            face.project.engine(gallery).finish(leave_behind=leave_behind_quarantined)
    face.project.drop_old()
    _tell(
        face,
        {"state": "finished", "changed": state == "cut over", "dropped": True},
        "Finished: the new side is the gallery, the old store is deleted.",
    )
    face.note("In holdfast.toml the model under [new] is now the one for [old].")


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


def _state(face: Face, verb: str) -> State:
    """State of the latest upgrade, from the ledger alone."""
    with face.ledger() as ledger:
        upgrade = ledger.upgrade()
    if upgrade is None:
        raise UpgradeError(verb, "a plan", "none", "Write one with: holdfast plan.")
    if upgrade.state == "finished" and verb != "finish":
        raise UpgradeError(
            verb,
            "an upgrade under way",
            "one that is finished",
            "The old side was given up. Plan a new upgrade to change models again.",
        )
    return upgrade.state


def _tell(face: Face, data: dict[str, Any], words: str) -> None:
    face.answer(data, *([words] if face.talks else []))


def _counted(found: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in found.items() if count)
