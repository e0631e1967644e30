"""The point of it all, small: an incremental run whose models search each other's galleries."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.measure.classes import ByClass  # noqa: E402
from holdfast.measure.compatibility import compatibility  # noqa: E402
from holdfast.train.interface import Interface  # noqa: E402
from holdfast.train.loop import Training  # noqa: E402
from holdfast.train.losses.classification import Classification  # noqa: E402
from holdfast.train.losses.higher_order import HigherOrder  # noqa: E402
from holdfast.train.memory import Memory  # noqa: E402
from holdfast.train.model import Model, vectors_of  # noqa: E402
from holdfast.train.recipe import Recipe, sgd  # noqa: E402
from holdfast.train.scenarios import incremental  # noqa: E402
from holdfast.train.simplex import SimplexHead  # noqa: E402

CAPACITY, WIDTH, TRAINED, UNSEEN = 128, 96, 50, 20
NAMES = [f"c{n}" for n in range(TRAINED)]
STEPS = [NAMES[:20], NAMES[20:30], NAMES[30:40], NAMES[40:]]


def world(seed):
    """Classes in 24 directions and noise in 24 more, folded into 64 coordinates."""
    rng = np.random.default_rng(seed)
    inner = rng.normal(size=(48, 128)) / np.sqrt(48)
    outer = rng.normal(size=(128, 64)) / np.sqrt(128)
    means = rng.normal(size=(TRAINED + UNSEEN, 24))

    def draw(classes, each):
        numbers = np.repeat(classes, each)
        told = means[numbers] + 0.9 * rng.normal(size=(len(numbers), 24))
        rows = np.concatenate([told, rng.normal(size=told.shape)], 1)
        folded = 2.0 * np.tanh(1.5 * rows @ inner) @ outer
        return torch.from_numpy(folded.astype(np.float32)), numbers

    unseen = np.arange(TRAINED, TRAINED + UNSEEN)
    return draw(np.arange(TRAINED), 60), draw(unseen, 50), draw(unseen, 50)


def matrix(seed, loss):
    """Of classes that no model was trained on."""
    (inputs, numbers), (stored, of), (asked, wanted) = world(seed)
    classes = np.array(NAMES)[numbers]
    plan = incremental(classes, Interface("toy", capacity=CAPACITY), STEPS, Memory(per_class=20))

    def build(task):
        layers = [torch.nn.Linear(64, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 64)]
        return Model(torch.nn.Sequential(*layers), SimplexHead(64, CAPACITY))

    recipe = Recipe(epochs=12, optimiser=sgd(0.05, later=0.02), seed=seed)
    models = Training(inputs, plan, build, loss, recipe).run()
    rows = [
        tuple(vectors_of(m, x, np.arange(len(x))).numpy() for x in (asked, stored)) for m in models
    ]
    return compatibility(rows, ByClass("NCM", wanted.astype(str), of.astype(str)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_higher_order_compatibility_keeps_old_galleries_searchable(seed):
    def loss(stage):
        return HigherOrder() if stage.teacher else Classification()

    ours, plain = matrix(seed, loss), matrix(seed, Classification())
    np.testing.assert_allclose(ours.values[0, 0], plain.values[0, 0])  # the first task is one
    assert ours.ac().value >= plain.ac().value + 0.4
    assert ours.aa().value >= plain.aa().value + 0.02
    # what the last model finds in the first gallery, which was never made again
    assert ours.values[-1, 0] >= plain.values[-1, 0] + 0.05
