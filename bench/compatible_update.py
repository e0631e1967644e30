"""One model, then one for twice the classes: what every method does to the old gallery.

Query = gallery = test images, the query itself left out; and the same on classes that no model
was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from torch import nn

from holdfast.align.orthogonal import Orthogonal
from holdfast.align.procrustes import Procrustes
from holdfast.arrays import FloatArray, unit_rows
from holdfast.measure.classes import ByClass
from holdfast.train.interface import Interface
from holdfast.train.loop import Training
from holdfast.train.model import Model, vectors_of
from holdfast.train.recipe import Recipe, adam
from holdfast.train.scenarios import retrain

from .compatible_cells import Cells
from .compatible_images import Images, Net, images
from .compatible_methods import METHODS, Family, Method

METRICS = ("CMC@1", "CMC@5", "mAP")
Told: TypeAlias = Mapping[str, Mapping[str, list[float]]]  # metric -> cell -> values of the queries
QUERIES, RANKED, FITTED = 2000, 500, 10_000  # those of mAP, which sorts, are fewer


@dataclass(frozen=True)
class World:
    """One data set, split.

    Args:
        name: "cifar100" or "glyphs".
        train: Images to train on.
        test: Images of trained classes to search.
        unseen: Images of classes that no model was trained on.
        steps: Names of the old classes, and of those the new model knows besides.
        capacity: Of the simplex.
        epochs: Of every training.
        seed: Of classes, weights and batches.
        net: Makes the part before the head, for a length of its rows.
        methods: What there is to compare; the first model is trained as the independent one.
        training: In place of the usual recipe.
        queries: How many images ask.
        ranked: How many of them are judged by mAP, which sorts.
    """

    name: str
    train: Images
    test: Images
    unseen: Images
    steps: tuple[list[str], list[str]]
    capacity: int
    epochs: int
    seed: int
    net: Callable[[int], nn.Module] = Net
    methods: Mapping[str, Method] = field(default_factory=lambda: METHODS)
    training: Recipe | None = None
    queries: int = QUERIES
    ranked: int = RANKED

    @cached_property
    def names(self) -> np.ndarray:
        """(n,) class of every image to train on."""
        return np.array([f"c{label}" for label in self.train.labels])

    @property
    def recipe(self) -> Recipe:
        """The same for every method."""
        return self.training or Recipe(
            epochs=self.epochs,
            size=128,
            optimiser=adam(2e-3, decay=0.02),
            seed=self.seed,
        )

    def table(self, family: Family) -> Interface:
        """An empty interface."""
        if family == "simplex":
            return Interface(self.name, capacity=self.capacity)
        return Interface(self.name, "one-hot")


def cifar100(
    cells: Cells, seed: int, epochs: int = 10, load: Callable[[str, Path], Images] = images
) -> World:
    """50 old classes and 100 new ones; unseen are the classes of CIFAR-10."""
    whole = load("cifar100", cells.data)
    order = [f"c{n}" for n in np.random.RandomState(seed).permutation(100)]
    return World(
        "cifar100",
        whole.take(np.flatnonzero(whole.parts == 0)),
        whole.take(np.flatnonzero(whole.parts == 1)),
        load("cifar10", cells.data),
        (order[:50], order[50:]),
        128,
        epochs,
        seed,
    )


def glyphs(cells: Cells, seed: int, epochs: int = 6) -> World:
    """200 old characters and 400 new ones; 145 unseen; tested on fonts that are held out."""
    whole = images("glyphs", cells.data)
    rng = np.random.RandomState(seed)
    order = rng.permutation(545)
    held = np.isin(whole.parts, rng.permutation(157)[:24])
    known = np.isin(whole.labels, order[:400])
    names = [f"c{n}" for n in order]
    return World(
        "glyphs",
        whole.take(np.flatnonzero(known & ~held)),
        whole.take(np.flatnonzero(known & held)),
        whole.take(np.flatnonzero(~known & held)),
        (names[:200], names[200:400]),
        512,
        epochs,
        seed,
    )


def small(world: World) -> World:
    """Few images, for a look."""

    def few(of: Images, count: int) -> Images:
        return of.take(np.arange(min(count, len(of))))

    return replace(
        world,
        train=few(world.train, 4000),
        test=few(world.test, 1500),
        unseen=few(world.unseen, 1500),
        epochs=1,
        training=replace(world.training, epochs=1) if world.training else None,
    )


def old_model(cells: Cells, world: World, family: Family) -> Model:
    """Trained on the old classes only."""
    plan = retrain(world.names, world.table(family), world.steps[:1])
    method = world.methods["CoReS" if family == "simplex" else "independent"]
    classes = len(world.steps[0])

    def build(task: object) -> Model:  # noqa: ARG001
        return Model(world.net(method.rows), method.head(classes, world.capacity))

    folder = cells.models(f"{world.name}-{world.seed}-old-{family}")
    return Training(world.train, plan, build, method.loss, world.recipe).run(folder)[0]


def new_model(cells: Cells, world: World, name: str, old: Model) -> Model:
    """Trained on all classes, by a method."""
    method = world.methods[name]
    table, classes = world.table(method.family), sum(map(len, world.steps))
    teacher = "deployed" if method.old else "none"
    plan = retrain(world.names, table, world.steps, teacher)

    def build(task: object) -> Model:  # noqa: ARG001
        return Model(world.net(method.rows), method.head(classes, world.capacity))

    other = None
    if method.other:
        free = new_model(cells, world, "independent", old)

        def other(task: object) -> Model:  # noqa: ARG001
            return free

    folder = cells.models(f"{world.name}-{world.seed}-{slug(name)}")
    run = Training(world.train, plan, build, method.loss, world.recipe, other=other)
    return run.run(folder, [old])[1]


def slug(name: str) -> str:
    """As a file is called."""
    return name.replace(",", "").replace(" ", "-").lower()


def rows_of(model: Model, given: Images, shared: bool = False) -> FloatArray:
    """(n, d) unit rows."""
    found = vectors_of(model, given, np.arange(len(given)), shared=shared).numpy()
    made: FloatArray = unit_rows(found)
    return made


@dataclass(frozen=True)
class Pool:
    """Images that are searched, the first of them also asked.

    Args:
        given: The images.
        queries: How many ask.
        ranked: How many of them are judged by mAP.
    """

    given: Images
    queries: int
    ranked: int = RANKED

    def measure(self, metric: str) -> Callable[[FloatArray, FloatArray], np.ndarray]:
        """Rows of all images by the querying and the stored model to values of the queries."""
        labels = self.given.labels
        count = min(self.ranked if metric == "mAP" else self.queries, len(labels))
        judge = ByClass(metric, labels[:count], labels, np.arange(count), unanswerable="drop")
        return lambda asked, stored: judge(asked[:count], stored)


def judged(
    pool: Pool, metrics: tuple[str, ...], sides: Mapping[str, tuple[FloatArray, FloatArray]]
) -> dict[str, dict[str, list[float]]]:
    """metric -> cell -> values of the queries."""
    found: dict[str, dict[str, list[float]]] = {}
    for metric in metrics:
        measure = pool.measure(metric)
        found[metric] = {cell: np.round(measure(*pair), 6).tolist() for cell, pair in sides.items()}
    return found


def evaluated(cells: Cells, world: World, name: str) -> dict[str, Any]:
    """A method's cells, with what a map fitted afterwards makes of them."""
    method = world.methods[name]
    old = old_model(cells, world, method.family)
    new = new_model(cells, world, name, old)
    some = world.train.take(np.arange(min(FITTED, len(world.train))))
    fit = rows_of(new, some, True), rows_of(old, some)
    # a simplex and a free head differ in length only between families, never within one
    maps = {"Procrustes": Procrustes(center=False), "relaxed": Orthogonal()}
    fitted = {label: one.fit(*fit) for label, one in maps.items()}
    answer: dict[str, Any] = {}
    for where, pool, metrics in (
        ("closed", Pool(world.test, world.queries, world.ranked), METRICS),
        ("open", Pool(world.unseen, world.queries, world.ranked), ("CMC@1", "mAP")),
    ):
        stored, asked = rows_of(old, pool.given), rows_of(new, pool.given, True)
        whole = rows_of(new, pool.given)
        sides = {"old/old": (stored, stored), "new/old": (asked, stored), "new/new": (whole, whole)}
        answer[where] = judged(pool, metrics, sides)
        after = {label: unit_rows(one.transform(asked)) for label, one in fitted.items()}
        after["midpoint"] = unit_rows(asked + stored)
        after["Procrustes, midpoint"] = unit_rows(after["Procrustes"] + stored)
        pairs = {label: (rows, stored) for label, rows in after.items()}
        answer[where]["CMC@1"] |= judged(pool, ("CMC@1",), pairs)["CMC@1"]
    return answer


def run(
    cells: Cells,
    make: Callable[[Cells, int], World],
    seeds: tuple[int, ...],
    quick: bool = False,
    methods: Mapping[str, Method] = METHODS,
) -> dict[str, Any]:
    """Method -> seed -> cells; what is finished is read."""
    found: dict[str, Any] = {}
    for seed in seeds:
        world: list[World] = []

        def the_world(seed: int = seed, world: list[World] = world) -> World:
            if not world:
                made = make(cells, seed)
                world.append(small(made) if quick else made)
            return world[0]

        for name in methods:
            cell = lambda n=name: evaluated(cells, the_world(), n)  # noqa: E731
            made = cells.cell(f"{make.__name__}-{seed}-{slug(name)}", cell)
            if made:
                found.setdefault(name, {})[seed] = made
    return found
