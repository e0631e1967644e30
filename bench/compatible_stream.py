"""Class-incremental runs, with or without models that take over from outside, and their matrices.

The same code trains on a synthetic world (minutes) and on CIFAR-100 (an hour).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from holdfast.measure.classes import ByClass
from holdfast.measure.compatibility import Compatibility, compatibility
from holdfast.train.events import Event
from holdfast.train.heads import LearnedHead
from holdfast.train.interface import Interface
from holdfast.train.loop import Training
from holdfast.train.losses.base import Loss, WeightedSum
from holdfast.train.losses.classification import Classification
from holdfast.train.losses.distillation import FeatureDistillation, distillation_weight
from holdfast.train.losses.higher_order import HigherOrder
from holdfast.train.memory import Memory
from holdfast.train.model import Inputs, Model, vectors_of
from holdfast.train.recipe import Recipe, adam, sgd
from holdfast.train.scenarios import Scenario, Task, Teacher, asynchronous, retrain
from holdfast.train.simplex import SimplexHead
from holdfast.train.stage import Stage
from holdfast.train.teachers import StoredVectors

from .compatible_cells import Cells, told
from .compatible_images import Images, Net, images

# method -> (fixed classifier?, what it adds, teacher)
METHODS: dict[str, tuple[bool, str, Teacher]] = {
    "ER": (False, "", "none"),
    "CE": (True, "", "none"),
    "FD": (True, "fd", "deployed"),
    "HOC": (True, "hoc", "deployed"),
    "HOC, learned head": (False, "hoc", "deployed"),
    "HOC, downloaded teacher": (True, "hoc", "downloaded"),
    "HOC, stored vectors": (True, "hoc", "stored"),
}


@dataclass(frozen=True)
class Part:
    """Labelled inputs.

    Args:
        inputs: Of the models.
        names: (n,) their classes.
    """

    inputs: Inputs
    names: np.ndarray


@dataclass(frozen=True)
class Stream:
    """A data set, in the order in which its classes come.

    Args:
        name: For cells.
        local: What the deployed models learn.
        steps: Their classes, task by task.
        asked: Queries, of classes no model was trained on.
        stored: The gallery, of those classes.
        server: What downloaded models were trained on; None without any.
        servers: Classes of each downloaded model.
        replaced: Tasks at which one takes over.
        backbone: Makes a backbone.
        rows: Length of its rows.
        capacity: Of the simplex.
        recipe: Of the local tasks.
        elsewhere: Of the downloaded models.
        outside: Name of the stream whose downloaded models these are; its own without.
        contrast: Settings of HOC other than the published ones.
    """

    name: str
    local: Part
    steps: Sequence[Sequence[str]]
    asked: Part
    stored: Part
    server: Part | None
    servers: Sequence[Sequence[str]]
    replaced: tuple[int, ...]
    backbone: Callable[[], torch.nn.Module]
    rows: int
    capacity: int
    recipe: Recipe
    elsewhere: Recipe
    outside: str = ""
    contrast: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def measure(self) -> ByClass:
        """1:N search: the nearest template of a class."""
        return ByClass("NCM", self.asked.names.tolist(), self.stored.names.tolist())


def synthetic(seed: int, asynchronous: bool, epochs: int = 20) -> Stream:
    """Classes in 24 directions and noise in 24 more, folded into 64 coordinates."""
    rng = np.random.default_rng(seed)
    inner = rng.normal(size=(48, 128)) / np.sqrt(48)
    outer = rng.normal(size=(128, 64)) / np.sqrt(128)
    means = rng.normal(size=(280, 24))

    def draw(first: int, last: int, each: int) -> Part:
        numbers = np.repeat(np.arange(first, last), each)
        seen = means[numbers] + 0.9 * rng.normal(size=(len(numbers), 24))
        whole = np.concatenate([seen, rng.normal(size=seen.shape)], 1)
        folded = 2.0 * np.tanh(1.5 * whole @ inner) @ outer
        inputs = torch.from_numpy(folded.astype(np.float32))
        return Part(inputs, np.array([f"c{n}" for n in numbers]))

    server, local = draw(0, 160, 100), draw(160, 260, 100)
    stored, asked = draw(260, 280, 50), draw(260, 280, 100)
    first, each = (10, 15) if asynchronous else (40, 10)
    names = [f"c{n}" for n in range(160, 260)]
    cuts = [0, *range(first, 101, each)]
    rate = sgd(0.05, later=0.01 if asynchronous else 0.02)
    return Stream(
        f"synthetic-{'asynchronous' if asynchronous else 'incremental'}-{seed}",
        local,
        [names[a:b] for a, b in pairwise(cuts)],
        asked,
        stored,
        server,
        [[f"c{n}" for n in range(count)] for count in (30, 80, 160)],
        (0, 2, 4) if asynchronous else (),
        _mlp,
        64,
        512,
        Recipe(epochs=epochs, optimiser=rate, seed=seed),
        Recipe(epochs=epochs, optimiser=sgd(0.05), seed=seed),
    )


def _mlp() -> torch.nn.Module:
    """Weights drawn large (He et al. 2015): small ones make apart-trained models more alike."""
    sizes = (64, 256, 256, 64)
    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
        torch.nn.init.kaiming_normal_(layers[-2].weight, nonlinearity="relu")
        torch.nn.init.zeros_(layers[-2].bias)
    return torch.nn.Sequential(*layers[:-1])


def cifar(
    cells: Cells,
    seed: int,
    quick: bool = False,
    load: Callable[[str, Path], Images] = images,
) -> Stream:
    """10 + 6 x 15 classes of CIFAR-100, searched on CIFAR-10.

    300 images of each class are local; the other 200 made the downloaded models, of 30, 60 and
    100 classes. `load` answers the rows of a set, by its name and the cache.
    """
    whole, open_set = load("cifar100", cells.data), load("cifar10", cells.data)
    train = whole.take(np.flatnonzero(whole.parts == 0))
    rank = np.zeros(len(train), dtype=int)
    for label in range(100):
        rank[train.labels == label] = np.arange((train.labels == label).sum())
    order = [f"c{n}" for n in np.random.RandomState(seed).permutation(100)]
    away = [f"server {name}" for name in np.random.RandomState(seed + 100).permutation(order)]
    cuts = [0, *range(10, 101, 15)]
    kept, others = (30, 20) if quick else (300, 200)
    return Stream(
        f"cifar-{seed}",
        named(train.take(np.flatnonzero(rank < kept)), "c"),
        [order[a:b] for a, b in pairwise(cuts)],
        named(open_set.take(np.arange(0, 5000)), "u"),
        named(open_set.take(np.arange(5000, 10000)), "u"),
        named(train.take(np.flatnonzero((rank >= 300) & (rank < 300 + others))), "server c"),
        [away[:count] for count in (30, 60, 100)],
        (0, 2, 4),
        lambda: Net(128),
        128,
        1024,
        Recipe(epochs=1 if quick else 10, optimiser=sgd(0.01), seed=seed),
        Recipe(epochs=1 if quick else 20, optimiser=adam(2e-3, decay=0.02), seed=seed),
    )


def across(stream: Stream) -> Callable[[Sequence[Sequence[float]]], float] | None:
    """What takes the mean of the cells in which a model asks a gallery of another lineage.

    None where no model takes over.
    """
    if not stream.replaced:
        return None
    tasks = len(stream.steps)
    lineage = np.searchsorted(stream.replaced, np.arange(tasks), side="right")
    query, gallery = np.tril_indices(tasks, -1)
    apart = lineage[query] != lineage[gallery]
    return lambda matrix: float(np.mean(np.array(matrix)[query[apart], gallery[apart]]))


def longer(stream: Stream, epochs: int) -> Stream:
    """The same with more passes over each task; models from outside stay as they are."""
    kind, _, seed = stream.name.rpartition("-")
    recipe = replace(stream.recipe, epochs=epochs)
    return replace(stream, name=f"{kind}{epochs}-{seed}", outside=stream.name, recipe=recipe)


def named(given: Images, prefix: str) -> Part:
    """Rows, and names made of their labels."""
    return Part(given, np.array([f"{prefix}{label}" for label in given.labels]))


def table(stream: Stream, fixed: bool) -> Interface:
    """An empty interface, which models from outside agree on."""
    name = stream.outside or stream.name
    return Interface(name, capacity=stream.capacity) if fixed else Interface(name, "one-hot")


def head(stream: Stream, fixed: bool, classes: int) -> torch.nn.Module:
    """A fixed classifier, or a free one of as many classes."""
    if fixed:
        return SimplexHead(stream.rows, stream.capacity)
    return LearnedHead(stream.rows, classes)


def downloaded(cells: Cells, stream: Stream, fixed: bool) -> list[Model]:
    """The models trained elsewhere."""
    if stream.server is None or not stream.replaced:
        return []
    found = []
    for place, classes in enumerate(stream.servers):
        plan = retrain(stream.server.names, table(stream, fixed), [classes])

        def build(task: object, count: int = len(classes)) -> Model:  # noqa: ARG001
            return Model(stream.backbone(), head(stream, fixed, count))

        family = "fixed" if fixed else "free"
        folder = cells.models(f"{stream.outside or stream.name}-server-{place}-{family}")
        # others have other seeds: models that start alike would be comparable by that alone
        recipe = replace(stream.elsewhere, seed=1000 + 10 * stream.recipe.seed + place)
        run = Training(stream.server.inputs, plan, build, Classification(), recipe)
        found += run.run(folder)
    return found


def planned(stream: Stream, fixed: bool, teacher: Teacher) -> Scenario:
    """The tasks; fixed classifiers are filled from the back, where no server is."""
    return asynchronous(
        stream.local.names,
        table(stream, fixed),
        stream.steps,
        Memory(per_class=20, seed=stream.recipe.seed),
        stream.replaced,
        teacher,
        "back" if fixed else "front",
    )


def loss_of(kind: str, contrast: Mapping[str, float]) -> Callable[[Stage], Loss]:
    """The loss of a task."""

    def make(stage: Stage) -> Loss:
        plain = Classification()
        if not kind or stage.teacher is None:
            return plain
        if kind == "hoc":
            return HigherOrder(**contrast)
        old = max(len(stage.task.interface) - len(stage.task.classes), 1)
        weight = distillation_weight(len(stage.task.classes), old)
        return WeightedSum({"ce": (1.0, plain), "fd": (weight, FeatureDistillation())})

    return make


def trained(cells: Cells, stream: Stream, method: str) -> list[Model]:
    """The deployed models of a method, one a task."""
    fixed, kind, teacher = METHODS[method]
    outside = downloaded(cells, stream, fixed)

    def build(task: Any) -> Model:
        number = int(task.name) - 1
        made = head(stream, fixed, task.interface.capacity)
        if number in stream.replaced:
            came = copy.deepcopy(outside[stream.replaced.index(number)])
            # it came to answer, and beside a head that learns it would stay as it is
            return came if fixed else Model(came.backbone.requires_grad_(True), made)
        return Model(stream.backbone(), made)

    plan, kept = planned(stream, fixed, teacher), Kept(stream.local.inputs)
    run = Training(
        stream.local.inputs,
        plan,
        build,
        loss_of(kind, stream.contrast),
        stream.recipe,
        stored=kept.stored,
        listeners=(kept,),
    )
    # what is kept is not written down, so that such a run cannot go on
    folder = f"{stream.name}-{method.replace(',', '').replace(' ', '-')}"
    return run.run(None if teacher == "stored" else cells.models(folder))


class Kept:
    """What a gallery that is never made again stores: each item by the model of its time.

    Items of the task that begins go in by the model that is deployed then.

    Args:
        inputs: Of all items.
    """

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs
        self.rows: dict[str, tuple[np.ndarray, torch.Tensor]] = {}
        self.deployed: Model | None = None

    def __call__(self, event: Event) -> None:
        """After a task: its items by its model."""
        if event.what == "trained":
            self.deployed = event.model
            self._put(event.task, event.model)

    def _put(self, task: Task, model: Model) -> None:
        self.rows[task.name] = task.items, vectors_of(model, self.inputs, task.items)

    def stored(self, task: Task) -> StoredVectors:
        """Everything there is when a task begins."""
        if self.deployed is not None:
            self._put(task, self.deployed)
        items, rows = zip(*self.rows.values(), strict=True)
        return StoredVectors(np.concatenate(items), torch.cat(rows))


def matrix(stream: Stream, models: Sequence[Model]) -> Compatibility:
    """Each model encodes once."""

    def sides(model: Model) -> tuple[np.ndarray, np.ndarray]:
        return tuple(  # type: ignore[return-value]
            vectors_of(model, part.inputs, np.arange(len(part.names))).numpy()
            for part in (stream.asked, stream.stored)
        )

    return compatibility([lambda m=m: sides(m) for m in models], stream.measure)


def untrained(stream: Stream) -> float:
    """What the inputs find by themselves."""
    parts = (stream.asked, stream.stored)
    rows = [part.inputs[torch.arange(len(part.names))].numpy() for part in parts]
    return float(stream.measure(*rows).mean())


def judged(cells: Cells, stream: Stream, method: str) -> dict[str, Any]:
    """A method's matrix and what follows from it."""
    found = matrix(stream, trained(cells, stream, method))
    return {
        "matrix": np.round(np.nan_to_num(found.values, nan=-1.0), 5).tolist(),
        "AC": told(found.ac()),
        "AA": told(found.aa()),
        "BC": told(found.bc()),
        "FC": told(found.fc()),
        "beyond doubt": found.shown(),
    }
