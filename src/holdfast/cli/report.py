"""`holdfast report`: one HTML file that tells the upgrade from its ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .face import Face, command

if TYPE_CHECKING:
    from ..upgrade.ledger import Ledger


@command("report")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("holdfast-report.html"),
    show_default=True,
    help="The file to write.",
)
def report(face: Face, out: Path) -> None:
    """Write a report: the curve, what happened, what to do next."""
    with face.ledger() as ledger:
        written = write(ledger, out)
    face.answer({"written": str(written)}, *([f"Wrote {written}."] if face.talks else []))


def write(ledger: Ledger, out: Path) -> Path:
    """The report of a ledger; the part that draws is loaded only here."""
    from ..report import write_report

    return write_report(ledger, out)
