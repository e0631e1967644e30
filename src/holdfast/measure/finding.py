"""Findings: one measured statement each, the only thing a gate, report or exit code reads."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from ..errors import InvalidInput
from .interval import Interval

Verdict: TypeAlias = Literal["info", "pass", "fail"]
_VERDICTS: tuple[str, ...] = get_args(Verdict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was measured, where, how sure we are, and what follows.

    Args:
        metric: Spelling of the metric, "nDCG@10".
        cell: Query space and gallery space, "old/old", "bridged/old", "mixed@30%".
        value: The measured value; a rate in [0, 1] where the metric is one.
        low: Lower end of its interval; equal to `value` where nothing is uncertain.
        high: Upper end.
        n: Number of queries (or rows, or pairs) behind it.
        slice: Which part of the queries; "all" for every one.
        verdict: "info" judges nothing.
        note: For people: against which bound, from which data.
    Raises:
        InvalidInput: NaN or infinity, ends out of order, or an unknown verdict.
    Example:
        >>> Finding("nDCG@10", "new/new", 0.64, 0.6, 0.68, 300).judged(at_least=0.59).verdict
        'pass'
    """

    metric: str
    cell: str
    value: float
    low: float
    high: float
    n: int
    slice: str = "all"
    verdict: Verdict = "info"
    note: str = ""

    def __post_init__(self) -> None:
        who = f"Finding {self.metric} {self.cell}"
        if not all(math.isfinite(x) for x in (self.value, self.low, self.high)):
            raise InvalidInput(who, "finite numbers", f"{self.value} [{self.low}, {self.high}]")
        if self.low > self.high:
            raise InvalidInput(who, "low <= high", f"[{self.low}, {self.high}]")
        if self.verdict not in _VERDICTS:
            raise InvalidInput(who, f"a verdict among {', '.join(_VERDICTS)}", repr(self.verdict))

    @classmethod
    def of(
        cls,
        metric: str,
        cell: str,
        interval: Interval,
        slice: str = "all",  # noqa: A002
        note: str = "",
    ) -> Finding:
        """From a measured interval."""
        return cls(
            metric, cell, interval.value, interval.low, interval.high, interval.n, slice, note=note
        )

    def judged(self, at_least: float | None = None, at_most: float | None = None) -> Finding:
        """The same finding with a verdict, by one rule: the whole interval must comply.

        "pass" when `low >= at_least` and `high <= at_most`, as far as they are given; else
        "fail". A value that complies while its interval does not therefore fails: it has
        not been shown. The note says so, since more queries may settle it.

        Raises:
            InvalidInput: No bound at all.
        """
        if at_least is None and at_most is None:
            raise InvalidInput("Finding.judged", "at_least, at_most or both", "neither")
        least = -math.inf if at_least is None else at_least
        most = math.inf if at_most is None else at_most
        passed = self.low >= least and self.high <= most
        words = [] if at_least is None else [f"at least {at_least:g}"]
        words += [] if at_most is None else [f"at most {at_most:g}"]
        reason = "must be " + " and ".join(words)
        if not passed and least <= self.value <= most:
            reason += "; the value is, its interval is not: more queries may settle it"
        note = f"{self.note}; {reason}" if self.note else reason
        return replace(self, verdict="pass" if passed else "fail", note=note)

    @property
    def cell_name(self) -> str:
        """The cell, its percentage cut for people.

        Example:
            >>> at = Finding("R@1", "mixed@30.012%", 0.5, 0.5, 0.5, 1)
            >>> at.cell_name, replace(at, cell="mixed@*").cell_name  # the pattern of a gate
            ('mixed@30%', 'mixed@*')
        """
        name, at, share = self.cell.partition("@")
        number = share.removesuffix("%")
        if not at or not number.replace(".", "", 1).isdigit():
            return self.cell
        return f"{name}@{round(float(number), 1):g}%"

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """Read what `to_json` wrote."""
        return cls(**data)


def mixed(share: float) -> str:
    """The cell of a gallery of which `share` is already in the new space.

    Example:
        >>> mixed(0.3), mixed(0.125)
        ('mixed@30%', 'mixed@12.5%')
    """
    if not 0.0 <= share <= 1.0:
        raise InvalidInput("mixed", "a share between 0 and 1", str(share))
    return f"mixed@{round(100.0 * share, 6):g}%"
