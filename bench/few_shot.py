"""Few-shot sessions of new classes on small CLIP models that are trained here.

python -m bench.few_shot --cache FOLDER [--quick] [--worlds digits,nouns,names] [--seeds 0,1,2]

    60 classes with all their pictures, then 8 sessions of 5 classes with 5 pictures each.
    Zero-shot, prototypes, TEEN and a blend, which are not trained, beside CPE-CLIP, which is;
    and what galleries of earlier sessions are worth to later models, which its paper does not
    ask.

python -m bench.few_shot --published MODEL --photographs FOLDER [--lists FOLDER]

    The published protocol on CIFAR-100, for who has the weights: a folder with CLIP ViT-B/16,
    the photographs as Parquet files, and, if at hand, the lists of the pictures of later
    sessions. See `few_shot_published`.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from holdfast.measure.session_galleries import SessionGalleries, session_galleries
from holdfast.measure.sessions import SessionReport
from holdfast.train.few_shot.base import SessionClassifier, sessions
from holdfast.train.few_shot.blend import Blend
from holdfast.train.few_shot.prompted import Prompted, PromptRecipe
from holdfast.train.few_shot.prototypes import Prototypes, Teen
from holdfast.train.few_shot.zero_shot import ZeroShot
from holdfast.train.interface import Interface
from holdfast.train.prompts.clip import PromptedClip
from holdfast.train.prompts.rates import constant
from holdfast.train.scenarios import Scenario, few_shot

from .few_shot_worlds import WORLDS, World, model_of
from .record import FOLDER, Record, Row, arguments, say, writes

CPE, OFF, TEXT = "CPE-CLIP", "CPE-CLIP, rate not scaled", "CPE-CLIP, prompts in texts alone"
RECIPE = PromptRecipe(base_epochs=4, rate=constant(0.02))
BASE, WAYS, SHOTS = 60, 5, 5


@dataclass
class Outcome:
    """What one method did with one seed.

    Args:
        report: Of its predictions.
        rows: After each session the (n, d) rows of all test pictures.
        names: After each session the (C, d) rows of all names, also of later classes.
        parameters: How many were trained.
        seconds: Of one core, to learn all sessions.
    """

    report: SessionReport
    rows: list[np.ndarray] = field(default_factory=list)
    names: list[np.ndarray] = field(default_factory=list)
    parameters: int = 0
    seconds: float = 0.0


class Seed:
    """One order of the classes of a world, and one choice of the few pictures.

    Args:
        world: Its pictures.
        model: Its small CLIP and tokenizer.
        seed: Of the order, the choice, the prompts and the batches.
    """

    def __init__(self, world: World, model: tuple[Any, Callable], seed: int) -> None:
        self.world, self.seed = world, seed
        self.clip, self.tokenize = model
        order = np.random.default_rng(seed).permutation(world.classes).tolist()
        ends = [0, *range(BASE, len(order) + 1, WAYS)]
        self.steps = [order[a:b] for a, b in pairwise(ends)]
        self.labels = np.array([order.index(name) for name in world.test[1]])
        self.order = order
        self.scenario: Scenario = few_shot(
            world.train[1], Interface("few-shot", capacity=128), self.steps, SHOTS, seed
        )

    @property
    def classes(self) -> list[int]:
        return [len(step) for step in self.steps]

    def prompted(self, **options: Any) -> PromptedClip:
        depth = len(self.clip.text_model.encoder.layers)
        scale = float(self.clip.logit_scale.detach().exp())
        return PromptedClip(
            self.clip,
            self.tokenize,
            depth=depth,
            scale=scale,
            seed=self.seed,
            **options,
        )

    def fitted(self, method: SessionClassifier, parameters: int = 0) -> Outcome:
        """All sessions, the test after each."""
        return self._followed(
            method, sessions(method, self.world.train[0], self.scenario), parameters
        )

    def twins(self, recipe: PromptRecipe) -> tuple[Outcome, Outcome]:
        """With the rate scaled and not: the same until the first session is over."""
        scaled = Prompted(self.prompted(), recipe, self.world.template)
        made = sessions(scaled, self.world.train[0], self.scenario)
        begun = time.process_time()
        next(made)
        first = time.process_time() - begun
        plain = copy.deepcopy(scaled)
        plain.recipe = replace(recipe, lr_scale=None)
        later = Scenario(self.scenario.classes, tuple(
            replace(task, start="fresh") for task in self.scenario.tasks[1:]
        ))  # fmt: skip
        others = sessions(plain, self.world.train[0], later)
        count = scaled.towers.count
        return (
            self._followed(scaled, made, count, first),
            self._followed(plain, others, count, first),
        )

    def _followed(
        self, method: SessionClassifier, made: Any, parameters: int, first: float = 0.0
    ) -> Outcome:
        test, towers = self.world.test[0], method.towers
        asked = [self.world.template.format(name) for name in self.order]
        rows, names, predicted, seconds = [], [], [], first
        fitted = bool(first)
        while True:
            begun = time.process_time()
            if not fitted and next(made, None) is None:
                break
            seconds += 0.0 if fitted else time.process_time() - begun
            fitted = False
            still = rows and (not isinstance(method, Prompted) or towers.bridge is None)
            rows.append(rows[0] if still else method.vectors(test))
            predicted.append(method.nearest(rows[-1]))
            with torch.no_grad():
                names.append(towers.text_vectors(asked).numpy())
        report = SessionReport.of(predicted, self.labels, self.classes)
        return Outcome(report, rows, names, parameters, seconds)

    def galleries(self, outcome: Outcome) -> dict[str, SessionGalleries]:
        """Pictures by pictures, and by names: one half of the test searches, or is searched."""
        ranks = np.array([np.sum(self.labels[:n] == y) for n, y in enumerate(self.labels)])
        asks, holds = ranks % 2 == 0, ranks % 2 == 1
        asked, stored = self.labels[asks], self.labels[holds]
        pictures = [(rows[asks], rows[holds]) for rows in outcome.rows]
        texts = [(t, rows[holds]) for t, rows in zip(outcome.names, outcome.rows, strict=True)]
        every = np.arange(len(self.order))
        return {
            "picture to pictures": session_galleries(
                pictures, asked, stored, self.classes, "CMC@1"
            ),
            "name to pictures": session_galleries(texts, every, stored, self.classes, "AP"),
        }


def methods(seed: Seed) -> dict[str, Outcome]:
    """Every method with one seed."""
    frozen, template = seed.prompted(prompts=0), seed.world.template
    recipe = replace(RECIPE, seed=seed.seed)
    plain = {
        "zero-shot": ZeroShot(frozen, (template,)),
        "image prototypes": Prototypes(frozen),
        "TEEN": Teen(frozen),
        "blend of names and prototypes": Blend(frozen, templates=(template,)),
    }
    found = {name: seed.fitted(method) for name, method in plain.items()}
    found[CPE], found[OFF] = seed.twins(recipe)
    texts = seed.prompted(image_mode=None)
    found[TEXT] = seed.fitted(Prompted(texts, recipe, template), texts.count)
    return found


def tell(record: Record, world: World, found: Mapping[str, list[Outcome]]) -> None:
    """The rows of one world."""
    told = {"data": f"{world.name}: {world.told}"}
    for name, outcomes in found.items():
        reports, cell = [one.report for one in outcomes], f"{world.name}, {name}"
        record.mean("Avg", cell, [one.average().value for one in reports], **told)
        record.mean("PD", cell, [one.drop().value for one in reports], **told)
        record.mean("HM", cell, [one.harmonic().value for one in reports], **told)
        record.mean("base, at the end", cell, [r.base().value for r in reports], **told)
        record.mean("novel, at the end", cell, [r.novel().value for r in reports], **told)
        record.add("trained parameters", cell, outcomes[0].parameters, **told)
        record.mean("seconds of one core", cell, [o.seconds for o in outcomes], **told)
    pairs = {"zero-shot": ">= 0.08", OFF: ">= 0.005"} if world.name == "digits" else {}
    for other in [name for name in found if name != CPE]:
        gains = [
            one.report.average().value - two.report.average().value
            for one, two in zip(found[CPE], found[other], strict=True)
        ]
        cell = f"{world.name}, {CPE} over {other}"
        record.mean("Avg, gain", cell, gains, target=pairs.get(other, ""), **told)
    record.notes.append(summary(record.rows, world.name, list(found)))
    lines = [f"Accuracy after each session in {world.name}, in per cent, means over seeds:", ""]
    for name, outcomes in found.items():
        table = np.array([[a.value for a in one.report.accuracies()] for one in outcomes])
        values = " ".join(f"{100 * value:.1f}" for value in table.mean(axis=0))
        lines.append(f"* {name}: {values}")
    record.notes.append("\n".join(lines))
    if record.aims:
        record.notes.append(f"![Accuracy after each session]({draw(world, found)})")


def summary(rows: Sequence[Row], world: str, names: Sequence[str]) -> str:
    """A table of the methods in one world, in per cent."""
    shown = ("Avg", "PD", "HM", "base, at the end", "novel, at the end")
    lines = [f"In {world}, in per cent:", "", f"| method | {' | '.join(shown)} | parameters | s |"]
    lines += ["|---" * (len(shown) + 3) + "|"]
    for name in names:
        own = {row.metric: row for row in rows if row.cell == f"{world}, {name}"}
        cells = [
            f"{100 * row.value:.1f} ({100 * (row.low or 0):.1f} to {100 * (row.high or 0):.1f})"
            for row in (own[metric] for metric in shown)
        ]
        cells += [f"{own['trained parameters'].value:,.0f}"]
        cells += [f"{own['seconds of one core'].value:.1f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def verdict(rows: Sequence[Row], world: str, names: Sequence[str]) -> str:
    """In words: who is best, and what a gallery loses that is never made again."""
    average = {
        name: row.value
        for row in rows
        for name in names
        if row.cell == f"{world}, {name}" and row.metric == "Avg"
    }
    free = max((name for name in names if not name.startswith(CPE)), key=average.__getitem__)
    best = max(names, key=average.__getitem__)
    gap = f"{100 * (average[CPE] - average[free]):+.1f} points"
    lines = [f"In {world} the highest Avg is that of {best}."]
    lines += [f"{CPE} is {gap} from the best method without training, {free}."]
    for name in (CPE, OFF, TEXT):
        own = {
            row.metric: row.value
            for row in rows
            if row.cell == f"{world}, {name}, picture to pictures"
        }
        kept, made = (
            own[f"CMC@1, gallery {way}, at the end"] for way in ("never made again", "made again")
        )
        lines.append(
            f"{name}: a gallery of pictures never made again answers {100 * kept:.1f}, one made "
            f"again {100 * made:.1f} (CMC@1 in per cent)."
        )
    return " ".join(lines)


def draw(world: World, found: Mapping[str, list[Outcome]]) -> str:
    """A figure of accuracy after each session beside the page; its file name."""
    curves = {
        name: np.mean([[a.value for a in one.report.accuracies()] for one in outcomes], axis=0)
        for name, outcomes in sorted(found.items())
    }
    return plot(world.name, world.told, curves)


def plot(name: str, title: str, curves: Mapping[str, npt.NDArray[np.float64]]) -> str:
    """A line each, and what it is below them, where it hides none."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.add_subplot()
    marks = ("o-", "s--", "^--", "v--", "D--", "x:", "+:")
    for (label, values), mark in zip(curves.items(), marks, strict=False):
        axes.plot(range(1, len(values) + 1), values, mark, ms=4, lw=1.4, label=label)
    axes.set(xlabel="sessions", ylabel="accuracy, all classes known by then")
    axes.set_title(title, fontsize=9)
    axes.set_ylim(bottom=0.0)
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=3)
    path = FOLDER / f"few_shot-{name}.svg"
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    return path.name


def tell_galleries(
    record: Record, seeds: Sequence[Seed], found: Mapping[str, list[Outcome]]
) -> None:
    """What the galleries of earlier sessions are worth to later models."""
    world = seeds[0].world
    told = {"data": f"{world.name}: {world.told}"}
    for name in (CPE, OFF, TEXT):
        values: dict[tuple[str, str], list[float]] = defaultdict(list)
        for seed, outcome in zip(seeds, found[name], strict=True):
            for kind, one in seed.galleries(outcome).items():
                grown = one.never_made_again()
                last = len(seed.classes) - 1
                for what, value in (
                    ("compatible cells", one.compatible()),
                    ("newer query on older gallery, over that model's own", one.kept()),
                    ("what making the gallery again would bring", one.missed()),
                    ("last query on the first gallery", one.values[last, 0]),
                    ("first query on the first gallery", one.values[0, 0]),
                    ("gallery never made again, at the end", grown.after),
                    ("gallery made again, at the end", grown.before),
                ):
                    metric = "" if what == "compatible cells" else f"{one.metric}, "
                    values[f"{metric}{what}", kind].append(value)
        for (metric, kind), per_seed in values.items():
            record.mean(metric, f"{world.name}, {name}, {kind}", per_seed, **told)


def run(record: Record, world: World, cache: Path, seeds: Sequence[int]) -> None:
    """All methods in one world."""
    clip, tokenize, seconds = model_of(world, cache)
    count = sum(value.numel() for value in clip.parameters())
    size = world.size
    record.notes.append(
        f"The CLIP of {world.name}: {size.layers} layers of width {size.width} in each tower, "
        f"rows of {size.dim}, {count:,} weights, {size.steps} steps of {size.batch} pairs, "
        f"{seconds:.0f} seconds of one core. All seeds share it; a seed is another order of the "
        f"classes, another choice of the few pictures, other prompts and batches."
    )
    made = [Seed(world, (clip, tokenize), seed) for seed in seeds]
    found: dict[str, list[Outcome]] = defaultdict(list)
    for seed in made:
        for name, outcome in methods(seed).items():
            found[name].append(outcome)
            average = outcome.report.average().value
            say(f"{world.name} seed {seed.seed} {name}: {average:.4f}, {outcome.seconds:.0f} s")
    tell(record, world, found)
    tell_galleries(record, made, found)
    record.notes.append(verdict(record.rows, world.name, list(found)))


NOTES = (
    """Values are means over seeds, with the least and the greatest. Avg, PD, base and novel are as
in `holdfast.measure.sessions`; HM is the harmonic mean of base and novel at the end.""",
    """A cell of galleries is a search by queries of a later model on rows that an earlier one
made, of classes known to both: see `holdfast.measure.session_galleries`. Half of the test
pictures search, the other half is searched. A cell is compatible where the later model's queries
do better than those of the model that made the gallery; where nothing moves they do as well,
which is not better, so galleries of prompts in texts alone count as not compatible by pictures.""",
    """Published figures (CLIP ViT-B/16; Avg 83.42 and PD 7.31 on CIFAR-100): **not run**, as the
weights are not at hand. `python -m bench.few_shot --published MODEL --photographs FOLDER` runs
that protocol for who has them; it is checked on a stand-in of the same format.""",
)


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    cache = Path(".few_shot_cache")
    parser.add_argument("--cache", type=Path, default=cache, help="for trained models")
    parser.add_argument("--worlds", default=",".join(WORLDS))
    parser.add_argument("--seeds", default=None)
    parser.add_argument("--published", type=Path, help="folder of CLIP ViT-B/16")
    parser.add_argument("--photographs", type=Path, help="folder of CIFAR-100 as Parquet files")
    parser.add_argument("--lists", type=Path, help="folder of session_2.txt and so on")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    record = Record("few_shot", "few-shot sessions of new classes", "", notes=list(NOTES))
    if options.published:
        from .few_shot_published import published

        published(
            record, options.published, options.photographs, options.lists, options.device,
            [int(s) for s in (options.seeds or "42,13,50,24,69").split(",")],
        )  # fmt: skip
        return record.finish(write=False)
    record.aims = not options.quick
    seeds = [int(s) for s in (options.seeds or ("0" if options.quick else "0,1,2")).split(",")]
    code = 0
    for name in options.worlds.split(","):
        world = WORLDS[name](options.quick)
        run(record, world, options.cache, seeds)
        code = record.finish(writes(options))  # after each: what is done is written down
    return code


if __name__ == "__main__":
    raise SystemExit(main())
