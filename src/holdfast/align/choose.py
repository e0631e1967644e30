"""Try aligners from plain to rich on the same held-out pairs, and keep the plainest good one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from ..arrays import Vectors
from ..errors import InvalidInput
from .base import Aligner
from .bridge import Bridge
from .evidence import MEASURES, Estimate, Evidence, bootstrap
from .linear import Ridge
from .procrustes import Procrustes
from .trial import Trial

_JUDGE = MappingProxyType({"query": "R@1", "gallery": "R@1 gallery"})


@dataclass(frozen=True, slots=True)
class Rung:
    """One aligner that was tried.

    Args:
        name: Of the aligner.
        evidence: What held-out pairs said.
        gain: By how much it beat the best rung before it, pair by pair; None for the first.
        chosen: Whether it is the one that was kept.
    """

    name: str
    evidence: Evidence
    gain: Estimate | None
    chosen: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """The bridge that was chosen, and all that were tried.

    Args:
        bridge: Fitted on all pairs.
        table: A rung for each aligner, in the order they were tried.
    """

    bridge: Bridge
    table: tuple[Rung, ...]


def choose(
    X: Vectors,
    Y: Vectors,
    ladder: Sequence[Aligner] | None = None,
    side: Literal["query", "gallery"] = "query",
    held_out: float = 0.2,
    seed: int = 0,
    y: Any = None,
) -> Choice:
    """The best aligner of a ladder, judged on held-out pairs.

    A rung is taken only when it beats the best one before it beyond doubt: the 95 % interval
    of the gain, over the same pairs, lies above zero. Every rung sees the same split, so the
    evidence of the winner is a little too good when many rungs are close.

    Args:
        X: n vectors of the space to lead from.
        Y: n vectors of the space to lead to, paired.
        ladder: Unfitted aligners, plainest first; Procrustes, then ridge, if None.
        side: What the bridge will map: queries, judged by "R@1", or stored rows, judged by
            "R@1 gallery". Cosine judges neither: it favours maps that shrink.
        held_out: Share of the pairs that judges.
        seed: Of the split and the intervals.
        y: (n,) labels, for the aligners that need them.
    Raises:
        InvalidInput: As `Bridge.fit`, an empty ladder, or an unknown side.
    """
    rungs: Sequence[Aligner] = (Procrustes(), Ridge()) if ladder is None else ladder
    if not rungs:
        raise InvalidInput("choose", "a ladder of at least one aligner", "an empty one")
    if side not in _JUDGE:
        raise InvalidInput("choose", f"side as one of {', '.join(_JUDGE)}", repr(side))
    column = MEASURES.index(_JUDGE[side])
    trials: list[Trial] = []
    gains: list[Estimate | None] = []
    best = 0
    for i, aligner in enumerate(rungs):
        trial = Trial.of(aligner, X, Y, held_out, seed, y)
        trials.append(trial)
        if i == 0:
            gains.append(None)
            continue
        difference = trial.rows[:, [column]] - trials[best].rows[:, [column]]
        gain = bootstrap(difference, seed)[0]
        gains.append(gain)
        if gain.low > 0.0:
            best = i
    table = tuple(
        Rung(trial.aligner.name, trial.evidence(), gain, i == best)
        for i, (trial, gain) in enumerate(zip(trials, gains, strict=True))
    )
    return Choice(Bridge.of(trials[best]), table)
