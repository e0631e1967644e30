"""`holdfast quarantine`: the items that could not be moved, and why."""

from __future__ import annotations

import click

from ..errors import UpgradeError
from .face import Face, command
from .tables import grid


@command("quarantine")
@click.option("--retry", is_flag=True, help="Give all of them another try at the next backfill.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    default=1000,
    show_default=True,
    help="Items to list at most.",
)
def quarantine(face: Face, retry: bool, limit: int) -> None:
    """List the items that were set aside, each with its reason."""
    with face.ledger() as ledger:
        if ledger.upgrade() is None:
            raise UpgradeError("quarantine", "a plan", "none", "Write one with: holdfast plan.")
        total = ledger.counts()["quarantined"]
        rows = ledger.quarantined(min(limit, total))
    released = 0
    if retry and total:
        from ..upgrade.record.audit import person

        with face.gallery() as gallery:
            released = face.project.engine(gallery, by=person()).retry()
    data = {
        "quarantined": total,
        "released": released,
        "items": [{"id": name, "reason": reason} for name, reason in rows],
    }
    words = [grid(("id", "reason"), rows)] if rows else ["No item is quarantined."]
    face.answer(data, *words)
    if released:
        face.note(f"{released:,} will be tried again. Next: holdfast backfill.")
