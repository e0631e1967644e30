"""Models for texts and pictures of random weights, made without a network."""

import io
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs holdfast[clip]")
pytest.importorskip("transformers", reason="needs holdfast[clip]")
pytest.importorskip("PIL", reason="needs holdfast[clip]")

from PIL import Image

from bench.tiny_clip import Size, build

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
