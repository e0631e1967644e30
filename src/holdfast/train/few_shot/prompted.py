"""Deep prompts trained session by session, on the classes of that session alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ...arrays import IntArray
from ...errors import InvalidInput
from ..batches import generator
from ..model import Inputs, taken
from ..prompts.clip import PromptedClip
from ..prompts.rates import Rate, class_ratios, published
from ..tensors import Tensor, functional, torch
from .base import SessionClassifier


@dataclass(frozen=True, slots=True)
class PromptRecipe:
    """How sessions are trained.

    Args:
        base_epochs: Passes over the first session.
        base_size: Pictures in its batches.
        epochs: Passes over each later one.
        size: Pictures in their batches; what is left over makes a batch of its own.
        rate: Learning rate, from the epoch and the share of the session that is done.
        lr_scale: "class_ratio" scales the rate of each session by the share of its classes
            among all that are known; None leaves it.
        optimiser: Made anew for every session.
        momentum: Of "sgd".
        decay: Weight decay.
        seed: Of the order of pictures.
    Raises:
        InvalidInput: A size below 1, or an unknown word.
    """

    base_epochs: int = 5
    base_size: int = 32
    epochs: int = 5
    size: int = 4
    rate: Rate = field(default_factory=published)
    lr_scale: Literal["class_ratio"] | None = "class_ratio"
    optimiser: Literal["sgd", "adamw"] = "sgd"
    momentum: float = 0.9
    decay: float = 1e-5
    seed: int = 0

    def __post_init__(self) -> None:
        sizes = (self.base_epochs, self.base_size, self.epochs, self.size)
        if min(sizes) < 1 or self.seed < 0:
            raise InvalidInput("PromptRecipe", "epochs and sizes from 1", str(sizes))
        if self.lr_scale not in {None, "class_ratio"} or self.optimiser not in {"sgd", "adamw"}:
            raise InvalidInput(
                "PromptRecipe",
                "lr_scale class_ratio or None, optimiser sgd or adamw",
                f"{self.lr_scale!r} and {self.optimiser!r}",
            )

    def made(self, parameters: Sequence[Any]) -> Any:
        """The optimiser of one session."""
        if self.optimiser == "adamw":
            return torch.optim.AdamW(parameters, lr=0.0, weight_decay=self.decay)
        return torch.optim.SGD(parameters, lr=0.0, momentum=self.momentum, weight_decay=self.decay)


class Prompted(SessionClassifier):
    """Cross-entropy over the session's own classes, by cosines of pictures and names.

    Nothing of earlier sessions is kept but the prompts; the rows of their names, and of all
    pictures, move with these. Where pictures have no prompts their rows are made once a
    session, and nothing goes back through that tower.

    Args:
        towers: Whose prompts are trained, in place.
        recipe: Settings.
        template: Text with one {} for the name of a class.
        device: Where it is trained; the towers are there.
        size: Pictures at once, where nothing is learned.

    Source: D'Alessandro et al. 2023 (CPE-CLIP). Departs from it: earlier classes, which it
        masks out of the loss, are not computed in training, which has the same gradients;
        the rate is scaled where it scales gradients.
    """

    towers: PromptedClip

    def __init__(
        self,
        towers: PromptedClip,
        recipe: PromptRecipe | None = None,
        template: str = "{}.",
        device: str = "cpu",
        size: int = 256,
    ) -> None:
        super().__init__(towers, (template,), device, size)
        self.recipe = PromptRecipe() if recipe is None else recipe

    def class_vectors(self) -> Tensor:
        """(C, d) unit rows of all names, with the prompts as they are now."""
        return self._names_rows(self.classes)

    def _learn(self, images: Inputs, labels: Tensor) -> None:
        learned = list(self.towers.learned().values())
        before = [value.detach().clone() for value in learned]
        try:
            self._descend(learned, images, labels)
            if not all(bool(torch.isfinite(value).all()) for value in learned):
                raise self._astray("finite prompts", "NaN or infinity")
        except BaseException:  # a session that fails leaves the towers as it found them
            with torch.no_grad():
                for value, was in zip(learned, before, strict=True):
                    value.copy_(was)
            raise

    def _descend(self, learned: Sequence[Any], images: Inputs, labels: Tensor) -> None:
        number, towers = len(self.sessions) - 1, self.towers
        optimiser, scale = self.recipe.made(learned), self._scale()
        tokens = towers.tokens([self.templates[0].format(name) for name in self.sessions[-1]])
        still = None if towers.bridge is not None else self._rows(images).to(self.device)
        labels = labels.to(self.device)
        for epoch, done, places in self._batches(len(images), number):
            for group in optimiser.param_groups:
                group["lr"] = scale * self.recipe.rate(epoch, done)
            chosen = torch.from_numpy(places).to(self.device)
            rows = (
                towers.image_vectors(taken(images, places, self.device))
                if still is None
                else still[chosen]
            )
            logits = towers.scale * rows @ towers.text_vectors(tokens).T
            loss = functional.cross_entropy(logits, labels[chosen])
            if not bool(torch.isfinite(loss)):
                raise self._astray("a finite loss", str(loss.item()))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()

    def _astray(self, expected: str, got: str) -> InvalidInput:
        return InvalidInput(f"session {len(self.sessions)}", expected, got, "Lower the rate.")

    def _scale(self) -> float:
        ratio = class_ratios([len(names) for names in self.sessions])[-1]
        return ratio if self.recipe.lr_scale == "class_ratio" else 1.0

    def _batches(self, count: int, number: int) -> Iterator[tuple[int, float, IntArray]]:
        """Epoch, share of the session that is done, and (b,) places, of each step."""
        recipe = self.recipe
        epochs, size = recipe.epochs, recipe.size
        if not number:
            epochs, size = recipe.base_epochs, recipe.base_size
        steps = -(-count // size)
        for epoch in range(epochs):
            order = generator(recipe.seed, number, epoch).permutation(count)
            for step, places in enumerate(np.array_split(order, np.arange(size, count, size))):
                yield epoch, (epoch * steps + step) / (epochs * steps), places
