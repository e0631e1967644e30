"""What the loop costs beside the arithmetic: against a bare torch loop of the same model."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
import torch

from holdfast.train.backbones import SmallCNN
from holdfast.train.batches import generator, shuffled
from holdfast.train.heads import LearnedHead
from holdfast.train.interface import Interface
from holdfast.train.losses.classification import Classification
from holdfast.train.model import Model, vectors_of
from holdfast.train.recipe import Recipe, sgd
from holdfast.train.scenarios import Task, retrain
from holdfast.train.session import Session
from holdfast.train.stage import Stage

from .record import Record, interleaved, spread

CLASSES, STEPS, SIZE = 20, 8, 128


WHERE = f"SmallCNN of width 8 on {SIZE} grey pictures of 28 x 28"


def cost(record: Record, measured: Mapping[str, Mapping[str, float]]) -> None:
    """Write down what `measure` found."""
    for label, told in measured.items():
        record.add(
            "CPU time / a bare torch loop of the same model",
            f"{label}, {WHERE}",
            target="<= 1.03",
            data="random pictures",
            **told,
        )


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Training steps and extraction of vectors, in CPU time, in turns: value, low and high."""
    count = STEPS * SIZE
    inputs = torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    names = np.array([f"c{n % CLASSES}" for n in range(count)])
    plan = retrain(names, Interface("cost", "one-hot"), [[f"c{n}" for n in range(CLASSES)]])
    task = plan.tasks[0]
    recipe = Recipe(epochs=10_000, size=SIZE, optimiser=sgd(1e-4), schedule=None)
    mine, bare = _made(), _made()
    session = Session(
        0, Stage(task, mine, None, None, None, inputs, None), Classification(), recipe
    )
    optimiser = recipe.optimiser(task, list(bare.parameters()))
    bare.train()
    tasks = {
        "session": lambda: [session.learn() for _ in range(STEPS)],
        "bare": lambda: _bare(bare, optimiser, inputs, task),
        "vectors_of": lambda: vectors_of(mine, inputs, np.arange(count)),
        "bare vectors": lambda: _bare_vectors(bare, inputs),
    }
    seconds = interleaved(tasks, rounds, clock=time.process_time)
    pairs = {
        "a training step": ("session", "bare"),
        "extraction of vectors": ("vectors_of", "bare vectors"),
    }
    return {
        label: {
            "value": min(seconds[of]) / min(seconds[to]),
            **{end: float(value) for end, value in spread(seconds[of], seconds[to]).items()},
        }
        for label, (of, to) in pairs.items()
    }


def _made() -> Model:
    torch.manual_seed(0)
    return Model(SmallCNN(1, 8), LearnedHead(32, CLASSES))


def _bare(model: Model, optimiser: torch.optim.Optimizer, inputs: torch.Tensor, task: Task) -> None:
    labels = torch.from_numpy(task.labels)
    for items, _ in shuffled(task.items, SIZE, generator(0, 0, 0)):
        places = torch.from_numpy(items)
        loss = torch.nn.functional.cross_entropy(model(inputs[places]).logits, labels[places])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _bare_vectors(model: Model, inputs: torch.Tensor) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        rows = torch.cat([model(part).vectors for part in inputs.split(512)])
    model.train()
    return rows
