"""What bridges cost, and how every aligner does between two real models.

python -m bench.align [--quick] [--rows 1000000] [--threads 1] [--clock wall|cpu]
    [--parts cost,merge,aligners,queries]

    cost      mapping stored rows against the bare matrix product; fitting
    merge     joining two lists of hits against the search that made them
    aligners  every aligner on held-out pairs, both ways
    queries   bridges and interpolated queries on judged queries, against the old model's own
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.align.base import Aligner
from holdfast.align.bridge import Bridge
from holdfast.align.evidence import MEASURES, bootstrap
from holdfast.align.linear import Ridge
from holdfast.align.procrustes import Procrustes
from holdfast.align.registry import ALIGNERS, aligner_class
from holdfast.align.spherical import Interpolation
from holdfast.align.trial import Trial
from holdfast.align.unpaired import fit_unpaired
from holdfast.arrays import Vectors, as_vectors
from holdfast.errors import HoldfastError
from holdfast.hits import merge
from holdfast.space import Space
from holdfast.store.registry import open_store

from .judged import NAMES, Judged, present, read
from .mixed_search import KINDS
from .record import CLOCKS, Record, arguments, held_to, interleaved, say, spread, writes
from .twins import Twins, fill

DIM = 384
FIT_ROWS, FIT_SECONDS = 100_000, 3.0
CLOSED = ("diagonal", "low_rank", "orthogonal", "procrustes", "ridge")
LABELS = ("fastfill",)  # has none here
RULES = ("slerp", "nlerp", "adaptive")
DATA = "WordLlama (256-d) and MiniLM (384-d) vectors of SciFact, Cranfield and CoSQA"
PARTS = ("cost", "merge", "aligners", "queries")

Clock = Callable[[], float]


def cost(record: Record, rows: int, rounds: int, clock: Clock) -> None:
    """A linear bridge over stored rows, against what it cannot do without."""
    made = f"random unit rows, {DIM}-d"
    rng = np.random.default_rng(record.seed)
    space = Space("cost-old", DIM), Space("cost-new", DIM)
    array = rng.standard_normal((rows, DIM), dtype=np.float32)
    stored = as_vectors(array, space[0], "bench")
    del array
    few = stored.take(slice(0, 2000))
    turned = few.array @ np.linalg.qr(rng.normal(size=(DIM, DIM)))[0].astype(np.float32)
    bridge = Bridge.fit(Ridge(), few, as_vectors(turned, space[1], "bench"))
    weight = bridge.aligner.get_state()["weight_"]
    tasks = {
        "product": lambda: stored.array @ weight,
        "bridge": lambda: bridge.transform(stored),
    }
    seconds = interleaved(tasks, rounds, clock=clock)
    record.add(
        "time / the bare matrix product",
        f"a linear bridge over {rows:,} x {DIM}, checked and of unit length",
        min(seconds["bridge"]) / min(seconds["product"]),
        target="<= 1.3",
        data=made,
        **spread(seconds["bridge"], seconds["product"]),
    )
    one = stored.take(slice(0, 1))
    lone = interleaved({"one": lambda: [bridge.transform(one) for _ in range(200)]}, 5, clock=clock)
    record.add("microseconds", "a linear bridge, one query", min(lone["one"]) / 200e-6, data=made)
    _fitting(record, stored, min(rows, FIT_ROWS), clock, made)


def _fitting(record: Record, stored: Vectors, pairs: int, clock: Clock, made: str) -> None:
    X = stored.array[:pairs]
    Y = np.ascontiguousarray(stored.array[pairs - 1 :: -1][:pairs])
    tasks: Mapping[str, Callable[[], Any]] = {
        "products": lambda: X.T @ Y,
        **{name: lambda n=name: aligner_class(n)().fit(X, Y) for name in CLOSED},
    }
    seconds = interleaved(tasks, 3, clock=clock)
    floor = seconds.pop("products")
    cell = f"{pairs:,} pairs, {DIM}-d to {DIM}-d"
    for name, times in seconds.items():
        target = f"<= {FIT_SECONDS:g}" if name == "procrustes" else ""
        record.add("seconds to fit", f"{name}, {cell}", min(times), target=target, data=made)
        ratio = min(times) / min(floor)
        record.add("time to fit / one product of the pairs", f"{name}, {cell}", ratio, data=made)


def merging(record: Record, rows: int, rounds: int, clock: Clock) -> None:
    """Two top-100 lists, over the searches of the two halves that made them."""
    queries = 1000
    twins = Twins.made(rows, queries, seed=record.seed)
    half = rows // 2
    for kind in ("memory", "flat", "hnsw"):
        name, options = KINDS[kind]
        with tempfile.TemporaryDirectory(prefix="holdfast-align-") as folder:
            stores = []
            for i, part in enumerate((slice(0, half), slice(half, None))):
                store = open_store(name, Path(folder) / str(i), twins.new.space, **options)
                fill(store, twins.new.take(part))
                store.tend()
                stores.append(store)
            asked = twins.new_queries
            hits = [store.search(asked, 100) for store in stores]
            seconds = interleaved(
                {
                    "search": lambda s=stores, q=asked: [store.search(q, 100) for store in s],
                    "merge": lambda h=hits: merge(h[0], h[1], 100),
                },
                rounds,
                clock=clock,
            )
            for store in stores:
                store.close()
        record.add(
            "time / the searches",
            f"{kind}: merging two top-100 of {queries:,} queries, 2 x {half:,} rows",
            min(seconds["merge"]) / min(seconds["search"]),
            target="<= 0.05",
            data=f"two halves of {rows:,} clustered points, {DIM}-d",
            **spread(seconds["merge"], seconds["search"]),
        )


def aligners(record: Record, names: tuple[str, ...], kinds: tuple[str, ...], clock: Clock) -> None:
    """R@1, R@10 and cosine on held-out pairs of documents, and the time of one fit."""
    for name in names:
        data = read(name)
        ways = {"new to old": (data.new_docs, data.old_docs)}
        ways["old to new"] = ways["new to old"][::-1]
        for way, (X, Y) in ways.items():
            plain = {
                aligner.name: Trial.of(aligner, X, Y, 0.2, 0, None)
                for aligner in (Procrustes(), Ridge())
            }
            for kind in kinds:
                try:
                    _aligner(record, f"{name}, {way}, {kind}", kind, X, Y, plain, clock)
                except HoldfastError as refused:
                    say(f"{name}, {way}, {kind}: {refused}")


def _aligner(
    record: Record,
    cell: str,
    kind: str,
    X: Vectors,
    Y: Vectors,
    plain: Mapping[str, Trial],
    clock: Clock,
) -> None:
    aligner: Aligner = aligner_class(kind)()
    trial = plain.get(kind) or Trial.of(aligner, X, Y, 0.2, 0, None)
    evidence = trial.evidence()
    # A map into the old space serves queries, one out of it serves stored rows.
    side = "" if "new to old" in cell else " gallery"
    judge = f"R@1{side}"
    for measure in ("cosine", judge, f"R@10{side}"):
        found = evidence[measure]
        record.add(measure, cell, found.value, low=found.low, high=found.high)
    column = MEASURES.index(judge)
    for other, trials in plain.items():
        if other != kind:
            gain = bootstrap(trial.rows[:, [column]] - trials.rows[:, [column]], 0)[0]
            metric = f"{judge} over {other}, paired"
            record.add(metric, cell, gain.value, low=gain.low, high=gain.high)
    begun = clock()
    aligner.fit(X.array, Y.array)
    record.add("seconds to fit", f"{cell}, {len(X):,} pairs", clock() - begun)


def queries(record: Record, names: tuple[str, ...], kinds: tuple[str, ...]) -> None:
    """nDCG@10 on judged queries over that of the old model's own, per query."""
    for name in names:
        for back in (False, True):
            fit, judge = read(name, "fit"), read(name, "judge")
            if back:
                fit, judge = fit.swapped(), judge.swapped()
            label = f"{name}, {judge.old_docs.space.name} upgraded to {judge.new_docs.space.name}"
            _judged(record, label, fit, judge, kinds)


def _ndcg(judge: Judged, asking: Vectors, stored: Vectors) -> np.ndarray:
    return judge.ndcg(np.argsort(-(asking.array @ stored.array.T), axis=1, kind="stable")[:, :10])


def _judged(record: Record, label: str, fit: Judged, judge: Judged, kinds: tuple[str, ...]) -> None:
    old = _ndcg(judge, judge.old_queries, judge.old_docs)
    new = _ndcg(judge, judge.new_queries, judge.new_docs)
    record.add("nDCG@10", f"{label}: old/old", old.mean())

    def over(what: str, values: np.ndarray) -> None:
        gain = bootstrap((values - old)[:, None], 0)[0]
        ends = {"low": gain.low, "high": gain.high}
        record.add("nDCG@10 over old/old", f"{label}: {what}", gain.value, **ends)

    over("new/new", new)
    for kind in kinds:
        there = Bridge.fit(aligner_class(kind)(), judge.new_docs, judge.old_docs)
        over(f"queries by {kind}", _ndcg(judge, there.transform(judge.new_queries), judge.old_docs))
        back = Bridge.fit(aligner_class(kind)(), judge.old_docs, judge.new_docs)
        over(f"gallery by {kind}", _ndcg(judge, judge.new_queries, back.transform(judge.old_docs)))
    bridge = Bridge.fit(Procrustes(), judge.new_docs, judge.old_docs)
    own = fit.gains.argmax(axis=1)
    for rule in RULES:
        chosen = Interpolation.fit(
            fit.old_queries, bridge.transform(fit.new_queries), fit.old_docs, own, rule
        )
        joined = chosen.between(judge.old_queries, bridge.transform(judge.new_queries))
        over(f"queries between, {rule}", _ndcg(judge, joined, judge.old_docs))


def unpaired(record: Record, names: tuple[str, ...]) -> None:
    """The same documents shuffled: what is found without pairs."""
    for name in names:
        data = read(name)
        order = np.random.default_rng(record.seed).permutation(len(data.ids))
        found = fit_unpaired(data.new_docs, data.old_docs.take(order), seed=record.seed)
        mapped = as_vectors(
            found.aligner.transform(data.new_docs.array), data.old_docs.space, "bench"
        )
        table = mapped.array @ data.old_docs.array.T
        hit = np.mean(table.argmax(axis=1) == np.arange(len(table)))
        cell = f"{name}, new to old, without pairs, {len(table):,} shuffled rows"
        record.add("R@1 among all rows", cell, hit)
        record.add("mutual neighbours", cell, found.mutual)


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--threads", type=int, default=0, help="of every library; 0 for its own")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    options = parser.parse_args()
    with held_to(options.threads):
        return measured(options)


def measured(options: argparse.Namespace) -> int:
    """The whole of it."""
    quick, clock = options.quick, CLOCKS[options.clock]
    rows = options.rows or (100_000 if quick else 1_000_000)
    rounds = options.rounds or (3 if quick else 7)
    clocked = "Processor time" if options.clock == "cpu" else "Wall clock"
    record = Record(
        "align",
        "what bridges cost, and how every aligner does between two real models",
        DATA,
        options.seed,
        notes=[
            (
                f"{clocked}, least of {rounds} rounds in turns. A fifth of the documents is held "
                "out; R@1 says how often a mapped row finds its own target, the gallery's how "
                "often a target finds its own mapped row. These favour what lies near the "
                "documents fitted on; judged queries, below, are what counts."
            ),
            (
                "old/old is the old model's query on the old gallery: what serves now. Queries "
                "between are the old query and the bridged one (Procrustes), joined; the share "
                "was chosen on other queries."
            ),
        ],
        aims=not quick,
    )
    begun = time.perf_counter()
    parts = options.parts.split(",")
    if "cost" in parts:
        cost(record, rows, rounds, clock)
    if "merge" in parts:
        merging(record, 20_000 if quick else 100_000, rounds, clock)
    names, kinds = (("cranfield",), CLOSED) if quick else (NAMES, tuple(ALIGNERS))
    kinds = tuple(kind for kind in kinds if kind not in LABELS)
    if not present():
        say("no embeddings of real models here: their parts are left out")
        parts = []
    if "aligners" in parts:
        aligners(record, names, kinds, clock)
        if not quick:
            unpaired(record, names)
    if "queries" in parts:
        queries(record, names, CLOSED)
    say(f"done in {time.perf_counter() - begun:.0f} s")
    return record.finish(writes(options))


if __name__ == "__main__":
    raise SystemExit(main())
