"""Telling classes apart: softmax cross-entropy, with label smoothing or an angular margin."""

from __future__ import annotations

import math

from ...errors import InvalidInput
from ..tensors import Tensor, functional, torch
from .base import Batch, Loss

_EDGE = 1e-6  # the slope of the arc cosine is infinite at 1


class Classification(Loss):
    """Cross-entropy of the head's logits.

    Args:
        smoothing: Share of the probability spread evenly over all classes.
        margin: Angle in radians added between a vector and its class. Logits must then be
            cosines, and `scale` is needed.
        scale: Factor of the logits.
    Raises:
        InvalidInput: Smoothing outside [0, 1), a margin outside [0, pi/2), or a scale of 0.
    Source: Deng et al. 2019 (ArcFace, margin 0.5, scale 64) for the margin. Departs from it:
        beyond the half turn the cosine continues in a straight line downwards.
    """

    needs = frozenset({"labels", "logits"})

    def __init__(self, smoothing: float = 0.0, margin: float = 0.0, scale: float = 1.0) -> None:
        super().__init__()
        if not 0.0 <= smoothing < 1.0 or not 0.0 <= margin < math.pi / 2 or not scale > 0.0:
            raise InvalidInput(
                "Classification",
                "smoothing in [0, 1), margin in [0, pi/2), scale > 0",
                f"{smoothing}, {margin}, {scale}",
            )
        self.smoothing, self.margin, self.scale = smoothing, margin, scale

    def value(self, batch: Batch) -> Tensor:
        """Mean over the batch."""
        return self.of(batch.logits, batch.labels)

    def of(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean over rows of any (n, classes) logits."""
        if self.margin:
            logits = with_margin(logits, labels, self.margin)
        smooth = self.smoothing
        return functional.cross_entropy(self.scale * logits, labels, label_smoothing=smooth)


def with_margin(cosines: Tensor, labels: Tensor, margin: float) -> Tensor:
    """(n, classes) cosines, that of the own class at an angle larger by the margin."""
    own = cosines.gather(1, labels[:, None])
    sine = (1.0 - own.square()).clamp(min=_EDGE).sqrt()
    turned = own * math.cos(margin) - sine * math.sin(margin)
    beyond = own <= math.cos(math.pi - margin)
    turned = torch.where(beyond, own - margin * math.sin(margin), turned)
    return cosines.scatter(1, labels[:, None], turned)
