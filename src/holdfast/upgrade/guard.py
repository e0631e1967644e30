"""The guard: the gate, watching while a backfill runs.

After each measurement the rules are held against what was found. When one fails, the run
stops there, the upgrade is paused, and the reason stands among the ledger's events: readers
keep what they have, and a person decides. Started again, the backfill goes on until the next
measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from ..measure.finding import Finding
from .gate import Rule, failed, judge


class Pauses(Protocol):
    """What the guard needs of an engine."""

    @property
    def gallery(self) -> Stateful: ...

    def pause(self, why: str = "asked for") -> None: ...


class Stateful(Protocol):
    """What the guard needs of a gallery."""

    @property
    def state(self) -> str | None: ...

    @property
    def ledger(self) -> Any: ...


class Guard:
    """Watches one run.

    Args:
        rules: Of the gate.
        engine: Paused when one of them fails.
    Attributes:
        failed: Findings that failed, with the verdict of the rule.
    """

    def __init__(self, rules: Sequence[Rule], engine: Pauses) -> None:
        self._rules, self._engine = tuple(rules), engine
        self.failed: list[Finding] = []

    def __call__(self, finding: Finding) -> bool:
        """Judge what was just measured; answers whether the run shall stop."""
        worse = failed(judge(self._rules, [finding], whole=False))
        self.failed += worse
        if not worse:
            return False
        first, gallery = worse[0], self._engine.gallery
        why = f"{first.metric} {first.cell} {first.value:.3f}, {first.note}"
        if gallery.state == "copying":  # else the engine has stopped already, or is done
            self._engine.pause(f"gate: {why}")
        if gallery.ledger is not None:
            gallery.ledger.event("gate", {"why": why})
        return True
