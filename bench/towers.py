"""Trains the models of the worlds, and keeps what they say of every picture and caption.

python -m bench.towers --cache FOLDER [--sets digits,emoji,icons,cifar100] [--seeds 0,1,2]

What is in the folder already is not done again, so a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from transformers import CLIPModel, PreTrainedTokenizerFast

from .pictures import WORLDS, Split, World
from .record import say
from .tiny_clip import Size, build, feature, pixels, scaled, train, words_of

SIDES = ("old", "new")


def ready(world: World, seed: int, cache: Path) -> Path:
    """The folder of a world's two models, trained when it was not there."""
    home = cache / f"{world.name}-{seed}"
    for place, side in enumerate(SIDES):
        folder, size = home / side, world.sizes[place]
        mark = home / f"{side}.json"
        if mark.exists() and json.loads(mark.read_text()) == asdict(size):
            continue
        begun = time.process_time()
        build(folder, words_of(world.words), size, 10 * seed + place)
        lessons = (world.old, world.new)[place]
        train(folder, lessons, size, seed, lambda t, s=side: say(f"{world.name} {seed} {s}: {t}"))
        say(f"{world.name} {seed} {side}: {time.process_time() - begun:.0f} s of one core")
        mark.write_text(json.dumps(asdict(size)))
    return home


def encoded(world: World, home: Path) -> dict[str, np.ndarray]:
    """Rows of unit length by "old.test.images" and the like; kept beside the models."""
    path = home / "rows.npz"
    marks = [home / f"{side}.json" for side in SIDES]
    if path.exists() and path.stat().st_mtime >= max(m.stat().st_mtime for m in marks):
        with np.load(path) as kept:
            return {name: kept[name] for name in kept.files}
    rows = {}
    for side, size in zip(SIDES, world.sizes, strict=True):
        model = CLIPModel.from_pretrained(home / side).eval()
        tokenizer = PreTrainedTokenizerFast.from_pretrained(home / side)
        rows[f"{side}.texts"] = texts(model, tokenizer, world.texts)
        for name, split in (("support", world.support), ("test", world.test)):
            rows |= _split(f"{side}.{name}", model, tokenizer, split, size)
    np.savez(path, **rows)
    return rows


def _split(name: str, model, tokenizer, split: Split, size: Size) -> dict[str, np.ndarray]:
    return {
        f"{name}.images": images(model, split.images, size),
        f"{name}.captions": texts(model, tokenizer, split.captions),
    }


def texts(model: CLIPModel, tokenizer, given: Sequence[str]) -> np.ndarray:
    """(n, d) unit rows of captions."""
    out = []
    with torch.inference_mode():
        for start in range(0, len(given), 256):
            part = list(given[start : start + 256])
            ids = tokenizer(part, padding=True, truncation=True, return_tensors="pt")
            out.append(feature(model.get_text_features(input_ids=ids["input_ids"])))
    return _unit(torch.cat(out))


def images(model: CLIPModel, given: Sequence[np.ndarray], size: Size) -> np.ndarray:
    """(n, d) unit rows of pictures."""
    out = []
    with torch.inference_mode():
        for start in range(0, len(given), 256):
            seen = scaled(pixels(given[start : start + 256], size.image))
            out.append(feature(model.get_image_features(pixel_values=seen)))
    return _unit(torch.cat(out))


def _unit(rows: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(rows).numpy()


def main() -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(WORLDS))
    parser.add_argument("--seeds", default="0,1,2")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.sets.split(","):
        for seed in map(int, options.seeds.split(",")):
            world = WORLDS[name](seed)
            encoded(world, ready(world, seed, options.cache))
            say(f"{name} {seed} is ready")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
