"""Other settings of HOC and OCA, judged by training images that these runs leave out.

Nothing here sees a test image of the benchmark: the stream is searched on 20 classes of
CIFAR-100 that it does not learn, the update on a fifth of the training images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from holdfast.train.expansion import AlignedHead
from holdfast.train.heads import LearnedHead
from holdfast.train.loop import Training
from holdfast.train.losses.classification import Classification
from holdfast.train.losses.orthogonal_alignment import OrthogonalAlignment
from holdfast.train.model import Model
from holdfast.train.recipe import Recipe, adam, sgd
from holdfast.train.scenarios import retrain
from holdfast.train.stage import Stage

from .compatible_cells import Cells
from .compatible_images import Images, Net, images
from .compatible_methods import DIM, EXTRA, means
from .compatible_stream import Stream, judged, named
from .compatible_update import Pool, World, old_model, rows_of
from .compatible_words import stream_line

# label -> (method, passes over a task, learning rate, settings of the loss)
STREAMS: dict[str, tuple[str, int, float, Mapping[str, float]]] = {
    "ER": ("ER", 10, 0.01, {}),
    "HOC": ("HOC", 10, 0.01, {}),
    "HOC, downloaded teacher": ("HOC, downloaded teacher", 10, 0.01, {}),
    "HOC, stored vectors": ("HOC, stored vectors", 10, 0.01, {}),
    "HOC, 30 epochs": ("HOC", 30, 0.01, {}),
    "HOC, rate 0.03": ("HOC", 10, 0.03, {}),
    "HOC, mix 0.03": ("HOC", 10, 0.01, {"mix": 0.03}),
    "HOC, mix 0.3": ("HOC", 10, 0.01, {"mix": 0.3}),
}
# weights of OCA's three terms, coordinates more, orthogonal layer
UPDATES: tuple[tuple[tuple[float, float, float], int, bool], ...] = (
    ((5.0, 10.0, 5.0), EXTRA, True),
    ((5.0, 10.0, 5.0), EXTRA, False),
    ((5.0, 0.0, 5.0), EXTRA, True),
    ((5.0, 0.0, 5.0), EXTRA, False),
    ((5.0, 1.0, 1.0), EXTRA, False),
    ((20.0, 10.0, 5.0), EXTRA, False),
)
HELD = 20  # classes that are searched and not learned
KEPT = 400  # images a class that OCA is trained on; the other 100 judge


def _ranked(cells: Cells) -> tuple[Images, np.ndarray]:
    """The training images of CIFAR-100, and the rank of each within its class."""
    whole = images("cifar100", cells.data)
    train = whole.take(np.flatnonzero(whole.parts == 0))
    rank = np.zeros(len(train), dtype=int)
    for label in range(100):
        rank[train.labels == label] = np.arange((train.labels == label).sum())
    return train, rank


def stream(cells: Cells, seed: int) -> Stream:
    """10 + 5 x 14 classes of training images, searched on the 20 others; all else as on the test.

    Models from outside know 24, 48 and 80 of them, by other images.
    """
    train, rank = _ranked(cells)
    order = np.random.RandomState(100 + seed).permutation(100)
    names = [f"c{label}" for label in order[HELD:]]
    away = [f"server {name}" for name in np.random.RandomState(200 + seed).permutation(names)]
    held, cuts = np.isin(train.labels, order[:HELD]), [0, *range(10, 81, 14)]

    def part(chosen: np.ndarray, prefix: str) -> Any:
        return named(train.take(np.flatnonzero(chosen)), prefix)

    return Stream(
        f"val-base-{seed}",
        part((rank < 300) & ~held, "c"),
        [names[a:b] for a, b in pairwise(cuts)],
        part(held & (rank < 250), "u"),
        part(held & (rank >= 250), "u"),
        part(~held & (rank >= 300), "server c"),
        [away[:count] for count in (24, 48, 80)],
        (0, 2, 4),
        lambda: Net(128),
        128,
        1024,
        Recipe(epochs=10, optimiser=sgd(0.01), seed=seed),
        Recipe(epochs=20, optimiser=adam(2e-3, decay=0.02), seed=seed),
    )


def _streamed(cells: Cells, seed: int, label: str) -> dict[str, Any]:
    method, epochs, rate, contrast = STREAMS[label]
    base = stream(cells, seed)
    recipe = Recipe(epochs=epochs, optimiser=sgd(0.01, later=rate), seed=seed)
    variant = replace(
        base,
        name=f"{base.name}-{_slug(label)}",
        outside=base.name,
        recipe=recipe,
        contrast=contrast,
    )
    return judged(cells, variant, method)


def world(cells: Cells, seed: int) -> World:
    """50 and 100 classes, of four fifths of the training images."""
    train, rank = _ranked(cells)
    order = [f"c{n}" for n in np.random.RandomState(300 + seed).permutation(100)]
    judges = train.take(np.flatnonzero(rank >= KEPT))
    kept = train.take(np.flatnonzero(rank < KEPT))
    return World("val-update", kept, judges, judges, (order[:50], order[50:]), 128, 10, 300 + seed)


def _updated(
    cells: Cells,
    seed: int,
    weights: tuple[float, float, float] | None,
    extra: int = EXTRA,
    turned: bool = True,
) -> dict[str, Any]:
    """Cells of one model: OCA with these settings, or the independent one."""
    made = world(cells, seed)
    old = old_model(cells, made, "learned")
    table, classes = made.table("learned"), sum(map(len, made.steps))

    def build(task: object) -> Model:  # noqa: ARG001
        if weights is None:
            return Model(Net(DIM), LearnedHead(DIM, classes))
        rotation = "cayley" if turned else None
        return Model(Net(DIM + extra), AlignedHead(DIM + extra, DIM, extra, classes, rotation))

    def loss(stage: Stage) -> Any:
        if weights is None:
            return Classification()
        return OrthogonalAlignment(means(stage), weights)

    plan = retrain(made.names, table, made.steps, "none" if weights is None else "deployed")
    new = Training(made.train, plan, build, loss, made.recipe).run(None, [old])[1]
    pool = Pool(made.test, 2000)
    stored, asked = rows_of(old, made.test), rows_of(new, made.test, True)
    whole, answer = rows_of(new, made.test), {}
    for metric in ("CMC@1", "mAP"):
        measure = pool.measure(metric)
        sides = {"old/old": (stored, stored), "new/old": (asked, stored), "new/new": (whole, whole)}
        answer[metric] = {cell: float(measure(*pair).mean()) for cell, pair in sides.items()}
    return answer


def _told(weights: Sequence[float] | None, extra: int, turned: bool) -> str:
    if weights is None:
        return "independent"
    shown = ", ".join(f"{weight:g}" for weight in weights)
    more = "" if extra == EXTRA else f", {extra} coordinates more"
    return f"OCA ({shown}){more}{'' if turned else ', without its layer'}"


def _slug(label: str) -> str:
    return "".join(one for one in label.replace(" ", "-") if one not in ",.()")


def tables(cells: Cells, seeds: int) -> list[str]:
    """Both as Markdown; what is finished is read."""
    return [table for table in (_stream_table(cells, seeds), _update_table(cells)) if table]


def _stream_table(cells: Cells, seeds: int) -> str:
    lines = [
        (
            "**Settings of HOC under replacements, on held-out classes of the training images** "
            "(NCM; a seed each, in order)"
        ),
        "",
        "| setting | AC | AA % | last on first gallery % | last on own % | first on own % |",
        "|---|---|---|---|---|---|",
    ]
    for label in STREAMS:
        made = [
            cells.cell(f"tuning-stream-{s}-{_slug(label)}", partial(_streamed, cells, s, label))
            for s in range(seeds)
        ]
        if kept := [cell for cell in made if cell]:
            lines.append(stream_line(label, kept))
    return "\n".join(lines) if len(lines) > 4 else ""


def _update_table(cells: Cells) -> str:
    lines = [
        (
            "**Weights of OCA, 50 to 100 classes, on training images left out** (CMC-1, and mAP of "
            "new/old, in %; one seed)"
        ),
        "",
        "| setting | old/old | new/old | new/new | mAP |",
        "|---|---|---|---|---|",
    ]
    for given in ((None, EXTRA, True), *UPDATES):
        label = _told(*given)
        make = partial(_updated, cells, 0, *given)
        if cell := cells.cell(f"tuning-update-0-{_slug(label)}", make):
            shown = [cell["CMC@1"][side] for side in ("old/old", "new/old", "new/new")]
            told = " | ".join(f"{100 * v:.1f}" for v in (*shown, cell["mAP"]["new/old"]))
            lines.append(f"| {label} | {told} |")
    return "\n".join(lines) if len(lines) > 4 else ""
