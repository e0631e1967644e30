"""MixBCT: one classification loss over new vectors with some old ones among them."""

from __future__ import annotations

from ...errors import InvalidInput
from ..tensors import Tensor, same_dim, torch, unit
from .base import Batch, Loss
from .classification import Classification


def mixture(new: Tensor, old: Tensor, credible: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Unit new vectors, some of them replaced by the old vectors of the same items.

    Args:
        new: (b, d) vectors.
        old: (b, d) of the same items.
        credible: (b,) which old vectors may be taken.
        share: Of the batch that is replaced, as far as there are credible ones.
    Returns:
        (b, d) unit rows, and (b,) which of them are old. Drawn with torch's generator.
    """
    order = torch.rand(len(new), device=new.device).masked_fill(~credible, 2.0).argsort()
    chosen = torch.zeros(len(new), dtype=torch.bool, device=new.device)
    chosen[order[: round(share * len(new))]] = True
    chosen &= credible
    return torch.where(chosen[:, None], unit(old), unit(new)), chosen


class MixBCT(Loss):
    """Classification of the mixture: old and new items of a class share its region.

    The worse the old model, the wider its classes, and the weaker the constraint.

    Args:
        share: Of the batch that is replaced.
        classification: How the logits of the head on unit vectors are judged. As published:
            a margin, with a head that answers cosines.
    Raises:
        InvalidInput: A share outside [0, 1].
    Source: Liang et al. 2023 (MixBCT; share 0.3, the 90 % of each class nearest its mean are
        credible: `credible_rows`; ArcFace). Departs from it: any classification.
    """

    needs = frozenset({"labels", "old", "credible", "classify"})

    def __init__(self, share: float = 0.3, classification: Classification | None = None) -> None:
        super().__init__()
        if not 0.0 <= share <= 1.0:
            raise InvalidInput("MixBCT", "a share in [0, 1]", repr(share))
        self.share = share
        self.classification = classification or Classification()

    def value(self, batch: Batch) -> Tensor:
        """Mean over the batch."""
        same_dim(batch.new, batch.old, "MixBCT")
        mixed, _ = mixture(batch.new, batch.old, batch.credible, self.share)
        mixed, classify = mixed.to(batch.new.dtype), batch.classify
        return batch.nothing() if classify is None else self._judged(classify(mixed), batch)

    def _judged(self, logits: Tensor, batch: Batch) -> Tensor:
        return self.classification.of(logits, batch.labels)
