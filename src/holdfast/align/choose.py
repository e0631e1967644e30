"""Try aligners from plain to rich on the same held-out pairs, and keep the plainest good one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Vectors
from ..errors import BelowStatusQuo, InvalidInput
from .base import Aligner
from .bridge import Bridge
from .drift import MeanDrift
from .evidence import MEASURES, Estimate, bootstrap
from .floor import Asked, Floor, Side
from .kernel import Kernel
from .linear import Ridge
from .low_rank import LowRank
from .orthogonal import Orthogonal
from .procrustes import Procrustes
from .rungs import JUDGE, Rung, signed, told
from .trial import Trial


@dataclass(frozen=True, slots=True)
class Choice:
    """The bridge that was chosen, and all that were tried.

    Args:
        bridge: Fitted on all pairs.
        table: A rung for each aligner, in the order they were tried.
        status_quo: nDCG@10 of `old/old` on the questions of the floor.
        judged: Whether known answers said what is right; else both models did.
        side: What the bridge maps.
    """

    bridge: Bridge
    table: tuple[Rung, ...]
    status_quo: Estimate
    judged: bool
    side: Side

    @property
    def chosen(self) -> Rung:
        """The rung that was kept."""
        return next(rung for rung in self.table if rung.chosen)

    def __str__(self) -> str:
        return f"{self.bridge}\n{told(self.table, self.status_quo, self.judged, self.side)}"


def ladder_for(X: Vectors, Y: Vectors, side: Side = "query") -> tuple[Aligner, ...]:
    """The default ladder: mean drift where the dimensions are one, then maps ever freer.

    The freest, `Kernel`, is tried for stored rows only: led forward it is the best of all,
    but led back, queries find less by it than by `Procrustes` (`bench.align`).
    """
    freer: tuple[Aligner, ...] = (Procrustes(), Orthogonal(), LowRank(), Ridge())
    if side == "gallery":
        freer = (*freer, Kernel())
    return (MeanDrift(), *freer) if X.space.dim == Y.space.dim else freer


def choose(
    X: Vectors,
    Y: Vectors,
    ladder: Sequence[Aligner] | None = None,
    side: Side = "query",
    held_out: float = 0.2,
    seed: int = 0,
    y: Any = None,
    floor: bool | Asked = True,
) -> Choice:
    """The best aligner of a ladder, judged on held-out pairs, that keeps what serves now.

    A rung is taken only when it beats the best one before it beyond doubt: the 95 % interval
    of the gain, over the same pairs, lies above zero. Every rung sees the same split, so the
    evidence of the winner is a little too good when many rungs are close.

    Only rungs that do not fall below the status quo are taken; if all do, nothing is. What
    "below" can mean without judgements is said in `floor.py`: it is strict, and queries with
    known answers are the better judge.

    Args:
        X: n vectors of the space to lead from.
        Y: n vectors of the space to lead to, paired.
        ladder: Unfitted aligners, plainest first; `ladder_for(X, Y, side)` if None.
        side: What the bridge will map: queries, judged by "R@1", or stored rows, judged by
            "R@1 gallery". Cosine judges neither: it favours maps that shrink.
        held_out: Share of the pairs that judges.
        seed: Of the split and the intervals.
        y: (n,) labels, for the aligners that need them.
        floor: What says whether a rung falls below what serves now: queries with known
            answers, or, if True, both models together. False where the old model is dead, so
            that no status quo is left to keep: then the best of all rungs is taken, and its
            rung says how far below it lies.
    Raises:
        InvalidInput: As `Bridge.fit`, an empty ladder, or an unknown side.
        BelowStatusQuo: Every rung falls below what serves now.
    """
    rungs = ladder_for(X, Y, side) if ladder is None else ladder
    if isinstance(rungs, Aligner):
        raise InvalidInput(
            "choose", "a ladder of aligners", f"one {rungs.name}", "Put it in a list."
        )
    if not rungs:
        raise InvalidInput("choose", "a ladder of at least one aligner", "an empty one")
    if side not in JUDGE:
        raise InvalidInput("choose", f"side as one of {', '.join(JUDGE)}", repr(side))
    trials = [Trial.of(aligner, X, Y, held_out, seed, y) for aligner in rungs]
    held = trials[0].held
    judged = isinstance(floor, Asked)
    if isinstance(floor, Asked):
        now = Floor.judged(X, Y, floor, side)
    else:
        now = Floor.agreement(X.take(held), Y.take(held), side)
    above = [bootstrap((now.values(t.part) - now.status_quo)[:, None], seed)[0] for t in trials]
    gains, best = _walk(trials, [a.value >= 0.0 or not floor for a in above], side, seed)
    table = tuple(
        Rung(trial.aligner.name, trial.evidence(), gain, i == best, over)
        for i, (trial, gain, over) in enumerate(zip(trials, gains, above, strict=True))
    )
    status_quo = bootstrap(now.status_quo[:, None], seed)[0]
    if best is None:
        raise _below(table, status_quo, judged, side)
    return Choice(Bridge.of(trials[best]), table, status_quo, judged, side)


def _walk(
    trials: Sequence[Trial], allowed: Sequence[bool], side: Side, seed: int
) -> tuple[list[Estimate | None], int | None]:
    """Gains over the best allowed rung before, and the last rung that was taken."""
    column = MEASURES.index(JUDGE[side])
    gains: list[Estimate | None] = []
    best: int | None = None
    for i, trial in enumerate(trials):
        gain = None
        if best is not None:
            difference = trial.rows[:, [column]] - trials[best].rows[:, [column]]
            gain = bootstrap(difference, seed)[0]
        gains.append(gain)
        if allowed[i] and (gain is None or gain.low > 0.0):
            best = i
    return gains, best


def _below(table: Sequence[Rung], status_quo: Estimate, judged: bool, side: Side) -> BelowStatusQuo:
    nearest = table[int(np.argmax([rung.over_status_quo.value for rung in table]))]
    error = BelowStatusQuo(
        "choose",
        "an aligner that serves as well as what serves now",
        f"{nearest.name} as the best, at {signed(nearest.over_status_quo)} nDCG@10",
        "Keep the old model while its gallery is re-embedded. Where it is dead: floor=False."
        + ("" if judged else " Queries with known answers, as the floor, judge less strictly."),
    )
    error.table = told(table, status_quo, judged, side)
    return error
