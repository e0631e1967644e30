"""Searches over one side or two, in whatever state they are.

Models are asked outside of the turnstile, so what is read may have changed meanwhile; then it is
seen to anew. Where one model gives no answer the other stands in, see `silence.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from ...arrays import Vectors
from ...errors import EncoderError, HoldfastError, InvalidInput
from ...hits import Hits
from ...store.memory import check_k
from ...store.where import Where, WhereLike, parse
from ..ledger import Ledger
from ..merge import Calibrator, Mode
from ..mover import Moved, Mover
from ..side import Side
from ..sides.sides import Sides
from ..sides.turnstile import Turnstile
from .beside import Hears
from .in_full import search_in_full
from .meter import Meter
from .mixed import Mixed
from .routes import Queries, Routes, some
from .silence import Silence, Tell, afresh
from .stand_in import Half, StandIn

Which: TypeAlias = Literal["old", "both", "new"]

# States in which the old side has every item, hidden or not, and the new one is read as well.
_KEPT = ("copying", "paused", "ready", "cutting over", "cut over", "rolling back")


@dataclass(frozen=True, slots=True)
class _Silent:
    """Whose model gave no answer, and what it said instead."""

    half: Half
    error: EncoderError

    def __str__(self) -> str:
        return f"the {self.half} model gave no answer: {self.error}"

    @property
    def said(self) -> EncoderError:
        """For whoever asks now."""
        return afresh(self.error)


class Searches(Sides):
    """What of a gallery answers searches.

    Args:
        old: The side that served first.
        new: The side that is being filled; None outside an upgrade.
        ledger: The record; None for a plain gallery of one store.
        mode: How two ranked lists become one.
        calibrator: For mode "calibrated".
        mover: For mode "cascade".
    """

    def __init__(
        self,
        old: Side,
        new: Side | None,
        ledger: Ledger | None,
        mode: Mode,
        calibrator: Calibrator | None,
        mover: Mover | None,
    ) -> None:
        mixed: Mixed | None = None
        self._stand_in: StandIn | None = None
        gate = Turnstile()
        if new is not None and ledger is not None:
            bridge = old.bridge if old.encoder is None else None
            mixed = Mixed(  # knows the gate and not us: what was closed shall go at once
                old.store, new.store, ledger, mode, calibrator, bridge, lambda: gate.moves
            )
            mixed.taught = True
            self._stand_in = StandIn(old.store, new.store, ledger)
        super().__init__(old, new, ledger, gate)
        self.mode, self._mixed = mode, mixed
        self._mover = mover if mode == "cascade" else None
        self._moves = False  # whether this process moves items, and learns from them as it does
        self.meter = Meter()  # of live searches
        tell = _told_to(ledger)
        self.silences: dict[Half, Silence] = {"old": Silence(tell), "new": Silence(tell)}
        self.watch: Hears | None = None

    def search(
        self,
        queries: Queries,
        k: int = 10,
        where: WhereLike = None,
        *,
        side: Which | None = None,
        key: str | None = None,
        tenant: str | None = None,
    ) -> Hits:
        """The k best items for each query.

        A model that gives no answer need not fail the search before the upgrade is finished: the
        other one stands in, if it can, and `Hits.without` says so.

        Args:
            queries: Contents for the encoders; or `Vectors` in a space that is read, one
                `Vectors` per space while two are read and no bridge joins them.
            k: At least 1.
            where: Filter over payloads.
            side: Answer as this side would, whatever the state: the "old" one in full, "both", the
                "new" one alone. For comparing; such searches are not measured as live ones.
            key: Who asks, while a cut-over goes in stages: one key stays on one side. By default
                the tenant, else each query is its own key.
            tenant: On whose behalf.
        Raises:
            WrongSpace: Vectors of a space that is not read here.
            InvalidInput: Bare arrays: they do not say which space they are of; one content where a
                sequence of them belongs; or an unknown side.
        """
        k, tree = check_k(k, "Gallery.search"), parse(where)
        routes = Routes(self.old, self.new, queries)
        if side is not None:
            return self._compared(routes, k, tree, side)
        begun, chosen = self.meter.clock(), self.chosen(routes.given, tree, key, tenant)
        if chosen is None:
            hits = self._answer(routes, k, tree)
        else:
            hits = self._staged(routes.given, chosen, k, tree)
        took = self.meter.note(begun)
        if self.watch is not None and not hits.without:
            self.watch.hear(routes, k, tree, hits, took)
        return hits

    @property
    def silent(self) -> dict[Half, str]:
        """Why a model answers no searches just now, by its side, while the other one stands in."""
        kept = self._state in _KEPT
        return {half: str(s.error) for half, s in self.silences.items() if kept and s.error}

    def _compared(self, routes: Routes, k: int, tree: Where | None, side: Which) -> Hits:
        if side not in get_args(Which):
            raise InvalidInput("Gallery.search", "side old, both or new", repr(side))
        if side != "old" or self.reads == "old" or self._state == "finished":
            return self._answer(routes, k, tree, side, strict=True)
        return search_in_full(self.old.store, routes.into(self.old), k, tree)

    def _staged(self, queries: Queries, chosen: Any, k: int, tree: Where | None) -> Hits:
        """Each query from the side that its key is on."""
        out = Hits.empty(len(chosen), k)
        sides: tuple[tuple[Which, Any], ...] = ("new", chosen), ("old", ~chosen)
        for side, mask in sides:
            rows = np.flatnonzero(mask)
            if len(rows):
                routes = Routes(self.old, self.new, some(queries, rows))
                found = self._answer(routes, k, tree, side)
                out.ids[rows], out.scores[rows] = found.ids, found.scores
                out = replace(out, without=out.without or found.without)
        return out

    def _answer(
        self,
        routes: Routes,
        k: int,
        tree: Where | None,
        side: Which | None = None,
        *,
        strict: bool = False,
    ) -> Hits:
        while True:
            # Encoding happens outside the gate, so what is read may have changed meanwhile.
            needed = self._needed(side)
            asked = self._asked(routes, needed, strict)
            if isinstance(asked, _Silent):
                hits = self._stood_in(asked, routes, k, tree)
                if hits is None:
                    continue
                return hits
            if len(needed) == 2 and self._mixed and not (self._moves and self._mixed.learned):
                self._learn(self._mixed)
            with self._gate.shared():
                moves = self._gate.moves
                if self._needed(side) != needed:
                    continue
                if len(needed) == 1 or self._mixed is None:
                    found = needed[0].store.search(asked[0], k, tree)
                    steady = moves is not None and moves == self._gate.moves
                    if needed[0] is self.old and self.reads == "both" and not steady:
                        continue  # the first items have moved meanwhile
                    return found
                both = asked[0], asked[1]
                if self._mover is None or not self._forward():
                    return self._mixed.search(both, k, tree)
                ranked, since = self._mixed.candidates(both, k, tree), self.changes
            hits, moved = self._mixed.cascaded(ranked, self._mover, k)
            if moved is not None:
                self._keep(moved, since)
            return hits

    def _needed(self, side: Which | None = None) -> list[Side]:
        """The sides that can have hits; at least one."""
        if side == "new":
            return [self._new()]
        if self.new is None or self.reads == "old":
            return [self.old]
        if side == "old" and self._whole:
            return [self.old]
        if self.reads == "new" or not self.old.store.visible:
            return [self.new]
        # A store may believe its count for a moment; a move that goes on is known at once.
        new = self._mover is not None or self._gate.moves is None or self.new.store.visible
        return [self.old, self.new] if new else [self.old]

    def _asked(self, routes: Routes, sides: list[Side], strict: bool) -> list[Vectors] | _Silent:
        """The queries for each side, or whose model gave none, where the other may stand in."""
        pair = len(sides) == 2
        # New queries serve both sides where their space extends the old one.
        asked = sides[1:] if pair and self._mixed and self._mixed.extends else sides
        alive = self.old.encoder is not None
        found: list[Vectors] = []
        if strict or not alive or not routes.plain or self._state not in _KEPT:
            if alive and len(asked) == 2:
                routes.begin(asked[1])
            found = [routes.into(side) for side in asked]
        else:
            for side in reversed(asked):
                beside = len(asked) == 2 and side is self.new
                self.silences[self._half(side)].begin(routes, side, beside)
            for side in asked:
                half = self._half(side)
                if not self._has_spare(half):
                    found.append(routes.into(side))
                    continue
                answer = self.silences[half].ask(routes, side)
                if isinstance(answer, EncoderError):
                    return _Silent(half, answer)
                found.append(answer)
        return found if len(found) == len(sides) else found * 2

    def _half(self, side: Side) -> Half:
        # Not by the old side: a newly fitted bridge may have replaced it meanwhile.
        return "new" if side is self.new else "old"

    def _has_spare(self, half: Half) -> bool:
        """Whether the other model can stand in for that of a side."""
        if self._stand_in is None:
            return False
        return self._whole or half == "new" or self._stand_in.bridged

    def _stood_in(self, silent: _Silent, routes: Routes, k: int, tree: Where | None) -> Hits | None:
        """The best by the other model; None where what is read has changed meanwhile.

        Raises:
            EncoderError: What the silent one said, where the other does not answer or cannot.
        """
        stand_in, whole = self._stand_in, self._whole
        if stand_in is None:
            raise silent.said
        spare = self.old if silent.half == "new" else self._new()
        queries = self.silences[self._half(spare)].ask(routes, spare)
        if isinstance(queries, EncoderError):
            raise silent.said
        if not whole:
            stand_in.learn(silent.half, self._gate.steady)
        with self._gate.shared():
            if self._state not in _KEPT or self._whole != whole:
                return None
            found: Hits | None
            if whole:
                found = spare.store.search(queries, k, tree)
            elif silent.half == "new":
                found = stand_in.by_old(queries, k, tree)
            else:
                found = stand_in.by_new(queries, k, tree)
        if found is None:
            raise silent.said
        return replace(found, without=str(silent))

    def learn(self) -> None:
        """Learn from what has moved, for a second or two, so that no search has to."""
        if self._mixed is not None and len(self._needed()) == 2:
            self._learn(self._mixed)

    def _learn(self, mixed: Mixed) -> None:
        """Learn from what has moved; searches, writes and moves go on while it computes."""
        mixed.learn(self._gate.steady)
        if mixed.bridge is not None and mixed.bridge is not self.old.bridge:
            self.old = replace(self.old, bridge=mixed.bridge)

    def _keep(self, moved: Moved, since: int) -> None:
        """Let items arrive that were embedded for a search.

        Args:
            moved: With their new vectors.
            since: What `changes` was when they were read.
        """
        raise NotImplementedError


def _told_to(ledger: Ledger | None) -> Tell:
    """Adds to what happened when, once of many short processes; no search fails with the ledger."""

    def tell(what: str, detail: Mapping[str, Any]) -> None:
        if ledger is None:
            return
        with suppress(HoldfastError):
            if [kind for _, kind, _ in ledger.events()][-1:] != [what]:
                ledger.event(what, detail)

    return tell
