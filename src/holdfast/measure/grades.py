"""Grades: the hits of a search with their relevance looked up, which is all a metric needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..arrays import IdArray, IntArray
from ..errors import DuplicateIds, InvalidInput
from ..hits import Hits


@dataclass(frozen=True, slots=True, eq=False)
class Grades:
    """Relevance of every hit, and of what could have been hit.

    Args:
        found: (q, w) int64, the grade of each hit in rank order; 0 where unjudged, not
            relevant, or empty. Never negative.
        counts: (q,) int64, how many relevant items (grade 1 or more) each query has.
        ideal: (q, m) int64, each query's grades falling and padded with zeros; None where
            every grade is 0 or 1, so that `counts` says it all.
    """

    found: IntArray
    counts: IntArray
    ideal: IntArray | None = None

    def __len__(self) -> int:
        return len(self.found)


class Judge(Protocol):
    """Anything that knows which items answer which query: `Judgements` or `Labels`."""

    @property
    def query_ids(self) -> tuple[str, ...]:
        """The queries, in the order in which their hits must come."""
        ...

    def __len__(self) -> int: ...

    def look_up(self, hits: Hits) -> Grades:
        """Grade the hits; row i of `hits` answers `query_ids[i]`."""
        ...


def check_rows(hits: Hits, judge: Judge) -> None:
    """Refuse hits that cannot be the answers to these queries."""
    if len(hits) != len(judge):
        raise InvalidInput(
            "judgements",
            f"hits for {len(judge)} queries, in the order of `query_ids`",
            f"{len(hits)} rows",
            "Search with the judged queries only, in that order.",
        )


def check_distinct(ids: IdArray, marked: npt.NDArray[np.bool_], query_ids: tuple[str, ...]) -> None:
    """Refuse a relevant item that is twice in one row: it would be counted twice.

    Args:
        ids: (q, w) ids in rank order.
        marked: (q, w) bool, where a relevant item stands.
        query_ids: Names for the message.
    """
    rows, columns = np.nonzero(marked)
    seen: set[tuple[int, str]] = set()
    for row, name in zip(rows.tolist(), ids[rows, columns].tolist(), strict=True):
        if (row, name) in seen:
            raise DuplicateIds(
                f"hits of query {query_ids[row]!r}",
                "each item once",
                f"{name!r} twice",
                "Whatever joined these hits must keep an item on one side only.",
            )
        seen.add((row, name))
