"""Blobs, and small models on them."""

from __future__ import annotations

import numpy as np
import torch

from holdfast.train.heads import LearnedHead
from holdfast.train.interface import Interface
from holdfast.train.losses.classification import Classification
from holdfast.train.losses.higher_order import HigherOrder
from holdfast.train.model import Model
from holdfast.train.simplex import SimplexHead

WIDTH, CAPACITY = 12, 16


def blobs(classes=6, each=40, seed=0, spread=0.5):
    """(n, 8) inputs and (n,) names of their classes."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, 8))
    numbers = np.repeat(np.arange(classes), each)
    inputs = centres[numbers] + spread * rng.normal(size=(len(numbers), 8))
    return torch.from_numpy(inputs.astype(np.float32)), np.array([f"c{n}" for n in numbers])


def names(first, last):
    return [f"c{n}" for n in range(first, last)]


def network(inputs=8):
    return torch.nn.Sequential(
        torch.nn.Linear(inputs, 24), torch.nn.ReLU(), torch.nn.Dropout(0.1),
        torch.nn.Linear(24, WIDTH), torch.nn.BatchNorm1d(WIDTH),
    )  # fmt: skip


def simplex_model(task):
    return Model(network(), SimplexHead(WIDTH, CAPACITY))


def learned_model(task):
    return Model(network(), LearnedHead(WIDTH, task.interface.capacity))


def hoc(stage):
    return HigherOrder() if stage.teacher else Classification()


def simplex():
    return Interface("toy", capacity=CAPACITY)


def state(model):
    return {name: value.cpu().numpy().copy() for name, value in model.state_dict().items()}


def same_bits(a, b):
    one, two = state(a), state(b)
    return one.keys() == two.keys() and all(one[k].tobytes() == two[k].tobytes() for k in one)
