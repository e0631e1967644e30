"""One question, three answers: of the old side, of both as they serve now, and of the new side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import HoldfastError
from ..hits import Hits
from ..report.build import scrubbed
from ..upgrade.gallery import Gallery
from ..upgrade.search.searches import Which
from . import bodies
from .desk import payloads_of
from .steward import Steward

COLUMNS: tuple[Which, ...] = ("old", "both", "new")


@dataclass(frozen=True, slots=True)
class Place:
    """One hit of one column.

    Args:
        place: Counts from 1.
        id: Of the item.
        score: On the scale of its column; columns are not to be compared by it.
        before: Its place in the old answer; None where it was not among the hits.
        payload: As stored.
    """

    place: int
    id: str
    score: float
    before: int | None
    payload: dict[str, Any]

    @property
    def moved(self) -> int | None:
        """How many places it rose, fell below 0; None where it is new here."""
        return None if self.before is None else self.before - self.place


@dataclass(frozen=True, slots=True)
class Column:
    """The answer of one side.

    Args:
        name: "old", "both" or "new".
        places: Best first.
        why_not: Why there is none; empty where there is.
        gone: Ids of the old answer that are not here.
    """

    name: str
    places: tuple[Place, ...] = ()
    why_not: str = ""
    gone: tuple[str, ...] = ()


def compare(steward: Steward, body: bodies.Compare) -> list[Column]:
    """Ask all three; a side that cannot answer says why.

    While an upgrade is under way the old answer is the one that the old side alone would give,
    items that have moved included; looking those up takes longer than a search.
    """
    with steward.using() as gallery:
        answers: dict[str, list[tuple[str, float]] | str] = {}
        for side in COLUMNS:
            answers[side] = _asked(gallery, body, side)
        rows = [row for row in answers.values() if not isinstance(row, str)]
        payloads = payloads_of(gallery, [name for row in rows for name, _ in row])
    first = answers["old"]
    before = {} if isinstance(first, str) else {n: at for at, (n, _) in enumerate(first, 1)}
    return [_column(name, answer, before, payloads) for name, answer in answers.items()]


def _asked(gallery: Gallery, body: bodies.Compare, side: Which) -> list[tuple[str, float]] | str:
    if gallery.new is None:
        if side != "both":
            return "No upgrade is under way: there is one side."
        hits: Hits = gallery.search([body.text], body.k, body.where)
        return hits.row(0)
    if side == "new" and not gallery.new.store.visible and gallery.reads != "new":
        return "Nothing has moved to the new side yet."
    stage = gallery.stage
    if side == "both" and stage is not None and gallery.whole:
        if not stage.held:
            return "In a stage it depends on who asks: the old answer or the new one."
        side = "old"
    try:
        return gallery.search([body.text], body.k, body.where, side=side).row(0)
    except HoldfastError as error:
        return scrubbed(str(error))


def _column(
    name: str,
    answer: list[tuple[str, float]] | str,
    before: dict[str, int],
    payloads: dict[str, dict[str, Any]],
) -> Column:
    if isinstance(answer, str):
        return Column(name, why_not=answer)
    places = tuple(
        Place(at, found, round(score, 4), before.get(found), payloads.get(found, {}))
        for at, (found, score) in enumerate(answer, 1)
    )
    here = {place.id for place in places}
    return Column(name, places, gone=tuple(n for n in before if n not in here))
