"""`holdfast audit`: who did what, when and why, and whether the record is whole."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from ..errors import HoldfastError, LedgerError
from .face import Face, command
from .tables import grid


def keep(face: Face, what: str, why: str = "", refused: HoldfastError | None = None) -> None:
    """Add a command of this process that no engine has kept.

    Args:
        face: Of the command.
        what: It is called.
        why: The reason that was given.
        refused: Why it was not done; None where it was.
    """
    from ..upgrade.record.audit import Audit, person
    from ..upgrade.record.deed import DONE
    from ..upgrade.watching.verdict import verdict

    gate = face.project.config.gate
    with face.ledger(readonly=False) as ledger:
        record = Audit(ledger, person(), lambda: verdict(gate, ledger))
        record.record(what, why, outcome=f"refused: {refused}" if refused else DONE)


@command("audit")
@click.option(
    "--check", is_flag=True, help="Fail (exit code 2) where a row does not fit the chain."
)
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Only the latest so many rows."
)
def audit(face: Face, check: bool, limit: int | None) -> None:
    """List every command: who gave it, when, why, and how it went.

    With what the gate said by then. Rows are only added, each sealed by a hash of itself and of
    all before it. Note the last hash down elsewhere to be able to show that none was taken from
    the end.
    """
    from ..upgrade.record.audit import Audit

    with face.ledger() as ledger:
        record = Audit(ledger)
        broken = record.check()
        deeds = record.deeds()
    if check and broken is not None:
        raise LedgerError(
            "audit", "rows that follow each other", f"a break at row {broken}", "It was edited."
        )
    shown = deeds[-limit:] if limit else deeds
    data = {
        "whole": broken is None,
        "broken_at": broken,
        "last_hash": deeds[-1].hash if deeds else None,
        "deeds": [deed.to_json() for deed in shown],
    }
    rows = [
        (
            f"{datetime.fromtimestamp(deed.time, UTC):%Y-%m-%d %H:%M:%S}",
            deed.who,
            deed.what,
            deed.why,
            deed.gate,
            deed.outcome,
        )
        for deed in shown
    ]
    face.answer(data, grid(("time (UTC)", "who", "what", "why", "gate", "outcome"), rows))
    if broken is not None:
        face.note(f"The record was edited: row {broken} does not follow the one before it.")
    elif deeds:
        face.note(f"The record is whole. Its last hash: {deeds[-1].hash}")
