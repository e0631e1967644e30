"""`holdfast build`: fill a gallery from its source, with the old model."""

from __future__ import annotations

from itertools import islice

import click

from .face import Face, command, gate_failed
from .progress import bar
from .tables import grid

_LINES, _TOLD = 5, 1_000  # items left out: shown, and told with --json


@command("build")
def build(face: Face) -> None:
    """Embed the source with the old model; goes on where it stopped."""
    from ..upgrade.backfill.room import refuse_short

    project = face.project
    refuse_short("build", project.folder)
    with bar(face, "build") as show:

        def hear(done: int, total: int) -> None:
            show(done, total)
            refuse_short("build", project.folder)

        built = project.build(hear)
    with face.ledger() as ledger:
        space = project.serving(ledger)
    left, out = len(built.left_out), list(islice(built.left_out.items(), _TOLD))
    data = {
        "items": built.items,
        "left_out": left,
        "failed": [{"id": name, "reason": reason} for name, reason in out],
        "space": space.to_json(),
    }
    words = [f"{built.items:,} items in {space}."] if face.talks else []
    if out:
        words.append(grid(("id", "reason"), out[:_LINES]))
    if left > _LINES:
        words.append(f"... and {left - _LINES:,} more: --json tells.")
    face.answer(data, *words)
    if left:
        said = (
            f"holdfast: items left out: {left:,}. Mend them, and build again: only they are tried."
        )
        click.echo(said, err=True)
        gate_failed()
    face.note("Next: holdfast search, or holdfast plan --dry-run.")
