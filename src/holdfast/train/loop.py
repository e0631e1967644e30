"""The one training loop: any backbone, any head, any loss, any scenario.

A run in a folder can be stopped at any moment. Called again, it goes on from its last
checkpoint and ends with the same bits as if it had never stopped, on the same machine.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from ..device import check_device
from ..errors import InvalidInput
from . import checkpoint
from .events import Event, Listener, What
from .losses.base import Loss
from .memory import Memory
from .model import Inputs, Model, digest, digest_of, frozen, grown
from .recipe import Recipe
from .scenarios import Scenario, Task
from .session import Session, seeded, settled
from .stage import Stage
from .teachers import ModelTeacher, StoredVectors, Teaches

Build: TypeAlias = Callable[[Task], Model]
MakeLoss: TypeAlias = Callable[[Stage], Loss]

_BUILD, _LOSS = 2**31, 2**31 + 1  # places in a run that no step has


class Training:
    """A scenario, and everything it takes to train its models.

    Args:
        inputs: The data set, indexed by a tensor of places.
        scenario: Which tasks.
        build: Makes the model of a task that starts afresh, or answers the one that was
            downloaded. Must answer the same model when it is asked again; torch's generator
            is seeded for it. What asks for no gradient in it is not trained, nor in the models
            that go on from it; in one that asks for none at all everything is. It is put into
            training mode: what should stay as in use has to see to it in its own `train`.
        loss: What is minimised, of which each task gets a copy as it was given, or a function
            that makes it for each task: one that compares with old vectors has nothing to say
            where `Stage.teacher` is None.
        recipe: Settings.
        stored: What the gallery stores when a task begins, for teachers that are "stored".
        other: The independently trained model of a task, for losses that need one.
        listeners: Are told what happens. A KeyboardInterrupt that one raises after a step or an
            epoch costs nothing: a checkpoint is made first.
    Raises:
        InvalidInput: Inputs of other items than the scenario, or teachers that are "stored" without
            `stored`.
    """

    def __init__(
        self,
        inputs: Inputs,
        scenario: Scenario,
        build: Build,
        loss: Loss | MakeLoss,
        recipe: Recipe | None = None,
        stored: Callable[[Task], StoredVectors] | None = None,
        other: Callable[[Task], Model] | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        if len(inputs) != len(scenario.classes):
            raise InvalidInput("Training", f"{len(scenario.classes)} inputs", str(len(inputs)))
        if stored is None and any(task.teacher == "stored" for task in scenario.tasks):
            raise InvalidInput("Training", "stored, for its teachers", "None")
        self.inputs, self.scenario, self.build, self.loss = inputs, scenario, build, loss
        self.recipe = Recipe() if recipe is None else recipe
        self.stored, self.other = stored, other
        self.listeners = tuple(listeners)
        self.trained: tuple[Model, ...] = ()

    def run(self, folder: Path | str | None = None, trained: Sequence[Model] = ()) -> list[Model]:
        """Train what is not trained yet.

        Args:
            folder: For checkpoints and trained models; where it has some, the run goes on.
                None keeps everything in memory.
            trained: The models of the first tasks, where somebody trained them before: they
                are deployed one after the other, and only what follows is trained.
        Returns:
            The models in the order of the tasks, which answer and no longer learn.
        Raises:
            ArtifactError: The folder holds another run.
            InvalidInput: A loss without what it needs, or a loss or weights that are not finite.
        """
        if len(trained) >= len(self.scenario.tasks):
            raise InvalidInput("Training", "a task left to train", f"{len(trained)} trained")
        check_device(self.recipe.device, "Training: device")
        self.trained = tuple(frozen(model).to(self.recipe.device) for model in trained)
        place = None if folder is None else Path(folder)
        with settled(self.recipe):
            state = self._last(place)
            memory = self.scenario.memory if state is None else state["memory"]
            models: list[Model] = list(self.trained)
            for task in self.scenario.tasks[: len(models)] if state is None else ():
                memory = self._remembered(memory, task)
            for number, task in list(enumerate(self.scenario.tasks))[len(models) :]:
                deployed = models[-1] if models else None
                model = self._start(number, task, deployed)
                if state is not None and number < state["task"]:
                    models.append(self._read(place, number, model))
                    continue
                session = self._session(number, model, deployed, memory)
                begun = None if state is None else state["session"]
                models.append(self._train(session, memory, begun, place))
                memory, state = self._remembered(memory, task), None
                self._checkpoint(place, number + 1, memory, None)
        return models

    def _start(self, number: int, task: Task, deployed: Model | None) -> Model:
        """The model of a task as it is before its first step."""
        seeded(self.recipe.device, self.recipe.seed, number, _BUILD)
        went = deployed if task.start == "deployed" else None
        made = self.build(task) if went is None else went
        if not isinstance(made, Model):
            raise InvalidInput(
                "Training", "build to answer a Model of a backbone and a head", type(made).__name__
            )
        model = grown(made, task.interface)
        placed: Model = model.to(self.recipe.device)
        return placed

    def _session(
        self, number: int, model: Model, deployed: Model | None, memory: Memory | None
    ) -> Session:
        task, recipe = self.scenario.tasks[number], self.recipe
        teacher = self._teacher(task, deployed, model)
        other = None
        if self.other is not None:
            other = ModelTeacher(self.other(task).to(recipe.device), "other")
        stage = Stage(
            task,
            model,
            teacher,
            other,
            deployed,
            self.inputs,
            memory,
            recipe.device,
            recipe.credible,
        )
        seeded(recipe.device, recipe.seed, number, _LOSS)
        # A loss may learn too: a run that goes on has only what it was given.
        loss = copy.deepcopy(self.loss) if isinstance(self.loss, Loss) else self.loss(stage)
        return Session(number, stage, loss.to(recipe.device), recipe)

    def _teacher(self, task: Task, deployed: Model | None, model: Model) -> Teaches | None:
        if task.teacher == "none":
            return None
        if task.teacher == "stored" and self.stored is not None:
            return self.stored(task)
        old = model if task.teacher == "downloaded" or deployed is None else deployed
        return ModelTeacher(old)

    def _train(
        self,
        session: Session,
        memory: Memory | None,
        state: Mapping[str, Any] | None,
        place: Path | None,
    ) -> Model:
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)  # what cannot be written is found before
        if state is not None:
            session.go_on(state)
        else:
            self._tell("task", session)
        recipe = self.recipe
        every, saved = recipe.save_every or session.per_epoch, recipe.clock()
        while session.step < session.steps:
            terms = session.learn()
            step = session.step
            try:
                if step % recipe.tell_every == 0:
                    self._tell("step", session, session.told(terms))
                if step % session.per_epoch == 0:
                    self._tell("epoch", session, session.means())
            except KeyboardInterrupt:  # between two steps: nothing is half done
                self._checkpoint(place, session.number, memory, session.state())
                raise
            due = step % every == 0 or recipe.clock() - saved >= recipe.save_seconds
            if due and step < session.steps and place is not None:
                self._checkpoint(place, session.number, memory, session.state())
                self._tell("checkpoint", session)
                saved = recipe.clock()
        session.check()
        model = frozen(session.stage.model)
        self._write(place, session.number, model)
        self._tell("trained", session, model=model)
        return model

    def _remembered(self, memory: Memory | None, task: Task) -> Memory | None:
        if memory is None or not task.remembers:
            return memory
        return memory.added(task.items, self.scenario.classes[task.items])

    def _tell(
        self,
        what: What,
        session: Session,
        values: Mapping[str, float] | None = None,
        model: Model | None = None,
    ) -> None:
        stage, done = session.stage, session.step / session.steps
        event = Event(
            what,
            stage.task,
            session.number,
            session.step,
            session.steps,
            (session.number + done) / len(self.scenario.tasks),
            stage.model if model is None else model,
            values or {},
        )
        for listener in self.listeners:
            listener(event)

    @property
    def digest(self) -> str:
        """Of everything about this run that can be compared: its tasks, numbers and inputs.

        Of inputs that are no tensor that is their number alone. Functions cannot be compared;
        what the optimiser was made with is, where a task goes on.
        """
        made = hashlib.sha256(self._inputs.encode())
        for task in self.scenario.tasks:
            fields = [task.name, task.start, task.teacher, task.remembers, task.model]
            made.update(json.dumps([fields, task.interface.digest]).encode())
            made.update(task.items.tobytes() + task.labels.tobytes())
        recipe = self.recipe
        numbers = [recipe.epochs, recipe.size, recipe.seed, recipe.amp, recipe.credible]
        made.update(json.dumps(numbers).encode())
        if self.scenario.memory is not None:
            arrays, meta = self.scenario.memory.to_arrays()
            made.update(json.dumps(meta).encode() + arrays["items"].tobytes())
        for model in self.trained:
            made.update(digest(model).encode())
        return made.hexdigest()[:16]

    @cached_property
    def _inputs(self) -> str:
        return digest_of(self.inputs)

    def _checkpoint(
        self,
        place: Path | None,
        number: int,
        memory: Memory | None,
        session: Mapping[str, Any] | None,
    ) -> None:
        if place is None:
            return
        kept = None if memory is None else memory.to_arrays()
        tree = {"task": number, "memory": kept, "session": session}
        checkpoint.save(_checkpoint_of(place), "training", self.digest, tree)

    def _last(self, place: Path | None) -> dict[str, Any] | None:
        """The last checkpoint; None where nothing was begun."""
        if place is None or not _checkpoint_of(place).exists():
            return None
        state: dict[str, Any] = checkpoint.load(_checkpoint_of(place), "training", self.digest)
        kept = state["memory"]
        state["memory"] = None if kept is None else Memory.from_arrays(*kept)
        return state

    def _write(self, place: Path | None, number: int, model: Model) -> None:
        if place is not None:
            checkpoint.save(
                _model_of(place, number), "model", self.digest, dict(model.state_dict())
            )

    def _read(self, place: Path | None, number: int, model: Model) -> Model:
        path = _model_of(place or Path(), number)
        checkpoint.fill(model, checkpoint.load(path, "model", self.digest), str(path))
        return frozen(model)


def _checkpoint_of(folder: Path) -> Path:
    return folder / "checkpoint.safetensors"


def _model_of(folder: Path, number: int) -> Path:
    return folder / f"model-{number + 1}.safetensors"
