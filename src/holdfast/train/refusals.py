"""What a recipe asks for that cannot be trained, refused in the words of the recipe.

All of it is found before the first step, so that nobody waits for a model that no one can use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..device import check_device
from ..errors import ConfigError

if TYPE_CHECKING:
    from .job import Job
    from .trained import Trained


def refuse(job: Job) -> None:
    """Refuse what the loop would refuse in its own words, or not at all.

    Raises:
        ConfigError: It is to be trained on too little, on a device that is not there, or in a way
            that does not fit the model before.
    """
    who = job.path.name
    if len(job.split[0]) < 2:
        raise ConfigError(f"{who}: data", "two items to train on", str(len(job.split[0])))
    check_device(job.config.budget.device, f"{who}: budget.device")
    old = job.before
    if old is None:
        if job.config.start == "deployed":
            raise ConfigError(f"{who}: start", "a model `before` to go on from", "none")
        if len(job.data.known) < 2:
            raise ConfigError(
                f"{who}: data", "two classes to tell apart", f"{job.data.known[0]!r} alone"
            )
        return
    _pictured(job, old, who)
    if job.config.start == "deployed":
        _goes_on(job, old, who)
    if job.config.start == "deployed" or job.config.loss.compares:
        _same_inputs(job, old, who)
    if job.config.loss.compares:
        _compared(job, old, who)


def _goes_on(job: Job, old: Trained, who: str) -> None:
    """What goes on is the model before: it is built as it was."""
    config = job.config
    if config.head.kind == "aligned":
        raise ConfigError(
            f"{who}: start",
            'start = "fresh" with the head "aligned"',
            '"deployed"',
            "Its coordinates are new ones, beside all those of the model before.",
        )
    for name, mine, theirs in (
        ("head.kind", config.head.kind, old.head.kind),
        ("backbone", config.backbone, old.backbone),
    ):
        if mine != theirs:
            raise ConfigError(
                f"{who}: {name}",
                f'with start = "deployed" that of the model before: {theirs}',
                str(mine),
                'Write the same, or start = "fresh".',
            )


def _same_inputs(job: Job, old: Trained, who: str) -> None:
    """Both models answer to every input."""
    if job.data.shape != old.shape:
        raise ConfigError(
            f"{who}: data",
            f"inputs of the shape {old.shape}, which the model before answers to as well",
            f"{job.data.shape}",
        )


def _pictured(job: Job, old: Trained, who: str) -> None:
    """Pictures become the inputs that they were for the model before."""
    wanted = old.pictures
    if wanted and "pictures" in job.config.model_fields_set and job.config.pictures != wanted:
        raise ConfigError(
            f"{who}: pictures",
            f"those of the model before: {wanted}",
            str(job.config.pictures),
            "Write the same, or leave the table out.",
        )


def _compared(job: Job, old: Trained, who: str) -> None:
    """There is something that the loss can compare with the vectors of the model before."""
    config = job.config
    kind, head = config.loss.kind, config.head.kind
    if kind == "lce" and head != "learned":
        raise ConfigError(
            f"{who}: loss.kind",
            'head.kind = "learned" beside "lce"',
            f'"{head}"',
            "Take that head, or another loss.",
        )
    if head == "one-hot" and old.head.kind != head:
        raise ConfigError(
            f"{who}: head.kind",
            'a model before with the head "one-hot" too, to compare with',
            f'one with "{old.head.kind}"',
            'Take "learned" or "aligned", or compare with nothing: loss.kind = "classification".',
        )
    grew = head == "one-hot" and job.table.dim > old.space.dim
    if kind == "mixbct" and (head == "aligned" or grew):
        raise ConfigError(
            f"{who}: loss.kind",
            'a head without coordinates of its own beside "mixbct"',
            f'head.kind = "{head}"',
            'Take "learned" or "simplex", or another loss.',
        )
    length = _length(job, old)
    if length != old.space.dim:
        raise ConfigError(
            f"{who}: loss.kind",
            f"vectors of {old.space.dim} numbers, as the model before has, to compare with",
            f"{length}",
            'Keep their length, or compare with nothing: loss.kind = "classification".',
        )


def _length(job: Job, old: Trained) -> int:
    """Of what is compared with the vectors of the model before."""
    config = job.config
    if config.head.kind == "simplex":
        return job.table.dim
    shares = config.head.kind in {"aligned", "one-hot"}  # its first coordinates are the old ones
    if shares or config.start == "deployed":
        return old.space.dim
    mlp = config.backbone.kind == "mlp"
    return config.backbone.dim if mlp else 4 * config.backbone.width
