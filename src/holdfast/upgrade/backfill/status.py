"""Where an upgrade stands."""

from __future__ import annotations

from dataclasses import dataclass

from ..record.records import State


@dataclass(frozen=True, slots=True)
class Status:
    """Where an upgrade stands.

    Args:
        state: See the table above; None where nothing was planned.
        share: Part of the gallery read from the new side, in [0, 1].
        items: Items in the gallery.
        todo: Items still to move.
        quarantined: Items set aside.
        rate: Items a second in this run.
        batch_size: Items in the next batch.
    """

    state: State | None
    share: float
    items: int
    todo: int
    quarantined: int
    rate: float = 0.0
    batch_size: int = 0
