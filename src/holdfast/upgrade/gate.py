"""The gate: rules over findings, the same for an assessment, a backfill and a CI job.

    [[gate]]
    metric = "nDCG@10"          # as the finding spells it
    cell = "mixed@*"            # * stands for anything
    slice = "all"
    at_least = 0.55             # and, or, at_most: the whole interval must comply

    [[gate]]
    cell = "mixed@*"
    not_worse = true            # than the cell at share 0, beyond doubt; 20 queries or more

A rule that no finding answers fails where everything should have been measured: a gate that
silently checks nothing is worse than none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..measure.finding import Finding
from ..measure.interval import FEW


class Rule(BaseModel):
    """One rule.

    Args:
        metric: Which metric; * stands for anything.
        cell: Which cell, likewise.
        slice: Which slice, likewise.
        at_least: The lower end of the interval may not lie below.
        at_most: The upper end may not lie above.
        not_worse: The finding itself may not have failed.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    metric: str = "*"
    cell: str = "*"
    slice: str = "all"
    at_least: float | None = Field(default=None, allow_inf_nan=False)
    at_most: float | None = Field(default=None, allow_inf_nan=False)
    not_worse: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Rule:
        if self.at_least is None and self.at_most is None and not self.not_worse:
            raise ValueError("a gate needs at_least, at_most or not_worse")
        return self

    def __str__(self) -> str:
        part = "" if self.slice == "all" else f" of {self.slice}"
        bounds = [
            *([] if self.at_least is None else [f"at least {self.at_least:g}"]),
            *([] if self.at_most is None else [f"at most {self.at_most:g}"]),
            *(["not worse"] if self.not_worse else []),
        ]
        return f"{self.metric} {self.cell}{part}: {' and '.join(bounds)}"

    def speaks_of(self, finding: Finding) -> bool:
        """Whether it judges a finding."""
        return (
            fnmatchcase(finding.metric, self.metric)
            and fnmatchcase(finding.cell, self.cell)
            and fnmatchcase(finding.slice, self.slice)
        )

    def judge(self, finding: Finding) -> Finding:
        """The finding with the verdict of this rule."""
        if self.not_worse and (finding.verdict == "fail" or finding.note == UNCOMPARED):
            return replace(finding, verdict="fail", note=_joined(finding.note, "must not be worse"))
        if self.at_least is None and self.at_most is None:
            return finding if finding.n < FEW else replace(finding, verdict="pass")
        return finding.judged(self.at_least, self.at_most)


def judge(rules: Sequence[Rule], findings: Sequence[Finding], whole: bool = True) -> list[Finding]:
    """What every rule says of every finding that it speaks of.

    Args:
        rules: Of the gate.
        findings: What was measured.
        whole: Whether all is measured by now: then a rule without a finding fails.
    Returns:
        Judged findings; the gate fails when one of them does.
    Example:
        >>> found = Finding("R@10", "new/new", 0.5, 0.4, 0.6, 100)
        >>> [f.verdict for f in judge([Rule(cell="new/*", at_least=0.3)], [found])]
        ['pass']
    """
    judged: list[Finding] = []
    for rule in rules:
        spoken = [rule.judge(finding) for finding in findings if rule.speaks_of(finding)]
        if not spoken and whole:
            judged.append(
                Finding(rule.metric, rule.cell, 0.0, 0.0, 0.0, 0, rule.slice, "fail", _NOTHING)
            )
        judged += spoken
    return judged


def failed(judged: Sequence[Finding]) -> list[Finding]:
    """Those that failed."""
    return [finding for finding in judged if finding.verdict == "fail"]


UNCOMPARED = "not compared: old/old was not measured by these judgements"
_NOTHING = "no finding answers this rule: check its metric, cell and slice"


def _joined(note: str, more: str) -> str:
    return f"{note}; {more}" if note else more
