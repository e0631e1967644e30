"""Three worlds of a hundred classes for few-shot sessions, and the small CLIP of each.

    digits    ordered pairs of handwritten digits in any two of 6 colours, 32 x 32; the digits
              are scikit-learn's. A class is a pair, whatever the colours
    nouns     photographs of CIFAR-100; captions have the words they were collected with
    names     the same; captions have the names of the classes

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
from .at_once import at_once
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
        world.sizes[1] if quick else Size(80, 3, 64, steps=2500),
        "a {}",
        train_part,
        test_part,
    )


def nouns(quick: bool = False) -> World:
    """Photographs; the model learns of the words they were collected with, not of their classes.

    Of the words two in five are the class's name, and some names are no word of any. So one
    photograph in twenty also has the name in a caption, in three sentences.
    """
    return _photographs("nouns", quick)


def names(quick: bool = False) -> World:
    """Photographs; the model learns of the names of their classes."""
    return _photographs("names", quick)


def _photographs(name: str, quick: bool) -> World:
    own, pool, tested = (5, 12, 4) if quick else (300, 100, 40)
    images, labels, words = _cifar("train")
    ranks = _ranks(labels)
    kept = np.flatnonzero((ranks >= own) & (ranks < own + pool))

    def lessons() -> tuple[Lessons, Sequence[str]]:
        places = np.flatnonzero(ranks < own)
        told = [(words[p],) if name == "nouns" else (labels[p],) for p in places]
        for n, place in enumerate(places):
            if name == "nouns" and ranks[place] % 20 == 0:
                told[n] = (words[place], labels[place])
        texts = [[form.format(word) for word in each for form in SEEN_FORMS] for each in told]
        _, kinds = np.unique(
            words[places] if name == "nouns" else labels[places], return_inverse=True
        )
        asked = [f"{label}." for label in sorted(set(labels.tolist()))]
        known = [text for each in texts for text in each] + asked
        return Lessons([_decoded(images[p]) for p in places], texts, kinds, 0.1), known

    def part(images: Sequence[bytes], places: np.ndarray, classes: np.ndarray) -> tuple:
        return Scaled(pixels([_decoded(images[p]) for p in places], 32)), classes[places]

    shown, classes, _ = _cifar("test")
    test = part(shown, np.flatnonzero(_ranks(classes) < tested), classes)
    size = Size(16, 1, 16, tokens=14, steps=40)
    size = size if quick else Size(96, 3, 64, tokens=14, steps=1400)
    captions = "words of their search" if name == "nouns" else "names of their classes"
    told = f"CIFAR-100, 32 x 32, by a model of captions with the {captions}"
    return World(name, told, lessons, size, "{}.", part(images, kept, labels), test)


def _cifar(part: str) -> tuple[list[bytes], np.ndarray, np.ndarray]:
    """Pictures, the names of their classes, and the words they were collected with."""
    import pyarrow.parquet as pq

    table = pq.read_table(CIFAR / f"{part}_webp92.parquet")
    names = table.schema.metadata[b"label_names"].decode().replace("_", " ").split(",")
    labels = np.array(names)[table["fine_label"].to_numpy()]
    words = [word.replace("_", " ") for word in table["noun"].to_pylist()]
    return table["image"].to_pylist(), labels, np.array(words)


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
    {"digits": digits, "nouns": nouns, "names": names}
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
        with at_once(mark) as partial:
            partial.write_text(json.dumps({"size": asdict(world.size), "seconds": seconds}))
    tokenizer = PreTrainedTokenizerFast.from_pretrained(home)

    def tokenize(texts: list[str]) -> Mapping[str, torch.Tensor]:
        return tokenizer(texts, padding=True, truncation=True, return_tensors="pt")

    model = CLIPModel.from_pretrained(home).eval()
    return model, tokenize, json.loads(mark.read_text())["seconds"]
