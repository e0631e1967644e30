"""What Qdrant answers, embedded or on a server, as hits; and where a scan of its points goes on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..errors import InvalidInput
from ..hits import Hits
from ..space import Metric
from .edge_archive import place_of
from .edge_payload import ID, KEY


def as_hits(answers: Iterable[Sequence[Any]], queries: int, k: int, metric: Metric) -> Hits:
    """Hits of the points that were found, whose payloads carry their ids.

    Args:
        answers: For each query its points, best first.
        queries: How many answers there are.
        k: Columns.
        metric: Whose distances Qdrant tells as they are; scores rise with nearness.
    """
    out, sign = Hits.empty(queries, k), -1.0 if metric == "euclidean" else 1.0
    for row, found in enumerate(answers):
        out.ids[row, : len(found)] = [hit.payload[ID] for hit in found]
        out.scores[row, : len(found)] = [sign * hit.score for hit in found]
    return out


def start_of(after: str | None, owner: str) -> str | None:
    """The point at which a scan goes on, the one of the last row included.

    Raises:
        InvalidInput: No page has answered that.
    """
    if after is None:
        return None
    if after != place_of(after[KEY:]):
        raise InvalidInput(owner, "what the page before answered", repr(after))
    return after[:KEY]
