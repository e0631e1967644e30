"""One sampled live query, and what the status quo says to it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from ...arrays import Vectors
from ...hits import Hits
from ...store.where import Where
from ..gallery import Gallery
from ..search.routes import Routes

_TOP = 10  # hits that are compared


@dataclass(frozen=True, slots=True)
class Sample:
    """A query as it was asked and answered.

    Args:
        routes: The query alone, with its vectors as far as they were needed.
        k: Hits that were asked for.
        where: The filter.
        hits: Its row of the answer.
        took: Seconds, of a call shared by its queries.
    """

    routes: Routes
    k: int
    where: Where | None
    hits: Hits
    took: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What comparing one query showed.

    Args:
        rates: In [0, 1], high is bad: "overlap" as what is missing of it, "empty", "flips".
        vectors: The query in the old space and in the new one.
        seconds: By side: "live" as answered, "old" and "new" for one search of each store.
    """

    rates: Mapping[str, float]
    vectors: tuple[Vectors, Vectors]
    seconds: Mapping[str, float]


def compared(gallery: Gallery, sample: Sample, judged: Mapping[str, frozenset[str]]) -> Seen | None:
    """Ask the status quo, and each side by itself.

    Args:
        gallery: With two sides.
        sample: The query.
        judged: Relevant ids by the text of a judged query.
    Returns:
        None while no item has moved: then the status quo has answered.
    """
    if gallery.new is None or not gallery.new.store.visible:
        return None
    k, where = min(sample.k, _TOP), sample.where
    vectors = sample.routes.into(gallery.old), sample.routes.into(gallery.new)
    seconds, given = {"live": sample.took}, list(vectors)
    for name, side, asked in zip(("old", "new"), (gallery.old, gallery.new), vectors, strict=True):
        begun = time.perf_counter()
        side.store.search(asked, k, where)
        seconds[name] = time.perf_counter() - begun
    before = [name for name, _ in gallery.search(given, k, where, side="old").row(0)]
    hits = sample.hits
    if gallery.state == "cutting over":  # the stage may have sent it to the old side
        hits = gallery.search(given, k, where, side="new")
    now = [name for name, _ in hits.row(0)][:k]
    rates = {"empty": float(bool(before) and not now)}
    if before:
        rates["overlap"] = 1.0 - len(set(before) & set(now)) / len(before)
    right = judged.get(sample.routes.text or "")
    if right is not None:
        rates["flips"] = float(bool(right & set(before)) and not right & set(now))
    return Seen(rates, vectors, seconds)
