"""One task in the middle of its training: a step, and the state that goes on from it."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..arrays import IntArray
from ..errors import ArtifactError, InvalidInput
from .batches import Epoch, Mask, balanced, count, generator
from .checkpoint import fill
from .losses.base import Batch, Loss, WeightedSum
from .model import taken
from .recipe import Recipe
from .stage import Stage
from .tensors import Tensor, torch


def seeded(device: str, seed: int, *where: int) -> None:
    """Give torch's generators a state that follows from a place in the run.

    Args:
        device: Whose generator is drawn from, beside the CPU's.
        seed: Of the run.
        where: Numbers of the place.
    """
    text = " ".join(map(str, (seed, *where))).encode()
    state = int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big")
    if torch.device(device).type == "cpu":
        torch.default_generator.manual_seed(state)  # a tenth of the time of the other
    else:
        torch.manual_seed(state)


@contextlib.contextmanager
def settled(recipe: Recipe) -> Iterator[None]:
    """Torch's generators and its choice of algorithms, put back afterwards."""
    cuda = torch.device(recipe.device).type == "cuda"
    devices = range(torch.cuda.device_count()) if cuda else []  # `seeded` reaches all of them
    strict = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=devices):
        if not recipe.deterministic:
            yield
            return
        try:
            torch.use_deterministic_algorithms(True)
            yield
        finally:
            torch.use_deterministic_algorithms(strict, warn_only=warn)


class Session:
    """Optimiser, schedule and position of one task.

    Every step begins with generators seeded by its place in the run. So what a listener, or
    a pause, draws in between changes nothing, and no state of a generator has to be kept.

    Args:
        number: Of the task, from 0.
        stage: Its model and teachers, on the device.
        loss: On the device.
        recipe: Settings.
    """

    def __init__(self, number: int, stage: Stage, loss: Loss, recipe: Recipe) -> None:
        self.number, self.stage, self.loss, self.recipe = number, stage, loss, recipe
        stage.model.train()  # a whole that learns may hold a backbone that came to answer
        learned = [p for p in (*stage.model.parameters(), *loss.parameters()) if p.requires_grad]
        self.optimiser = recipe.optimiser(stage.task, learned)
        task, kept = stage.task, stage.remembered
        self.per_epoch = count(len(task.items), len(kept), recipe.size)
        self.steps = recipe.epochs * self.per_epoch
        self.schedule = recipe.schedule(self.optimiser, self.steps) if recipe.schedule else None
        self._refined: list[Any] = [p for p in loss.modules() if getattr(p, "refine_at", ())]
        self._made = _settings(self.optimiser)  # as the first step finds it
        scales = recipe.amp == "float16"
        self.scaler = torch.amp.GradScaler("cuda", enabled=scales)
        self.step, self.sums, self._epoch = 0, dict[str, Tensor](), (-1, Epoch(*_NOTHING))

    def learn(self) -> Mapping[str, Tensor]:
        """One step; answers the loss and its terms, which nobody has waited for yet."""
        seeded(self.recipe.device, self.recipe.seed, self.number, self.step)
        self._refine()
        items, mask = self._items()
        if not self.stage.model.training:  # asking costs nothing, telling every part does
            self.stage.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        try:
            batch = self._batch(items, mask)
        except ValueError as cause:
            if "more than 1 value per channel" not in str(cause):
                raise
            raise InvalidInput(
                f"Task {self.stage.task.name!r}",
                "batches of two items or more, for a layer that looks at a whole batch",
                str(len(items)),
            ) from cause
        terms = self.loss.terms(batch) if isinstance(self.loss, WeightedSum) else {}
        value = self.loss.total(terms) if isinstance(self.loss, WeightedSum) else self.loss(batch)
        self.scaler.scale(value).backward()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        if self.schedule is not None:
            self.schedule.step()
        self.step += 1
        return self._summed({**terms, "loss": value})

    def _batch(self, items: IntArray, mask: Mask) -> Batch:
        recipe, stage = self.recipe, self.stage
        inputs = taken(stage.inputs, items, recipe.device)
        if recipe.augment is not None:
            inputs = recipe.augment(inputs)
        if recipe.amp is None:
            answer = stage.model(inputs)
        else:
            kind = torch.device(recipe.device).type
            with torch.autocast(kind, dtype=getattr(torch, recipe.amp)):
                rows = stage.model.rows(inputs)
            answer = stage.model.answer(rows.float())
        memory = torch.from_numpy(mask).to(recipe.device)
        done = self.step / self.steps
        return stage.batch(self.loss, inputs, items, memory, answer, done)

    def _items(self) -> tuple[IntArray, Mask]:
        epoch, place = divmod(self.step, self.per_epoch)
        if self._epoch[0] != epoch:
            rng = generator(self.recipe.seed, self.number, epoch)
            stage = self.stage
            made = balanced(stage.task.items, stage.remembered, self.recipe.size, rng)
            self._epoch = epoch, made
        order = self._epoch[1]
        return order.items[place], order.memory[place]

    def _refine(self) -> None:
        """Losses that tidy up old vectors by new ones do so at their shares of the training."""
        for part in self._refined:
            if any(math.ceil(share * self.steps) == self.step for share in part.refine_at):
                old, labels = self.stage.old_vectors()
                if not len(labels):  # a gallery may have none of these items
                    continue
                part.refine(self.stage.new_vectors(), old, labels)

    def _summed(self, terms: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        found = {name: value.detach() for name, value in terms.items()}
        if self.step % self.per_epoch == 1 or self.per_epoch == 1:
            self.sums = {}
        for name, value in found.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        return found

    def means(self) -> dict[str, float]:
        """Of the loss and its terms over the epoch that is done.

        Raises:
            InvalidInput: They are not finite.
        """
        return self.told({name: value / self.per_epoch for name, value in self.sums.items()})

    def told(self, terms: Mapping[str, Tensor]) -> dict[str, float]:
        """As numbers, with the learning rate.

        Raises:
            InvalidInput: They are not finite.
        """
        values = {name: float(value) for name, value in terms.items()}
        if not math.isfinite(values["loss"]):
            raise self._astray("a finite loss", str(values["loss"]))
        return {**values, "rate": float(self.optimiser.param_groups[0]["lr"])}

    def check(self) -> None:
        """Refuse weights that the last step spoilt, though its loss was finite.

        Raises:
            InvalidInput: They are not finite.
        """
        learned = (p for p in self.stage.model.parameters() if p.requires_grad)
        if not all(bool(torch.isfinite(p).all()) for p in learned):
            raise self._astray("finite weights", "NaN or infinity")

    def _astray(self, expected: str, got: str) -> InvalidInput:
        return InvalidInput(
            f"Task {self.stage.task.name!r}",
            expected,
            f"{got} at step {self.step}",
            "Lower the learning rate, or look at the inputs.",
        )

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on, but what made the session.

        Raises:
            InvalidInput: Weights that are not finite, from which no run should go on.
        """
        self.check()
        return {
            "step": self.step,
            "model": dict(self.stage.model.state_dict()),
            "loss": dict(self.loss.state_dict()),
            "optimiser": self.optimiser.state_dict(),
            "made": self._made,
            "schedule": _plain(self.schedule),
            "scaler": self.scaler.state_dict(),
            "sums": self.sums,
        }

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Take up what `state` answered.

        Raises:
            ArtifactError: It was begun with other settings of the optimiser, which would go on.
        """
        begun, mine = state["made"], self._made
        other = [name for name in {**begun, **mine} if begun.get(name) != mine.get(name)]
        if other:
            name = other[0]
            raise ArtifactError(
                f"Task {self.stage.task.name!r}",
                f"an optimiser with {name} = {begun.get(name)}, as it was begun with",
                str(mine.get(name)),
                "Take another folder, or what it was begun with.",
            )
        who = f"Task {self.stage.task.name!r}"
        fill(self.stage.model, state["model"], who)
        fill(self.loss, state["loss"], who)
        self.optimiser.load_state_dict(state["optimiser"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.sums = {name: v.to(self.recipe.device) for name, v in state["sums"].items()}
        self.step = state["step"]


def _settings(optimiser: Any) -> dict[str, str]:
    """What an optimiser does to each group of weights, by the names that torch has for it."""
    groups = optimiser.param_groups
    names = sorted({name for group in groups for name in group} - {"params"})
    return {name: str([group.get(name) for group in groups]) for name in names}


_NOTHING = np.zeros((0, 0), dtype=np.int64), np.zeros((0, 0), dtype=bool)


def _plain(schedule: Any) -> dict[str, Any] | None:
    return None if schedule is None else schedule.state_dict()
