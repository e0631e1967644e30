"""Image prototypes: the row of a class is the mean of its pictures; or pulled to base classes."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import InvalidInput
from ..model import Inputs
from ..tensors import Tensor, torch, unit
from .base import SessionClassifier, Towers, means


class Prototypes(SessionClassifier):
    """The nearest mean of pictures answers; names teach nothing."""

    _pictured: Tensor

    def _learn(self, images: Inputs, labels: Tensor) -> None:
        rows = means(self._rows(images), labels, len(self.sessions[-1]))
        self._pictured = torch.cat([self._pictured, rows]) if len(self.sessions) > 1 else rows

    def class_vectors(self) -> Tensor:
        """(C, d) unit rows."""
        return self._pictured


class Teen(Prototypes):
    """Prototypes of later sessions, pulled to those of base classes that look alike.

    Args:
        towers: See `SessionClassifier`.
        pull: Share of the base classes in a later prototype, in [0, 1].
        sharpness: Of the softmax over cosines with base prototypes.
        templates: See `SessionClassifier`.
        device: See `SessionClassifier`.
        size: See `SessionClassifier`.
    Raises:
        InvalidInput: pull outside [0, 1], or a sharpness of 0.

    Source: Wang et al. 2023 (TEEN), in the form and with the settings of Chen et al. 2025
        (BiMC). Departs from it: rows are those of a frozen CLIP.
    """

    def __init__(
        self,
        towers: Towers,
        pull: float = 0.1,
        sharpness: float = 16.0,
        templates: Sequence[str] = ("{}.",),
        device: str = "cpu",
        size: int = 256,
    ) -> None:
        super().__init__(towers, templates, device, size)
        if not 0.0 <= pull <= 1.0 or sharpness <= 0.0:
            raise InvalidInput(
                "Teen", "pull from 0 to 1, sharpness above 0", f"{pull}, {sharpness}"
            )
        self.pull, self.sharpness = pull, sharpness

    def class_vectors(self) -> Tensor:
        """(C, d) unit rows."""
        return pulled(self._pictured, len(self.sessions[0]), self.pull, self.sharpness)


def pulled(rows: Tensor, base: int, pull: float, sharpness: float) -> Tensor:
    """(C, d) unit rows, the later ones pulled to the base ones by likeness.

    Args:
        rows: (C, d) unit prototypes.
        base: How many of them, from the first, are base classes.
        pull: Share of the base classes, in [0, 1].
        sharpness: Of the softmax over cosines.
    """
    first, later = rows[:base], rows[base:]
    weights = torch.softmax(sharpness * later @ first.T, dim=1)
    return unit(torch.cat([first, (1.0 - pull) * later + pull * weights @ first]))
