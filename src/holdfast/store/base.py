"""What a vector store is: one column of vectors in exactly one space, with ids and payloads.

A row is *visible* or *hidden*. Search sees visible rows only; `get` and `scan` see both. While
an upgrade runs, every item is kept by the old store and is visible on exactly one side,
so that nothing has to be computed again to go back. Each store hides in the way that
keeps its own search fast: by a mask, by removal from the index, by moving rows aside.

Revisions are integers that grow with each write of an item. A write with an older
revision than the stored one is ignored, row by row; an equal one overwrites, so that a
repeated batch changes nothing.

`check.py` is the contract in executable form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..arrays import IntArray, Vectors, VectorsLike
from ..errors import InvalidInput, MissingIds, StoreError
from ..hits import Hits
from ..space import Space
from .payloads import take
from .where import WhereLike

NO_REVISION = -1  # what `revisions` answers for an id that is not stored
_LOOKS = 20  # for rows that others may delete, and write again, meanwhile


@dataclass(frozen=True, slots=True)
class Limits:
    """What a store can promise; the upgrade never assumes what is not declared.

    Args:
        exact: Search returns the true nearest rows.
        recall_floor: R@10 against the exact answer that an inexact store keeps at its defaults,
            for queries like the stored rows: on such it is measured. Queries from elsewhere,
            far from every row, may find less.
        filters: `where` is honoured.
        persistent: Rows survive `close`, and the death of the process.
        threads: Searches may run while another thread writes.
        pair: Two stores of this kind in one place know that they are neighbours.
        remote: A search waits for another process, so two of them are best asked at once.
    """

    exact: bool = True
    recall_floor: float = 1.0
    filters: bool = True
    persistent: bool = False
    threads: bool = True
    pair: bool = False
    remote: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as they are stored, in the order they were asked for.

    Args:
        ids: n ids.
        revisions: (n,) int64.
        payloads: n JSON objects; the caller may keep but not change them. Some stores hand
            them out as `Payloads`, which are read when they are looked at.
        hidden: (n,) bool.
        vectors: (n, d), or None where they were not asked for.
    """

    ids: list[str]
    revisions: IntArray
    payloads: Sequence[Mapping[str, Any]]
    hidden: Any
    vectors: Vectors | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def vectors_read(self) -> Vectors:
        """(n, d) vectors, of rows that were read with them.

        Raises:
            InvalidInput: They were read without.
        """
        if self.vectors is None:
            raise InvalidInput("rows", "vectors that were read", "none", "Read with vectors=True.")
        return self.vectors

    def take(self, places: Any) -> Rows:
        """Some of the rows, by an array of places."""
        return Rows(
            [self.ids[i] for i in places],
            self.revisions[places],
            take(self.payloads, places),
            self.hidden[places],
            None if self.vectors is None else self.vectors.take(places),
        )

    def ordered(self, names: list[str], owner: str) -> Rows:
        """The rows of some ids, in their order; an id may be asked for twice.

        Args:
            names: The ids.
            owner: Whose rows these are, for the message.
        Raises:
            MissingIds: There is no row of an id.
        """
        if self.ids == names:
            return self
        place = {name: i for i, name in enumerate(self.ids)}
        refuse_absent([name for name in names if name not in place], len(names), owner)
        return self.take(np.array([place[name] for name in names], dtype=np.intp))


def refuse_absent(names: list[str], asked: int, owner: str) -> None:
    """Refuse to read what is not there.

    Args:
        names: Ids that are not stored, perhaps none.
        asked: How many were asked for, with these.
        owner: Whose rows are read.
    Raises:
        MissingIds: There are any.
    """
    if names:
        raise MissingIds(
            f"get from {owner}",
            "ids that are stored",
            f"{names[0]!r} ({len(names)} of {asked} are not)",
        )


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a scan.

    Args:
        rows: Up to `limit` rows.
        after: Pass it to `scan` for the next piece; None when this was the last.
    """

    rows: Rows
    after: str | None = field(default=None)


@runtime_checkable
class VectorStore(Protocol):
    """One column of vectors in one space. All checks happen before the first write.

    Every method may be called from any thread; a store that cannot search beside a write
    takes a lock of its own.
    """

    @property
    def space(self) -> Space:
        """The space of every vector in here."""
        ...

    @property
    def limits(self) -> Limits:
        """What this store promises."""
        ...

    @property
    def visible(self) -> int:
        """How many rows search can return."""
        ...

    def __len__(self) -> int:
        """How many rows there are, hidden ones included."""
        ...

    def upsert(
        self,
        ids: Sequence[str],
        vectors: VectorsLike,
        payloads: Sequence[Mapping[str, Any]] | None = None,
        revisions: Sequence[int] | IntArray | None = None,
    ) -> None:
        """Insert rows or replace them whole; the batch is written entirely or not at all.

        Args:
            ids: n distinct non-empty strings.
            vectors: (n, d) rows of this store's space.
            payloads: n JSON objects; without them the rows have empty ones.
            revisions: n integers from 0 to 2**62; a row older than the stored one is ignored.
                Without them each row gets the stored revision plus one.

        A hidden row that is replaced stays hidden; a new row is visible.

        Raises:
            InvalidInput: Rows that cannot be kept, whoever asks; nothing was written.
            StoreError: Rows cannot be written now.
        """
        ...

    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows, hidden or not; absent ids are fine."""
        ...

    def get(self, ids: Sequence[str], vectors: bool = True) -> Rows:
        """Read rows, hidden ones included.

        Raises:
            MissingIds: An id is not stored.
        """
        ...

    def revisions(self, ids: Sequence[str]) -> IntArray:
        """(n,) revisions of rows, hidden ones included; -1 for ids that are not stored."""
        ...

    def search(self, queries: VectorsLike, k: int, where: WhereLike = None) -> Hits:
        """The k best visible rows for each query; scores fall along a row.

        Args:
            queries: (q, d) rows of this store's space.
            k: At least 1; may exceed the number of rows.
            where: Filter over payloads, see `where.py`.
        """
        ...

    def scan(self, after: str | None = None, limit: int = 1000, vectors: bool = False) -> Page:
        """All rows, hidden ones included, in a stable order, piece by piece.

        A row that is there during the whole scan is visited exactly once.

        Args:
            after: What the page before answered; None to begin.
            limit: Rows in a page, at least 1.
            vectors: Whether the rows carry their vectors.
        """
        ...

    def hide(self, ids: Sequence[str]) -> None:
        """Take rows out of search; absent and hidden ones are fine."""
        ...

    def unhide(self, ids: Sequence[str]) -> None:
        """Give rows back to search; absent and visible ones are fine."""
        ...

    def tend(self) -> None:
        """Do upkeep that makes search faster (build a graph, compact); may take long."""
        ...

    def close(self) -> None:
        """Write what is pending and let go of the folder. Calling it twice is fine.

        A closed store that leaves files answers by `StoreError`: another process may write to
        them now.
        """
        ...


def get_known(store: VectorStore, ids: Sequence[str], vectors: bool = True) -> Rows:
    """Rows of those of some ids that a store has, in their order.

    Args:
        store: Others may delete from it meanwhile.
        ids: Each once.
        vectors: Whether to read vectors, too.
    Raises:
        StoreError: It does not have what it says it has.
    """
    names: list[str] = []
    again = 0  # how often in a row the same were said to be there, and were not
    while again < _LOOKS:
        there = store.revisions(ids) != NO_REVISION
        known = [name for name, is_there in zip(ids, there, strict=True) if is_there]
        again = again + 1 if known == names else 0
        names = known
        try:
            return store.get(names, vectors=vectors)
        except MissingIds as error:
            missing = error  # one was deleted between the two looks
    raise StoreError(
        f"get from {store.space.name}",
        "rows of all ids that it has revisions of",
        f"{missing.got}, {_LOOKS} times in a row",
        "The store is damaged, or does not keep what a store promises: holdfast.store.check.",
    ) from missing


def pages(store: VectorStore, limit: int, vectors: bool = False) -> Iterator[Rows]:
    """All rows of a store, hidden ones too, page by page; of an empty one an empty page.

    Args:
        store: That is read; a page is read when it is asked for, so writes may go on between.
        limit: Rows of a page.
        vectors: Whether to read them.
    """
    after: str | None = None
    while True:
        page = store.scan(after, limit, vectors)
        yield page.rows
        after = page.after
        if after is None:
            return
