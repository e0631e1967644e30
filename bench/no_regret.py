"""How good search is while a gallery is part old, part new, in every way it can be served.

python -m bench.no_regret [--quick] [--seeds 5]

Everything is judged on queries that chose no constant. The gain of the area under nDCG@10 over
the share moved is 0 where the old system is kept, 50 % on a straight line to the new one, and
100 % for switching at once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial

import numpy as np

from holdfast.align.choose import choose
from holdfast.align.kernel import Kernel
from holdfast.align.linear import Ridge
from holdfast.align.low_rank import LowRank
from holdfast.align.procrustes import Procrustes
from holdfast.measure.curve import Curve, trapezoid_weights
from holdfast.plots import quality_curve
from holdfast.upgrade.search.fuse import Fusion

from .judged import NAMES, present, read
from .mixture import (
    CASCADE,
    SHARES,
    Serving,
    World,
    bridged,
    by_rank,
    cascade,
    fused,
    old_alone,
    quantile,
    raw,
    spherical,
    zscore,
)
from .record import FOLDER, Record, arguments, interleaved, say, writes
from .sweep import PLANNED, Runs, Table, orders, sweep

EARLY = (0.01, 0.02, 0.05)

BRIDGES = {
    "procrustes": Procrustes(),
    "ridge": Ridge(),
    "low rank": LowRank(),
    "kernel": Kernel(single=True),
}
TWO: Mapping[str, Serving] = {
    "raw": raw,
    "by rank": by_rank,
    "zscore": zscore,
    "quantile": quantile,
    "fused": fused,
    "fused, 32 candidates": partial(fused, candidates=32),
    "cascade": cascade,
    "cascade, by the new score alone": partial(cascade, by_new=True),
    "cascade, all 50 that wait": partial(cascade, near=False),
}
FEW = partial(fused, candidates=CASCADE)
ONE: Mapping[str, Serving] = {
    "one encoder, bridge alone": bridged(old_alone, Procrustes()),
    "one encoder, zscore": bridged(zscore, Procrustes()),
    "one encoder, fused": bridged(FEW, Procrustes()),
    "one encoder, cascade": bridged(cascade, Procrustes()),
}
WAYS: Mapping[str, Serving] = {
    **{
        f"fused, {name} forward": partial(fused, aligner=aligner)
        for name, aligner in BRIDGES.items()
        if name != "kernel"
    },
    **{
        f"zscore, old and {name} query joined (SLERP)": spherical(zscore, aligner)
        for name, aligner in BRIDGES.items()
    },
    **{
        f"one encoder, {way}, {name}": bridged(serving, aligner)
        for way, serving in (("zscore", zscore), ("fused", FEW), ("cascade", cascade))
        for name, aligner in BRIDGES.items()
        if name != "procrustes"
    },
}
ROBUST: Mapping[str, Serving] = {
    "fused, sample of 256": partial(fused, sample=256),
    "fused, 512 landmarks": partial(fused, aligner=Kernel(512, single=True)),
    "fused, 1024 landmarks": partial(fused, aligner=Kernel(1024, single=True)),
    "fused, 2048 landmarks, sample of 512": fused,
}
SWAPPED = {name: TWO[name] for name in ("raw", "zscore", "fused", "cascade")}

TARGETS = {
    "fused": {"mean": ">= 0.65", "each": ">= 0.48", "lowest": ">= 0"},
    "cascade": {"mean": ">= 0.88", "lowest": ">= 0"},
}


def ways(record: Record, worlds: Mapping[str, World], seeds: int) -> dict[str, dict[str, Runs]]:
    """All modes; answers their runs by set."""
    table = Table(record, worlds)
    runs = {key: sweep(world, {**TWO, **ONE}, seeds, SHARES) for key, world in worlds.items()}
    for name in (*TWO, *ONE):
        table.add(name, {key: found[name] for key, found in runs.items()}, **TARGETS.get(name, {}))
    say("modes done")
    for key, world in worlds.items():
        old = table.ends[key][0].mean()
        names = ("raw", "zscore", "fused", "cascade")
        early = sweep(world, {n: TWO[n] for n in names}, seeds, EARLY)
        for name, values in early.items():
            low = values.mean(axis=2).min(axis=0) - old
            for share, value in zip(EARLY, low, strict=True):
                aim = ">= 0" if name in TARGETS else ""
                cell = f"{name}, {key}, share {share:.0%}"
                record.add("lowest seed - old/old", cell, float(value), target=aim)
    say("early shares done")
    return runs


def aligners(record: Record, worlds: Mapping[str, World], seeds: int) -> None:
    """The same modes with other maps, and the ladder's choice among them."""
    table = Table(record, worlds)
    runs = {key: sweep(world, WAYS, seeds, SHARES) for key, world in worlds.items()}
    for name in WAYS:
        found = {key: found[name] for key, found in runs.items()}
        table.add(name, found, note=f" ({seeds} seeds)")
    say("aligners done")
    for key, world in worlds.items():
        judged = world.judged
        known = orders(world.old.shape[1], 1)[0][: round(PLANNED * world.old.shape[1])]
        old, new = judged.old_docs.take(known), judged.new_docs.take(known)
        ladder = tuple(BRIDGES.values())
        query = choose(new, old, ladder, "query", floor=False)
        gallery = choose(old, new, ladder, "gallery", floor=False)
        for way, choice in (("queries to old", query), ("gallery to new", gallery)):
            told = f"The ladder on {len(known)} pairs of {key}, {way}:\n\n```\n{choice}\n```"
            print(told, flush=True)
            record.notes.append(told)


def robustness(record: Record, worlds: Mapping[str, World], seeds: int) -> None:
    """Samples and landmarks, and what they cost."""
    table = Table(record, worlds)
    runs = {key: sweep(world, ROBUST, seeds, SHARES) for key, world in worlds.items()}
    for name in ROBUST:
        found = {key: found[name] for key, found in runs.items()}
        table.add(name, found, note=f" ({seeds} seeds)")
    key, world = max(worlds.items(), key=lambda pair: pair[1].old.shape[1])
    judged, tasks = world.judged, {}
    old, new = judged.old_docs.array, judged.new_docs.array
    for marks in (512, 1024, 2048):
        fusion = Fusion(judged.old_docs, judged.new_docs, aligner=Kernel(marks, single=True))
        tasks[f"{marks} landmarks"] = partial(_one_query, fusion, world)
    tasks["a product with all rows, the floor"] = lambda: old @ old[0]
    tasks["and with those of the new side"] = lambda: new @ new[0]
    for name, times in interleaved(tasks, 40, clock=time.process_time).items():
        cell = f"fused, {name}, 64 candidates, {key}"
        record.add("milliseconds of one core, one query", cell, min(times) * 1e3)


def _one_query(fusion: Fusion, world: World) -> None:
    """What ranking 64 candidates adds to two searches."""
    judged, rows = world.judged, np.arange(64)
    asked = judged.old_queries.take(rows[:1]), judged.new_queries.take(rows[:1])
    scales = fusion.scales(*asked)
    predicted = asked[1].array @ fusion.predict(judged.old_docs.array[rows[:32]]).array.T
    fusion.waiting(scales, asked[0].array @ judged.old_docs.array[rows[:32]].T, predicted)
    fusion.moved(scales, world.old[:1, 32:64], world.new[:1, 32:64])


def swapped(record: Record, worlds: Mapping[str, World], seeds: int) -> None:
    """The new model is the worse one: by how much does serving fall, and how soon?"""
    for key, world in worlds.items():
        turned = World.of(world.judged.swapped())
        old, new = (turned.ndcg(table).mean() for table in (turned.old, turned.new))
        for name, values in sweep(turned, SWAPPED, seeds, SHARES, start=False).items():
            means = values.mean(axis=(0, 2))
            area = float(trapezoid_weights(SHARES) @ means)
            cell = f"models swapped, {name}, {key} ({seeds} seeds)"
            record.add("area - straight line, nDCG@10", cell, area - (old + new) / 2.0)
            low = values[:, 1:-1].mean(axis=2).min() - min(old, new)
            record.add("lowest share - the worse model", cell, float(low))


def drawn(record: Record, runs: Mapping[str, Runs], write: bool) -> None:
    """Curves, as a table and as figures."""
    shown = ("raw", "zscore", "fused", "cascade", "one encoder, fused", "one encoder, cascade")
    lines = ["| nDCG@10 at share | " + " | ".join(f"{share:.0%}" for share in SHARES) + " |"]
    lines.append("|---" * (len(SHARES) + 1) + "|")
    for key, found in runs.items():
        for name in shown:
            values = found[name].mean(axis=0)
            cells = " | ".join(f"{value:.3f}" for value in values.mean(axis=1))
            lines.append(f"| {name}, {key} | {cells} |")
    record.notes.append("\n".join(lines))
    for key, found in runs.items():
        path = FOLDER / f"no_regret-{key}.svg"
        if write:
            measured = Curve.of("nDCG@10", SHARES, found["fused"].mean(axis=0))
            path.write_text(quality_curve(measured), encoding="utf-8")
            record.notes.append(f"![Fused serving of {key}, mean of the seeds]({path.name})")


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int)
    options = parser.parse_args()
    if not present():
        say("the judged sets of ../shared/data are not here: nothing to measure")
        return 0
    seeds = options.seeds or (2 if options.quick else 5)
    few = min(2, seeds)
    names = ("cranfield",) if options.quick else NAMES
    record = Record(
        "no_regret",
        "how good search is while a gallery is part old, part new",
        "scifact, cranfield, cosqa (their judged parts), WordLlama 256 to MiniLM 384",
        0,
        notes=[
            (
                "Area gain: (area under nDCG@10 over the share moved - old/old) / (new/new - "
                "old/old); 0 keeps the old model, 0.5 is a straight line, 1 switches at once. "
                f"Random orders, {seeds} seeds ({few} where a cell says so); eleven shares. "
                "Intervals are 95 %, over queries and seeds drawn together. Published: raw rank "
                "merge 0.36 to 0.45 on four image sets (Seo et al. 2023)."
            ),
            (
                "`cascade` encodes before it answers, of the 50 documents that the old side found, "
                "those that are told to be among the best 50 of both sides, and is served so from "
                "share 0 on; `all 50 that wait` encodes all that the old side found. What this "
                "costs under traffic is measured in [order](order.md). With one encoder the old "
                "model is dead: "
                "queries come over a bridge (Procrustes unless a cell names another), and maps "
                "are fitted on what has moved, at least on 10 % of the documents, encoded at "
                "plan time; at share 0 nothing else is known. Its gains are against the old "
                "model, which no longer answers."
            ),
        ],
        aims=not options.quick,
    )
    worlds = {name: World.of(read(name)) for name in names}
    begun = time.process_time()
    runs = ways(record, worlds, seeds)
    aligners(record, worlds, few)
    robustness(record, worlds, few)
    swapped(record, worlds, few)
    drawn(record, runs, writes(options))
    say(f"{time.process_time() - begun:.0f} s of one core")
    return record.finish(writes(options))


if __name__ == "__main__":
    raise SystemExit(main())
