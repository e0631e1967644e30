"""Models trained so that old galleries stay searchable: every method on the same data and budget.

python -m bench.compatible_training [--quick] [--seeds 2] [--cache FOLDER] [--finished]
    [--parts synthetic,stream,update,glyphs,tuning,flips,convolutional,whole,cost]

    synthetic  class-incremental runs in a made world, with and without models from outside
    stream     the same on CIFAR-100, searched on CIFAR-10; models from outside take over
    update     CIFAR-100 from 50 to 100 classes: every method, closed set and open set
    glyphs     the same on drawn characters, from 200 to 400
    tuning     other settings of HOC and OCA, on data that judges nothing else
    flips      what the old classifier had right and the new one gets wrong
    convolutional  the update of CIFAR-100 with a small residual network that is trained whole
    whole      the stream of CIFAR with the same network
    cost       the loop against a bare torch loop, in CPU time

Features of the pictures are made on first use, in a minute and a half. Every cell that is
finished is kept in the cache and not run again; --finished writes down what there is and runs
nothing. Needs torch, Pillow and the shared data; synthetic and cost do not.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from holdfast.measure.comparison import compare
from holdfast.measure.update_gain import UpdateGain

from . import (
    compatible_convolutional,
    compatible_cost,
    compatible_flips,
    compatible_oca,
    compatible_stream,
    compatible_tuning,
    compatible_update,
    compatible_whole,
)
from .compatible_cells import Cells, kept_arguments
from .compatible_images import present
from .compatible_plot import plot
from .compatible_stream import Stream
from .compatible_words import (
    ASKED,
    CONVOLUTIONAL,
    NOTES,
    Seeds,
    aims_table,
    closed_table,
    flip_table,
    gained,
    open_table,
    stream_table,
)
from .record import Record, say, writes

PARTS = (
    *("synthetic", "stream", "update", "glyphs", "tuning", "flips"),
    *("convolutional", "whole", "cost"),
)
MADE = 5  # seeds of the made world, which is cheap
TITLE = "What does training for compatibility keep of an old gallery, and what does it cost?"


def mean_of(values: Sequence[Sequence[float]]) -> dict[str, float]:
    """Mean over seeds, and the outer ends of their intervals."""
    table = np.array(values, dtype=float)
    return {"value": table[:, 0].mean(), "low": table[:, 1].min(), "high": table[:, 2].max()}


def streams(
    record: Record, cells: Cells, made: Sequence[Stream], where: str, bounds: bool = False
) -> None:
    """AC, AA and what the last model finds in the first gallery, of every method.

    With `bounds` the table shows intervals as well.
    """
    found = streamed(cells, made)
    for method, kept in found.items():
        of, seeds = f"{where}, {method}", f"{len(kept)} seeds"
        for metric in ("AC", "AA", "BC", "FC"):
            told = mean_of([cell[metric] for cell in kept])
            aim = AIMS.get(where, {}).get(method, "") if metric == "AC" else ""
            record.add(f"{metric} of NCM", of, target=aim, data=seeds, **told)
        for label, (query, gallery) in CORNERS.items():
            values = [cell["matrix"][query][gallery] for cell in kept]
            record.mean(f"NCM, {label}", of, values, data=seeds)
        doubt = [cell["beyond doubt"] for cell in kept]
        record.add("share of cells better beyond doubt", of, float(np.mean(doubt)), data=seeds)
    for better, worse, aim in GAPS.get(where, ()):
        if better in found and worse in found:
            pairs = list(zip(found[better], found[worse], strict=False))
            gaps = [100 * (a["AA"][0] - b["AA"][0]) for a, b in pairs]
            of, seeds = f"{where}, {better} above {worse}", f"{len(gaps)} seeds"
            record.mean("points of AA", of, gaps, target=f">= {aim}", data=seeds)
            if apart := compatible_stream.across(made[0]):
                gaps = [100 * (apart(a["matrix"]) - apart(b["matrix"])) for a, b in pairs]
                told = "points, mean of the cells across a replacement"
                record.mean(told, of, gaps, data=seeds)
    if found:
        record.notes.append(stream_table(where, found, bounds))


def streamed(cells: Cells, made: Sequence[Stream]) -> dict[str, list[Any]]:
    """Method to its cells, a seed each."""
    found: dict[str, list[Any]] = {}
    for method in compatible_stream.METHODS:
        for stream in made:
            if method in LEFT_OUT.get(stream.name.rpartition("-")[0], ()):
                continue
            name = f"{stream.name}-{method.replace(',', '').replace(' ', '-')}"
            cell = cells.cell(name, partial(compatible_stream.judged, cells, stream, method))
            if cell:
                found.setdefault(method, []).append(cell)
    return found


ONLY_TWO = ("CE", "FD", "HOC, learned head", "HOC, downloaded teacher", "HOC, stored vectors")
LEFT_OUT = {
    "cifar": ("HOC, stored vectors",),
    "cifar30": ONLY_TWO,
    "imagenet": ("HOC, stored vectors",),
    "onward": ONLY_TWO,
    "onward30": ONLY_TWO,
    "whole": ("CE", "HOC, learned head", "HOC, stored vectors"),
    "synthetic-incremental": ("HOC, downloaded teacher", "HOC, stored vectors"),
    "synthetic-asynchronous": ("HOC, stored vectors",),
}
AIMS = {
    "synthetic, incremental": {"HOC": ">= 0.8", "ER": "<= 0.2", "CE": "<= 0.2", "FD": "<= 0.2"},
    "CIFAR, replaced": {"HOC": ">= 0.9", "ER": "<= 0.1"},
    "CIFAR, replaced, 30 epochs": {"HOC": ">= 0.9", "ER": "<= 0.1"},
    "CIFAR, replaced, trained whole": {"HOC": ">= 0.9", "ER": "<= 0.1"},
    "CIFAR, replaced, halfway": {"HOC": ">= 0.9", "ER": "<= 0.1"},
    "CIFAR, replaced, halfway, 30 epochs": {"HOC": ">= 0.9", "ER": "<= 0.1"},
}
CORNERS = {
    "last model on the first gallery": (-1, 0),
    "last model on its own": (-1, -1),
    "first model on its own": (0, 0),
}
GAPS = {
    "synthetic, incremental": (("HOC", "FD", 8),),
    "synthetic, replaced": (("HOC", "HOC, downloaded teacher", 5),),
    "CIFAR, replaced": (("HOC", "ER", 25), ("HOC", "HOC, downloaded teacher", 0)),
    "CIFAR, replaced, 30 epochs": (("HOC", "ER", 25),),
    "CIFAR, replaced, trained whole": (("HOC", "ER", 25), ("HOC", "HOC, downloaded teacher", 0)),
    "CIFAR, replaced, halfway": (("HOC", "ER", 25),),
    "CIFAR, replaced, halfway, 30 epochs": (("HOC", "ER", 25),),
}


def updates(record: Record, found: Mapping[str, Seeds], where: str, drawn: bool) -> None:
    """Rows and tables of one update of a model by every method."""
    if not found:
        return
    for name, seeds in found.items():
        for side in ("closed", "open"):
            for metric in next(iter(seeds.values()))[side]:
                for cell in ("old/old", "new/old", "new/new"):
                    values = [seed[side][metric][cell] for seed in seeds.values()]
                    means = [float(np.mean(one)) for one in values]
                    of, seen = f"{where}, {side}, {name}, {cell}", f"{len(means)} seeds"
                    record.mean(metric, of, means, data=seen)
        _criterion(record, name, seeds, where)
        _gain(record, name, seeds, found["independent"], where)
    _oca(record, found, where)
    record.notes += [closed_table(where, found), open_table(where, found)]
    if drawn:
        record.notes.append(plot(where, dict(found)))


def _criterion(record: Record, name: str, seeds: Seeds, where: str) -> None:
    for side in ("closed", "open"):
        for cell in ASKED:
            differences = []
            for seed in seeds.values():
                values = seed[side]["CMC@1"]
                change = compare(values["old/old"], values[cell]).difference
                differences.append([change.value, change.low, change.high])
            aimed = name.startswith("OCA") and (side, cell) == ("closed", "new/old")
            record.add(
                "CMC@1 less old/old",
                f"{where}, {side}, {name}, {cell}",
                target=">= 0" if aimed else "",
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
        record.add(
            "update gain of CMC@1",
            f"{where}, closed, {name}",
            data=f"{len(gains)} seeds",
            **mean_of(gains),
        )


def _oca(record: Record, found: Mapping[str, Seeds], where: str) -> None:
    for name in ("OCA", "OCA without its layer", "OCA, distilled", "OCA, distilled by 10"):
        if name not in found:
            continue
        behind = []
        for number, seed in found[name].items():
            free = found["independent"][number]["closed"]["CMC@1"]["new/new"]
            behind.append(gained(free, seed["closed"]["CMC@1"]["new/new"]))
        record.add(
            "points of CMC@1 above the independent model, new/new",
            f"{where}, {name}",
            target=">= -1",
            data=f"{len(behind)} seeds",
            **mean_of(behind),
        )


def flips(record: Record, cells: Cells, seeds: int) -> None:
    """Accuracy and flips of every method and update."""
    for where, make in compatible_flips.UPDATES.items():
        found: dict[str, list[Any]] = {}
        for seed in range(max(3, seeds) if "massive" in where else seeds):
            made: list[Any] = []
            for method in compatible_flips.METHODS:
                run = partial(_flipped, cells, make, seed, made, method)
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
            of, seen = f"{where}, {method}", f"{len(kept)} seeds"
            record.mean("accuracy, all classes", of, values, data=seen)
        if found:
            record.notes.append(flip_table(where, found))


def _flipped(
    cells: Cells, make: Callable[[Cells, int], Any], seed: int, made: list[Any], method: str
) -> Any:
    if not made:
        made.append(make(cells, seed))
    return compatible_flips.judged(cells, made[0], method)


def main() -> int:
    """Run what is asked for and write it down."""
    parser = kept_arguments(__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--parts", default=",".join(PARTS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    cells = Cells.asked(options)
    record = Record("compatible_training", TITLE, "see the cell", aims=not options.quick)
    record.notes += NOTES
    for part in options.parts.split(","):
        if part not in {"synthetic", "cost"} and not present():
            say(f"{part}: skipped, the shared data is not there")
            continue
        RUNS[part](record, cells, options)
    return record.finish(writes(options))


def _synthetic(record: Record, cells: Cells, options: argparse.Namespace) -> None:
    seeds, epochs = (1, 8) if options.quick else (max(MADE, options.seeds), 20)
    for asynchronous in (False, True):
        made = [compatible_stream.synthetic(s, asynchronous, epochs) for s in range(seeds)]
        where = f"synthetic, {'replaced' if asynchronous else 'incremental'}"
        streams(record, cells, made, where)


def _stream(record: Record, cells: Cells, options: argparse.Namespace) -> None:
    seeds = 1 if options.quick else options.seeds
    made = [compatible_stream.cifar(cells, s, options.quick) for s in range(seeds)]
    value = compatible_stream.untrained(made[0])
    record.add("NCM of the features, untrained", "CIFAR, replaced", value, data="no seed")
    streams(record, cells, made, "CIFAR, replaced")
    if not options.quick:
        longer = [compatible_stream.longer(stream, 30) for stream in made]
        streams(record, cells, longer, "CIFAR, replaced, 30 epochs")


def _update(
    make: Callable[[Cells, int], compatible_update.World], where: str
) -> Callable[[Record, Cells, argparse.Namespace], None]:
    def run(record: Record, cells: Cells, options: argparse.Namespace) -> None:
        seeds = tuple(range(1 if options.quick else options.seeds))
        found = compatible_update.run(cells, make, seeds, options.quick)
        updates(record, found, where, writes(options))

    return run


def _convolutional(record: Record, cells: Cells, options: argparse.Namespace) -> None:
    seeds = tuple(range(1 if options.quick else options.seeds))
    methods = compatible_convolutional.AS_PUBLISHED
    record.notes += CONVOLUTIONAL
    for where, make in {
        "CIFAR-100, convolutional": compatible_convolutional.convolutional,
        "CIFAR-100, features, old model as published": compatible_convolutional.featured,
    }.items():
        found = compatible_update.run(cells, make, seeds, options.quick, methods)
        if found:
            record.notes.append(aims_table(where, found))
        updates(record, found, where, drawn=False)
    if not options.quick:
        tried = compatible_convolutional.table(cells), compatible_oca.table(cells)
        record.notes += [table for table in tried if table]


def _whole(record: Record, cells: Cells, options: argparse.Namespace) -> None:
    seeds = 1 if options.quick else options.seeds
    made = [compatible_whole.whole(cells, seed, quick=options.quick) for seed in range(seeds)]
    sentence, told = compatible_whole.said(streamed(cells, made))
    record.notes[0] = f"{record.notes[0]} {sentence}".rstrip()  # the summary of all
    record.notes += [compatible_whole.WHOLE[0], told, *compatible_whole.WHOLE[1:]]
    streams(record, cells, made, "CIFAR, replaced, trained whole", bounds=True)
    if not options.quick:
        record.notes += compatible_whole.tables(cells, made[0])


def _tuning(record: Record, cells: Cells, options: argparse.Namespace) -> None:
    if not options.quick:
        record.notes += compatible_tuning.tables(cells, options.seeds)


def _flips(record: Record, cells: Cells, options: argparse.Namespace) -> None:
    if options.quick:
        return
    flips(record, cells, options.seeds)


def _cost(record: Record, cells: Cells, options: argparse.Namespace) -> None:
    rounds = 5 if options.quick else 25
    found = cells.cell("cost", lambda: compatible_cost.measure(rounds))
    cost = {label: told for label, told in found.items() if label != "seconds"}
    compatible_cost.cost(record, cost)


RUNS = {
    "synthetic": _synthetic,
    "stream": _stream,
    "update": _update(compatible_update.cifar100, "CIFAR-100"),
    "glyphs": _update(compatible_update.glyphs, "glyphs"),
    "tuning": _tuning,
    "flips": _flips,
    "convolutional": _convolutional,
    "whole": _whole,
    "cost": _cost,
}

if __name__ == "__main__":
    raise SystemExit(main())
