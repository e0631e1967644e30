"""Sessions of classes: how well all known classes are told apart after each session.

    A_t       share of the test items of all classes known after session t that are right
    Avg       plain mean of A_1 ... A_T, which published tables report
    PD        A_1 - A_T, performance dropping
    base      the same share among classes of the first session; novel, among later ones
    HM        harmonic mean of base and novel: Avg can hide that new classes are not learned

Source: Tao et al. 2020 (TOPIC: A_t, PD); D'Alessandro et al. 2023 (Avg). Departs from them:
intervals by items, and HM always comes along.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..arrays import IntArray
from ..errors import InvalidInput
from .finding import Finding
from .interval import LEVEL, ROUNDING, Floats, Interval, bootstrap_of, rate, ratio


@dataclass(frozen=True, eq=False)
class SessionReport:
    """What was right after each session.

    Args:
        right: (T, n) whether each test item was right after each session.
        session: (n,) session of each item's class, from 0.
        level: Of the intervals.
    """

    right: npt.NDArray[np.bool_]
    session: IntArray
    level: float = LEVEL

    @classmethod
    def of(
        cls,
        predicted: Sequence[npt.ArrayLike],
        labels: npt.ArrayLike,
        classes: Sequence[int],
        level: float = LEVEL,
    ) -> SessionReport:
        """From predictions.

        Args:
            predicted: After each session (n,) classes of all test items, numbered in the
                order in which classes came. What is said of classes still to come is ignored.
            labels: (n,) true classes.
            classes: How many classes each session brought.
            level: Of the intervals.
        Raises:
            InvalidInput: Other numbers of sessions or items, a label of no class, or a
                session of which no item is there.
        Example:
            >>> report = SessionReport.of([[0, 0, 0, 0], [0, 1, 2, 0]], [0, 1, 2, 2], [2, 1])
            >>> [accuracy.value for accuracy in report.accuracies()]
            [0.5, 0.75]
        """
        truth, rows = np.asarray(labels), [np.asarray(row) for row in predicted]
        shapes = [row.shape for row in rows]
        if not len(truth) or not classes or shapes != [truth.shape] * len(classes):
            raise InvalidInput(
                "SessionReport",
                f"{len(classes)} sessions of {len(truth)} predictions, and 1 or more of both",
                f"shapes {shapes}",
            )
        if truth.dtype.kind not in "iu":
            raise InvalidInput("SessionReport", "labels that are whole numbers", str(truth.dtype))
        table = np.stack(rows)
        session = np.searchsorted(np.cumsum(classes), truth, side="right")
        if truth.min() < 0 or not np.array_equal(np.unique(session), np.arange(len(classes))):
            raise InvalidInput(
                "SessionReport",
                f"items of each session's classes, of {len(classes)} sessions, and of no others",
                f"classes {truth.min()} to {truth.max()}",
            )
        return cls(table == truth, session.astype(np.int64), level)

    def __len__(self) -> int:
        return len(self.right)

    def accuracies(self) -> list[Interval]:
        """A_t after each session."""
        return [rate(row[self.session <= t], self.level) for t, row in enumerate(self.right)]

    def average(self) -> Interval:
        """Avg, its interval over test items."""
        return self._of_shares(lambda shares: shares.mean(axis=1))

    def drop(self) -> Interval:
        """PD, its interval over test items."""
        return self._of_shares(lambda shares: shares[:, 0] - shares[:, -1])

    def base(self, after: int = -1) -> Interval:
        """Share of right items of the first session's classes, by default at the end."""
        return rate(self.right[after][self.session == 0], self.level)

    def novel(self, after: int = -1) -> Interval:
        """Share of right items of later classes that are known by then.

        Raises:
            InvalidInput: There are none after the first session.
        """
        return rate(self.right[after][self._later(after)], self.level)

    def harmonic(self, after: int = -1) -> Interval:
        """HM of base and novel; 0 where both are."""
        base, later = self.session == 0, self._later(after)
        rows = [self.right[after] & base, base, self.right[after] & later, later]
        return bootstrap_of(_harmonic, np.array(rows, dtype=np.float64), self.level)

    def forgetting(self) -> list[float]:
        """For each session but the last, the best its classes ever did less what they do now."""
        return [
            float(self.right[s:-1, self.session == s].mean(axis=1).max())
            - float(self.right[-1, self.session == s].mean())
            for s in range(len(self) - 1)
        ]

    def findings(self, cell: str) -> list[Finding]:
        """Avg and PD, HM where there are later classes, and A_t after each session."""
        found = [Finding.of("Avg", cell, self.average()), Finding.of("PD", cell, self.drop())]
        if len(self) > 1:
            found += [
                Finding.of("HM", cell, self.harmonic()),
                Finding.of("accuracy", cell, self.base(), slice="base"),
                Finding.of("accuracy", cell, self.novel(), slice="novel"),
            ]
        return found + [
            Finding.of("accuracy", cell, value, slice=f"after session {t + 1}")
            for t, value in enumerate(self.accuracies())
        ]

    def _later(self, after: int) -> npt.NDArray[np.bool_]:
        last = range(len(self))[after]
        if not last:
            raise InvalidInput("SessionReport", "a later session", "the first alone")
        found: npt.NDArray[np.bool_] = (self.session > 0) & (self.session <= last)
        return found

    def _of_shares(self, statistic: Callable[[Floats], Floats]) -> Interval:
        known = self.session <= np.arange(len(self))[:, None]
        rows = np.concatenate([self.right & known, known]).astype(np.float64)

        return bootstrap_of(
            lambda means: statistic(ratio(means[:, : len(self)], means[:, len(self) :])),
            rows,
            self.level,
        )


def _harmonic(means: Floats) -> Floats:
    base, novel = ratio(means[:, 0], means[:, 1]), ratio(means[:, 2], means[:, 3])
    both = ratio(2.0 * base * novel, base + novel)
    out: Floats = np.where(base + novel <= ROUNDING, 0.0, both)
    return out
