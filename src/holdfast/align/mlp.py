"""A network of one hidden layer on top of the closed form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from .residual import Residual


class ResidualMLP(Residual):
    """x W + b + W2 relu(W1 x + b1) + b2: ridge, and what a small network adds to it.

    The network starts at zero and is trained to the least squared error by Adam; the epoch
    that was best on held-out pairs is kept. Where none beat the closed form the map is that
    of `Ridge(seed=seed)` on all pairs, bit for bit.

    Between the sentence models of `tests/golden` it leads a gallery a little better than
    `Ridge` and queries worse than `Procrustes`; it is therefore no rung of the default ladder.

    Args:
        hidden: Widths of the hidden layers.
        epochs: Most passes over the pairs; 0 gives `Ridge`.
        batch: Pairs in a step.
        rate: Adam's learning rate.
        held_out: Share of the pairs that chooses the epoch, at most 4096 of them.
        seed: Of the split, the weights and the batches.
    Attributes:
        weight_, bias_: The closed form.
        widths_, parameters_: The network; empty where the closed form was kept.
        epoch_: The epoch that was kept; 0 is the closed form.
        losses_: Held-out squared error over the targets' variance, by epoch, from 0.
    Source: Vejendla 2025 (Drift-Adapter, its residual MLP). Departs from it: the residual
        is on the ridge map, so the dimensions may differ and no training is worse than the
        closed form; a rectifier instead of GELU; no diagonal scaling; epochs are chosen.
    See also: `Ridge`, which it must beat to be worth its training.
    Example:
        >>> import numpy as np
        >>> from holdfast.align.linear import Ridge
        >>> x = np.random.default_rng(0).normal(size=(50, 3))
        >>> mlp, ridge = ResidualMLP(epochs=0).fit(x, abs(x)), Ridge().fit(x, abs(x))
        >>> bool((mlp.transform(x) == ridge.transform(x)).all())
        True
    """

    name: ClassVar[str] = "residual_mlp"
    _normalised: ClassVar[bool] = False

    def __init__(
        self,
        hidden: Sequence[int] = (256,),
        epochs: int = 50,
        batch: int = 256,
        rate: float = 1e-3,
        held_out: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__(hidden, epochs, batch, rate, held_out, seed)
