"""Measure, on a sample of a gallery, what a backfill of it is made of.

The sample is upgraded for real: by the plan's own mover, between stores of the gallery's own
kind, with a ledger, in a folder beside the gallery that is deleted afterwards. Two sizes of
batches tell what a batch costs and what an item costs. Nothing of the gallery is written.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ...align.bridge import Bridge
from ...arrays import Vectors
from ...errors import UpgradeError
from ...space import Space
from ...store.base import Rows, VectorStore
from ...store.payloads import texts
from ...store.registry import drop_store, open_store
from ..engine import Engine
from ..gallery import Gallery
from ..ledger import Ledger
from ..models import open_model
from ..mover import Moved, Mover, ReEmbed, Translate
from ..plan import Plan
from ..price import characters
from ..project import Project
from ..side import Side
from .queueing import Times

SAMPLE = 2_000
_QUERIES = 24
_SMALL, _LARGE = 16, 256  # items in the batches of the two parts
_LEAST = 4 * _SMALL  # items to measure with
_LIVE = ("pair", "alias", "prefix")  # options of stores that name what is served


@dataclass(frozen=True, slots=True)
class Measured:
    """What the sample told.

    Args:
        items: In the gallery.
        sample: Items that were upgraded.
        dims: Of the old and the new space.
        times: Of engine and model, with one worker.
        slower: A worker's time with all workers at it, over its time alone.
        payload: Mean bytes of a payload.
        length: Mean characters of a content; None where contents are not text.
        search: Seconds of one search in the store that serves, alone.
        ask: Seconds that the new model takes for one query.
        exact: Whether the store compares every row.
    """

    items: int
    sample: int
    dims: tuple[int, int]
    times: Times
    slower: float
    payload: float
    length: float | None
    search: float
    ask: float
    exact: bool


class _NoUpkeep:
    """In the place of the engine's upkeep: graphs are another matter."""

    def after_batch(self) -> None:
        pass

    def at_rest(self) -> None:
        pass

    def at_end(self) -> None:
        pass


class _Timed:
    """A mover that notes how long it takes."""

    def __init__(self, mover: Mover) -> None:
        self._mover, self._lock = mover, threading.Lock()
        self.seconds, self.batches = 0.0, 0

    @property
    def target(self) -> Space:
        return self._mover.target

    @property
    def reads_vectors(self) -> bool:
        return self._mover.reads_vectors

    def move(self, rows: Rows) -> Moved:
        begun = time.perf_counter()
        moved = self._mover.move(rows)
        with self._lock:
            self.seconds += time.perf_counter() - begun
            self.batches += 1
        return moved


def measure(project: Project, sample: int = SAMPLE) -> Measured:
    """Upgrade a sample of what is served.

    Args:
        project: Built; an upgrade may be planned or not.
        sample: Items.
    Raises:
        UpgradeError: There is nothing to measure.
    """
    project.refuse_unbuilt("plan --simulate")
    ledger = project.ledger(readonly=True)
    try:
        space = project.serving(ledger)
        project.refuse_lost(ledger, space)
    finally:
        ledger.close()
    store = project.store(space)
    try:
        plan, mover = project.config.upgrade, _mover_of(project, store)
        rows, contents = _readable(store.scan(limit=sample, vectors=True).rows, mover)
        times, timed = _upgraded(project, rows, plan, mover)
        slower = _slower(mover, rows, plan.workers) if plan.executor == "threads" else 1.0
        length = characters(contents[:200])
        seconds = _median(store, rows.vectors_read)
        return Measured(
            *(len(store), len(rows), (space.dim, timed.target.dim), times, slower),
            statistics.fmean(len(text) for text in texts(list(rows.payloads))),
            length,
            seconds,
            _asking(mover, contents),
            store.limits.exact,
        )
    finally:
        store.close()


def _mover_of(project: Project, store: VectorStore) -> Mover:
    """As the plan has it, without what was answered before: that would be too fast."""
    if project.config.upgrade.mover == "translate":
        path = project.bridge_path(store.space, project.new_encoder.space)
        if not path.exists():
            raise UpgradeError(
                "plan --simulate", "a fitted bridge", "none yet", "Plan first: holdfast plan."
            )
        return Translate(Bridge.load(path))
    config = project.config.new
    encoder = open_model(config.encoder, **project.model_options(config))
    return ReEmbed(project.content(store), encoder)


def _readable(rows: Rows, mover: Mover) -> tuple[Rows, list[Any]]:
    """Rows that can move as far as is known, and their contents where the mover reads them.

    Raises:
        UpgradeError: They are too few.
    """
    count, contents = len(rows), []
    if isinstance(mover, ReEmbed):
        found = mover.source.get(rows.ids)
        there = [place for place, item in enumerate(found) if item is not None]
        contents = [item.content for item in found if item is not None]
        rows = rows.take(np.array(there, dtype=np.intp))
    if len(rows) < _LEAST:
        gone = count - len(rows)
        raise UpgradeError(
            "plan --simulate",
            f"{_LEAST} items to measure with",
            f"{len(rows)}, and {gone} whose content is gone" if gone else str(count),
            "Is the source the one that the gallery was built from?" if gone else "",
        )
    return rows, contents


def _asking(mover: Mover, contents: Sequence[Any]) -> float:
    """Seconds of the new model for one query; the content of an item stands in for it."""
    if not isinstance(mover, ReEmbed):
        return 0.0
    return _least(lambda: mover.encoder.encode(contents[:1], "query"))


def _least(do: Callable[[], Any], times: int = 3) -> float:
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        do()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def _median(store: VectorStore, vectors: Vectors) -> float:
    """Seconds of one search; stored rows stand in for queries."""
    seconds = []
    for row in range(min(_QUERIES, len(vectors))):
        query = vectors.take(slice(row, row + 1))
        begun = time.perf_counter()
        store.search(query, 10)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


@contextmanager
def _trial_stores(
    project: Project, spaces: Sequence[Space]
) -> Iterator[tuple[Path, list[VectorStore]]]:
    """Empty stores of the gallery's kind, in a folder beside it, both gone afterwards."""
    kind, options = project.config.store.kind, project.config.store.options
    options = {name: value for name, value in options.items() if name not in _LIVE}
    with tempfile.TemporaryDirectory(prefix="simulate-", dir=project.folder) as made:
        home = Path(made)
        folders = [home / f"{home.name}-{side}" for side in ("old", "new")]
        stores: list[VectorStore] = []
        try:
            for folder, space in zip(folders, spaces, strict=True):
                stores.append(open_store(kind, folder, space, **options))
            yield home, stores
        finally:
            for store in stores:
                store.close()
            for folder, space in zip(folders[: len(stores)], spaces, strict=False):
                drop_store(kind, folder, space, **options)


def _upgraded(project: Project, rows: Rows, plan: Plan, mover: Mover) -> tuple[Times, _Timed]:
    """Both halves of the sample, in small batches and in large ones."""
    timed, vectors = _Timed(mover), rows.vectors_read
    spaces = (vectors.space, mover.target)
    with _trial_stores(project, spaces) as (home, (old, new)):
        old.upsert(rows.ids, vectors, rows.payloads, rows.revisions)
        ledger = Ledger(home / "ledger.sqlite")
        ledger.begin(plan.model_dump(), *spaces)
        gallery = Gallery(Side(old), Side(new), ledger, mode="by_rank")
        parts = []
        for size, until in ((_SMALL, 0.25), (_LARGE, 1.0)):
            how = Plan(batch_size=size, max_batch_size=size, order="random")
            engine = Engine(gallery, timed, how)
            engine._upkeep = _NoUpkeep()  # type: ignore[assignment]
            engine.start()
            parts.append(_part(engine, new, timed, until))
        ledger.close()
    return _fitted(parts), timed


def _part(engine: Engine, new: VectorStore, timed: _Timed, until: float) -> Mapping[str, float]:
    """One part of the sample: how many, and where the time went."""
    moved, encoding, batches = new.visible, timed.seconds, timed.batches
    begun = time.perf_counter()
    engine.run(until)
    wall = time.perf_counter() - begun
    return {
        "items": new.visible - moved,
        "batches": timed.batches - batches,
        "encode": timed.seconds - encoding,
        "engine": wall - (timed.seconds - encoding),
    }


def _fitted(parts: Sequence[Mapping[str, float]]) -> Times:
    """Seconds of a batch and of an item, from parts with batches of different sizes.

    Raises:
        UpgradeError: Too few items moved to tell the two apart.
    """
    found = []
    sizes = [part["items"] / max(part["batches"], 1) for part in parts]
    if not 0.0 < sizes[0] < sizes[1]:
        moved = sum(part["items"] for part in parts)
        raise UpgradeError(
            "plan --simulate",
            f"{_LEAST} items that can move, to measure with",
            f"{moved:.0f}; the others were refused",
            "Look at what the new model answers, or sample more items: --sample.",
        )
    for what in ("engine", "encode"):
        (b1, n1, t1), (b2, n2, t2) = ((p["batches"], p["items"], p[what]) for p in parts)
        fixed = (t1 / n1 - t2 / n2) / (b1 / n1 - b2 / n2)
        fixed = float(np.clip(fixed, 0.0, t2 / b2))
        found += [fixed, max(0.0, (t2 - fixed * b2) / n2)]
    return Times(*found)


def _slower(mover: Mover, rows: Rows, workers: int) -> float:
    """How much longer a batch takes with all workers at it: they share cores, or do not."""
    if workers == 1:
        return 1.0
    size = max(1, min(_LARGE, len(rows) // 4))
    some = [rows.take(np.arange(size) + size * i) for i in range(4)]
    work = [some[i % 4] for i in range(2 * workers)]
    with ThreadPoolExecutor(workers) as pool:
        alone, together = math.inf, math.inf
        for _ in range(2):  # in turns, and the least of each: others may run on this machine
            seconds = [_least(partial(mover.move, piece), 1) for piece in some]
            alone = min(alone, statistics.fmean(seconds))
            begun = time.perf_counter()
            list(pool.map(mover.move, work))
            together = min(together, (time.perf_counter() - begun) / 2)
    return max(1.0, together / alone)
