"""What a search over two half-filled stores costs, over a search of one full store.

python -m bench.mixed_search [--items 100000] [--stores edge,flat,ivf,hnsw] [--quick]
    [--threads 1] [--clock wall|cpu]

The engine moves the items, with its upkeep, as in production; at each share the gallery is
searched in turns with two full stores of the same kind, one of each model, which try as hard as
it takes to find as large a part of what is there. Stores that tune themselves by what is asked
are asked other queries than those that are measured: the full ones before they build their
index, the gallery's before each move.
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from holdfast.arrays import Vectors
from holdfast.hits import Hits, merge
from holdfast.store.base import VectorStore
from holdfast.store.registry import open_store
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side

from .bare import bare
from .even import Effort, reach
from .exactly import Exactly
from .record import CLOCKS, Record, arguments, held_to, interleaved, say, writes
from .twins import DATA, Ready, Twins, fill

K = 10
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "edge": ("edge", {}),
    "flat": ("faiss", {"index": "flat"}),
    "ivf": ("faiss", {"index": "ivf"}),
    "hnsw": ("faiss", {"index": "hnsw"}),
    "memory": ("memory", {}),
}
TARGETS = {"edge": 1.5, "flat": 1.05, "ivf": 1.15, "hnsw": 1.5}
RATIO = "time / one full store's search"
TRAFFIC = 512  # queries that stores may learn from; more than any of them remembers
LISTENED = 32  # asked at once, so that each is remembered
Search: TypeAlias = Callable[[list[Vectors]], Any]
LASTS = 0.06  # seconds that one timing takes at least


class Bench:
    """One kind of store: two full ones, and a gallery that moves.

    Args:
        kind: A key of `KINDS`.
        twins: The data.
        folder: For the stores.
        batch: Queries in a batch.
        alone: Queries asked one by one.
        rounds: Times that everything is measured.
        clock: Answers seconds.
    """

    def __init__(
        self,
        kind: str,
        twins: Twins,
        folder: Path,
        batch: int,
        alone: int,
        rounds: int,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.kind, self.twins, self.clock = kind, twins, clock
        self.batch, self.alone, self.rounds = batch, alone, rounds
        self.store, self.options = KINDS[kind]
        self._truths: dict[str, Hits] = {}
        self._tuned: dict[str, tuple[int, float]] = {}  # effort and recall
        self.full_new = self._built(folder / "full-new", twins.new)
        self.full_old = self._built(folder / "full-old", twins.old)
        if self.store == "memory":
            old = self._built(folder / "old", twins.old)
        else:  # built once: the gallery starts on a copy
            self.full_old.close()
            shutil.copytree(folder / "full-old", folder / "old")
            self.full_old = self._open(folder / "full-old", twins.old)
            old = self._open(folder / "old", twins.old)
        new = self._open(folder / "new", twins.new)
        self.ledger = Ledger(folder / "ledger.sqlite")
        plan = Plan(batch_size=1024, max_batch_size=1024)
        self.ledger.begin(plan.model_dump(), twins.old.space, twins.new.space)
        self.gallery = self._gallery(old, new)
        self.ranked = self._gallery(old, new, mode="by_rank")
        self.engine = Engine(self.gallery, Ready(twins.new), plan)

    def _open(self, folder: Path, vectors: Vectors) -> VectorStore:
        return open_store(self.store, folder, vectors.space, **self.options)

    def _built(self, folder: Path, vectors: Vectors) -> VectorStore:
        store = self._open(folder, vectors)
        begun = time.perf_counter()
        fill(store, vectors)
        self._listen(store)
        store.tend()
        say(f"{self.kind}: {folder.name} built in {time.perf_counter() - begun:.1f} s")
        return store

    def _listen(self, store: VectorStore) -> None:
        """Let a store hear queries that are not measured, and forget those that were."""
        twins = self.twins
        queries = twins.old_queries if store.space == twins.old.space else twins.new_queries
        for start in range(self.batch, len(queries), LISTENED):
            store.search(queries.take(slice(start, start + LISTENED)), K)

    def _gallery(self, old: Any, new: Any, **options: Any) -> Gallery:
        return Gallery(Side(old), Side(new), self.ledger, **options)

    def close(self) -> None:
        """Let go of the stores."""
        self.gallery.close()
        self.full_old.close()
        self.full_new.close()

    def measure(self, record: Record, share: float) -> None:
        """Move to a share, then time and judge."""
        begun = time.perf_counter()
        for store in (self.engine.gallery.old.store, self.engine.gallery.new.store):  # type: ignore[union-attr]
            self._listen(store)
        status = self.engine.run(share) if share else self.engine.status()
        say(f"{self.kind}: {status.share:.0%} moved, {time.perf_counter() - begun:.1f} s more")
        self.ranked.recover()
        at = f"{self.kind}, share {share:.0%}"
        self._judge(record, at, share)
        sizes = {self.batch: f"batch of {self.batch}", min(100, self.batch): "batch of 100"}
        for size, words in sizes.items():
            asked = self._asked(slice(0, size))
            self._time(record, f"{at}, {words}", share, [asked], size)
        ones = [self._asked(slice(i, i + 1)) for i in range(min(self.alone, self.batch))]
        self._time(record, f"{at}, one query", share, ones, len(ones))

    def _asked(self, some: slice) -> list[Vectors]:
        return [self.twins.old_queries.take(some), self.twins.new_queries.take(some)]

    def _time(
        self, record: Record, cell: str, share: float, asked: list[list[Vectors]], queries: int
    ) -> None:
        times = self._often(asked)

        def timed(search: Search) -> Callable[[], None]:
            def run() -> None:
                for _ in range(times):
                    for vectors in asked:
                        search(vectors)

            return run

        mixed = 0.0 < share < 1.0
        tasks = self._whole(share) | (self._halves(asked) if mixed else {})
        seconds = interleaved(
            {name: timed(task) for name, task in tasks.items()}, self.rounds, clock=self.clock
        )
        peers = _peers(seconds, "old", "new", share)
        bound = TARGETS.get(self.kind) if mixed else 1.02
        aim = f"<= {bound}" if bound else ""
        _ratio(record, cell, seconds["mixed"], peers, aim)
        if "by rank" in seconds:
            _ratio(record, f"{cell}, merged by rank", seconds["by rank"], peers, "")
        if "bare" in seconds:
            wholes = _peers(seconds, "bare old", "bare new", share)
            _ratio(record, f"{cell}, the engine alone", seconds["bare"], wholes, "")
        peer = min(peers) / times / queries
        record.add("microseconds a query, one full store", cell, peer * 1e6)

    def _whole(self, share: float) -> dict[str, Search]:
        """The gallery and its peers; at the ends the very same store, without the gallery."""
        old, new = self.full_old, self.full_new
        if share in (0.0, 1.0):
            old, new = self.gallery.old.store, self.gallery.new.store  # type: ignore[union-attr]
        tasks: dict[str, Search] = {"mixed": lambda v: self.gallery.search(v, K)}
        if share < 1.0:
            tasks["old"] = lambda v: old.search(v[0], K)
        if share > 0.0:
            tasks["new"] = lambda v: new.search(v[1], K)
        return tasks

    def _halves(self, asked: list[list[Vectors]]) -> dict[str, Search]:
        """Another merge; for single queries the engine's calls of two halves, and of each whole."""
        tasks: dict[str, Search] = {"by rank": lambda v: self.ranked.search(v, K)}
        if len(asked) == 1:
            return tasks
        halves = self.gallery.old.store, self.gallery.new.store  # type: ignore[union-attr]
        stores = zip((*halves, self.full_old, self.full_new), asked[0] * 2, strict=True)
        first, second, old, new = (bare(store, vectors, K) for store, vectors in stores)
        return tasks | {
            "bare": lambda v: (first(v[0]), second(v[1])),
            "bare old": lambda v: old(v[0]),
            "bare new": lambda v: new(v[1]),
        }

    def _often(self, asked: list[list[Vectors]]) -> int:
        """How often to ask all of this for one timing."""
        begun = time.perf_counter()
        for vectors in asked:
            self.gallery.search(vectors, K)
        return max(1, math.ceil(LASTS / (time.perf_counter() - begun)))

    def _judge(self, record: Record, at: str, share: float) -> None:
        """R@10 of the gallery, and of each full store, against exact search."""
        asked = self._asked(slice(0, self.batch))
        got = self.gallery.search(asked, K)
        if share in (0.0, 1.0):
            store = self.gallery.old.store if share == 0.0 else self.gallery.new.store  # type: ignore[union-attr]
            alone = store.search(asked[int(share)], K)
            same = np.array_equal(got.ids, alone.ids) and np.array_equal(got.scores, alone.scores)
            record.add("differs from the one store's bits", at, not same, target="= 0")
        new = self.gallery.new
        assert new is not None
        exact = self._gallery(
            Exactly(self.gallery.old.store, self.twins.old), Exactly(new.store, self.twins.new)
        )
        truth = exact.search(asked, K)
        floor = ">= 0.95" if self.kind != "memory" else "= 1"
        found = recall(got, truth)
        record.add("R@10 against exact mixed search", at, found, target=floor)
        if share == 0.5:
            ranked = self.ranked.search(asked, K)
            record.add("R@10 of merging by rank against it", at, recall(ranked, truth))
        if share not in (0.0, 1.0):
            self._even(record, at, asked, found)

    def _even(self, record: Record, at: str, asked: list[Vectors], aim: float) -> None:
        """Let the full stores try as hard as it takes to find as much as the gallery does."""
        for name, full, vectors, queries in (
            ("old", self.full_old, self.twins.old, asked[0]),
            ("new", self.full_new, self.twins.new, asked[1]),
        ):
            effort = Effort(full)
            if not effort:
                continue
            if name not in self._truths:
                self._truths[name] = Exactly(full, vectors).search(queries, K)
            measure = partial(_found, full, queries, self._truths[name])
            if name not in self._tuned:
                self._tuned[name] = effort.value, measure()
            tuned, usual = self._tuned[name]
            reached = reach(effort, measure, aim)
            words = f"effort {effort.value} in place of its own {tuned}, which finds {usual:.3f}"
            say(f"{at}, full {name} store: {words}")
            record.add(f"R@10, full {name} store", at, reached)
            record.add(f"its effort / its own, full {name} store", at, effort.value / tuned)


def _peers(seconds: dict[str, list[float]], old: str, new: str, share: float) -> list[float]:
    """Both full stores' seconds, as much of each as has moved; one that is not asked counts 0."""
    zero = [0.0] * len(seconds["mixed"])
    sides = zip(seconds.get(old, zero), seconds.get(new, zero), strict=True)
    return [(1.0 - share) * a + share * b for a, b in sides]


def _ratio(
    record: Record, cell: str, seconds: list[float], peers: list[float], target: str
) -> None:
    """The median of the rounds' ratios, and their ends."""
    ratios = [a / b for a, b in zip(seconds, peers, strict=True)]
    ends = {"low": min(ratios), "high": max(ratios)}
    record.add(RATIO, cell, float(np.median(ratios)), target=target, **ends)


def _found(store: VectorStore, queries: Vectors, truth: Hits) -> float:
    return recall(store.search(queries, K), truth)


def recall(got: Hits, truth: Hits) -> float:
    """Mean part of the true hits that were got."""
    pairs = zip(got.ids.tolist(), truth.ids.tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / len(set(b)) for a, b in pairs]))


def joining(record: Record, bench: Bench) -> None:
    """What merging, and calibrating before it, takes by itself."""
    asked = bench._asked(slice(0, bench.batch))
    sides = bench.full_old.search(asked[0], K), bench.full_new.search(asked[1], K)
    ones = [(sides[0].take(slice(i, i + 1)), sides[1].take(slice(i, i + 1))) for i in range(200)]
    queries = [bench._asked(slice(i, i + 1)) for i in range(200)]
    mixed = bench.gallery._mixed
    assert mixed is not None
    calibrate = mixed._reference.calibrate
    seconds = interleaved(
        {
            "alone": lambda: [merge(b, a, K) for a, b in ones],
            "batch": lambda: merge(sides[1], sides[0], K),
            "calibrate alone": lambda: [
                calibrate(a, *q) for (a, _), q in zip(ones, queries, strict=True)
            ],
            "calibrate batch": lambda: calibrate(sides[0], *asked),
        },
        rounds=15,
        clock=bench.clock,
    )
    least = {name: min(times) * 1e6 for name, times in seconds.items()}
    metric, size = "microseconds a query", f"batch of {bench.batch}"
    record.add(metric, "merging two top-10, one query", least["alone"] / 200, target="<= 5")
    record.add(metric, f"merging two top-10, {size}", least["batch"] / bench.batch, target="<= 1")
    record.add(metric, "calibrating top-10, one query", least["calibrate alone"] / 200)
    record.add(metric, f"calibrating top-10, {size}", least["calibrate batch"] / bench.batch)


def _manner(options: argparse.Namespace) -> str:
    threads = f"{options.threads} thread" if options.threads else "Threads as the libraries choose"
    clock = "Processor time" if options.clock == "cpu" else "Wall clock"
    return f"{clock}; {threads} in every library." if options.threads else f"{clock}. {threads}."


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--items", type=int)
    parser.add_argument("--stores", default="edge,flat,ivf,hnsw")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of every library; 0 for its own")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    options = parser.parse_args()
    with held_to(options.threads):
        return measured(options)


def measured(options: argparse.Namespace) -> int:
    """The whole of it."""
    items = options.items or (10_000 if options.quick else 100_000)
    rounds = options.rounds or (3 if options.quick else 9)
    batch, alone = (200, 50) if options.quick else (1000, 200)
    record = Record(
        "mixed_search",
        "what a search over a gallery that is part old, part new costs",
        DATA.format(n=items, d=384),
        options.seed,
        notes=[
            (
                "k = 10. The peer at a share s is (1 - s) x a search of a full store of old "
                "vectors + s x one of new vectors, same kind, at equal recall: each is set to the "
                "least effort at which it finds as large a part of its exact hits as the gallery "
                f"does. Timed in turns; the median of the ratios of {rounds} rounds, and their "
                "ends. At shares 0 and 1 the peer is the gallery's own store, searched without "
                "the gallery. Merging is calibrated, its cost is inside. Items are moved by the "
                "engine, with its upkeep. Beside one query: what Edge or faiss takes alone for its "
                "calls of two halves, over what it takes alone for that of one full store, which "
                "is the least that two stores can cost. "
                f"Stores tune themselves by {TRAFFIC} other queries. {_manner(options)}"
            )
        ],
        aims=not options.quick,
    )
    begun = time.perf_counter()
    twins = Twins.made(items, batch + TRAFFIC, seed=options.seed)
    say(f"data made in {time.perf_counter() - begun:.1f} s")
    for kind in options.stores.split(","):
        with tempfile.TemporaryDirectory(prefix="holdfast-mixed-") as folder:
            clock = CLOCKS[options.clock]
            bench = Bench(kind, twins, Path(folder), batch, alone, rounds, clock)
            for share in SHARES:
                bench.measure(record, share)
                if share == 0.5 and kind == options.stores.split(",")[0]:
                    joining(record, bench)
            bench.close()
        say(f"{kind}: done after {time.perf_counter() - begun:.0f} s in all")
    return record.finish(writes(options))


if __name__ == "__main__":
    raise SystemExit(main())
