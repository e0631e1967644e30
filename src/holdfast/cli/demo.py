"""`holdfast demo`: a real gallery upgraded from start to report, by the calls of the commands.

Every step looks at the state first, so a demo that was cut off goes on where it was.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .backfill import move
from .demo_files import CONFIG, REPORT, held, prepare
from .face import Face, command, gate_failed
from .progress import bar, lasting
from .report import write
from .tables import finding_line, grid
from .wish import Wish

if TYPE_CHECKING:
    from ..measure.finding import Finding
    from ..upgrade.gallery import Gallery
    from ..upgrade.ledger import Ledger

QUESTION = "Remove a directory and everything inside it"
_BEFORE, _AFTER = "demo.before", "demo.after"  # keys of the ledger
_SHOWN = 3  # hits of the example
_OVER = ("cut over", "finished", "rolling back", "rolled back")


@command("demo", config=False)
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("holdfast-demo"),
    show_default=True,
    help="Everything is written in here, and nothing elsewhere.",
)
@click.option("--fresh", is_flag=True, help="Start again: delete what an earlier demo left.")
@click.option("--items", type=click.IntRange(min=50), hidden=True, help="Use so many items only.")
def demo(face: Face, folder: Path, fresh: bool, items: int | None) -> None:
    """Upgrade a real gallery: code search over Python's library.

    From WordLlama (static, 256-d) to MiniLM (a transformer, 384-d), with quality measured at
    every tenth. Takes a few minutes; killed at any moment and started again, it goes on.
    """
    started = time.monotonic()
    with held(folder):
        prepare(folder, fresh, items)
        _run(face, folder, started)


def _run(face: Face, folder: Path, started: float) -> None:
    """From wherever it was to the end, or to a pause."""
    face.config = folder / CONFIG
    was = _state(face)
    if was in _OVER:
        face.note(f"The demo in {folder} is done already; --fresh runs it again.")
    else:
        face.note(f"In {folder}: code search over the functions of Python's standard library.")
        if not _upgrade(face, was):
            face.answer({"state": "paused", "folder": str(folder)})
            face.note("Paused. To go on: the same command again.")
            return
    _close(face, folder, time.monotonic() - started, again=was in _OVER)


def _state(face: Face) -> str | None:
    if not (face.project.folder / "ledger.sqlite").exists():
        return None
    with face.ledger() as ledger:
        upgrade = ledger.upgrade()
    return upgrade.state if upgrade else None


def _upgrade(face: Face, state: str | None) -> bool:
    """Build, plan, backfill, cut over; False when somebody asked for a pause."""
    project = face.project
    if state is None:
        with bar(face, "build") as show:
            count = project.build(show).items
        face.note(f"Built: {count:,} functions, embedded with the old model.")
        plan = project.plan()
        face.note(f"Planned: from {plan['old']}\n         to   {plan['new']}")
        face.note("\nBackfill; each line is measured on what the gallery answers at that moment:\n")
    else:
        face.note(f"Going on: the upgrade was {state}.\n")
        _show_measured(face)
    with face.gallery() as gallery, Wish(face.talks) as wish, bar(face, "backfill") as show:
        _keep_example(gallery, _BEFORE)
        move(face, gallery, 1.0, wish, show)
        if wish.name:
            return False
        project.engine(gallery).cut_over()
        quality = project.quality(gallery)
        if quality is not None:
            face.note(finding_line(quality.measure()))
        _keep_example(gallery, _AFTER)
    face.note("\nCut over: the new side answers alone; the old one is kept up to date.")
    return True


def _show_measured(face: Face) -> None:
    with face.ledger() as ledger:
        for finding in _findings(ledger):
            face.note(finding_line(finding))


def _findings(ledger: Ledger) -> list[Finding]:
    """The latest measurement of each cell, in the order of an upgrade."""
    from ..upgrade.watching.quality import cells

    return cells(ledger)


def _keep_example(gallery: Gallery, key: str) -> None:
    """The answer to the example, kept in the ledger the first time it is given."""
    if gallery.ledger is not None and gallery.ledger.meta(key) is None:
        found = [name for name, _ in gallery.search([QUESTION], _SHOWN).row(0)]
        gallery.ledger.set_meta(key, json.dumps(found))


def _close(face: Face, folder: Path, seconds: float, again: bool) -> None:
    """Say what came of it, write the report, and judge."""
    with face.ledger() as ledger:
        findings = _findings(ledger)
        before, after = (json.loads(ledger.meta(key) or "[]") for key in (_BEFORE, _AFTER))
        written = write(ledger, folder / REPORT)
    state = _state(face)
    old = next((f.value for f in findings if f.cell == "old/old"), None)
    below = [f.cell for f in findings if old is not None and f.value < old]
    data = {
        "state": state,
        "folder": str(folder),
        "report": str(written),
        "seconds": round(seconds, 1),
        "findings": [finding.to_json() for finding in findings],
        "below_old": below,
        "example": {"query": QUESTION, "before": before, "after": after},
    }
    face.answer(data, *(_words(data, findings, again) if face.talks else []))
    if below:
        click.echo(f"holdfast: gate failed: below old/old at {', '.join(below)}.", err=True)
        gate_failed()


def _words(data: dict[str, Any], findings: list[Finding], again: bool) -> list[Any]:
    example, folder = data["example"], data["folder"]
    rows = [*zip(example["before"], example["after"], strict=False)]
    words: list[Any] = []
    if again:
        words += [finding_line(finding) for finding in findings]
    if not data["below_old"]:
        words.append(_risen(findings))
    words += [f"\n“{example['query']}”", grid(("before", "after"), rows), ""]
    config = f"-c {folder}/{CONFIG}"
    words.append(f"The report: {data['report']} ({lasting(data['seconds'])} in all)")
    words.append("\nTry next:")
    words += [
        f"  {line}"
        for line in (
            f'holdfast search {config} "parse a date"',
            f"holdfast rollback {config}     # back to the old model, nothing lost",
            "holdfast init --source yours.jsonl     # the same with your own documents",
        )
    ]
    return words


def _risen(findings: list[Finding]) -> str:
    if len(findings) < 2:
        return ""
    first, last = findings[0], findings[-1]
    return (
        f"\n{first.metric} rose from {first.value:.3f} to {last.value:.3f}, "
        "and no share answered worse than the old side."
    )
