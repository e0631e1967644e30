"""What is watched while an upgrade runs: the table [watch] of holdfast.toml."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class WatchConfig(BaseModel):
    """What is watched while an upgrade runs, and what a breach does.

    Args:
        share: Of the live queries, answered by the status quo too.
        on_breach: "pause" the backfill, "roll back", or only "tell".
        in_stages: While a cut-over goes in stages a breach can "step back", so that everybody
            reads the old side again, "roll back", or only "tell". By default it steps back where
            `on_breach` pauses, and does what `on_breach` says otherwise.
        false_alarms: Chance of a breach among `per` sampled queries while nothing is wrong.
        per: See there.
        calibration: Sampled queries that say what is normal.
        least_overlap: Part of the hits, on average, that the status quo must have as well.
        most_flips: Part of the judged queries that may turn from right to wrong.
        most_empty: Part of the queries that may find nothing where the status quo does.
        slow_ms: Milliseconds from which a search is slow.
        most_slow: Part of the searches that may be.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    share: float = Field(default=0.1, gt=0.0, le=1.0)
    on_breach: Literal["pause", "roll back", "tell"] = "pause"
    in_stages: Literal["step back", "roll back", "tell"] | None = None
    false_alarms: float = Field(default=0.01, gt=0.0, lt=1.0)
    per: int = Field(default=10_000, ge=1)
    calibration: int = Field(default=100, ge=20)
    least_overlap: float | None = Field(default=None, gt=0.0, lt=1.0)
    most_flips: float | None = Field(default=None, gt=0.0, lt=1.0)
    most_empty: float | None = Field(default=0.02, gt=0.0, lt=1.0)
    slow_ms: float | None = Field(default=None, gt=0.0)
    most_slow: float = Field(default=0.05, gt=0.0, lt=1.0)

    def wanted(self, state: str | None) -> str:
        """What a breach does in a state: "pause", "step back", "roll back" or "tell"."""
        if state == "cutting over":
            asked = "step back" if self.on_breach == "pause" else self.on_breach
            return self.in_stages or asked
        nothing_moves = self.on_breach == "pause" and state not in ("copying", "paused")
        return "tell" if nothing_moves else self.on_breach

    def bounds(self) -> dict[str, float]:
        """What may be, on average, of each quantity that has a bound."""
        told = {
            "overlap": None if self.least_overlap is None else 1.0 - self.least_overlap,
            "flips": self.most_flips,
            "empty": self.most_empty,
            "slow": None if self.slow_ms is None else self.most_slow,
        }
        return {name: bound for name, bound in told.items() if bound is not None}
