"""What searches lose while the new model does not answer, in the middle of an upgrade.

    python -m bench.outage

The old model's scores rank all items then; what has moved is found by queries that a map brings
over. Held against the old side in full: what the old model would answer had nothing moved.
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
from holdfast.upgrade.side import Side

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
    """A gallery of one set, whose new model fails when it is told to."""

    def __init__(self, data: Judged, folder: Path, seed: int) -> None:
        self.data, self.names = data, [f"d{row}" for row in range(len(data.ids))]
        old = Lookup(data.old_docs, data.old_queries)
        self.new = Lookup(data.new_docs, data.new_queries)
        stores = MemoryStore(old.space), MemoryStore(self.new.space)
        stores[0].upsert(self.names, data.old_docs, None, [1] * len(self.names))
        ledger = Ledger(folder / "ledger.sqlite", lambda: 0.0)
        plan = Plan(seed=seed)
        ledger.begin(plan.model_dump(), old.space, self.new.space)
        clock = itertools.count(2)
        sides = Side(stores[0], old), Side(stores[1], self.new)
        self.gallery = Gallery(*sides, ledger, mode=plan.merge, clock=lambda: next(clock))
        source = MemorySource([Item(n, str(row)) for row, n in enumerate(self.names)])
        self.engine = Engine(self.gallery, ReEmbed(source, self.new), plan)
        self.queries = [str(row) for row in range(len(data.old_queries))]

    def without(self, share: float) -> tuple[Hits, Hits]:
        """Answers without the new model, and those of the old side in full."""
        self.engine.run(until=share)
        self.new.down = True
        # One that was silent is asked again after a second only.
        self.gallery.silence.why = ""
        found = self.gallery.search(self.queries, K)
        assert found.without
        full = self.gallery.search(self.queries, K, side="old")
        self.new.down = False
        self.gallery.silence.why = ""
        return found, full

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
    lost = {share: list[float]() for share in SHARES}
    same = {share: list[float]() for share in SHARES}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            world = World(data, Path(folder), seed)
            for share in SHARES:
                found, full = world.without(share)
                lost[share].append(float((world.ndcg(found) - world.ndcg(full)).mean()))
                same[share].append(overlap(found, full))
            world.gallery.close()
    for share in SHARES:
        record.mean("R@10 of the old side in full", f"{name}, share {share:.0%}", same[share])
        record.mean("nDCG@10 - old/old", f"{name}, share {share:.0%}", lost[share])


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
        "what searches lose while the new model does not answer",
        f"scifact, cranfield, cosqa (part {options.part}), WordLlama 256 to MiniLM 384",
        0,
        notes=[
            (
                "Items move in a random order; at each share the new model is down for all "
                f"queries of the set, which are answered by `Gallery.search`. {seeds} seeds: "
                "their mean, and their ends. The peer is the old model over all items, as if "
                "nothing had moved; 0 loses nothing. Memory stores, exact searches."
            )
        ],
    )
    for name in NAMES[1:2] if options.quick else NAMES:
        measure(record, name, options.part, seeds)
    return record.finish(writes(options) and options.part == "judge")


if __name__ == "__main__":
    raise SystemExit(main())
