"""`holdfast build`: fill a gallery from its source, with the old model."""

from __future__ import annotations

from ..errors import UpgradeError
from .face import Face, command
from .progress import bar

_AT_REST = ("finished", "rolled back")


@command("build")
def build(face: Face) -> None:
    """Embed the source with the old model; goes on where it was cut off."""
    project = face.project
    _refuse_during_upgrade(face)
    with bar(face, "build") as show:
        items = project.build(show)
    with face.ledger() as ledger:
        space = project.serving(ledger)
    words = f"{items:,} items in {space}."
    face.answer({"items": items, "space": space.to_json()}, *([words] if face.talks else []))
    face.note("Next: holdfast search, or holdfast plan --dry-run.")


def _refuse_during_upgrade(face: Face) -> None:
    """What is embedded with the old model now would be written past the upgrade."""
    if not (face.project.folder / "ledger.sqlite").exists():
        return
    with face.ledger() as ledger:
        upgrade = ledger.upgrade()
    if upgrade and upgrade.state not in _AT_REST:
        raise UpgradeError(
            "build",
            "no upgrade under way",
            f"one that is {upgrade.state}",
            "Write through the gallery meanwhile; or finish the upgrade, or roll it back.",
        )
