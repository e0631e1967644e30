"""The strict form of compatibility: for every pair, not on average.

A new model is compatible with an old gallery in the strict sense when for every query i and
stored item j

    same class:       d(new_i, old_j) <= d(old_i, old_j)
    different class:  d(new_i, old_j) >= d(old_i, old_j)

No model meets it. The share of pairs that do says how far off one is: half of them is what
an unrelated model gets by luck. Distances that differ by rounding alone are equal. Pairs of
different classes are the great majority, so the two kinds are told apart.

Source: Shen et al. 2020 (BCT), conditions 1 and 2. Departs from it: counted, not demanded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..space import Metric as Distance
from .classes import positions
from .finding import Finding
from .interval import Floats, Interval, bootstrap_of, ratio
from .similarity import as_rows, blocks, lengths, padded, slack


@dataclass(frozen=True, slots=True)
class Pairwise:
    """Shares of pairs that meet the strict form.

    Args:
        every: Of all pairs.
        same: Of the pairs of one class; None where there is none.
        different: Of the pairs of two classes; None where there is none.
    """

    every: Interval
    same: Interval | None
    different: Interval | None

    def findings(self, cell: str = "new/old") -> list[Finding]:
        """All shares that exist, not judged."""
        parts = {"all": self.every, "same class": self.same, "different class": self.different}
        return [
            Finding.of(f"strictly compatible pairs, {name}", cell, part)
            for name, part in parts.items()
            if part is not None
        ]


def pairwise(
    old_queries: npt.ArrayLike,
    new_queries: npt.ArrayLike,
    gallery: npt.ArrayLike,
    query_labels: Sequence[Any],
    gallery_labels: Sequence[Any],
    own: npt.ArrayLike | None = None,
    distance: Distance = "cosine",
    extends: bool = False,
) -> Pairwise:
    """Count the pairs that meet the strict form; all rows of the gallery are old ones.

    Args:
        old_queries: (q, d) rows by the old model.
        new_queries: (q, e) rows of the same queries by the new model.
        gallery: (n, d) rows by the old model.
        query_labels: (q,) classes.
        gallery_labels: (n,) classes.
        own: (q,) position of each query in the gallery, -1 where it is not there; such a
            pair does not count.
        distance: How rows are compared. Lengths of rows matter unless it is "cosine".
        extends: Whether d and e may differ, see `similarity.padded`.
    Raises:
        InvalidInput: Different numbers of queries, rows or labels, positions outside the
            gallery, or no pair that counts.
        DimensionMismatch: Rows of different lengths without `extends`.
    """
    old, new, stored = (as_rows(x, "pairwise") for x in (old_queries, new_queries, gallery))
    if len(old) != len(new):
        raise InvalidInput("pairwise", f"{len(old)} queries of both models", str(len(new)))
    if (len(query_labels), len(gallery_labels)) != (len(old), len(stored)):
        got = f"{len(query_labels)} and {len(gallery_labels)}"
        wanted = f"{len(old)} labels of queries and {len(stored)} of gallery items"
        raise InvalidInput("pairwise", wanted, got)
    code = {label: number for number, label in enumerate(dict.fromkeys(gallery_labels))}
    classes = np.array([code[label] for label in gallery_labels])
    asked = np.array([code.get(label, -1) for label in query_labels])
    mine = positions(own, len(old), len(stored))
    counts = np.zeros((4, len(old)))  # met and all pairs of one class, then of two
    wide = padded(new, stored, extends, "pairwise")
    both = zip(blocks(old, stored, distance), blocks(*wide, distance), strict=True)
    (mine_old, there), (mine_new, _) = lengths(old, stored, distance), lengths(*wide, distance)
    reach = np.maximum(mine_old, mine_new)
    for (rows, before), (_, after) in both:
        same = classes == asked[rows][:, None]
        valid = np.ones(same.shape, dtype=bool)
        inside = np.flatnonzero(mine[rows] >= 0)
        valid[inside, mine[rows][inside]] = False
        near = slack(reach[rows, None], there, distance)
        met = np.where(same, after >= before - near, after <= before + near) & valid
        for row, counted in enumerate((met & same, valid & same, met & ~same, valid & ~same)):
            counts[row, rows] = counted.sum(axis=1)
    totals = counts.sum(axis=1)
    if not totals[1] + totals[3]:
        raise InvalidInput("pairwise", "a query and an item that is not its own", "none")
    return Pairwise(
        _share(counts[0] + counts[2], counts[1] + counts[3]),
        _share(counts[0], counts[1]) if totals[1] else None,
        _share(counts[2], counts[3]) if totals[3] else None,
    )


def _share(met: Floats, of: Floats) -> Interval:
    # Queries with more pairs count more.
    return bootstrap_of(lambda means: ratio(means[:, 0], means[:, 1]), np.stack([met, of]))
