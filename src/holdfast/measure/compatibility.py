"""The compatibility matrix: every model's queries on the gallery of every earlier one.

`values[q, g]` is a measure of retrieval with queries of model q on the gallery of model g,
g <= q; models in the order of time. The diagonal is each model by itself. From it:

    compatible(q, g)  values[q, g] > values[g, g]: the newer model serves the old gallery
                      better than the model that made it
    AC    share of the cells below the diagonal that are compatible
    AA    mean of the cells on and below the diagonal; its curve is that of the first t models
    BC    mean of values[last, g] - values[g, g]: what the last model does for old galleries
    FC    mean of values[t, t-1] - values[t, t]: what not re-embedding costs one step later

AC alone can be had by a weak first model. It always comes with AA and the diagonal here,
and with the share of the cells that are better beyond doubt: most differences between close
models are noise.

Source: Shen et al. 2020 (criterion), Biondi et al. 2023 and 2024 (AC, AA), CL2R
(BC, FC). Departs from them: each cell has a paired interval; ties are a choice, by default
not compatible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from .comparison import Comparison
from .finding import Finding
from .interval import (
    LEVEL,
    RESAMPLES,
    ROUNDING,
    Floats,
    Interval,
    as_table,
    exact_means,
    intervals,
    resampled_means,
    without_rounding,
)
from .similarity import as_rows, padded

Sides: TypeAlias = tuple[npt.ArrayLike, npt.ArrayLike]
Statistic: TypeAlias = Callable[[Floats], Floats]


class Measure(Protocol):
    """Something that scores retrieval: `ByClass` or `Verification`."""

    name: str

    def __call__(self, queries: npt.ArrayLike, gallery: npt.ArrayLike) -> Floats:
        """(q,) values of the same queries, whatever models made the rows."""
        ...


@dataclass(frozen=True, eq=False)
class Compatibility:
    """A compatibility matrix with what follows from it.

    Args:
        metric: What was measured.
        values: (t, t), a rate in [0, 1] where the metric is one; NaN above the diagonal.
        per_query: (t * (t + 1) / 2, q) values behind the cells, row by row of the matrix;
            None where only the matrix is known, and then no interval has a width.
        names: Names of the t models, for cells.
        level: Of the intervals.
    """

    metric: str
    values: Floats
    per_query: Floats | None
    names: tuple[str, ...]
    level: float = LEVEL

    @classmethod
    def of(
        cls, metric: str, values: npt.ArrayLike, names: Sequence[str] | None = None
    ) -> Compatibility:
        """From a matrix that somebody measured; what stands above the diagonal is ignored.

        Raises:
            InvalidInput: Not square, one model only, or a cell that is not a number.
        Example:
            >>> Compatibility.of("CMC@1", [[0.5, 0], [0.6, 0.7]]).ac().value
            1.0
        """
        try:
            table = np.array(values, dtype=np.float64)
        except (TypeError, ValueError) as cause:
            raise InvalidInput("Compatibility", "a matrix of numbers", str(cause)) from cause
        if table.ndim != 2 or table.shape[0] != table.shape[1] or len(table) < 2:
            raise InvalidInput("Compatibility", "a square of 2 or more models", str(table.shape))
        if not np.isfinite(table[np.tril_indices(len(table))]).all():
            raise InvalidInput("Compatibility", "a number in each cell", "NaN or infinity")
        table[np.triu_indices(len(table), 1)] = np.nan
        return cls(metric, table, None, _named(names, len(table)))

    @classmethod
    def measured(
        cls,
        metric: str,
        per_query: npt.ArrayLike,
        names: Sequence[str] | None = None,
        level: float = LEVEL,
    ) -> Compatibility:
        """From the values of the same queries in every cell.

        Args:
            metric: What was measured.
            per_query: (t * (t + 1) / 2, q), cells in the order (0, 0), (1, 0), (1, 1), ...
            names: Names of the models; by default 1 to t.
            level: Of the intervals.
        Raises:
            InvalidInput: Not 3, 6, 10, ... cells, or another number of names.
        """
        table = as_table(per_query, "Compatibility")
        count = int(np.sqrt(2 * len(table)))
        if count * (count + 1) // 2 != len(table) or count < 2:
            raise InvalidInput("Compatibility", "3, 6, 10, 15, ... cells", str(len(table)))
        values = np.full((count, count), np.nan)
        values[np.tril_indices(count)] = exact_means(table)
        return cls(metric, values, table, _named(names, count), level)

    def ac(self, strict: bool = True) -> Interval:
        """Average compatibility; without `strict` an equal value is compatible too."""
        under, first = self._below()
        # Means of the same numbers in another order differ in their last bits.
        least = ROUNDING if strict else -ROUNDING
        return self._interval(lambda c: (c[:, under] - c[:, first] > least).mean(axis=1))

    def aa(self, models: int | None = None) -> Interval:
        """Average accuracy of the first models, by default of all."""
        count = len(self.values) if models is None else models
        if not 1 <= count <= len(self.values):
            raise InvalidInput("aa", f"1 to {len(self.values)} models", str(models))
        cells = count * (count + 1) // 2
        return self._interval(lambda c: c[:, :cells].mean(axis=1))

    def aa_curve(self) -> list[Interval]:
        """AA of the first model, of the first two, and so on."""
        return [self.aa(count + 1) for count in range(len(self.values))]

    def bc(self) -> Interval:
        """Backward compatibility of the last model."""
        last = len(self.values) - 1
        under, first = zip(*((_at(last, g), _at(g, g)) for g in range(last)), strict=True)
        return self._interval(lambda c: (c[:, under] - c[:, first]).mean(axis=1))

    def fc(self) -> Interval:
        """Forward compatibility, from one model to the next."""
        steps = range(1, len(self.values))
        under, first = zip(*((_at(t, t - 1), _at(t, t)) for t in steps), strict=True)
        return self._interval(lambda c: (c[:, under] - c[:, first]).mean(axis=1))

    def comparisons(self) -> dict[tuple[int, int], Comparison]:
        """(q, g) below the diagonal to values[q, g] against values[g, g], paired by query."""
        under, first = self._below()
        places = [(q, g) for q in range(len(self.values)) for g in range(q)]
        cells = self._cells
        found = self._intervals(lambda c: c[:, under] - c[:, first])
        return {
            place: Comparison(float(cells[f]), float(cells[u]), difference)
            for place, u, f, difference in zip(places, under, first, found, strict=True)
        }

    def shown(self) -> float | None:
        """Share of the cells that are compatible beyond doubt; None without queries."""
        if self.per_query is None:
            return None
        return float(np.mean([c.outcome == "better" for c in self.comparisons().values()]))

    def findings(self) -> list[Finding]:
        """AC, AA, BC, FC and the diagonal as info, then each cell judged by the criterion."""
        names, cell = self.names, f"{self.names[-1]}/{self.names[0]}"
        shown, note = self.shown(), "from a matrix: intervals are not known"
        if shown is not None:
            note = f"{shown:.2f} of the cells are better beyond doubt"
        found = [
            Finding.of(f"AC of {self.metric}", cell, self.ac(), note=note),
            Finding.of(f"AA of {self.metric}", cell, self.aa()),
            Finding.of(f"BC of {self.metric}", cell, self.bc()),
            Finding.of(f"FC of {self.metric}", cell, self.fc()),
        ]
        diagonal = self._intervals(lambda c: c[:, [_at(t, t) for t in range(len(names))]])
        found += [
            Finding.of(self.metric, f"{name}/{name}", value)
            for name, value in zip(names, diagonal, strict=True)
        ]
        return found + [
            one.finding(self.metric, f"{names[q]}/{names[g]}", note=f"against {names[g]} alone")
            for (q, g), one in self.comparisons().items()
        ]

    def _below(self) -> tuple[list[int], list[int]]:
        """Cells below the diagonal, and for each the diagonal cell of its gallery."""
        places = [(q, g) for q in range(len(self.values)) for g in range(q)]
        return [_at(q, g) for q, g in places], [_at(g, g) for _, g in places]

    @property
    def _cells(self) -> Floats:
        cells: Floats = self.values[np.tril_indices(len(self.values))]
        return cells

    @cached_property
    def _drawn(self) -> Floats | None:
        """The cells in each draw of queries, which all intervals share."""
        return None if self.per_query is None else resampled_means(self.per_query, RESAMPLES)

    def _interval(self, statistic: Statistic) -> Interval:
        return self._intervals(lambda cells: statistic(cells)[:, None])[0]

    def _intervals(self, statistic: Statistic) -> list[Interval]:
        size = float(np.abs(self._cells).max())
        values = without_rounding(statistic(self._cells[None])[0], size)
        if self._drawn is None or self.per_query is None:
            return [Interval(float(v), float(v), float(v), self.level, 0) for v in values]
        drawn = without_rounding(statistic(self._drawn), size)
        return intervals(values, drawn, self.level, self.per_query.shape[1])


def compatibility(
    models: Iterable[Sides | Callable[[], Sides]],
    measure: Measure,
    names: Sequence[str] | None = None,
    extends: bool = False,
    level: float = LEVEL,
) -> Compatibility:
    """Fill the matrix; each model encodes once.

    Args:
        models: In the order of time, each the (q, d) rows of the queries and the (n, d) rows
            of the gallery, or a function that makes them and is called once.
        measure: What is measured in each cell.
        names: Names of the models; by default 1 to t.
        extends: Whether later models may have longer rows that begin with the coordinates of
            earlier ones; shorter rows then get zeros, see `similarity.padded`.
        level: Of the intervals.
    Raises:
        InvalidInput: Fewer than two models.
        DimensionMismatch: Rows of different lengths without `extends`.
    Example:
        >>> from holdfast.measure.classes import ByClass
        >>> rows = [[1.0, 0.0], [0.0, 1.0]]
        >>> same = compatibility([(rows, rows)] * 2, ByClass("NCM", "ab", "ab"))
        >>> same.ac().value, same.ac(strict=False).value
        (0.0, 1.0)
    """
    galleries: list[npt.NDArray[np.float32]] = []
    cells: list[Floats] = []
    for model in models:
        asked, stored = model() if callable(model) else model
        queries = as_rows(asked, measure.name)
        galleries.append(as_rows(stored, measure.name))
        cells += [
            measure(*padded(queries, gallery, extends, measure.name)) for gallery in galleries
        ]
    if len(galleries) < 2:
        raise InvalidInput("compatibility", "2 or more models", str(len(galleries)))
    return Compatibility.measured(measure.name, cells, names, level)


def _at(query: int, gallery: int) -> int:
    """Where a cell stands among those on and below the diagonal."""
    return query * (query + 1) // 2 + gallery


def _named(names: Sequence[str] | None, count: int) -> tuple[str, ...]:
    chosen = tuple(str(t + 1) for t in range(count)) if names is None else tuple(names)
    if len(chosen) != count:
        raise InvalidInput("Compatibility", f"{count} names", str(len(chosen)))
    return chosen
