"""Published figures of upgrades between real CLIP models, beside what they are here.

python -m bench.published_clip --data FOLDER --cache FOLDER [--sets flickr30k,coco,nocaps]
    [--new large,huge] [--model old=NAME_OR_FOLDER] [--model large=...] [--model huge=...]

Weights and pictures are yours to bring. FOLDER holds, for each set,

    flickr30k/captions.jsonl    {"image": "images/1.jpg", "captions": ["...", "..."]} a line;
                                paths are relative to the file
    support.jsonl               {"image": "...", "text": "..."}: pairs for the bridge's captions
                                and for alpha; the published figures took 12,637 of CC3M's
                                validation part

Models are transformers', as folders or names on the hub: CLIP ViT-B/32 (old), ViT-L/14 (large) and
ViT-H/14 (huge). Vectors are kept in the cache, so a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from holdfast.align.bridge import Bridge
from holdfast.align.procrustes import Procrustes
from holdfast.align.spherical import Interpolation
from holdfast.arrays import Vectors
from holdfast.encode.base import Encoder
from holdfast.encode.cache import CachedEncoder
from holdfast.encode.clip import ClipEncoder
from holdfast.measure.cross_modal import DEPTHS, DIRECTIONS, Found, Pairing

from .record import Record, arguments, say, writes

MODELS = MappingProxyType(
    {
        "old": "openai/clip-vit-base-patch32",
        "large": "openai/clip-vit-large-patch14",
        "huge": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    }
)
SETS = ("flickr30k", "coco", "nocaps")
OFF = 0.01  # how far a figure may be off the published one: other preprocessing, other support
_BATCH = 256

Row = tuple[float, float, float, float, float, float]

# (set, cell) -> R@1, R@5, R@10 of I2T and of T2I, in percent
PUBLISHED: Mapping[tuple[str, str], Row] = MappingProxyType(
    {
        ("flickr30k", "old/old"): (40.62, 64.75, 73.72, 21.73, 41.56, 51.10),
        ("flickr30k", "large: new/new"): (48.72, 72.93, 81.22, 28.27, 49.63, 59.09),
        ("flickr30k", "large: procrustes"): (42.89, 66.79, 75.77, 21.49, 41.35, 50.92),
        ("flickr30k", "large: procrustes + slerp"): (48.00, 71.84, 80.34, 23.33, 43.77, 53.29),
        ("flickr30k", "huge: new/new"): (59.38, 82.49, 88.97, 43.07, 65.99, 74.31),
        ("flickr30k", "huge: procrustes"): (50.40, 74.33, 82.23, 25.45, 46.81, 56.45),
        ("flickr30k", "huge: procrustes + slerp"): (52.28, 76.03, 83.58, 26.21, 47.74, 57.40),
        ("coco", "old/old"): (28.76, 50.34, 59.86, 14.47, 30.22, 38.92),
        ("coco", "large: new/new"): (34.33, 56.09, 65.38, 18.68, 35.85, 44.40),
        ("coco", "large: procrustes"): (30.27, 51.35, 61.07, 14.03, 29.71, 38.33),
        ("coco", "large: procrustes + slerp"): (33.40, 55.44, 64.80, 15.26, 31.57, 40.34),
        ("coco", "huge: new/new"): (43.50, 66.34, 74.76, 28.56, 49.50, 58.50),
        ("coco", "huge: procrustes"): (35.22, 57.40, 66.69, 17.01, 34.49, 43.61),
        ("coco", "huge: procrustes + slerp"): (36.85, 59.18, 68.52, 17.37, 34.96, 44.17),
        ("nocaps", "old/old"): (71.29, 91.93, 96.20, 45.24, 74.97, 84.51),
        ("nocaps", "large: new/new"): (73.36, 93.42, 97.38, 47.84, 76.55, 85.11),
        ("nocaps", "large: procrustes"): (69.22, 91.18, 96.04, 43.92, 74.22, 83.96),
        ("nocaps", "large: procrustes + slerp"): (73.98, 93.33, 96.91, 46.59, 76.47, 85.54),
        ("nocaps", "huge: new/new"): (84.27, 97.24, 98.98, 63.53, 87.65, 92.93),
        ("nocaps", "huge: procrustes"): (76.76, 93.56, 97.33, 50.38, 79.64, 87.76),
        ("nocaps", "huge: procrustes + slerp"): (78.24, 94.22, 97.84, 51.09, 80.24, 88.33),
    }
)
NOTES = (
    (
        "Published rows: Ricci et al. 2026 (spherical interpolation), who report those of XBT on "
        "the same sets. The gallery is that of CLIP ViT-B/32. A difference is what this library "
        "measures minus the published figure, both as rates."
    ),
    "The bridge is Procrustes about the origin, fitted on the captions of the support pairs.",
)


def read_set(folder: Path) -> tuple[list[Path], list[str], Pairing]:
    """Pictures, distinct captions, and what belongs together."""
    images, captions, own = [], [], []
    for line in (folder / "captions.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        images.append(folder / record["image"])
        own.append(list(range(len(captions), len(captions) + len(record["captions"]))))
        captions += record["captions"]
    return images, captions, Pairing(own, len(captions))


def vectors(encoder: Encoder, contents: Sequence[Path | str], label: str) -> Vectors:
    """All rows, a batch at a time."""
    rows = []
    for start in range(0, len(contents), _BATCH):
        rows.append(encoder.encode(contents[start : start + _BATCH], "document").array)
        if start % (40 * _BATCH) == 0:
            say(f"{label}: {start:,} of {len(contents):,}")
    return Vectors(encoder.space, np.concatenate(rows))


def joins(
    old: Encoder, new: Encoder, bridge: Bridge, images: Sequence[Path], texts: Sequence[str]
) -> list[Interpolation]:
    """Alpha of each direction, chosen by R@1 on the support pairs, as published."""
    shown = [vectors(encoder, images, "support") for encoder in (old, new)]
    told = [vectors(encoder, texts, "support") for encoder in (old, new)]
    own = np.arange(len(images))
    return [
        Interpolation.fit(a[0], bridge.transform(a[1]), b[0], own)
        for a, b in ((shown, told), (told, shown))
    ]


def measured(
    data: Path, encoders: Mapping[str, Encoder], names: Sequence[str]
) -> dict[tuple[str, str], Found]:
    """Every cell of every set."""
    pairs = [json.loads(line) for line in (data / "support.jsonl").read_text().splitlines()]
    images, texts = [data / pair["image"] for pair in pairs], [pair["text"] for pair in pairs]
    old, found = encoders["old"], {}
    old_texts = vectors(old, texts, "support captions, old")
    for name in names:
        shown, told, pairing = read_set(data / name)
        stored = vectors(old, shown, f"{name}, old"), vectors(old, told, f"{name}, old")
        found[name, "old/old"] = Found.of("old/old", *stored, pairing)
        for size, new in encoders.items():
            if size == "old":
                continue
            rows = vectors(new, shown, f"{name}, {size}"), vectors(new, told, f"{name}, {size}")
            bridge = Bridge.fit(Procrustes(center=False), vectors(new, texts, size), old_texts)
            mapped = [bridge.transform(side) for side in rows]
            ways = joins(old, new, bridge, images, texts)
            joined = [w.between(s, m) for w, s, m in zip(ways, stored, mapped, strict=True)]
            found[name, f"{size}: new/new"] = Found.of("new/new", *rows, pairing)
            cell = f"{size}: procrustes"
            found[name, cell] = Found.of(cell, *mapped, pairing, stored)
            found[name, f"{cell} + slerp"] = Found.of(cell, *joined, pairing, stored)
            say(f"{name}, {size}: alpha {ways[0].alpha} and {ways[1].alpha}")
    return found


def compared(record: Record, found: Mapping[tuple[str, str], Found]) -> None:
    """Each recall beside the published one."""
    for (name, cell), here in found.items():
        row = PUBLISHED[name, cell]
        for place, (direction, k) in enumerate((d, k) for d in DIRECTIONS for k in DEPTHS):
            value, there = here.recall(direction, k), row[place] / 100.0
            metric, where = f"{direction} R@{k}", f"{name}, {cell}"
            ends = {"low": value.low, "high": value.high}
            record.add(metric, where, value.value, data=f"{name}, full", **ends)
            off = abs(value.value - there)
            record.add(f"{metric} off {there:.4f}", where, off, target=f"<= {OFF}")


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--new", default="large,huge")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=MODEL")
    options = parser.parse_args()
    return run(options)


def run(options: argparse.Namespace) -> int:
    """Encode, measure, compare."""
    named = dict(MODELS) | dict(told.split("=", 1) for told in options.model)
    wanted = ["old", *options.new.split(",")]
    encoders = {
        name: CachedEncoder(ClipEncoder(named[name]), options.cache / f"{name}.sqlite")
        for name in wanted
    }
    record = Record(
        "published_clip",
        "published figures of upgrades between CLIP models",
        "Flickr30k (31,014 pictures), COCO 2014 val, nocaps val",
        notes=list(NOTES),
        aims=not options.quick,
    )
    try:
        compared(record, measured(options.data, encoders, options.sets.split(",")))
    finally:
        for encoder in encoders.values():
            encoder.close()
    return record.finish(writes(options))


if __name__ == "__main__":
    raise SystemExit(main())
