"""training.toml: one model trained by a file, so that the next one can follow it.

version = 1
name = "digits"                   # models of one name are meant to be comparable
data = "pictures"                 # a folder with a folder of pictures for each class; an .npz of
                                  # `vectors` and `labels`; JSON Lines of "vector" and "label"
model = "models/2.safetensors"    # what is written
before = "models/1.safetensors"   # the model that made the gallery; none for a first one
classes = ["0", "1"]              # only these; all that the data has without it
start = "fresh"                   # or "deployed": go on from the model before

[pictures]                        # size, channels
[backbone]                        # kind, width, dim, blocks
[head]                            # kind, capacity, extra
[loss]                            # kind, weight
[budget]                          # epochs, batch, rate, optimiser, held_out, seed, device

Paths are relative to the file. A run that was stopped goes on when it is called again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, ValidationError

from ..errors import ConfigError, InvalidInput
from ..settings import config_error, path_of, read_toml
from ..space import Relation, relation
from . import blueprint
from .blueprint import (
    FIXED,
    BackboneConfig,
    HeadConfig,
    LossConfig,
    PicturesConfig,
    _Strict,
)
from .dataset import Labelled, read_data
from .encoder import space_of
from .events import Event, Listener
from .interface import Interface
from .loop import Training
from .model import Model, digest_of, grown
from .recipe import Recipe, adam, sgd
from .refusals import refuse
from .scenarios import Scenario, Task
from .trained import Opened, Trained


class BudgetConfig(_Strict):
    """How long, how fast and on what.

    Args:
        epochs: Passes over the data.
        batch: Items at once.
        rate: Of learning.
        optimiser: "adam" or "sgd".
        held_out: Share of each class that is not trained on, and judges.
        seed: Of everything that is drawn.
        device: "cpu", "cuda".
    """

    epochs: int = Field(default=20, ge=1)
    batch: int = Field(default=128, ge=2)
    rate: float = Field(default=2e-3, gt=0.0)
    optimiser: Literal["adam", "sgd"] = "adam"
    held_out: float = Field(default=0.1, ge=0.0, lt=1.0)
    seed: int = Field(default=0, ge=0)
    device: str = "cpu"


class TrainConfig(_Strict):
    """The whole file, see the module's docstring."""

    version: Literal[1]
    name: str = Field(min_length=1)
    data: str
    model: str
    before: str | None = None
    classes: list[str] | None = Field(default=None, min_length=1)
    start: Literal["fresh", "deployed"] = "fresh"
    pictures: PicturesConfig = PicturesConfig()
    backbone: BackboneConfig = BackboneConfig()
    head: HeadConfig = HeadConfig()
    loss: LossConfig = LossConfig()
    budget: BudgetConfig = BudgetConfig()


def read_training(path: Path) -> TrainConfig:
    """Read and check a recipe.

    Raises:
        ConfigError: Not there, not TOML, an unknown setting, or a value that cannot be.
    """
    data = read_toml(path, "a recipe of a training")
    try:
        return TrainConfig(**data)
    except ValidationError as error:
        raise config_error(path.name, error) from error


@dataclass(frozen=True)
class Outcome:
    """What a training made.

    Args:
        trained: The model.
        relation: Of its space to that of the model before; None for a first one.
        path: Its file.
    """

    trained: Trained
    relation: Relation | None
    path: Path


class Job:
    """One training as a recipe describes it.

    Args:
        path: The recipe.
        opened: Opens pictures: `holdfast.encode.pictures.opened`.
    """

    def __init__(self, path: Path | str, opened: Opened | None = None) -> None:
        self.path, self.opened = Path(path), opened
        self.config = read_training(self.path)

    @cached_property
    def before(self) -> Trained | None:
        """The model that serves until now."""
        given = self.config.before
        return None if given is None else Trained.load(self._place(given, "before"))

    @cached_property
    def data(self) -> Labelled:
        """Everything that may be trained on or judge.

        Raises:
            ConfigError: Nothing there, or classes it does not have.
        """
        config = self.config
        pictures = config.pictures if self.before is None else self.before.pictures
        read = read_data(self._place(config.data, "data"), pictures or config.pictures, self.opened)
        return read.only(config.classes)

    @cached_property
    def split(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Places that are trained on, and those that judge."""
        return self.data.split(self.config.budget.held_out, self.config.budget.seed)

    @cached_property
    def table(self) -> Interface:
        """The interface with the classes of the data."""
        head = self.config.head
        capacity = head.capacity if head.kind == "simplex" else None
        first = Interface(self.config.name, head.figure, capacity)
        if self.before is not None:
            old = self.before.interface
            if old.kind == "simplex" and head.kind not in FIXED:
                # To a free classifier a table is the order of classes, wherever they sat.
                order = sorted(old.places, key=old.places.__getitem__)
                old = Interface(old.name, "one-hot").filled(order)
            if _said(first) != _said(old):
                raise ConfigError(
                    f"{self.path.name}: name and head",
                    f"those of the model before: {_said(old)}",
                    f'{_said(first)} (head.kind = "{head.kind}")',
                    "Write the same, or train a first model: without `before`.",
                )
            first = old
        try:
            return first.filled(self.data.known)
        except InvalidInput as cause:
            fix = "Write a larger one."
            if self.before is not None:
                fix = 'A simplex does not grow: take head.kind = "aligned", or begin anew.'
            who = f"{self.path.name}: head.capacity"
            raise ConfigError(who, cause.expected, cause.got, fix) from cause

    @property
    def digest(self) -> str:
        """Of the recipe, of the model before, and of the data: every input and its class."""
        names = json.dumps(self.data.names.tolist())
        told = f"{self._begun} {digest_of(self.data.inputs)} {names}"
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    @property
    def _begun(self) -> str:
        """Of all but the data: a run that goes on looks for its folder by this."""
        told = self.config.model_dump() | {"model": ""}
        old = "" if self.before is None else self.before.space.fingerprint + self.before.recipe
        text = json.dumps(told, sort_keys=True) + old
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def target(self) -> Path:
        """The file that is written."""
        return self._place(self.config.model, "model")

    def _place(self, word: str, setting: str) -> Path:
        return path_of(word, self.path.parent, f"{self.path.name}: {setting}")

    def run(self, listeners: Sequence[Listener] = ()) -> Outcome:
        """Train, or go on; what this recipe has trained already is read.

        Raises:
            ArtifactError: It was begun on other data.
            ConfigError: The file holds a model of another recipe or of other data, or this one
                cannot be trained.
        """
        if self.target.is_dir():
            raise ConfigError(f"{self.path.name}: model", "a file", f"the folder {self.target}")
        if self.target.exists():
            made = Trained.load(self.target)
            if made.recipe != self.digest:
                raise ConfigError(
                    f"{self.path.name}: model",
                    "a new file",
                    f"{self.config.model}, trained by another recipe or on other data",
                    "Name another file, or delete that one.",
                )
            return self._outcome(made)
        refuse(self)
        folder = self.target.with_name(f".{self.target.stem}.{self._begun}.training")
        old = [] if self.before is None else [self.before.model]
        run = Training(
            self.data.inputs,
            self._scenario(),
            self._build,
            blueprint.loss(self.config.loss),
            self._recipe(),
            listeners=listeners,
        )
        made = self._described(run.run(folder, old)[-1])
        made.save(self.target)
        shutil.rmtree(folder, ignore_errors=True)  # a second run of this recipe may be at it too
        return self._outcome(made)

    def _scenario(self) -> Scenario:
        labels = self.data.labels(self.table)
        kept, old = self.split[0], self.before
        new = [name for name in self.data.known if old is None or name not in old.interface]
        start = self.config.start if old else "fresh"
        teacher: Literal["none", "deployed"] = "deployed" if old else "none"
        task = Task("new", kept, labels, self.table, tuple(new), start, teacher)
        if old is None:
            return Scenario(self.data.names, (task,))
        # The first task is over: it stands for the model before, and nothing of it is trained.
        return Scenario(self.data.names, (Task("before", kept, labels, old.interface, ()), task))

    def _build(self, task: Task) -> Model:
        if self.before is not None and self.config.start == "deployed":
            return grown(self.before.model, task.interface)
        parts = self.config.backbone, self.config.head
        return blueprint.model(parts, self.data.shape, task.interface, self._old_dim())

    def _old_dim(self) -> int | None:
        if self.before is None or self.config.head.kind != "aligned":
            return None
        return self.before.space.dim

    def _recipe(self) -> Recipe:
        budget = self.config.budget
        optimiser = adam(budget.rate) if budget.optimiser == "adam" else sgd(budget.rate)
        return Recipe(
            budget.epochs,
            budget.batch,
            optimiser,
            seed=budget.seed,
            device=budget.device,
            tell_every=10,
        )

    def _described(self, model: Model) -> Trained:
        config, old = self.config, self.before
        version = 1 if old is None else old.version + 1
        fixed = config.head.kind in FIXED
        compared = old is not None and config.loss.compares and not fixed
        space = space_of(
            model.to("cpu"),
            f"{config.name}@{version}",
            self.table if fixed else None,
            old.interface if fixed and old else None,
            old.space if compared and old else None,
        )
        return Trained(
            model,
            space,
            self.table,
            config.backbone,
            config.head,
            self.data.shape,
            self.data.pictures,
            self._old_dim(),
            version,
            self.digest,
        )

    def _outcome(self, made: Trained) -> Outcome:
        old = self.before
        known = None if old is None else relation(made.space, old.space)
        return Outcome(made, known, self.target)


def _said(table: Interface) -> str:
    """What all models of a line have to share."""
    figure = f"of {table.capacity} classes" if table.kind == "simplex" else "with a place a class"
    return f'name = "{table.name}", a {table.kind} table {figure}'


def steps_done(show: Callable[[int, int], None], batch: int) -> Listener:
    """A listener that shows how many items were seen, of how many."""

    def listen(event: Event) -> None:
        if event.what in {"task", "step", "epoch"}:
            show(event.step * batch, event.steps * batch)

    return listen
