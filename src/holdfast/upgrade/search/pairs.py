"""Pairs: the items that both sides have, of which all between two models is learned."""

from __future__ import annotations

import numpy as np

from ...arrays import Vectors
from ...store.base import NO_REVISION, VectorStore
from ..ledger import Ledger


def shared_pairs(
    ledger: Ledger, old: VectorStore, new: VectorStore, most: int, least: int
) -> tuple[Vectors, Vectors] | None:
    """The same items on both sides; None where there are too few.

    A backfill moves a fair sample first, and so do these begin; what searches had embedded
    ahead of it comes behind.

    Args:
        ledger: Knows which items have moved.
        old: The old store.
        new: The new store.
        most: Pairs.
        least: Pairs.
    """
    ids = ledger.first_done(most)
    if len(ids) < min(new.visible, most):
        ids = list(dict.fromkeys([*ids, *new.scan(limit=most).rows.ids]))
    first, second = old.revisions(ids), new.revisions(ids)
    both = (first == second) & (first != NO_REVISION)
    names = [ids[i] for i in np.flatnonzero(both)[:most]]
    if len(names) < least:
        return None
    return old.get(names).vectors_read, new.get(names).vectors_read
