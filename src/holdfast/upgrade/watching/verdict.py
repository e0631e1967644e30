"""What the gate says of all that was measured so far, in one line, for the audit."""

from __future__ import annotations

from collections.abc import Sequence

from ..gate import Rule, failed, judge
from ..ledger import Ledger
from .quality import cells


def verdict(rules: Sequence[Rule], ledger: Ledger) -> str:
    """Whether it passes, else the first reason, or why there is nothing to say.

    Args:
        rules: Of the gate.
        ledger: Has what was measured.
    """
    if not rules:
        return "no gate"
    judged = judge(rules, cells(ledger), whole=False)
    if not judged:
        return "nothing measured"
    broken = failed(judged)
    if not broken:
        passed = sum(finding.verdict == "pass" for finding in judged)
        return f"pass: {passed} findings" if passed else f"not settled: {judged[-1].note}"
    first = broken[0]
    return f"fail: {first.metric} {first.cell} {first.value:.3f}, {first.note}"
