"""Models for texts and pictures of random weights, made without a network."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs holdfast[clip]")
pytest.importorskip("transformers", reason="needs holdfast[clip]")
pytest.importorskip("PIL", reason="needs holdfast[clip]")

from PIL import Image, ImageDraw

from bench.tiny_clip import Lessons, Size, build, train

WORDS = ["a", "an", "red", "green", "blue", "square", "disc", "picture", "of", "the", "small"]
OLD = Size(width=16, layers=1, dim=8, image=16, patch=8, tokens=12)
NEW = Size(width=32, layers=2, dim=12, image=24, patch=8, tokens=12)


def clip_folder(home: Path, size: Size = NEW, seed: int = 0) -> Path:
    """A CLIP as a folder that looks like one from the hub."""
    folder = home / f"clip-{size.dim}-{seed}"
    build(folder, WORDS, size, seed)
    return folder


def picture(seed: int, side: int = 20) -> Image.Image:
    """Random colours."""
    drawn = np.random.default_rng(seed).integers(0, 256, size=(side, side + 4, 3))
    return Image.fromarray(drawn.astype(np.uint8))


def file_of(image: Image.Image, kind: str = "PNG") -> bytes:
    """What a file of it holds."""
    data = io.BytesIO()
    image.save(data, kind)
    return data.getvalue()


COLOURS = {"red": (220, 40, 40), "green": (40, 200, 60), "blue": (50, 70, 230)}
SHAPES = ("square", "disc")
KINDS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)


def scene(colour: str, shape: str, rng: np.random.Generator) -> Image.Image:
    """A shape somewhere on a noisy ground."""
    canvas = Image.fromarray(rng.integers(0, 70, size=(32, 32, 3)).astype(np.uint8))
    left, top, side = int(rng.integers(2, 12)), int(rng.integers(2, 12)), int(rng.integers(14, 18))
    draw = ImageDraw.Draw(canvas)
    paint = draw.rectangle if shape == "square" else draw.ellipse
    paint((left, top, left + side, top + side), fill=COLOURS[colour])
    return canvas


_TRAINED: dict[tuple[Size, int, int], Path] = {}


def trained_folder(home: Path, size: Size, seed: int = 0, steps: int = 150) -> Path:
    """A CLIP that knows colours and shapes; about two seconds, once in a run of the tests."""
    made = _TRAINED.get((size, seed, steps))
    if made is not None and made.is_dir():
        return made
    folder = _TRAINED[size, seed, steps] = clip_folder(home, size, seed)
    rng = np.random.default_rng(seed)
    images, texts, kinds = [], [], []
    for number, (colour, shape) in enumerate(KINDS):
        for _ in range(40):
            images.append(np.asarray(scene(colour, shape, rng)))
            texts.append([f"a {colour} {shape}", f"picture of the {colour} {shape}"])
            kinds.append(number)
    told = replace(size, steps=steps, batch=48, rate=3e-3)
    train(folder, Lessons(images, texts, np.array(kinds)), told, seed)
    return folder


def photographs(folder: Path, each: int, seed: int = 9) -> list[str]:
    """Write pictures no model saw; answers their names, which say what is on them."""
    rng, names = np.random.default_rng(seed), []
    for colour, shape in KINDS:
        (folder / colour).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            names.append(f"{colour}/{shape}-{number:02}.png")
            scene(colour, shape, rng).save(folder / names[-1])
    return names
