"""A world of 100 classes, and two small models trained on it: an old one that saw half.

An item is a point in 32 hidden dimensions near the centre of its class, seen through a
curved, noisy map in 128 dimensions. The old model has one hidden layer and saw 50 classes,
the new one has two and saw all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from holdfast.arrays import FloatArray, IntArray, unit_rows

HIDDEN, SEEN, DIM = 32, 128, 64
WIDTH, NOISE = 0.6, 0.3  # of a class in hidden dimensions; of what is seen
DATA = "100 classes around centres in 32 dimensions, seen curved and noisy in 128; vectors of 64"

Encode = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True)
class Sizes:
    """How much there is.

    Args:
        classes: Classes; the old model saw the first half of them.
        old, new: Training items of a class for each model.
        queries, gallery: Items of a class.
    """

    classes: int = 100
    old: int = 50
    new: int = 90
    queries: int = 6
    gallery: int = 18


@dataclass(frozen=True)
class Side:
    """Vectors of one model: of the pairs that aligners learn from, queries and gallery."""

    pairs: FloatArray
    queries: FloatArray
    gallery: FloatArray

    def unit(self) -> Side:
        """Rows of length one."""
        return Side(*(unit_rows(a) for a in (self.pairs, self.queries, self.gallery)))


@dataclass(frozen=True)
class World:
    """Both models' vectors and the classes.

    Args:
        old, new: The vectors.
        labels: (n,) classes of the pairs.
        relevant: (q, g) whether query and item are of one class.
    """

    old: Side
    new: Side
    labels: IntArray
    relevant: np.ndarray

    @classmethod
    def made(cls, seed: int, sizes: Sizes, positive: bool = True) -> World:
        """Draw items, train both models, encode.

        Args:
            seed: Of everything.
            sizes: How much.
            positive: Whether the old model ends in a rectifier, so that its vectors lie in a
                cone and its cosines are all high, unlike those of the new one.
        """
        rng = np.random.default_rng(seed)
        see = _eyes(rng, sizes.classes)
        every = np.arange(sizes.classes)
        of = [np.repeat(every, n) for n in (sizes.new, sizes.queries, sizes.gallery)]
        pairs, queries, gallery = (see(labels) for labels in of)
        known = np.repeat(every[: sizes.classes // 2], sizes.old)
        models = (
            _model(see(known), known, (32,), 4, seed, positive),
            _model(pairs, of[0], (256, 256), 20, seed + 1),
        )
        old, new = (Side(f(pairs), f(queries), f(gallery)) for f in models)
        return cls(old, new, of[0], of[1][:, None] == of[2][None, :])


def _eyes(rng: np.random.Generator, classes: int) -> Callable[[IntArray], FloatArray]:
    centres = rng.normal(size=(classes, HIDDEN))
    first = rng.normal(size=(HIDDEN, SEEN)) * 1.5 / np.sqrt(HIDDEN)
    second = rng.normal(size=(SEEN, SEEN)) * 2.0 / np.sqrt(SEEN)

    def see(labels: IntArray) -> FloatArray:
        points = centres[labels] + WIDTH * rng.normal(size=(len(labels), HIDDEN))
        seen = np.tanh(np.tanh(points @ first) @ second)
        return (seen + NOISE * rng.normal(size=seen.shape)).astype(np.float32)

    return see


def _model(
    x: FloatArray,
    labels: IntArray,
    hidden: Sequence[int],
    epochs: int,
    seed: int,
    positive: bool = False,
) -> Encode:
    """A classifier's last layer but one, after Adam at 1e-3 in batches of 128."""
    torch.manual_seed(seed)
    widths = [x.shape[1], *hidden, DIM]
    layers: list[torch.nn.Module] = []
    for wide, narrow in pairwise(widths):
        layers += [torch.nn.Linear(wide, narrow), torch.nn.ReLU()]
    body = torch.nn.Sequential(*(layers if positive else layers[:-1]))
    face = torch.nn.Linear(DIM, int(labels.max()) + 1)
    adam = torch.optim.Adam([*body.parameters(), *face.parameters()], lr=1e-3)
    rng = np.random.default_rng(seed)
    rows, classes = torch.from_numpy(x), torch.from_numpy(labels)
    for _ in range(epochs):
        for some in np.array_split(rng.permutation(len(x)), -(-len(x) // 128)):
            loss = torch.nn.functional.cross_entropy(face(body(rows[some])), classes[some])
            adam.zero_grad()
            loss.backward()
            adam.step()

    def encode(items: FloatArray) -> FloatArray:
        with torch.no_grad():
            out: FloatArray = body(torch.from_numpy(items)).numpy()
        return out

    return encode
