"""Searches over one side or two, in whatever state they are.

Models are asked outside of the turnstile, so what is read may have changed meanwhile; then it is
seen to anew. Where the new model gives no answer the old one stands in, see `silence.py`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from ..arrays import Vectors
from ..errors import HoldfastError, InvalidInput
from ..hits import Hits
from ..store.memory import check_k
from ..store.where import Where, WhereLike, parse
from .beside import Hears
from .in_full import search_in_full
from .ledger import Ledger
from .merge import Calibrator, Mode
from .meter import Meter
from .mixed import Mixed
from .mover import Moved, Mover
from .routes import Queries, Routes, some
from .side import Side
from .sides import Sides
from .silence import Silence, Tell
from .turnstile import Turnstile

Which: TypeAlias = Literal["old", "both", "new"]

# States in which the new side is read and the old one has every item, hidden or not.
_KEPT = ("copying", "paused", "ready", "cutting over", "cut over", "rolling back")


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
        gate = Turnstile()
        if new is not None and ledger is not None:
            bridge = old.bridge if old.encoder is None else None
            mixed = Mixed(  # knows the gate and not us: what was closed shall go at once
                old.store, new.store, ledger, mode, calibrator, bridge, lambda: gate.moves
            )
            mixed.taught = True
        super().__init__(old, new, ledger, gate)
        self.mode, self._mixed = mode, mixed
        self._mover = mover if mode == "cascade" else None
        self._moves = False  # whether this process moves items, and learns from them as it does
        self.meter = Meter()  # of live searches
        self.silence = Silence(_told_to(ledger))  # of the new model, while it can be done without
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

        A new model that gives no answer does not fail the search before the upgrade is finished:
        the old one's scores rank all items then, and `Hits.without` says so.

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
            InvalidInput: Bare arrays: they do not say which space they are of; or an unknown side.
        """
        k, tree = check_k(k, "Gallery.search"), parse(where)
        if side is not None:
            return self._compared(queries, k, tree, side)
        begun, chosen = self.meter.clock(), self.chosen(queries, tree, key, tenant)
        routes = Routes(self.old, self.new, queries)
        if chosen is None:
            hits = self._answer(routes, k, tree)
        else:
            hits = self._staged(queries, chosen, k, tree)
        took = self.meter.note(begun)
        if self.watch is not None and not hits.without:
            self.watch.hear(routes, k, tree, hits, took)
        return hits

    @property
    def silent(self) -> str:
        """Why the old model answers searches alone just now; empty where it does not."""
        return self.silence.why if self._state in _KEPT else ""

    def _compared(self, queries: Queries, k: int, tree: Where | None, side: Which) -> Hits:
        if side not in get_args(Which):
            raise InvalidInput("Gallery.search", "side old, both or new", repr(side))
        routes = Routes(self.old, self.new, queries)
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
            if isinstance(asked, str):
                hits = self._by_old(routes, k, tree)
                if hits is None:
                    continue  # the old side is read no longer
                return replace(hits, without=asked)
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

    def _asked(self, routes: Routes, sides: list[Side], strict: bool) -> list[Vectors] | str:
        """The queries for each side, or why the new model gave none and the old one stands in."""
        last, others = sides[-1], sides[:-1]
        if others and self._mixed is not None and self._mixed.extends:
            others = []  # new queries serve both sides
        spare = last is self.new and self.old.encoder is not None
        if strict or not spare or not routes.plain or self._state not in _KEPT:
            if others and spare:
                routes.begin(last)
            asked = [routes.into(side) for side in [*others, last]]
        else:
            self.silence.begin(routes, last, beside=bool(others))
            asked = [routes.into(side) for side in others]
            told = self.silence.ask(routes, last)
            if isinstance(told, str):
                return told
            asked.append(told)
        return asked if len(asked) == len(sides) else asked * 2

    def _by_old(self, routes: Routes, k: int, tree: Where | None) -> Hits | None:
        """The best by the old model's scores; None where the old side is kept no longer."""
        queries = routes.into(self.old)
        if self._mixed is not None and not self._whole:
            self._learn(self._mixed)
            self._mixed.find_way(self._gate.steady)
        with self._gate.shared():
            if self._state not in _KEPT or self._mixed is None:
                return None
            if self._whole:
                return self.old.store.search(queries, k, tree)
            return self._mixed.by_old(queries, k, tree)

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
        with suppress(HoldfastError, sqlite3.Error):
            if [kind for _, kind, _ in ledger.events()][-1:] != [what]:
                ledger.event(what, detail)

    return tell
