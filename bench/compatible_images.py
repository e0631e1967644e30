"""Pictures for the benchmarks of training, as fixed convolutional features made once.

Two cores train no convolutional network for each of many methods in the time a benchmark has
(`compatible_convolutional` trains one for a few). So the pictures go once
through a layer that nobody trains (whitened patches drawn from the pictures themselves, kept by
half waves, averaged over four quarters, reduced to their leading directions), and what the
methods train is a network of two layers on those.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .at_once import at_once
from .record import ROOT

DATA = ROOT.parent / "shared" / "data"
FEATURES, FILTERS, PATCH = 384, 256, 6
WIDE = 384


@dataclass(frozen=True)
class Images:
    """Rows made of pictures, and their classes; indexed like a tensor.

    Args:
        rows: (n, 384) float32.
        labels: (n,) class numbers.
        parts: (n,) what splits them: 0 for train and 1 for test, or the number of a font.
    """

    rows: torch.Tensor
    labels: np.ndarray
    parts: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: Any) -> torch.Tensor:
        return self.rows[places]

    def take(self, places: np.ndarray) -> Images:
        """Some of them."""
        return Images(self.rows[torch.from_numpy(places)], self.labels[places], self.parts[places])


def images(name: str, cache: Path) -> Images:
    """ "cifar100" (train, then test), "cifar10" (test) or "glyphs", from the cache once made."""
    path = cache / f"{name}-rows.npz"
    if not path.exists():
        _make(name, cache)
    with np.load(path) as read:
        return Images(torch.from_numpy(read["rows"]), read["labels"], read["parts"])


def present() -> bool:
    """Whether the pictures are there."""
    return (DATA / "cifar100").is_dir() and (DATA / "glyphs").is_dir()


def _make(name: str, cache: Path) -> None:
    """Rows of a set; CIFAR-10 goes through the layer of CIFAR-100, which never saw it."""
    found, labels, parts = pixels(name)
    layer = cache / f"{'glyphs' if name == 'glyphs' else 'cifar100'}-layer.pt.npz"
    if not layer.exists() and name == "cifar10":
        images("cifar100", cache)
    if not layer.exists():
        with at_once(layer) as partial:
            np.savez(partial, **_fitted(found[:10_000] if name == "cifar100" else found[::8]))
    with np.load(layer) as read:
        rows = _through(found, {key: torch.from_numpy(read[key]) for key in read.files})
    with at_once(cache / f"{name}-rows.npz") as partial:
        np.savez(partial, rows=rows.numpy(), labels=labels, parts=parts)


def pixels(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, side, side, channels) bytes of a set, its class numbers and its parts."""
    return _glyphs() if name == "glyphs" else _cifar(name)


def _cifar(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    from PIL import Image
    from pyarrow import parquet

    pixels: list[np.ndarray] = []
    labels: list[int] = []
    parts: list[int] = []
    for part, file in enumerate(("train", "test")):
        path = DATA / name / f"{file}_webp92.parquet"
        if not path.exists():
            continue
        read = parquet.read_table(path)
        raw = read["image"].to_pylist()
        pixels += [np.asarray(Image.open(io.BytesIO(one)).convert("RGB")) for one in raw]
        labels += read["fine_label" if "fine_label" in read.column_names else "label"].to_pylist()
        parts += [part] * len(read)
    return np.stack(pixels), np.array(labels), np.array(parts)


def _glyphs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.load(DATA / "glyphs" / "glyphs28.npz") as read:
        found = read["images"][..., None], read["label"], read["font"]
        return found[0], found[1].astype(np.int64), found[2].astype(np.int64)


def _pictures(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(torch.float32) / 255.0


def _waves(pictures: torch.Tensor, filters: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """(n, 8 filters) half waves of whitened patches, averaged over the quarters."""
    seen = functional.conv2d(pictures, filters, shift, stride=2)
    both = torch.cat([functional.relu(seen - 0.5), functional.relu(-seen - 0.5)], 1)
    return functional.adaptive_avg_pool2d(both, 2).flatten(1).sqrt()


def _fitted(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """The layer, from some pictures of the training set; no label is looked at."""
    rng = np.random.default_rng(0)
    pictures = _pictures(pixels)
    patches = functional.unfold(pictures[:2000], PATCH, stride=4)
    flat = patches.permute(0, 2, 1).reshape(-1, patches.shape[1]).double()
    mean = flat.mean(0)
    centred = flat - mean
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(flat))
    whiten = vectors @ torch.diag((values + 0.01).rsqrt()) @ vectors.T
    chosen = torch.from_numpy(rng.choice(len(flat), FILTERS, replace=False))
    units = functional.normalize(centred[chosen] @ whiten, dim=1) @ whiten
    filters = units.reshape(FILTERS, pictures.shape[1], PATCH, PATCH).float()
    shift = -(units @ mean).float()
    waves = torch.cat([_waves(part, filters, shift) for part in pictures.split(500)]).double()
    middle = waves.mean(0)
    values, vectors = torch.linalg.eigh((waves - middle).T @ (waves - middle) / len(waves))
    lead = vectors[:, -FEATURES:] * (values[-FEATURES:] + 1e-3 * values[-1]).rsqrt()
    found = {"filters": filters, "shift": shift, "middle": middle.float(), "lead": lead.float()}
    return {key: value.numpy() for key, value in found.items()}


def _through(pixels: np.ndarray, layer: dict[str, torch.Tensor]) -> torch.Tensor:
    parts = []
    for start in range(0, len(pixels), 500):
        pictures = _pictures(pixels[start : start + 500])
        waves = _waves(pictures, layer["filters"], layer["shift"])
        parts.append((waves - layer["middle"]) @ layer["lead"])
    return torch.cat(parts)


class Net(nn.Sequential):
    """Two layers on the features of a picture.

    Args:
        dim: Length of a row.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(
            nn.Linear(FEATURES, WIDE),
            nn.BatchNorm1d(WIDE),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(WIDE, dim, bias=False),
        )
