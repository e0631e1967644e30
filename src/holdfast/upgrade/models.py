"""Encoders of a configuration: those of `encode` by name, and models of our own training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..encode.base import Encoder
from ..encode.registry import open_encoder
from ..errors import ConfigError

TRAINED = "trained"  # the kind of a file that `holdfast train` wrote


def open_model(kind: str, **options: Any) -> Encoder:
    """Make an encoder of a kind.

    Args:
        kind: One of `encode.registry.known_encoders()`, or "trained".
        options: What it takes; of "trained" the `path` of the file, or of the folder of a text
            model, and the `device`.
    Raises:
        ConfigError: An unknown kind, an option it does not take, or one that it lacks.
        ArtifactError: No trained model at the path.
    """
    if kind != TRAINED:
        return open_encoder(kind, **options)
    check_trained(options)
    if Path(options["path"]).is_dir():
        from ..train.sentence import SentenceFollower

        return SentenceFollower.load(options["path"], options.get("device"))
    from ..encode.pictures import opened
    from ..train.trained import Trained

    return Trained.load(options["path"]).encoder(opened, options.get("device", "cpu"))


def check_trained(options: Mapping[str, Any]) -> None:
    """Refuse settings that no file of a trained model is opened with.

    Args:
        options: As for `open_model`.
    Raises:
        ConfigError: One that it does not take, or no path.
    """
    unknown = sorted(set(options) - {"path", "device"})
    if unknown or not isinstance(options.get("path"), str | Path):
        got = ", ".join(map(repr, unknown)) or "no path"
        raise ConfigError("encoder 'trained'", "options among path, device", got)
