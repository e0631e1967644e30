"""How long, how fast and on what a model is trained, whatever is trained."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ..errors import InvalidInput
from .scenarios import Task
from .tensors import Tensor, nn, torch

Optimiser: TypeAlias = Callable[[Task, Iterable[nn.Parameter]], Any]
Schedule: TypeAlias = Callable[[Any, int], Any]


def sgd(
    rate: float = 0.1, later: float | None = None, momentum: float = 0.9, decay: float = 5e-4
) -> Optimiser:
    """Stochastic gradient descent, made anew for each task.

    Args:
        rate: Learning rate of models that start afresh.
        later: Of models that go on or take over; `rate` without it.
        momentum: As torch has it.
        decay: Weight decay; vectors (biases, the scales of normalisation) have none.
    """

    def make(task: Task, parameters: Iterable[nn.Parameter]) -> Any:
        given = list(parameters)
        groups = [
            {"params": [p for p in given if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in given if p.ndim < 2], "weight_decay": 0.0},
        ]
        speed = rate if task.start == "fresh" or later is None else later
        return torch.optim.SGD([g for g in groups if g["params"]], lr=speed, momentum=momentum)

    return make


def adam(rate: float = 1e-3, decay: float = 0.0) -> Optimiser:
    """Adam, made anew for each task; decay is apart from the gradient."""

    def make(task: Task, parameters: Iterable[nn.Parameter]) -> Any:  # noqa: ARG001
        return torch.optim.AdamW(list(parameters), lr=rate, weight_decay=decay)

    return make


def cosine(floor: float = 0.0) -> Schedule:
    """Half a cosine from the full rate down to `floor`, a share of it, over one task."""

    def make(optimiser: Any, steps: int) -> Any:
        def share(step: int) -> float:
            done = min(step / max(steps, 1), 1.0)
            return floor + (1.0 - floor) * 0.5 * (1.0 + math.cos(math.pi * done))

        return torch.optim.lr_scheduler.LambdaLR(optimiser, share)

    return make


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of one run.

    Args:
        epochs: Passes over each task.
        size: Items in a batch.
        optimiser: Makes the optimiser of a task.
        schedule: Makes its schedule, which is asked after every step; None keeps the rate.
        augment: (b, ...) inputs to inputs, on the device; draws with torch's generator only.
        device: Where it is trained.
        amp: Format of the backbone's arithmetic, "bfloat16" or "float16"; heads and losses stay
            in float32. None for float32 everywhere.
        deterministic: Refuse operations whose result depends on timing, as torch can.
        seed: Of everything that is drawn.
        save_every: Steps between checkpoints; 0 makes one after each epoch.
        save_seconds: Makes one besides where the last is as old as that, in the midst of an
            epoch too: what a machine that dies costs.
        clock: Whose seconds those are.
        tell_every: Steps between events of steps.
        credible: Share of each class whose old vectors are believed, for losses that ask.
    Raises:
        InvalidInput: A number below its least, an unknown device or amp, or float16 off a GPU.
    """

    epochs: int = 70
    size: int = 128
    optimiser: Optimiser = field(default_factory=sgd)
    schedule: Schedule | None = field(default_factory=cosine)
    augment: Callable[[Tensor], Tensor] | None = None
    device: str = "cpu"
    amp: Literal["bfloat16", "float16"] | None = None
    deterministic: bool = False
    seed: int = 0
    save_every: int = 0
    save_seconds: float = 300.0
    clock: Callable[[], float] = time.monotonic
    tell_every: int = 50
    credible: float = 0.9

    def __post_init__(self) -> None:
        sizes = (self.epochs, self.size, self.tell_every)
        if min(sizes) < 1 or self.save_every < 0 or self.seed < 0:
            raise InvalidInput("Recipe", "epochs, size and tell_every from 1", str(sizes))
        if not self.save_seconds > 0.0:
            raise InvalidInput("Recipe", "save_seconds above 0", str(self.save_seconds))
        try:
            torch.device(self.device)
        except RuntimeError as cause:
            raise InvalidInput("Recipe", 'device as "cpu" or "cuda"', repr(self.device)) from cause
        if self.amp not in {None, "bfloat16", "float16"}:
            raise InvalidInput("Recipe", "amp as bfloat16, float16 or None", repr(self.amp))
        if self.amp == "float16" and not self.device.startswith("cuda"):
            raise InvalidInput("Recipe", "bfloat16 on this device", "float16", "Or no amp.")
