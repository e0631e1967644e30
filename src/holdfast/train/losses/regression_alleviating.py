"""Regression-alleviating contrast (Hot-Refresh): old positives before new negatives.

While a gallery is refreshed a query by the new model meets old and new vectors side by side.
Losses that compare new with old alone never see that an old positive has to rank before a
new negative; this one puts both kinds of negatives into one softmax.
"""

from __future__ import annotations

from typing import Literal, get_args

from ...errors import InvalidInput
from ..tensors import Tensor, functional, same_dim, torch, unit
from .base import Batch, Loss

Form = Literal["contrast", "triplet"]


class RegressionAlleviating(Loss):
    """With unit vectors n (new) and o (old), and k over the items of other classes:

        contrast   -log e(n_i o_i) / ( e(n_i o_i) + sum_k e(n_i o_k) + e(n_i n_k) ),
                   e(s) = exp(s / temperature)
        triplet    max(0, margin - n_i o_i + max_k n_i o_k) + the same with n_i n_k

    Args:
        form: Which.
        temperature: Of the contrast.
        hardest: Keep only that many of the closest negatives of each kind; all without it.
        margin: Of the triplet, as a difference of cosines.
    Raises:
        InvalidInput: An unknown form, a temperature of 0, or hardest below 1.
    Source: Zhang et al. 2022 (Hot-Refresh; temperature 0.01, hardest 10, margin 0.8). Departs
        from it: the triplet is on cosines, with the hardest negative of each kind; the form
        on classifier logits is left out.
    """

    needs = frozenset({"labels", "old"})

    def __init__(
        self,
        form: Form = "contrast",
        temperature: float = 0.01,
        hardest: int | None = None,
        margin: float = 0.8,
    ) -> None:
        super().__init__()
        if form not in get_args(Form):
            raise InvalidInput("RegressionAlleviating", "contrast or triplet", repr(form))
        if not temperature > 0.0 or (hardest is not None and hardest < 1):
            raise InvalidInput(
                "RegressionAlleviating",
                "temperature > 0, hardest from 1",
                f"{temperature}, {hardest}",
            )
        self.form, self.temperature, self.hardest, self.margin = form, temperature, hardest, margin

    def value(self, batch: Batch) -> Tensor:
        """Mean over the batch; an item without negatives counts zero."""
        same_dim(batch.compared, batch.old, "RegressionAlleviating")
        shared, old, new = unit(batch.compared), unit(batch.old), unit(batch.new)
        alike = batch.labels[:, None] == batch.labels[None, :]
        positive = (shared * old).sum(1, keepdim=True)
        to_old = (shared @ old.T).masked_fill(alike, -torch.inf)
        to_new = (new @ new.T).masked_fill(alike, -torch.inf)
        if self.form == "triplet":
            gaps = torch.stack([to_old.amax(1), to_new.amax(1)], 1) - positive + self.margin
            return functional.relu(gaps).sum(1).mean()
        if self.hardest is not None:
            most = min(self.hardest, len(alike))
            to_old, to_new = to_old.topk(most, 1).values, to_new.topk(most, 1).values
        logits = torch.cat([positive, to_old, to_new], 1) / self.temperature
        return (logits.logsumexp(1) - logits[:, 0]).mean()
