"""Refusals: whether a store that failed to write refuses these rows, or cannot write at all.

Stores differ in what they can keep: how long an id may be, how large a payload, which letters
there are. An item that only the new one refuses must not hold up all others, and a disk that is
full must not be blamed on items.
"""

from __future__ import annotations

from collections.abc import Collection

from ...arrays import Vectors
from ...errors import HoldfastError, InvalidInput, OccupiedStore, StoreError, StoreHeld
from ...store.base import NO_REVISION, Rows, VectorStore

_ENOUGH = 3  # new rows whose failure, one by one, is the store's


class NotTaken(StoreError):
    """A store did not take rows; for callers that ask why once they have let go of it.

    Args:
        store: The store.
        error: What it raised.
        rows: What was to be written.
        vectors: Theirs.
    """

    def __init__(
        self, store: VectorStore, error: HoldfastError, rows: Rows, vectors: Vectors
    ) -> None:
        super().__init__(error.who, error.expected, error.got, error.fix)
        self.store, self.error, self.rows, self.vectors = store, error, rows, vectors


def put(store: VectorStore, rows: Rows, vectors: Vectors) -> None:
    """Write rows.

    Raises:
        NotTaken: The store did not take them, for whatever reason.
    """
    try:
        store.upsert(rows.ids, vectors, rows.payloads, rows.revisions)
    except (InvalidInput, StoreError) as error:
        raise NotTaken(store, error, rows, vectors) from error


def refuses(
    told: HoldfastError,
    others: tuple[Rows, Vectors] | None = None,
    before: Collection[str] = (),
) -> bool:
    """Whether an error is about the rows that were to be written, or about some of them.

    `InvalidInput` says so itself. Any other error of a store is held against the rows only if
    the store, asked at once, writes others, and then fails for these again.

    Args:
        told: What `put` raised; anything else is no refusal.
        others: Rows that can be written as well, with their vectors; these may be among them.
        before: Ids of rows that were refused before, so that they prove nothing.
    """
    if not isinstance(told, NotTaken):
        return False
    if isinstance(told.error, InvalidInput):
        return True
    if isinstance(told.error, StoreHeld | OccupiedStore) or _is_about_the_machine(told.error):
        return False
    return _writes(told, others, before) and not _takes(told.store, told.rows, told.vectors)


def _is_about_the_machine(error: BaseException | None) -> bool:
    """Whether a disk, a network or a server was the cause.

    Databases name such errors alike: PEP 249 calls them operational.
    """
    while error is not None:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if isinstance(error, OSError | MemoryError) or "OperationalError" in kinds:
            return True
        error = error.__cause__
    return False


def _writes(told: NotTaken, others: tuple[Rows, Vectors] | None, before: Collection[str]) -> bool:
    """Whether the store takes another row.

    A new one, since a store that is full may still replace what it has; where there are few of
    those, which may be refused likewise, one that it has.
    """
    store, asked = told.store, set(told.rows.ids)
    tried = 0
    try:
        if others is not None:
            rows, vectors = others
            some = _absent(store, rows, {*before, *(asked if len(asked) == 1 else ())})
            if any(_takes(store, rows.take([i]), vectors.take([i])) for i in some):
                return True
            tried = len(some)
        known = store.scan(limit=len(asked) + 1, vectors=True).rows
    except HoldfastError:
        return False
    kept = [i for i, name in enumerate(known.ids) if name not in asked][:1]
    if tried == _ENOUGH or not kept:
        return False
    return _takes(store, known.take(kept), known.vectors_read.take(kept))


def _absent(store: VectorStore, rows: Rows, but: Collection[str]) -> list[int]:
    """Places of up to three rows that the store does not have."""
    there = store.revisions(rows.ids) != NO_REVISION
    absent = [i for i, name in enumerate(rows.ids) if not there[i] and name not in but]
    return sorted({absent[0], absent[len(absent) // 2], absent[-1]}) if absent else []


def _takes(store: VectorStore, rows: Rows, vectors: Vectors) -> bool:
    try:
        store.upsert(rows.ids, vectors, rows.payloads, rows.revisions)
    except HoldfastError:
        return False
    return True
