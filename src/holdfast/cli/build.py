"""`holdfast build`: fill a gallery from its source, with the old model."""

from __future__ import annotations

from .face import Face, command
from .progress import bar


@command("build")
def build(face: Face) -> None:
    """Embed the source with the old model; goes on where it stopped."""
    from ..upgrade.room import refuse_short

    project = face.project
    refuse_short("build", project.folder)
    with bar(face, "build") as show:

        def hear(done: int, total: int) -> None:
            show(done, total)
            refuse_short("build", project.folder)

        items = project.build(hear)
    with face.ledger() as ledger:
        space = project.serving(ledger)
    words = f"{items:,} items in {space}."
    face.answer({"items": items, "space": space.to_json()}, *([words] if face.talks else []))
    face.note("Next: holdfast search, or holdfast plan --dry-run.")
