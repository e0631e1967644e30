"""Models trained so that old galleries stay searchable: every method on the same data and budget.

python -m bench.compatible_training [--quick] [--seeds 2] [--cache FOLDER] [--finished]
    [--parts synthetic,stream,update,glyphs,flips]

    synthetic  class-incremental runs in a made world, with and without models from outside
    stream     the same on CIFAR-100, searched on CIFAR-10; models from outside take over
    update     CIFAR-100 from 50 to 100 classes: every method, closed set and open set
    glyphs     the same on drawn characters, from 200 to 400
    flips      what the old classifier had right and the new one gets wrong

Every cell that is finished is kept in the cache and not run again; --finished writes down what
there is and runs nothing. Needs torch, Pillow and the shared data; the synthetic part does not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from holdfast.measure.comparison import compare
from holdfast.measure.update_gain import UpdateGain

from . import compatible_flips, compatible_stream, compatible_update
from .compatible_cells import CACHE, Cells
from .compatible_images import present
from .compatible_stream import Stream
from .record import Record, arguments, say, writes

PARTS = ("synthetic", "stream", "update", "glyphs", "flips")
TITLE = "What does training for compatibility keep of an old gallery, and what does it cost?"
PUBLISHED = {  # CMC-1 / CMC-5 / mAP of new/old and new/new, ResNet-50 at 224 pixels, 128-d + 32
    "independent": "0.8 / 4.9 / 1.5; 62.7 / 74.6 / 49.9",
    "BCT": "25.0 / 62.1 / 24.7; 60.0 / 71.9 / 47.3",
    "BT2": "38.7 / 64.6 / 27.7; 62.4 / 75.1 / 50.5",
}
Seeds = Mapping[int, Any]


def mean_of(values: Sequence[Sequence[float]]) -> dict[str, float]:
    """Mean over seeds, and the outer ends of their intervals."""
    table = np.array(values, dtype=float)
    return {"value": table[:, 0].mean(), "low": table[:, 1].min(), "high": table[:, 2].max()}


def streams(record: Record, cells: Cells, made: Sequence[Stream], where: str) -> None:
    """AC, AA and what the last model finds in the first gallery, of every method."""
    found: dict[str, list[Any]] = {}
    for method in compatible_stream.METHODS:
        for stream in made:
            if "downloaded" in method and not stream.replaced:
                continue
            if stream.name.startswith("cifar") and method in {"CE", "HOC, learned head"}:
                continue
            name = f"{stream.name}-{method.replace(',', '').replace(' ', '-')}"
            make = lambda s=stream, m=method: compatible_stream.judged(cells, s, m)  # noqa: E731
            cell = cells.cell(name, make)
            if cell:
                found.setdefault(method, []).append(cell)
    for method, kept in found.items():
        of = f"{where}, {method}"
        with_target = AIMS.get(where, {})
        seeds = f"{len(kept)} seeds"
        for metric in ("AC", "AA", "BC", "FC"):
            told = mean_of([cell[metric] for cell in kept])
            aim = with_target.get(method, "") if metric == "AC" else ""
            record.add(f"{metric} of NCM", of, target=aim, data=seeds, **told)
        for label, place in (
            ("last model on the first gallery", (-1, 0)),
            ("last model on its own", (-1, -1)),
            ("first model on its own", (0, 0)),
        ):
            values = [cell["matrix"][place[0]][place[1]] for cell in kept]
            record.add(
                f"NCM, {label}",
                of,
                float(np.mean(values)),
                low=min(values),
                high=max(values),
                data=seeds,
            )
        doubt = [cell["beyond doubt"] for cell in kept]
        record.add("share of cells better beyond doubt", of, float(np.mean(doubt)), data=seeds)
    for better, worse, aim in GAPS.get(where, ()):
        if better in found and worse in found:
            pairs = zip(found[better], found[worse], strict=False)
            gaps = [100 * (a["AA"][0] - b["AA"][0]) for a, b in pairs]
            record.add(
                "points of AA",
                f"{where}, {better} above {worse}",
                float(np.mean(gaps)),
                low=min(gaps),
                high=max(gaps),
                target=f">= {aim}",
                data=f"{len(gaps)} seeds",
            )
    if found:
        record.notes.append(_stream_table(where, found))


AIMS = {
    "synthetic, incremental": {"HOC": ">= 0.8", "ER": "<= 0.2", "CE": "<= 0.2", "FD": "<= 0.2"},
    "CIFAR, replaced": {"HOC": ">= 0.9", "ER": "<= 0.1"},
}
GAPS = {
    "synthetic, incremental": (("HOC", "FD", 8),),
    "synthetic, replaced": (("HOC", "HOC, downloaded teacher", 5),),
    "CIFAR, replaced": (("HOC", "ER", 25), ("HOC", "HOC, downloaded teacher", 0)),
}


def _stream_table(where: str, found: Mapping[str, Sequence[Any]]) -> str:
    lines = [
        f"**{where}** (NCM; a seed each, in order)",
        "",
        "| method | AC | AA % | last on first gallery % | last on own % | first on own % |",
        "|---|---|---|---|---|---|",
    ]
    for method, kept in found.items():
        cells = [
            [f"{cell['AC'][0]:.2f}" for cell in kept],
            [f"{100 * cell['AA'][0]:.1f}" for cell in kept],
            *(
                [f"{100 * cell['matrix'][a][b]:.1f}" for cell in kept]
                for a, b in ((-1, 0), (-1, -1), (0, 0))
            ),
        ]
        lines.append(f"| {method} | " + " | ".join(" / ".join(cell) for cell in cells) + " |")
    return "\n".join(lines)


def updates(record: Record, found: Mapping[str, Seeds], where: str) -> None:
    """Rows and tables of one update of a model by every method."""
    if not found:
        return
    for name, seeds in found.items():
        for side in ("closed", "open"):
            for metric, cells in next(iter(seeds.values()))[side].items():
                for cell in cells:
                    values = [seed[side][metric][cell] for seed in seeds.values()]
                    means = [float(np.mean(one)) for one in values]
                    record.add(
                        metric,
                        f"{where}, {side}, {name}, {cell}",
                        float(np.mean(means)),
                        low=min(means),
                        high=max(means),
                        data=f"{len(means)} seeds",
                    )
        _criterion(record, name, seeds, where)
        _gain(record, name, seeds, found["independent"], where)
    _oca(record, found, where)
    record.notes += [_closed_table(where, found), _open_table(where, found)]


def _criterion(record: Record, name: str, seeds: Seeds, where: str) -> None:
    for side in ("closed", "open"):
        for cell in ("new/old", "Procrustes", "relaxed", "midpoint", "Procrustes, midpoint"):
            differences = []
            for seed in seeds.values():
                values = seed[side]["CMC@1"]
                change = compare(values["old/old"], values[cell]).difference
                differences.append([change.value, change.low, change.high])
            record.add(
                "CMC@1 less old/old",
                f"{where}, {side}, {name}, {cell}",
                data=f"{len(differences)} seeds",
                **mean_of(differences),
            )


def _gain(record: Record, name: str, seeds: Seeds, free: Seeds, where: str) -> None:
    gains = []
    for number, seed in seeds.items():
        if number not in free:
            continue
        values, best = seed["closed"]["CMC@1"], free[number]["closed"]["CMC@1"]
        gain = UpdateGain.of(values["old/old"], values["new/old"], best["new/new"]).gain
        if gain is not None:
            gains.append([gain.value, gain.low, gain.high])
    if gains:
        record.add("update gain of CMC@1", f"{where}, closed, {name}", data="", **mean_of(gains))


def _oca(record: Record, found: Mapping[str, Seeds], where: str) -> None:
    for name in ("OCA", "OCA without its layer"):
        if name not in found:
            continue
        behind = []
        for number, seed in found[name].items():
            free = found["independent"][number]["closed"]["CMC@1"]["new/new"]
            change = compare(free, seed["closed"]["CMC@1"]["new/new"]).difference
            behind.append([100 * v for v in (change.value, change.low, change.high)])
        record.add(
            "points of CMC@1 above the independent model, new/new",
            f"{where}, {name}",
            target=">= -1",
            data=f"{len(behind)} seeds",
            **mean_of(behind),
        )


def _percent(seeds: Seeds, side: str, metric: str, cell: str) -> str:
    values = [100 * float(np.mean(seed[side][metric][cell])) for seed in seeds.values()]
    return f"{np.mean(values):.1f}"


def _closed_table(where: str, found: Mapping[str, Seeds]) -> str:
    lines = [
        f"**{where}, trained classes** (CMC-1 / CMC-5 / mAP in %, mean over seeds)",
        "",
        "| method | seeds | old/old | new/old | new/new | published new/old; new/new |",
        "|---|---|---|---|---|---|",
    ]
    for name, seeds in found.items():
        cells = [
            " / ".join(_percent(seeds, "closed", m, c) for m in compatible_update.METRICS)
            for c in ("old/old", "new/old", "new/new")
        ]
        published = PUBLISHED.get(name, "") if where.startswith("CIFAR") else ""
        lines.append(f"| {name} | {len(seeds)} | " + " | ".join([*cells, published]) + " |")
    after = found["independent"]
    for cell in ("Procrustes", "relaxed"):
        value = _percent(after, "closed", "CMC@1", cell)
        lines.append(f"| independent, then {cell} | {len(after)} | | {value} / / | | |")
    return "\n".join(lines)


def _open_table(where: str, found: Mapping[str, Seeds]) -> str:
    cells = (
        "old/old",
        "new/old",
        "Procrustes",
        "relaxed",
        "midpoint",
        "Procrustes, midpoint",
        "new/new",
    )
    lines = [
        f"**{where}, classes no model was trained on** (CMC-1 in %; bold: above old/old beyond "
        "doubt in every seed; the midpoints ask with both models)",
        "",
        "| method | " + " | ".join(cells) + " |",
        "|---|" + "---|" * len(cells),
    ]
    for name, seeds in found.items():
        row = []
        for cell in cells:
            text = _percent(seeds, "open", "CMC@1", cell)
            sure = cell not in {"old/old", "new/new"} and all(
                compare(s["open"]["CMC@1"]["old/old"], s["open"]["CMC@1"][cell]).outcome == "better"
                for s in seeds.values()
            )
            row.append(f"**{text}**" if sure else text)
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def flips(record: Record, cells: Cells, seeds: int) -> None:
    """Accuracy and flips of every method and update."""
    for where, make in compatible_flips.UPDATES.items():
        found: dict[str, list[Any]] = {}
        for seed in range(max(3, seeds) if "massive" in where else seeds):
            made: list[Any] = []
            for method in compatible_flips.METHODS:

                def run(seed: int = seed, made: list[Any] = made, method: str = method) -> Any:
                    if not made:
                        made.append(make(cells, seed))
                    return compatible_flips.judged(cells, made[0], method)

                prefix = {"massive, 500": "massive-texts", "massive, 30 ": "massive-intents"}
                name = prefix.get(where[:12], "cifar100-flips")
                cell = cells.cell(f"{name}-{seed}-{method.replace(',', '').replace(' ', '-')}", run)
                if cell:
                    found.setdefault(method, []).append(cell)
        for method, kept in found.items():
            for metric in ("NFR", "PFR", "relative"):
                told = mean_of([cell[metric] for cell in kept])
                label = "NFR over that of independent errors" if metric == "relative" else metric
                record.add(label, f"{where}, {method}", data=f"{len(kept)} seeds", **told)
            values = [cell["all"] for cell in kept]
            record.add(
                "accuracy, all classes",
                f"{where}, {method}",
                float(np.mean(values)),
                low=min(values),
                high=max(values),
                data=f"{len(kept)} seeds",
            )
        if found:
            record.notes.append(_flip_table(where, found))


def _flip_table(where: str, found: Mapping[str, Sequence[Any]]) -> str:
    lines = [
        f"**Flips, {where}** (%, mean over {max(map(len, found.values()))} seeds; on test items of old classes)",
        "",
        "| method | old accuracy | new accuracy | NFR | PFR | relative NFR | accuracy, all classes |",
        "|---|---|---|---|---|---|---|",
    ]
    for method, kept in found.items():

        def mean(key: str, kept: Sequence[Any] = kept) -> float:
            values = [cell[key] if isinstance(cell[key], float) else cell[key][0] for cell in kept]
            return float(np.mean(values))

        shown = [f"{100 * mean(key):.1f}" for key in ("old", "new", "NFR", "PFR")]
        lines.append(
            f"| {method} | "
            + " | ".join([*shown, f"{mean('relative'):.2f}", f"{100 * mean('all'):.1f}"])
            + " |"
        )
    return "\n".join(lines)


NOTES = (
    "Stated smaller size: two cores, one thread, no GPU. On CIFAR-100 and the glyphs the models are networks "
    "of two layers (384 units, 128 coordinates) on fixed convolutional features, not convolutional "
    "networks: whitened 6 x 6 patches drawn from the pictures, half waves, quarters averaged, 384 leading "
    "directions. Nothing here is extrapolated to larger models.",
    "low to high: the outer ends of the 95 % intervals of the single seeds where a row is a difference, "
    "AC, AA, BC, FC or a rate of flips; else the lowest and highest seed.",
    "CIFAR, replaced: 10 + 6 x 15 classes of CIFAR-100, 300 images a class, memory 20 a class; models trained elsewhere "
    "take over at tasks 1, 3 and 5. Those know 30, 60 and 100 classes of **the other 200 images of each class of CIFAR-100**, under other names: "
    "ImageNet-32 is not at hand. Queries are 5,000 and the gallery the other 5,000 test images of CIFAR-10, where "
    "the published figures (AC 0.00 and AA 35.2 for ER, 0.95 and 68.9 for HOC) ask with the 50,000 training images and "
    "a ResNet-18 of 70 epochs.",
    "CIFAR-100, 50 to 100 classes: published figures (old/old 33.6 / 55.4 / 24.4) are of a ResNet-50 on pictures of 224 pixels, 100 epochs of Adam, "
    "batch 64, with augmentation and all 10,000 test images as queries, the classes 0 to 49 old. Here: features as above, 10 epochs, "
    "batch 128, no augmentation, 2,000 queries against all 10,000, 50 classes drawn by the seed. Every method has "
    "the same backbone, epochs, batches and seed, and its published weights; one simplex holds 128 classes (512 for glyphs). CL2R and "
    '"distilled" have no memory in a model trained afresh, so they distil every item. BCT takes class means for the classifier of '
    'classes the old model never saw. Midpoints and maps are made afterwards from 10,000 training images; "relaxed" is the '
    "orthogonal map with a penalty.",
)


def main() -> int:
    """Run what is asked for and write it down."""
    parser = arguments(__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--finished", action="store_true", help="write what is there, run nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.cache / "quick" if options.quick else options.cache
    cells = Cells(folder, run=not options.finished)
    record = Record("compatible_training", TITLE, "see the cell", aims=not options.quick)
    record.notes += NOTES
    for part in options.parts.split(","):
        if part != "synthetic" and not present():
            say(f"{part}: skipped, the shared data is not there")
            continue
        RUNS[part](record, cells, options)
    return record.finish(writes(options))


def _synthetic(record: Record, cells: Cells, options: argparse.Namespace) -> None:
    seeds, epochs = (1, 8) if options.quick else (max(3, options.seeds), 40)
    for asynchronous in (False, True):
        made = [compatible_stream.synthetic(s, asynchronous, epochs) for s in range(seeds)]
        where = f"synthetic, {'replaced' if asynchronous else 'incremental'}"
        streams(record, cells, made, where)


def _stream(record: Record, cells: Cells, options: argparse.Namespace) -> None:
    seeds = 1 if options.quick else options.seeds
    made = [compatible_stream.cifar(cells, s, options.quick) for s in range(seeds)]
    streams(record, cells, made, "CIFAR, replaced")


def _update(data: str, where: str) -> Callable[[Record, Cells, argparse.Namespace], None]:
    def run(record: Record, cells: Cells, options: argparse.Namespace) -> None:
        seeds = tuple(range(1 if options.quick else options.seeds))
        updates(record, compatible_update.run(cells, data, seeds, options.quick), where)

    return run


def _flips(record: Record, cells: Cells, options: argparse.Namespace) -> None:
    if options.quick:
        return
    flips(record, cells, options.seeds)


RUNS = {
    "synthetic": _synthetic,
    "stream": _stream,
    "update": _update("cifar100", "CIFAR-100"),
    "glyphs": _update("glyphs", "glyphs"),
    "flips": _flips,
}

if __name__ == "__main__":
    raise SystemExit(main())
