"""The guard: the gate, watching while a backfill runs.

After each measurement the rules are held against what was found. When one fails, the
engine pauses after the batches under way, and the reason stands among the ledger's events:
readers keep what they have, and a person decides. Started again, the backfill goes on until
the next measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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
        """Judge what was just measured; answers whether the run shall stop.

        Outside of copying there is nothing to pause: the failure is kept, for the exit code.
        """
        worse = failed(judge(self._rules, [finding], whole=False))
        self.failed += worse
        if not worse:
            return False
        if self._engine.gallery.state == "copying":
            first = worse[0]
            self._engine.pause(f"gate: {first.metric} {first.cell} {first.value:.3f}, {first.note}")
        return True
