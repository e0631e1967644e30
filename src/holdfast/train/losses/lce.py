"""LCE: new classes sit where old ones sat, and no item further out than the old ones were."""

from __future__ import annotations

from ...errors import InvalidInput
from ..tensors import (
    Tensor,
    as_rows,
    as_tensor,
    at_least_float32,
    cosines,
    functional,
    mean_where,
    nn,
    same_dim,
    unit,
)
from .base import Batch, Loss
from .prototypes import known_classes, own_rows


class BottleneckTransform(nn.Module):
    """A residual map between the spaces of two models, also of different dimension.

    Parallel paths inputs -> width -> width -> outputs, added to the input, or to a linear map
    of it where the dimensions differ.

    Args:
        inputs: Length of its rows.
        outputs: Length of what it answers.
        paths: How many.
        width: Of the bottleneck.
    Raises:
        InvalidInput: A size below 1.
    Source: Meng et al. 2021 (LCE; up to 4 paths of width 16). Departs from it: the linear map
        for other dimensions; the last layer of a path starts at zero, so the whole starts as
        its short cut.
    """

    def __init__(self, inputs: int, outputs: int, paths: int = 1, width: int = 16) -> None:
        super().__init__()
        if min(inputs, outputs, paths, width) < 1:
            raise InvalidInput(
                "BottleneckTransform", "sizes from 1", f"{inputs}, {outputs}, {paths}, {width}"
            )
        same = inputs == outputs
        self.short = nn.Identity() if same else nn.Linear(inputs, outputs, bias=False)
        self.paths = nn.ModuleList(_path(inputs, width, outputs) for _ in range(paths))

    def forward(self, rows: Tensor) -> Tensor:
        """(n, inputs) to (n, outputs)."""
        return self.short(rows) + sum(path(rows) for path in self.paths)


def _path(inputs: int, width: int, outputs: int) -> nn.Sequential:
    last = nn.Linear(width, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.BatchNorm1d(width),
        nn.PReLU(),
        nn.Linear(width, width),
        nn.BatchNorm1d(width),
        nn.PReLU(),
        last,
    )


class LCE(Loss):
    """Alignment of classes and a bound for items, over the classes the old model knows.

        align   mean squared error of the unit rows of the new classifier and the old centres;
                with transforms the mean of both directions
        bound   mean_i max(0, floor_y - cos(back(f_i), centre_y))

    Args:
        centres: (classes, d_old) centres of the old classes: `class_means`.
        floors: (classes,) the worst old cosine of an item with its centre: `class_floors`.
        known: (classes,) which classes count; all without it.
        onward: Old space to new space, such as `BottleneckTransform`; needed where the
            dimensions differ.
        back: New space to old space; with `onward`, or neither.
        align: Weight of the first term.
        bound: Weight of the second.
    Raises:
        InvalidInput: One transform without the other, or not one floor for each centre.
    Source: Meng et al. 2021 (LCE; weights 100 and 1). Departs from it: centres, and what the
        transforms answer, are scaled to length one.
    """

    needs = frozenset({"labels", "class_rows"})
    centres: Tensor
    floors: Tensor
    known: Tensor

    def __init__(
        self,
        centres: object,
        floors: object,
        known: object | None = None,
        onward: nn.Module | None = None,
        back: nn.Module | None = None,
        align: float = 100.0,
        bound: float = 1.0,
    ) -> None:
        super().__init__()
        rows = unit(as_rows(centres, "LCE"))
        if (onward is None) != (back is None):
            raise InvalidInput("LCE", "both transforms or none", "one")
        self.register_buffer("centres", rows)
        self.register_buffer("floors", as_tensor(floors, "LCE").detach().to(rows))
        self.register_buffer("known", known_classes(known, rows, "LCE"))
        if self.floors.shape != (len(rows),):
            raise InvalidInput("LCE", f"{len(rows)} floors", str(tuple(self.floors.shape)))
        self.onward, self.back = onward, back
        self.align, self.bound = align, bound

    def value(self, batch: Batch) -> Tensor:
        """Both terms, weighted."""
        return self.align * self.alignment(batch.class_rows) + self.bound * self.excess(batch)

    def alignment(self, class_rows: Tensor) -> Tensor:
        """The first term: (classes or more, d) rows of the new classifier."""
        if len(class_rows) < len(self.centres):
            raise InvalidInput(
                "LCE",
                f"rows of {len(self.centres)} classes or more, as there are centres",
                str(len(class_rows)),
                "Give it the classes that the head has.",
            )
        rows = unit(class_rows[: len(self.centres)])
        there = self._there(rows)
        same_dim(there, self.centres, "LCE")
        centres = self.centres.to(rows.dtype)
        apart = (there - centres).square().mean(1)
        if self.onward is not None:
            onward = unit(self.onward(centres))
            apart = 0.5 * (apart + (rows - onward).square().mean(1))
        return mean_where(apart, self.known)

    def excess(self, batch: Batch) -> Tensor:
        """The second term."""
        own, counted = own_rows(batch.labels, self.known)
        there = self._there(batch.compared if self.back is None else batch.new)
        same_dim(there, self.centres, "LCE")
        beyond = functional.relu(self.floors[own] - cosines(there, self.centres[own]))
        return mean_where(beyond, counted)

    def _there(self, rows: Tensor) -> Tensor:
        return rows if self.back is None else unit(self.back(at_least_float32(rows)))
