"""Two worlds of a hundred classes for few-shot sessions, and the small CLIP of each.

    digits    ordered pairs of handwritten digits in any two of 6 colours, 32 x 32; the digits
              are scikit-learn's. A class is a pair, whatever the colours
    cifar100  photographs, 32 x 32; a class is its name

A model learns of pictures with captions that name all classes, in sentences and never as a
class is asked for in the sessions. The sessions have other pictures, and so has the test.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import CLIPModel, PreTrainedTokenizerFast

from . import pictures
from .judged import DATA
from .record import say
from .tiny_clip import Lessons, Size, build, pixels, scaled, train, words_of

CIFAR = DATA / "cifar100"
SEEN_FORMS = ("a photo of a {}", "a picture of the kind {}", "one can see a {} here")


class Scaled:
    """Bytes that are scaled when they are asked for."""

    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, items: Any) -> torch.Tensor:
        return scaled(self.images[items])


@dataclass(frozen=True)
class World:
    """A hundred classes.

    Args:
        name: Of the world.
        told: What it is, for the page.
        lessons: What the model learns from, and all words; made when it has to.
        size: Of the model.
        template: How a class is asked for.
        train: Pictures for sessions, and (n,) names of their classes.
        test: Pictures for the test, and names likewise.
    """

    name: str
    told: str
    lessons: Callable[[], tuple[Lessons, Sequence[str]]]
    size: Size
    template: str
    train: tuple[Scaled, np.ndarray]
    test: tuple[Scaled, np.ndarray]

    @property
    def classes(self) -> list[str]:
        return sorted(set(self.train[1].tolist()))


def digits(quick: bool = False) -> World:
    """Ordered pairs of digits."""
    from sklearn.datasets import load_digits

    found = load_digits()
    glyphs = [found.images[found.target == number] for number in range(10)]
    last = [own[int(0.7 * len(own)) :] for own in glyphs]  # the model learned of other hands
    world = pictures.digits(0, quick)

    def part(of: Sequence[np.ndarray], each: int, seed: int) -> tuple[Scaled, np.ndarray]:
        rng = np.random.default_rng(seed)
        pairs = np.repeat(np.arange(100), each)
        rows = (pairs // 10 * 6 + rng.integers(0, 6, len(pairs))) * 60
        rows += pairs % 10 * 6 + rng.integers(0, 6, len(pairs))
        names = [f"{pictures.NUMBERS[p // 10]} left of a {pictures.NUMBERS[p % 10]}" for p in pairs]
        return Scaled(pixels([pictures.scene(int(r), of, rng) for r in rows], 32)), np.array(names)

    told = "ordered pairs of two handwritten digits in colour, 32 x 32"
    each = 12 if quick else 40
    train_part, test_part = (
        part([own[::2] for own in last], each, 2),
        part([own[1::2] for own in last], 20, 3),
    )
    return World(
        "digits",
        told,
        lambda: (world.new, world.words),
        world.sizes[1],
        "a {}",
        train_part,
        test_part,
    )


def cifar100(quick: bool = False) -> World:
    """Photographs; of each class 300 for the model, 100 for sessions, 40 for the test."""
    own, pool, tested = (5, 12, 4) if quick else (300, 100, 40)
    images, labels = _cifar("train")
    ranks = _ranks(labels)
    kept = np.flatnonzero((ranks >= own) & (ranks < own + pool))

    def lessons() -> tuple[Lessons, Sequence[str]]:
        places = np.flatnonzero(ranks < own)
        texts = [[form.format(labels[p]) for form in SEEN_FORMS] for p in places]
        _, kinds = np.unique(labels[places], return_inverse=True)
        asked = [f"{name}." for name in sorted(set(labels.tolist()))]
        words = [text for own_texts in texts for text in own_texts] + asked
        return Lessons([_decoded(images[p]) for p in places], texts, kinds, 0.1), words

    def part(images: Sequence[bytes], places: np.ndarray, names: np.ndarray) -> tuple:
        return Scaled(pixels([_decoded(images[p]) for p in places], 32)), names[places]

    shown, names = _cifar("test")
    test = part(shown, np.flatnonzero(_ranks(names) < tested), names)
    size = Size(16, 1, 16, tokens=14, steps=40) if quick else Size(96, 3, 64, tokens=14, steps=1400)
    told = "CIFAR-100, 100 pictures a class for sessions and 40 for the test"
    train_part = part(images, kept, labels)
    return World("cifar100", told, lessons, size, "{}.", train_part, test)


def _cifar(part: str) -> tuple[list[bytes], np.ndarray]:
    import pyarrow.parquet as pq

    table = pq.read_table(CIFAR / f"{part}_webp92.parquet")
    names = table.schema.metadata[b"label_names"].decode().replace("_", " ").split(",")
    labels = np.array(names)[table["fine_label"].to_numpy()]
    return table["image"].to_pylist(), labels


def _ranks(labels: np.ndarray) -> np.ndarray:
    """(n,) how many of the same class came before; the tables are in a drawn order."""
    _, numbers = np.unique(labels, return_inverse=True)
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], numbers[order])
    ranks = np.empty(len(labels), dtype=np.int64)
    ranks[order] = np.arange(len(labels)) - starts
    return ranks


def _decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


WORLDS: Mapping[str, Callable[[bool], World]] = MappingProxyType(
    {"digits": digits, "cifar100": cifar100}
)


def model_of(world: World, cache: Path) -> tuple[CLIPModel, Callable, float]:
    """The small CLIP of a world, its tokenizer, and the seconds of one core it took to train.

    Trained when it is not in the folder, and kept there.
    """
    home = cache / f"few-shot-{world.name}-{world.size.width}"
    mark = home.with_suffix(".json")
    if not mark.exists() or json.loads(mark.read_text())["size"] != asdict(world.size):
        begun = time.process_time()
        lessons, words = world.lessons()
        build(home, words_of(words), world.size, seed=1)
        train(home, lessons, world.size, 0, lambda text: say(f"{world.name}: {text}"))
        seconds = time.process_time() - begun
        mark.write_text(json.dumps({"size": asdict(world.size), "seconds": seconds}))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(home)

    def tokenize(texts: list[str]) -> Mapping[str, torch.Tensor]:
        return tokenizer(texts, padding=True, truncation=True, return_tensors="pt")

    model = CLIPModel.from_pretrained(home).eval()
    return model, tokenize, json.loads(mark.read_text())["seconds"]
