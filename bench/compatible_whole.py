"""The stream of CIFAR with models that take over, by the small residual network trained whole.

All is as on fixed features (`compatible_stream.cifar`) but the network, its pictures, and how it
is trained. The rate of the deployed models was chosen on classes that no model of that choice
knew: `held_out`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from holdfast.train.recipe import Optimiser, Recipe, adam, sgd

from .compatible_cells import Cells
from .compatible_convolutional import RATE, Net, pictures, recipe
from .compatible_stream import Part, Stream, cifar, judged
from .compatible_words import STREAM_HEAD, stream_line

EPOCHS = 20  # of every model; the update has 30
ROWS = 128
# how the deployed models are trained: as on fixed features, and as this network from scratch
RATES: Mapping[str, Optimiser] = {
    "SGD 0.01": sgd(0.01),
    "AdamW 0.002": adam(RATE, decay=0.02),
}
CHOSEN = "SGD 0.01"
CHOSEN_BY = ("ER", "HOC")
HELD = 20  # classes that are searched when the rate is chosen
STEPS = (10, 15)  # classes of its two tasks


def local(seed: int, rate: str = CHOSEN, epochs: int = EPOCHS) -> Recipe:
    """Of a deployed model."""
    return replace(recipe(seed, epochs=epochs), optimiser=RATES[rate])


def whole(cells: Cells, seed: int, rate: str = CHOSEN, quick: bool = False) -> Stream:
    """10 + 6 x 15 classes; models of 30, 60 and 100 take over at tasks 1, 3 and 5."""
    epochs = 1 if quick else EPOCHS
    return replace(
        cifar(cells, seed, quick, pictures),
        name=f"whole-{seed}",
        backbone=lambda: Net(ROWS),
        recipe=local(seed, rate, epochs),
        elsewhere=recipe(seed, epochs=epochs),
    )


def held_out(base: Stream, rate: str) -> Stream:
    """Two tasks of 10 and 15 classes, searched on 20 that neither they nor two servers know.

    The first two downloaded models take over, one at each task. Only training images are seen.
    """
    rng = np.random.RandomState(300)
    known = {name.removeprefix("server ") for name in base.servers[1]}
    names = base.local.names
    unknown = [n for n in sorted(set(names.tolist())) if n not in known]
    searched = rng.permutation(unknown)[:HELD]
    others = rng.permutation([n for n in sorted(set(names.tolist())) if n not in searched])
    return replace(
        base,
        name=f"val-{base.name.replace('-', '-' + slug(rate) + '-')}",
        steps=[others[: STEPS[0]].tolist(), others[STEPS[0] : sum(STEPS)].tolist()],
        asked=_half(base.local, searched, 0),
        stored=_half(base.local, searched, 1),
        servers=base.servers[:2],
        replaced=(0, 1),
        recipe=local(base.recipe.seed, rate, base.recipe.epochs),
        outside=base.name,
    )


def _half(part: Part, classes: np.ndarray, which: int) -> Part:
    """Every other item of some classes."""
    places = np.concatenate([np.flatnonzero(part.names == name)[which::2] for name in classes])
    return Part(part.inputs.take(places), part.names[places])


def slug(rate: str) -> str:
    """Of a rate, for names of files."""
    return rate.replace(" ", "-")


def tried(cells: Cells, base: Stream, rate: str, method: str) -> dict[str, Any]:
    """A method's matrix at a rate, on what is held out."""
    name = f"tuning-{base.name}-{slug(rate)}-{method}"
    return cells.cell(name, partial(judged, cells, held_out(base, rate), method))


def tables(cells: Cells, base: Stream) -> list[str]:
    """Rates that were tried, as Markdown; what is finished is read."""
    lines = []
    for rate in RATES:
        kept = {method: tried(cells, base, rate, method) for method in CHOSEN_BY}
        lines += [stream_line(f"{m}, {rate}", [cell], True) for m, cell in kept.items() if cell]
    if not lines:
        return []
    title = (
        "**Rates of the deployed models, on held-out classes of the training images** (two tasks; "
        "NCM; one seed; 95 % intervals over queries)"
    )
    return ["\n".join([title, "", *STREAM_HEAD, *lines])]
