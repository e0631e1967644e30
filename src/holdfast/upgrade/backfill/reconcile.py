"""The reconciling scan: what others wrote past the gallery is found before it is lost."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ...arrays import id_array
from ...errors import UpgradeError
from ...store.base import NO_REVISION, Rows, get_known, pages
from ..gallery import Gallery

_PAGE = 2_000
_MAPPED = "mapped into "  # key of the ledger, before the fingerprint of a space


@dataclass(slots=True)
class Reconciled:
    """What a scan found and mended.

    Args:
        missing: Items that were only on the old side: queued.
        stale: Items of another revision than on the old side: returned there and queued.
        doubled: Items that were visible on both sides: hidden on the old one, or on the new one
            before it is read.
        deleted: Items that are gone from the old side: deleted from the new one.
    """

    missing: int = 0
    stale: int = 0
    doubled: int = 0
    deleted: int = 0

    def __bool__(self) -> bool:
        return bool(self.missing or self.stale or self.doubled or self.deleted)


def reconcile(gallery: Gallery) -> Reconciled:
    """Compare both stores, id by id and revision by revision, and mend what differs.

    The old store is taken for complete: it keeps every item until the upgrade is finished.
    Each page is compared while nothing else writes; in between, the gallery goes on.

    Args:
        gallery: With both sides; in any state before "cut over".
    Returns:
        How much was found; the ledger gets an event when it was anything.
    Raises:
        UpgradeError: The old side has nothing any more, so that the new one would be emptied.
    """
    if gallery.follower is not None:
        gallery.follower.catch_up()
    _refuse_emptied(gallery)
    found = Reconciled()
    for rows in pages(gallery.old.store, _PAGE):
        with gallery.alone():
            _compare(gallery, rows, found)
    _drop_deleted(gallery, found)
    _close_settled(gallery)
    if found and gallery.ledger is not None:
        gallery.ledger.event("reconciled", asdict(found))
    return found


def _refuse_emptied(gallery: Gallery) -> None:
    """Who deletes all items through the gallery deletes them on both sides."""
    with gallery.alone():
        left = len(gallery.new.store) if gallery.new is not None else 0
        emptied = left and not len(gallery.old.store) and gallery.state != "planned"
    if emptied:
        raise UpgradeError(
            "reconcile",
            f"items in the store of {gallery.old.space.name}, which keeps all of them",
            f"none, beside {left} on the new side, as where it was dropped before the cut-over",
            "Restore it from a copy of the gallery, or build another gallery.",
        )


def give_up_mapped(gallery: Gallery) -> int:
    """Before anything moves, delete what an earlier upgrade mapped to the new side.

    Such rows have the revisions of their items, but are not what the model answers; and another
    bridge would map them otherwise.

    Args:
        gallery: With both sides; not yet read on the new one.
    Returns:
        How many rows that were; the ledger gets an event when it was any.
    """
    if gallery.new is None or gallery.ledger is None:
        return 0
    count, key = 0, _MAPPED + gallery.new.space.fingerprint
    if gallery.ledger.meta(key) != "yes":
        return 0
    while True:
        with gallery.alone():
            # Another thread may have begun meanwhile.
            planned = gallery.state == "planned"
            names = gallery.new.store.scan(limit=_PAGE).rows.ids if planned else []
            gallery.new.store.delete(names)
        count += len(names)
        if not names:
            break
    if count:
        gallery.ledger.event("mapped vectors given up", {"items": count})
    if not len(gallery.new.store):
        gallery.ledger.set_meta(key, "no")
    return count


def note_mapped(gallery: Gallery) -> None:
    """Remember that the new side gets vectors that were computed from those of the old one."""
    if gallery.new is not None and gallery.ledger is not None:
        key = _MAPPED + gallery.new.space.fingerprint
        if gallery.ledger.meta(key) != "yes":
            gallery.ledger.set_meta(key, "yes")


def _compare(gallery: Gallery, scanned: Rows, found: Reconciled) -> None:
    if gallery.new is None or gallery.ledger is None:
        return
    if gallery.reads == "new":  # another thread has cut over meanwhile: the old side is not read
        return
    old, new = gallery.old.store, gallery.new.store
    # The page was read before we were alone: look again.
    known = old.revisions(scanned.ids) != NO_REVISION
    rows = old.get([n for n, there in zip(scanned.ids, known, strict=True) if there], False)
    names = id_array(rows.ids)
    hidden = np.asarray(rows.hidden, dtype=bool)
    revisions = new.revisions(rows.ids)
    there = revisions != NO_REVISION
    stale = there & (revisions != rows.revisions)
    doubled = ~hidden & there & ~stale
    doubled[doubled] = ~new.get(names[doubled].tolist(), vectors=False).hidden
    open_ones = gallery.ledger.waiting(rows.ids)
    # numpy's isin compares each object with each.
    waiting = np.array([name in open_ones for name in rows.ids], dtype=bool)
    missing = ~there & (hidden | ~waiting)
    gallery.requeue(names[stale | missing].tolist())
    (new if gallery.reads == "old" else old).hide(names[doubled].tolist())
    found.missing += int(missing.sum())
    found.stale += int(stale.sum())
    found.doubled += int(doubled.sum())


def _drop_deleted(gallery: Gallery, found: Reconciled) -> None:
    if gallery.new is None:
        return
    for rows in pages(gallery.new.store, _PAGE):
        with gallery.alone():
            kept = gallery.old.store.revisions(rows.ids) != NO_REVISION
            gone = [n for n, there in zip(rows.ids, kept, strict=True) if not there]
            if gone:
                gallery.new.store.delete(gone)
                found.deleted += len(gone)


def astray(gallery: Gallery) -> int:
    """How many items differ between two whole sides: written past the gallery."""
    return len(lost(gallery)) + len(ahead(gallery))


def lost(gallery: Gallery) -> list[str]:
    """Items that only the old side has as they were written last.

    So it is where the new store was restored from an older copy after the cut-over, or where a
    write that it refuses was cut off. Quarantined ones, which only the old side has, were left
    behind knowingly.
    """
    found: list[str] = []
    if gallery.new is None or gallery.ledger is None:
        return found
    for rows in pages(gallery.old.store, _PAGE):
        with gallery.steady():
            old = gallery.old.store.revisions(rows.ids)
            places = np.flatnonzero(gallery.new.store.revisions(rows.ids) < old)
            names = [rows.ids[i] for i in places]
            aside = gallery.ledger.waiting(names)
        found += [name for name in names if name not in aside]
    return found


def ahead(gallery: Gallery) -> list[str]:
    """Items that only the new side has as they were written last: see `lost`."""
    found: list[str] = []
    if gallery.new is None:
        return found
    with gallery.alone():
        pass  # what was cut off is finished now, and does not count
    for rows in pages(gallery.new.store, _PAGE):
        with gallery.steady():
            new = gallery.new.store.revisions(rows.ids)
            places = np.flatnonzero(gallery.old.store.revisions(rows.ids) < new)
        found += [rows.ids[i] for i in places]
    return found


def left_behind(gallery: Gallery) -> int:
    """How many items only the old side has, once the new one is read alone."""
    _close_settled(gallery)
    return sum(gallery.ledger.counts().values()) if gallery.ledger else 0


def _close_settled(gallery: Gallery) -> None:
    """Quarantined items that were deleted, or written again with success, need no care."""
    if gallery.ledger is None:
        return
    with gallery.alone():
        names = [name for name, _ in gallery.ledger.quarantined(limit=10**9)]
        rows = get_known(gallery.old.store, names, vectors=False)
        moved = np.asarray(rows.hidden, dtype=bool)
        if gallery.whole and gallery.new is not None:
            moved = gallery.new.store.revisions(rows.ids) == rows.revisions
        hidden = [rows.ids[i] for i in np.flatnonzero(moved)]
        gallery.ledger.settle([*hidden, *(set(names) - set(rows.ids))])
