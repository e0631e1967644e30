"""Galleries across sessions of classes: what older vectors are worth to a newer model.

A model that learns new classes moves its vectors. After session s a gallery of all classes
known by then was stored; a query of the model after session t > s searches it.

    values[t, s]   queries of model t on the gallery of model s, classes known after session s
    own[t, s]      the same queries and items, the gallery made again by model t
    compatible     values[t, s] > values[s, s], as in `compatibility`
    kept           mean of values[t, s] - values[s, s] over s < t
    missed         mean of own[t, s] - values[t, s]: what making the gallery again would bring
    grown          a gallery that never is made again: items of each session's classes as the
                   model of that session stored them, searched by the last model

Source: the criterion of Shen et al. 2020 (BCT), over sessions of new classes. Departs from it:
queries and gallery of a cell are those of the classes that its gallery knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from .classes import ByClass
from .comparison import Comparison, compare
from .compatibility import Sides
from .finding import Finding
from .interval import LEVEL, ROUNDING, Floats, Interval, bootstrap
from .similarity import as_rows


@dataclass(frozen=True, eq=False)
class SessionGalleries:
    """Values of every query in every cell.

    Args:
        metric: What was measured.
        cross: (t, s), s <= t, to (q,) values of the queries of cell (t, s).
        own: (t, s) to (q,) values with the gallery made again by model t.
        grown: (q,) values of the last model's queries on the gallery never made again.
        sessions: How many.
        level: Of the intervals.
    """

    metric: str
    cross: dict[tuple[int, int], Floats]
    own: dict[tuple[int, int], Floats]
    grown: Floats
    sessions: int
    level: float = LEVEL

    @property
    def values(self) -> Floats:
        """(T, T) means, NaN above the diagonal."""
        return _table(self.cross, self.sessions)

    def comparisons(self) -> dict[tuple[int, int], Comparison]:
        """(t, s) to values[t, s] against values[s, s], paired by query."""
        return {
            (t, s): compare(self.cross[s, s], rows, None, True, self.level)
            for (t, s), rows in self.cross.items()
            if s < t
        }

    def compatible(self) -> float:
        """Share of the cells below the diagonal with values[t, s] > values[s, s]."""
        table = self.values
        gains = [table[t, s] - table[s, s] for t, s in self.cross if s < t]
        return float(np.mean(np.array(gains) > ROUNDING))

    def kept(self) -> float:
        """Mean of values[t, s] - values[s, s] over s < t."""
        table = self.values
        return float(np.mean([table[t, s] - table[s, s] for t, s in self.cross if s < t]))

    def missed(self) -> float:
        """Mean of own[t, s] - values[t, s] over s < t."""
        gaps = self.values, _table(self.own, self.sessions)
        return float(np.mean([gaps[1][t, s] - gaps[0][t, s] for t, s in self.cross if s < t]))

    def never_made_again(self) -> Comparison:
        """The grown gallery against one made again, by the last model's queries."""
        last = self.sessions - 1
        return compare(self.own[last, last], self.grown, None, True, self.level)

    def findings(self) -> list[Finding]:
        """Each cell judged by the criterion, then the grown gallery against one made again."""
        found = [
            one.finding(self.metric, f"{t + 1}/{s + 1}", note=f"against {s + 1}/{s + 1}")
            for (t, s), one in self.comparisons().items()
        ]
        last = str(self.sessions)
        one = self.never_made_again()
        return [*found, one.finding(self.metric, f"{last}/grown", note=f"against {last}/{last}")]

    def diagonal(self) -> list[Interval]:
        """Each model on its own gallery of the classes it knows."""
        return [bootstrap(self.cross[t, t], self.level) for t in range(self.sessions)]


def session_galleries(
    models: Sequence[Sides],
    queries: npt.ArrayLike,
    gallery: npt.ArrayLike,
    classes: Sequence[int],
    metric: str = "CMC@1",
    level: float = LEVEL,
) -> SessionGalleries:
    """Search the gallery of every session by the queries of every later one.

    Args:
        models: After each session the (q, d) rows of all queries and the (n, d) rows of all
            gallery items, also of classes that come later.
        queries: (q,) classes of queries, numbered in the order in which they came.
        gallery: (n,) classes of gallery items, likewise.
        classes: How many classes each session brought.
        metric: See `ByClass`.
        level: Of the intervals.
    Raises:
        InvalidInput: Fewer than two sessions, other numbers of rows than of classes, a class
            of no session, or a query without an item of its class.
    """
    asked, stored = np.asarray(queries), np.asarray(gallery)
    if len(models) != len(classes) or len(models) < 2:
        raise InvalidInput(
            "session_galleries", f"rows of {max(len(classes), 2)} sessions", str(len(models))
        )
    ends = np.cumsum(classes)
    rows = [(as_rows(q, metric), as_rows(g, metric)) for q, g in models]
    told = {(len(q), len(g)) for q, g in rows}
    if told != {(len(asked), len(stored))}:
        counts = f"{len(asked)} queries and {len(stored)} gallery items in every session"
        raise InvalidInput("session_galleries", counts, f"{sorted(told)}")
    known = np.concatenate([asked, stored])
    strange = known[~np.isin(known, np.arange(ends[-1]))]
    if len(strange):
        got = repr(strange[0].item())
        raise InvalidInput("session_galleries", f"classes from 0 to {ends[-1] - 1}", got)
    cross: dict[tuple[int, int], Floats] = {}
    own: dict[tuple[int, int], Floats] = {}
    for s, end in enumerate(ends.tolist()):
        asks, holds = asked < end, stored < end
        measure = ByClass(metric, asked[asks].tolist(), stored[holds].tolist())
        for t in range(s, len(models)):
            cross[t, s] = measure(rows[t][0][asks], rows[s][1][holds])
            own[t, s] = measure(rows[t][0][asks], rows[t][1][holds])
    made = np.searchsorted(ends, stored, side="right")
    layers = np.stack([side for _, side in rows])[made, np.arange(len(stored))]
    measure = ByClass(metric, asked.tolist(), stored.tolist())
    return SessionGalleries(metric, cross, own, measure(rows[-1][0], layers), len(models), level)


def _table(cells: dict[tuple[int, int], Floats], sessions: int) -> Floats:
    values = np.full((sessions, sessions), np.nan)
    for place, rows in cells.items():
        values[place] = rows.mean()
    return values
