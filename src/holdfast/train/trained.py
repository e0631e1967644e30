"""A trained model as one file: its weights, what it is built of, its interface and its space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .. import artifact
from ..errors import EncoderError, UnfitContent
from ..items import Content
from ..space import Space
from . import blueprint
from .blueprint import BackboneConfig, HeadConfig, PicturesConfig
from .checkpoint import Arrays, fill, flat, restored
from .encoder import ModelEncoder
from .interface import Interface
from .model import Model, frozen
from .tensors import Tensor, torch

KIND = "trained-model"
Opened: TypeAlias = Callable[[Content, str], Any]  # a picture's content and who asks -> PIL image


@dataclass(frozen=True, eq=False)
class Trained:
    """A model, and everything that is needed to use it or to train the next one.

    Args:
        model: Frozen.
        space: Of its vectors.
        interface: Classes it was trained on, with their vertices.
        backbone, head: What it is built of.
        shape: Of an input.
        pictures: How pictures become inputs; None where inputs are vectors.
        old_dim: Coordinates it shares with the model before, where its head has more.
        version: How many models came before it, and itself.
        recipe: Digest of the recipe it was trained by.
    """

    model: Model
    space: Space
    interface: Interface
    backbone: BackboneConfig
    head: HeadConfig
    shape: tuple[int, ...]
    pictures: PicturesConfig | None = None
    old_dim: int | None = None
    version: int = 1
    recipe: str = ""

    def save(self, path: Path | str) -> None:
        """Write to a file, whole or not at all."""
        arrays: Arrays = {}
        meta = {
            "weights": flat(dict(self.model.state_dict()), "weights", arrays),
            "space": self.space.to_json(),
            "interface": self.interface.to_json(),
            "backbone": self.backbone.model_dump(),
            "head": self.head.model_dump(),
            "shape": list(self.shape),
            "pictures": None if self.pictures is None else self.pictures.model_dump(),
            "old_dim": self.old_dim,
            "version": self.version,
            "recipe": self.recipe,
        }
        artifact.save(path, artifact.Artifact(KIND, arrays, meta))

    @classmethod
    def load(cls, path: Path | str) -> Trained:
        """Read what `save` wrote.

        Raises:
            ArtifactError: Missing, damaged, of another kind, or not understood.
        """
        read = artifact.load(path, KIND)
        again = "Train it again, or restore the file from a copy."
        with artifact.understood(path, "a model", again):
            return cls._of(read, str(path))

    @classmethod
    def _of(cls, read: artifact.Artifact, path: str) -> Trained:
        meta = dict(read.meta)
        table = Interface.from_json(meta["interface"])
        parts = BackboneConfig(**meta["backbone"]), HeadConfig(**meta["head"])
        shape, old_dim = tuple(meta["shape"]), meta["old_dim"]
        made = blueprint.model(parts, shape, table, old_dim)
        fill(made, restored(meta["weights"], read.arrays), path)
        pictures = meta["pictures"]
        return cls(
            frozen(made),
            Space.from_json(meta["space"]),
            table,
            *parts,
            shape,
            None if pictures is None else PicturesConfig(**pictures),
            old_dim,
            meta["version"],
            meta["recipe"],
        )

    def encoder(self, opened: Opened | None = None, device: str = "cpu") -> ModelEncoder:
        """The model as an encoder.

        Args:
            opened: Opens a picture: `holdfast.encode.pictures.opened`. Models of vectors take
                lists of numbers and need none.
            device: Where it answers.
        """
        if self.pictures is None:
            return ModelEncoder(self.model, self.space, device=device)
        owner, pictures = f"encoder of {self.space.name}", self.pictures

        def prepare(contents: list[Content]) -> Tensor:
            return as_inputs(contents, pictures, opened, owner)

        return ModelEncoder(self.model, self.space, prepare, device)

    def renamed(self, name: str) -> Trained:
        """The same under another name of its space, which is not part of its identity."""
        return replace(self, space=replace(self.space, name=name))


def as_inputs(
    contents: Sequence[Content], config: PicturesConfig, opened: Opened | None, owner: str
) -> Tensor:
    """(n, channels, size, size) float32 of pictures, about from -2 to 2.

    Args:
        contents: Paths, bytes of files or open pictures.
        config: Their size.
        opened: Opens one.
        owner: Who asks, for messages.
    Raises:
        EncoderError: Something that is no picture.
    """
    if opened is None:
        raise EncoderError(
            owner, "a function that opens pictures", "none", "Give holdfast.encode.pictures.opened."
        )
    mode, side = ("L" if config.channels == 1 else "RGB"), (config.size, config.size)
    rows = []
    for content in contents:
        if isinstance(content, str):  # the name of a file is a Path
            fix = "A picture is a Path, the bytes of a file, or a PIL image."
            raise UnfitContent(owner, "a picture", f"the text {content[:40]!r}", fix)
        try:
            shown = opened(content, owner).convert(mode).resize(side)
        except (AttributeError, TypeError) as cause:
            raise EncoderError(owner, "a picture", type(content).__name__) from cause
        rows.append(np.asarray(shown).reshape(*side, config.channels))
    # As bytes until the end: as floats a large folder would be in memory four times.
    pixels = torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2).contiguous()
    return pixels.float().sub_(127.5).div_(64.0)
