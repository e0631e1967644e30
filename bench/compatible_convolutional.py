"""The update of CIFAR-100 with a residual network that is trained whole, small enough for a core.

Old and independent models are those that OCA was published with: vectors of length one under a
classifier without bias, and smoothed labels. The size and the learning rate were chosen on
training images left out: `tuned`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from holdfast.train.backbones import SmallResNet
from holdfast.train.blueprint import alignment
from holdfast.train.expansion import AlignedHead
from holdfast.train.losses.base import Loss, WeightedSum
from holdfast.train.losses.classification import Classification
from holdfast.train.recipe import Recipe, adam
from holdfast.train.stage import Stage

from .at_once import at_once
from .compatible_cells import Cells
from .compatible_images import Images, pixels
from .compatible_methods import DIM, METHODS, MakeLoss, Method, every_item
from .compatible_update import Pool, World, cifar100, old_model, rows_of

BLOCKS, WIDTH, RATE, EPOCHS = 1, 32, 2e-3, 30
SMOOTHING = 0.1
REACH = 4  # pixels that a picture is moved by, at most
RANKED = 2000
# blocks of a stage, width of the first, learning rate, epochs: about the same time each
TRIED = (
    (1, 32, 2e-3, 16),
    (1, 48, 2e-3, 8),
    (1, 48, 4e-3, 8),
)
KEPT = 400  # images a class that are learned when settings are chosen; the other 100 judge
WEIGHT = 25.0  # of distillation beside the loss of OCA: what `compatible_oca.chosen` says


@dataclass(frozen=True)
class Pictures(Images):
    """Pictures as bytes, (n, 32, 32, 3); indexed they are floats (b, 3, 32, 32)."""

    def __getitem__(self, places: Any) -> torch.Tensor:
        return (self.rows[places].permute(0, 3, 1, 2).float() - 120.0) / 64.0

    def take(self, places: np.ndarray) -> Pictures:
        """Some of them."""
        return Pictures(
            self.rows[torch.from_numpy(places)], self.labels[places], self.parts[places]
        )


def pictures(name: str, cache: Path) -> Pictures:
    """ "cifar100" (train, then test) or "cifar10" (test), decoded once."""
    path = cache / f"{name}-pixels.npz"
    if not path.exists():
        found = dict(zip(("rows", "labels", "parts"), pixels(name), strict=True))
        with at_once(path) as partial:
            np.savez(partial, **found)
    with np.load(path) as read:
        return Pictures(torch.from_numpy(read["rows"]), read["labels"], read["parts"])


def moved(given: torch.Tensor, reach: int = REACH) -> torch.Tensor:
    """Each picture moved by up to `reach` pixels, grey coming in, half of them turned over."""
    count, _, _, side = given.shape
    wide = functional.pad(given, (reach,) * 4).permute(0, 2, 3, 1)
    shift = torch.randint(0, 2 * reach + 1, (2, count, 1))
    along = torch.arange(side)
    across = torch.where(torch.rand(count, 1) < 0.5, along.flip(0), along) + shift[1]
    down = along + shift[0]
    places = torch.arange(count)[:, None, None], down[:, :, None], across[:, None, :]
    return wide[places].permute(0, 3, 1, 2)


class Net(nn.Module):
    """A small residual network: squares of 2 x 2 pixels come in as channels.

    Args:
        dim: Length of a row.
        blocks: In each of three stages.
        width: Channels of the first stage.
    """

    def __init__(self, dim: int, blocks: int = BLOCKS, width: int = WIDTH) -> None:
        super().__init__()
        self.folded = nn.PixelUnshuffle(2)
        self.trunk = SmallResNet(12, blocks, width)
        self.last = nn.Linear(self.trunk.dim, dim, bias=False)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """(b, 3, 32, 32) pictures to (b, dim) rows."""
        folded = self.folded(given).contiguous(memory_format=torch.channels_last)
        rows: torch.Tensor = self.last(self.trunk(folded))
        return rows


def unit_head(classes: int, capacity: int) -> nn.Module:  # noqa: ARG001
    """Vectors of length one under a classifier without bias."""
    return AlignedHead(DIM, DIM, 0, classes, None)


def smoothed(stage: Stage) -> Loss:  # noqa: ARG001
    """Cross-entropy with smoothed labels."""
    return Classification(SMOOTHING)


def distilled(stage: Stage) -> Loss:  # noqa: ARG001
    """The same, and every item keeps its old direction."""
    return WeightedSum({"ce": (1.0, Classification(SMOOTHING)), "old": (5.0, every_item())})


def oca_distilled(weight: float) -> MakeLoss:
    """The loss of OCA, and every item keeps its old direction at this weight."""
    return lambda stage: alignment(stage, weight)


AS_PUBLISHED: dict[str, Method] = {
    "independent": Method("learned", unit_head, smoothed, old=False),
    "OCA": METHODS["OCA"],
    "OCA without its layer": METHODS["OCA without its layer"],
    "OCA, distilled": replace(METHODS["OCA"], loss=oca_distilled(WEIGHT)),
    # which the rule did not take; run on test images after 25 had been
    "OCA, distilled by 10": replace(METHODS["OCA"], loss=oca_distilled(10.0)),
    "expanded and distilled": replace(METHODS["expanded and distilled"], loss=distilled),
    "BT2": METHODS["BT2"],
}


def recipe(seed: int, rate: float = RATE, epochs: int = EPOCHS) -> Recipe:
    """Of every network that is trained whole."""
    return Recipe(
        epochs=epochs,
        size=128,
        optimiser=adam(rate, decay=0.02),
        augment=moved,
        amp="bfloat16",
        seed=seed,
    )


def convolutional(cells: Cells, seed: int) -> World:
    """50 old classes and 100 new ones, as with fixed features; all test images ask."""
    whole = pictures("cifar100", cells.data)
    order = [f"c{n}" for n in np.random.RandomState(seed).permutation(100)]
    return World(
        "convolutional",
        whole.take(np.flatnonzero(whole.parts == 0)),
        whole.take(np.flatnonzero(whole.parts == 1)),
        pictures("cifar10", cells.data),
        (order[:50], order[50:]),
        128,
        EPOCHS,
        seed,
        net=Net,
        methods=AS_PUBLISHED,
        training=recipe(seed),
        queries=10_000,
        ranked=RANKED,
    )


def featured(cells: Cells, seed: int) -> World:
    """The same old and independent models on fixed features, to tell the two changes apart."""
    return replace(
        cifar100(cells, seed), name="featured", methods=AS_PUBLISHED, queries=10_000, ranked=RANKED
    )


def left_out(cells: Cells, blocks: int, width: int, rate: float, epochs: int) -> World:
    """400 training images of each class to learn from, and the other 100 to judge by."""
    whole = pictures("cifar100", cells.data)
    train = whole.take(np.flatnonzero(whole.parts == 0))
    rank = np.zeros(len(train), dtype=int)
    for label in range(100):
        rank[train.labels == label] = np.arange((train.labels == label).sum())
    order = [f"c{n}" for n in np.random.RandomState(300).permutation(100)]
    kept, judges = train.take(np.flatnonzero(rank < KEPT)), train.take(np.flatnonzero(rank >= KEPT))
    return World(
        f"val-convolutional-{_slug(blocks, width, rate, epochs)}",
        kept,
        judges,
        judges,
        (order[:50], order[50:]),
        128,
        epochs,
        300,
        net=lambda dim: Net(dim, blocks, width),
        methods=AS_PUBLISHED,
        training=recipe(300, rate, epochs),
        queries=len(judges),
        ranked=RANKED,
    )


def tuned(
    cells: Cells, blocks: int, width: int, rate: float, epochs: int
) -> dict[str, float | int]:
    """CMC-1 of an old model among all classes of the training images left out."""
    world = left_out(cells, blocks, width, rate, epochs)
    judges = world.test
    rows = rows_of(old_model(cells, world, "learned"), judges)
    return {"CMC@1": float(Pool(judges, len(judges)).measure("CMC@1")(rows, rows).mean())}


def _slug(*settings: float) -> str:
    return "-".join(f"{one:g}" for one in settings)


def table(cells: Cells) -> str:
    """What was tried, as Markdown; what is finished is read."""
    lines = [
        (
            "**Networks, on training images left out** (an old model of 50 classes, 400 images of "
            "each, searched among 100 others of each of 100 classes; one seed; about the same time)"
        ),
        "",
        "| blocks a stage | width | learning rate | epochs | CMC-1 % | CPU seconds |",
        "|---|---|---|---|---|---|",
    ]
    for given in TRIED:
        name = f"convolutional-tuning-{_slug(*given)}"
        if cell := cells.cell(name, partial(tuned, cells, *given)):
            shown = " | ".join(f"{one:g}" for one in given)
            lines.append(f"| {shown} | {100 * cell['CMC@1']:.1f} | {cell['seconds']:.0f} |")
    return "\n".join(lines) if len(lines) > 4 else ""
