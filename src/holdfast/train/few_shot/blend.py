"""Names and pictures together, without training: blended class rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ...errors import InvalidInput
from ..model import Inputs
from ..tensors import Tensor, torch, unit
from .base import SessionClassifier, Towers, means
from .prototypes import pulled

_GRID = np.linspace(0.0, 1.0, 21)


class Blend(SessionClassifier):
    """The row of a class is part name, part calibrated prototype.

    Args:
        towers: See `SessionClassifier`.
        weight: Of names, in [0, 1]; None finds it on the base session: prototypes of one half
            of its pictures, the other half to be told apart, in steps of 0.05.
        descriptions: Class -> texts about it; they make half of a name's row.
        pull: See `Teen`.
        sharpness: See `Teen`.
        templates: See `SessionClassifier`.
        device: See `SessionClassifier`.
        size: See `SessionClassifier`.
    Raises:
        InvalidInput: A weight outside [0, 1], or one text in the place of a list.

    Source: Chen et al. 2025 (BiMC). Departs from it: without its second classifier by
        covariances, and without descriptions where none are given.
    """

    _named: Tensor
    _pictured: Tensor

    def __init__(
        self,
        towers: Towers,
        weight: float | None = None,
        descriptions: Mapping[str, Sequence[str]] | None = None,
        pull: float = 0.1,
        sharpness: float = 16.0,
        templates: Sequence[str] = ("{}.",),
        device: str = "cpu",
        size: int = 256,
    ) -> None:
        super().__init__(towers, templates, device, size)
        if weight is not None and not 0.0 <= weight <= 1.0:
            raise InvalidInput("Blend", "a weight from 0 to 1", str(weight))
        for name, texts in (descriptions or {}).items():
            if isinstance(texts, str):
                raise InvalidInput(
                    "Blend", "a list of texts about each class", f"{name!r}: {texts!r}"
                )
        self.weight, self.descriptions = weight, dict(descriptions or {})
        self.pull, self.sharpness = pull, sharpness

    def _learn(self, images: Inputs, labels: Tensor) -> None:
        names, rows = self.sessions[-1], self._rows(images)
        told, seen = self._told(names), means(rows, labels, len(names))
        if len(self.sessions) > 1:
            told, seen = torch.cat([self._named, told]), torch.cat([self._pictured, seen])
        elif self.weight is None:
            self.weight = best_weight(rows, labels, told)
        self._named, self._pictured = told, seen

    def class_vectors(self) -> Tensor:
        """(C, d) unit rows."""
        base = len(self.sessions[0])
        return _blended(
            self._named, pulled(self._pictured, base, self.pull, self.sharpness), self.weight or 0.0
        )

    def _told(self, names: Sequence[str]) -> Tensor:
        rows = self._names_rows(names)
        for place, name in enumerate(names):
            if texts := list(self.descriptions.get(name, ())):
                with torch.no_grad():
                    about = self.towers.text_vectors(texts).float().cpu()
                rows[place] = 0.5 * rows[place] + 0.5 * about.mean(dim=0)
        return rows


def best_weight(rows: Tensor, labels: Tensor, named: Tensor) -> float:
    """The weight of names with which prototypes of half the rows tell the other half apart best.

    Args:
        rows: (n, d) unit rows of pictures.
        labels: (n,) places of their classes.
        named: (c, d) rows of the names.
    Returns:
        In steps of 0.05; of equally good ones that in the middle.
    """
    order = torch.argsort(labels, stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = torch.arange(len(order)) - torch.searchsorted(labels[order], labels[order])
    fit, held = ranks % 2 == 0, ranks % 2 == 1
    if not bool(held.any()):
        return 0.5
    seen = means(rows[fit], labels[fit], len(named))
    right = [
        float(((rows[held] @ _blended(named, seen, w).T).argmax(1) == labels[held]).float().mean())
        for w in _GRID.tolist()
    ]
    best = np.flatnonzero(np.isclose(right, max(right)))
    return float(_GRID[best[len(best) // 2]])


def _blended(named: Tensor, pictured: Tensor, weight: float) -> Tensor:
    return unit(weight * named + (1.0 - weight) * pictured)
