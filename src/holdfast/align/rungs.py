"""The rungs of a ladder: what each aligner that was tried did, and how they look in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from .evidence import Estimate, Evidence
from .floor import Side

# What judges a bridge, by the side it serves.
JUDGE = MappingProxyType({"query": "R@1", "gallery": "R@1 gallery"})


@dataclass(frozen=True, slots=True)
class Rung:
    """One aligner that was tried.

    Args:
        name: Of the aligner.
        evidence: What held-out pairs said.
        gain: By how much it beat the best rung before it, pair by pair; None for the first.
        chosen: Whether it is the one that was kept.
        over_status_quo: By how much it answers better than what serves now, question by
            question; see `Floor`.
    """

    name: str
    evidence: Evidence
    gain: Estimate | None
    chosen: bool
    over_status_quo: Estimate

    @property
    def stands(self) -> bool:
        """Whether it did not fall below what serves now."""
        return self.over_status_quo.value >= 0.0


def told(table: Sequence[Rung], status_quo: Estimate, judged: bool, side: Side) -> str:
    """All rungs as columns under names, and the status quo below them."""
    judge = JUDGE[side]
    rows = [("aligner", "cosine", judge, "over the best before", "over the status quo", "")]
    rows += [
        (
            rung.name,
            f"{rung.evidence['cosine'].value:.3f}",
            f"{rung.evidence[judge].value:.3f}",
            "" if rung.gain is None else signed(rung.gain),
            signed(rung.over_status_quo),
            ", ".join(
                word for word, true in (("below", not rung.stands), ("chosen", rung.chosen)) if true
            ),
        )
        for rung in table
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    right = "by known answers" if judged else "by both models together"
    return "\n".join([*lines, f"status quo (old/old), {right}: nDCG@10 {status_quo}"])


def signed(estimate: Estimate) -> str:
    """A difference with its interval."""
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"
