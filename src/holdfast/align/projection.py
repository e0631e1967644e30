"""A map fitted on texts alone that pictures may take too: rotation, and what a network adds.

A model for texts and pictures puts both into one space, each on its own side of it. A map fitted
on texts meets pictures only later, somewhat off what it has seen; noise on the texts while it
is fitted covers that neighbourhood. No picture is needed, and no picture's caption.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr

from ..arrays import FloatArray, draws
from ..errors import InvalidInput
from ..optional import need
from .affine import BLOCK, apply
from .base import Aligner, Promises
from .descent import Tensor, batches
from .moments import Float64Array
from .procrustes import Procrustes


class Projection(Aligner):
    """phi(x) = x W + b + gelu(x A + a) B: starts as Procrustes, trained with noise on x.

    W starts as the rotation between the two spaces, about the origin, and B and b at zero, so
    before training the map is that of `Procrustes(center=False)`. Then, batch by batch,
    y = phi(x + noise) is drawn to its target by 1 - cosine, and to its own target among
    those of the batch by cross-entropy over cosines: the second is what ranks. The
    learning rate falls along a cosine. Only directions are learned; targets should be
    compared by the cosine.

    On scenes of digits, noise wins 21 points of R@10 where pictures ask an old gallery of captions
    and costs nothing the other way; on emoji, icons and photographs half a point to 2, and on the
    first two only the old query, joined with this one, brings it above the old model alone. See
    the page of benchmarks on pictures.

    Args:
        noise: Length of the noise relative to that of the row it is added to; the same for
            every dimension. About 0.6 of the usual distance between a picture and its
            caption is good, and 0.2 to 1.2 is no worse than without.
        hidden: Width of the network, in multiples of the source's dimension; 0 for none.
        epochs: Passes over the pairs; 0 gives the rotation.
        batch: Pairs in a step; the others of a batch are what a row must be told from.
        rate: AdamW's learning rate at its start.
        decay: AdamW's weight decay.
        temperature: Cosines are divided by it in the cross-entropy.
        contrast: Weight of the cross-entropy beside the cosine; 0 leaves it out.
        seed: Of weights, batches and noise.
    Attributes:
        weight_, bias_: W and b.
        inner_, inner_bias_, outer_: A, a and B.
        losses_: (epochs,) mean loss of each epoch.
    Source: Jang and Lim 2024 (XBT), whose projection is pretrained on texts with Gaussian
        noise. Departs from it: size, losses and noise are not known from there; the map
        starts at the closed form, and noise is measured relative to the row.
    See also: `Procrustes`, which it must beat on held-out pictures to be worth its training.
    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(50, 3))
        >>> start, plain = Projection(epochs=0).fit(x, x), Procrustes(center=False).fit(x, x)
        >>> bool(np.allclose(start.transform(x), plain.transform(x), atol=1e-6))
        True
    """

    name: ClassVar[str] = "projection"
    learned: ClassVar[Mapping[str, int]] = {
        "weight_": 2,
        "bias_": 1,
        "inner_": 2,
        "inner_bias_": 1,
        "outer_": 2,
        "losses_": 1,
    }

    weight_: FloatArray
    bias_: FloatArray
    inner_: Float64Array
    inner_bias_: Float64Array
    outer_: Float64Array
    losses_: Float64Array

    def __init__(  # noqa: PLR0913, PLR0917 - each has a default
        self,
        noise: float = 0.5,
        hidden: float = 2.0,
        epochs: int = 80,
        batch: int = 512,
        rate: float = 1e-3,
        decay: float = 0.01,
        temperature: float = 0.05,
        contrast: float = 1.0,
        seed: int = 0,
    ) -> None:
        self.noise = noise
        self.hidden = hidden
        self.epochs = epochs
        self.batch = batch
        self.rate = rate
        self.decay = decay
        self.temperature = temperature
        self.contrast = contrast
        self.seed = seed

    @property
    def promises(self) -> Promises:
        """Nothing is found exactly; there is no way back."""
        return Promises(no_inverse="a network that mixes and cuts directions cannot be undone")

    def _fit(self, X: FloatArray, Y: FloatArray, y: Any) -> None:  # noqa: ARG002
        self._check_arguments()
        rng = draws(self.seed, type(self).__name__)
        start = Procrustes(center=False).fit(X, Y)
        width = round(self.hidden * X.shape[1])
        # As a fresh linear layer: uniform, within one over the root of its inputs.
        reach = 1.0 / np.sqrt(X.shape[1])
        inner = rng.uniform(-reach, reach, size=(X.shape[1], width))
        inner_bias = rng.uniform(-reach, reach, size=width)
        outer, bias = np.zeros((width, Y.shape[1])), np.zeros(Y.shape[1])
        parts = [start.weight_, bias, inner, inner_bias, outer]
        losses: list[float] = []
        if self.epochs:
            parts, losses = self._trained(parts, X, Y, rng)
            if not all(np.isfinite(part).all() for part in parts):
                raise InvalidInput(
                    type(self).__name__, "finite weights", "NaN or infinity", "Lower the rate."
                )
        self.weight_, self.bias_ = (part.astype(np.float32) for part in parts[:2])
        # In double precision a row's last bit does not depend on the rows beside it.
        self.inner_, self.inner_bias_, self.outer_ = (p.astype(np.float64) for p in parts[2:])
        self.losses_ = np.array(losses, dtype=np.float64)

    def _check_arguments(self) -> None:
        owner = type(self).__name__
        for name, least in (("epochs", 0), ("batch", 2)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise InvalidInput(owner, f"{name} as an integer from {least}", repr(value))
        for name in ("noise", "hidden", "decay", "contrast"):
            if not 0.0 <= getattr(self, name) < np.inf:
                raise InvalidInput(owner, f"{name} from 0", repr(getattr(self, name)))
        for name in ("rate", "temperature"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise InvalidInput(owner, f"a positive {name}", repr(getattr(self, name)))

    def _trained(
        self, parts: list[Any], X: FloatArray, Y: FloatArray, rng: np.random.Generator
    ) -> tuple[list[Any], list[float]]:
        torch = need("torch")
        tensors = [
            torch.tensor(part, dtype=torch.float32, requires_grad=bool(part.size)) for part in parts
        ]
        adam = torch.optim.AdamW(
            [tensor for tensor in tensors if tensor.requires_grad],
            lr=self.rate,
            weight_decay=self.decay,
        )
        cuts = len(batches(np.arange(len(X)), self.batch))
        steps = torch.optim.lr_scheduler.CosineAnnealingLR(adam, self.epochs * cuts)
        losses = []
        with torch.enable_grad():
            for _ in range(self.epochs):
                total = 0.0
                for rows in batches(rng.permutation(len(X)), self.batch):
                    adam.zero_grad()
                    loss = self._loss(tensors, self._disturbed(X[rows], rng), Y[rows])
                    loss.backward()
                    adam.step()
                    steps.step()
                    total += float(loss.detach()) * len(rows)
                losses.append(total / len(X))
        return [tensor.detach().numpy() for tensor in tensors], losses

    def _disturbed(self, X: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Rows with noise of the length asked for, all directions alike, their length kept."""
        if not self.noise:
            return X
        lengths = np.linalg.norm(X, axis=1, keepdims=True)
        drawn = rng.standard_normal(X.shape, dtype=np.float32)
        moved = X + drawn * (lengths * (self.noise / np.sqrt(X.shape[1]))).astype(np.float32)
        short = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
        out: FloatArray = (moved * (lengths / short)).astype(np.float32)
        return out

    def _loss(self, tensors: list[Tensor], X: FloatArray, Y: FloatArray) -> Tensor:
        torch = need("torch")
        functional = torch.nn.functional
        x, target = torch.from_numpy(X), functional.normalize(torch.from_numpy(Y))
        mapped = functional.normalize(project(tensors, x))
        loss = (1.0 - (mapped * target).sum(1)).mean()
        if self.contrast and len(X) > 1:
            own = torch.arange(len(X))
            table = mapped @ target.T / self.temperature
            loss = loss + self.contrast * functional.cross_entropy(table, own)
        return loss

    def _map(self, X: FloatArray) -> FloatArray:
        out = apply(X, self.weight_, self.bias_)
        if not self.outer_.any():
            return out
        for start in range(0, len(X), BLOCK):
            rows = X[start : start + BLOCK].astype(np.float64) @ self.inner_ + self.inner_bias_
            out[start : start + BLOCK] += (rows * ndtr(rows)) @ self.outer_
        return out


def project(tensors: list[Tensor], x: Tensor) -> Tensor:
    """(n, d_target) rows of the map with W, b, A, a, B, as torch computes it."""
    weight, bias, inner, inner_bias, outer = tensors
    out = x @ weight + bias
    if not inner.shape[1]:
        return out
    return out + need("torch").nn.functional.gelu(x @ inner + inner_bias) @ outer
