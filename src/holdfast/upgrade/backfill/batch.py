"""One piece of an upgrade's work, read from the old store."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import MissingIds
from ...store.base import Rows, VectorStore, get_known
from ..gallery import Gallery
from ..mover import Mover


@dataclass(frozen=True, slots=True)
class Batch:
    """A claimed piece of the queue.

    Args:
        rows: Rows that need vectors.
        places: Their places in the queue.
        ready: Rows whose vectors the new side has already.
        ready_places: Their places, and those of items that need nothing.
        claimed: Places that were drawn from the queue for it.
        since: What the gallery's `changes` was when the rows were read.
    """

    rows: Rows
    places: list[int]
    ready: Rows
    ready_places: list[int]
    claimed: int
    since: int


def sort_out(
    gallery: Gallery, old: VectorStore, new: VectorStore, mover: Mover, places: dict[str, int]
) -> Batch:
    """Drop what is gone or moved, and set apart what the new side has already.

    Args:
        gallery: Keeps writers out meanwhile.
        old: The store that is read.
        new: The store that may have some of the vectors.
        mover: Says whether it needs their vectors.
        places: Place in the queue of each item claimed.
    """
    names = list(places)
    with gallery.steady():  # so that what is there is still there when it is read
        try:
            rows = old.get(names, vectors=mover.reads_vectors)
        except MissingIds:
            rows = get_known(old, names, vectors=mover.reads_vectors)
        since = gallery.changes
        left = len(new) > new.visible  # hidden rows of an earlier upgrade: look them up
    shown = ~np.asarray(rows.hidden, dtype=bool)
    if not left and shown.all() and len(rows) == len(places):  # as it nearly always is
        return Batch(rows, list(places.values()), rows.take(()), [], len(places), since)
    known = new.revisions(rows.ids) == rows.revisions if left else ~shown
    needs = rows.take(np.flatnonzero(shown & ~known))
    ready = rows.take(np.flatnonzero(shown & known))
    wanted = [places[name] for name in needs.ids]
    rest = set(places.values()) - set(wanted)
    return Batch(needs, wanted, ready, sorted(rest), len(places), since)
