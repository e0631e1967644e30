"""What searches lose while one of the two models does not answer, in the middle of an upgrade.

    python -m bench.outage

Without the new model the old one's scores rank all items, and what has moved is found by queries
that a map brings over. Without the old one the new one's queries go over a bridge, and what waits
is ranked by predicted scores. Held against the old model over all items, as if nothing had moved,
and against the mixture with both.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.judged import NAMES, Judged, K, Part, present, read
from bench.record import Record, arguments, say, writes
from holdfast.arrays import FloatArray, IntArray, Vectors
from holdfast.errors import EncoderUnavailable
from holdfast.hits import Hits
from holdfast.items import Item, Role
from holdfast.source.memory import MemorySource
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.search.stand_in import Half
from holdfast.upgrade.side import Side

HALVES: tuple[Half, ...] = ("new", "old")
SHARES = (0.01, 0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


class Lookup:
    """A model whose answers are known; contents are row numbers. It can be down."""

    def __init__(self, docs: Vectors, queries: Vectors) -> None:
        self.space, self.down = docs.space, False
        self._tables = {"document": docs, "query": queries}

    def encode(self, contents: Sequence[Any], role: Role) -> Vectors:
        """Rows of the table."""
        if self.down:
            raise EncoderUnavailable(self.space.name, "an answer", "none")
        return self._tables[role].take([int(content) for content in contents])


class World:
    """A gallery of one set, whose models fail when they are told to."""

    def __init__(self, data: Judged, folder: Path, seed: int) -> None:
        self.data, self.names = data, [f"d{row}" for row in range(len(data.ids))]
        old, new = Lookup(data.old_docs, data.old_queries), Lookup(data.new_docs, data.new_queries)
        self.models = {"old": old, "new": new}
        stores = MemoryStore(old.space), MemoryStore(new.space)
        stores[0].upsert(self.names, data.old_docs, None, [1] * len(self.names))
        ledger = Ledger(folder / "ledger.sqlite", lambda: 0.0)
        plan = Plan(seed=seed)
        ledger.begin(plan.model_dump(), old.space, new.space)
        clock = itertools.count(2)
        sides = Side(stores[0], old), Side(stores[1], new)
        self.gallery = Gallery(*sides, ledger, mode=plan.merge, clock=lambda: next(clock))
        source = MemorySource([Item(n, str(row)) for row, n in enumerate(self.names)])
        self.engine = Engine(self.gallery, ReEmbed(source, new), plan)
        self.queries = [str(row) for row in range(len(data.old_queries))]

    def search(self, silent: Half | None = None) -> Hits | None:
        """Answers while one model is down, or none; None where they are refused."""
        if silent is None:
            return self.gallery.search(self.queries, K)
        self.models[silent].down = True
        try:
            found = self.gallery.search(self.queries, K)
        except EncoderUnavailable:
            return None
        finally:
            self.models[silent].down = False
            self.gallery.silences[silent].error = None  # it would be asked again in a second
        assert found.without or silent == "old"  # which nobody asks once all has moved
        return found

    def ndcg(self, hits: Hits) -> FloatArray:
        """(q,) nDCG@10."""
        place = {name: row for row, name in enumerate(self.names)}
        rows: IntArray = np.array([[place.get(n, -1) for n in line] for line in hits.ids])
        return self.data.ndcg(rows)


def overlap(found: Hits, full: Hits) -> float:
    """Mean part of the full answer that was found."""
    pairs = zip(found.ids.tolist(), full.ids.tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in pairs]))


def measure(record: Record, name: str, part: Part, seeds: int) -> None:
    """All shares of one set."""
    data = read(name, part)
    runs: dict[tuple[str, str], list[float]] = {}

    def note(metric: str, cell: str, value: float) -> None:
        runs.setdefault((metric, f"{name}, {cell}"), []).append(value)

    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            world = World(data, Path(folder), seed)
            full = world.gallery.search(world.queries, K)  # nothing has moved
            for share in SHARES:
                world.engine.run(until=share)
                both = world.search()
                assert both is not None
                for half in HALVES:
                    found, cell = world.search(half), f"without the {half} model, share {share:.0%}"
                    if found is None:
                        continue
                    values = world.ndcg(found)
                    note("nDCG@10 - old/old", cell, float((values - world.ndcg(full)).mean()))
                    note("nDCG@10 - both models", cell, float((values - world.ndcg(both)).mean()))
                    if half == "new":
                        note("R@10 of the old model's answers", cell, overlap(found, full))
            world.gallery.close()
    for (metric, cell), values in sorted(runs.items(), key=lambda run: run[0][1].split(",")[1]):
        record.mean(metric, cell, values)


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--part", choices=("fit", "judge"), default="judge")
    options = parser.parse_args()
    if not present():
        say("the judged sets of ../shared/data are not here: nothing to measure")
        return 0
    seeds = options.seeds or (1 if options.quick else 5)
    record = Record(
        "outage",
        "what searches lose while one of the two models does not answer",
        f"scifact, cranfield, cosqa (part {options.part}), WordLlama 256 to MiniLM 384",
        0,
        notes=[
            (
                "Items move in a random order; at each share one model is down for all queries of "
                f"the set, which are answered by `Gallery.search`. {seeds} seeds: their mean, and "
                "their ends. `old/old` is the old model over all items before anything has moved, "
                "`both models` the fused mixture at that share. Without the old model searches "
                "are refused before a quarter has moved. Memory stores, exact searches."
            )
        ],
    )
    for name in NAMES[1:2] if options.quick else NAMES:
        measure(record, name, options.part, seeds)
    return record.finish(writes(options) and options.part == "judge")


if __name__ == "__main__":
    raise SystemExit(main())
