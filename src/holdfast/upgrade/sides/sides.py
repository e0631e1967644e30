"""Two sides, the ledger, and the state that says what is read and written.

    state           reads              writes
    (none), planned old                old
    copying, paused,
    ready           both               both: visible on the new side, hidden on the old one
    cutting over    old or new, as the both: visible on both sides
                    stage says
    cut over        new                both
    rolling back    both               both: visible on the old side, hidden on the new one
    rolled back     old                old
    finished        new                new

While a cut-over goes in stages both sides are *whole*: each of them has every item, visible, and
answers alone. Until the old side has come back to that, everybody reads the new one. A side that is
whole stays so after the cut-over, and a rollback is then a matter of one transaction.

A change of two stores is announced in the ledger's journal first; what is found there is
replayed when a gallery is opened. Searches share a turnstile; changes pass it alone, but for
moves from the old side to the new one, which searches need not wait for: see `each_once.py`.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ConfigError, InvalidInput, UpgradeError
from ...store.base import VectorStore
from ...store.where import Where
from ..ledger import Ledger
from ..record.audit import Draft
from ..record.records import FORWARD, READS, State
from ..side import Side
from .journal import Journal
from .stage import Stage
from .turnstile import Turnstile

_LOG = logging.getLogger("holdfast.upgrade")
STAGE = "stage"  # key of the ledger


class Sides:
    """What is read and written, and the turnstile that all pass.

    Args:
        old: The side that served first.
        new: The side that is being filled; None outside an upgrade.
        ledger: The record; None for one store alone.
        gate: The turnstile, where somebody knows it before.
    Raises:
        ConfigError: A new side without a ledger, or the reverse.
        UpgradeError: The ledger speaks of other spaces.
    """

    def __init__(
        self, old: Side, new: Side | None, ledger: Ledger | None, gate: Turnstile | None = None
    ) -> None:
        if (new is None) != (ledger is None):
            raise ConfigError("Gallery", "a new side and a ledger, or neither", "one of them")
        self.old, self.new, self.ledger = old, new, ledger
        self._cut_off = False  # whether the last change may be half done
        self.changes = 0  # grows with every change but moves
        self.turns = 0  # grows with every change of the state or the stage
        self._gate = gate or Turnstile()
        self._leading = threading.Lock()
        self._state: State | None = None
        self._stage: Stage | None = None
        self._whole = False  # whether the old side answers alone, for everything
        self.recover()

    @property
    def state(self) -> State | None:
        """State of the upgrade; None without one."""
        return self._state

    @property
    def reads(self) -> str:
        """Which side answers: "old", "new" or "both"; while cutting over "new", as far as the
        stage goes.
        """
        return READS[self._state] if self.new else "old"

    @property
    def stage(self) -> Stage | None:
        """Who reads the new side already, while a cut-over goes in stages; else None."""
        return self._stage if self._state == "cutting over" else None

    @property
    def whole(self) -> bool:
        """Whether both sides have every item, visible, so that each answers alone."""
        return self._whole

    def chosen(
        self, queries: Any, where: Where | None, key: str | None, tenant: str | None
    ) -> npt.NDArray[np.bool_] | None:
        """(q,) which queries of one call read the new side; None outside of stages.

        Args:
            queries: As they were given to the gallery.
            where: The call's filter.
            key: Who asks.
            tenant: On whose behalf.
        Raises:
            InvalidInput: A key or a tenant that is no text, whether or not a stage asks for it.
        """
        for word, given in (("key", key), ("tenant", tenant)):
            if given is not None and not isinstance(given, str):
                raise InvalidInput(
                    "Gallery.search", f"a string as {word}", repr(given), f"Use str({word})."
                )
        stage = self.stage
        if stage is None or not self._whole:
            return None
        return stage.chosen(queries, where, key, tenant, self._new().space.fingerprint)

    def set_state(
        self,
        state: State,
        since: State | None = None,
        unless: Callable[[], Any] | None = None,
        *,
        stage: Stage | None = None,
        draft: Draft | None = None,
        **detail: Any,
    ) -> bool:
        """Change what is read and written, for all threads at once.

        Args:
            state: The one to enter.
            since: Only from this one: another thread may have left it meanwhile.
            unless: Asked while nobody writes; anything but false forbids the change.
            stage: Who reads the new side from now on, for "cutting over".
            draft: The deed that this is; it is kept with the change.
            detail: For the event.
        Returns:
            Whether it was changed.
        """
        with self.alone():
            if (since and self._state != since) or (unless and unless()):
                return False
            ledger = self._ledger()
            with ledger.together():
                if stage is not None:
                    detail["stage"] = stage.to_json()
                    ledger.set_meta(STAGE, json.dumps(stage.to_json()))
                ledger.set_state(state, draft.take() if draft else None, **detail)
            self._state, self._stage = state, stage or self._stage
            self.turns += 1
            self._look()
        self.lead()
        return True

    def lead(self) -> None:
        """Let the name by which others search, where a store has one, follow what is read here."""
        with self._leading:  # or a name that is given late would stay with a side that was left
            side = self._new() if self.reads == "new" else self.old
            lead = getattr(side.store, "lead", None)
            if lead is not None:
                lead()

    def _look(self) -> None:
        """Whether the old side is whole beside a new side that is read alone."""
        store = self.old.store
        read_alone = self._state in ("cutting over", "cut over")
        self._whole = read_alone and store.visible == len(store)

    def show_old(self, ids: Sequence[str]) -> None:
        """Show items on the old side beside the new one, while a cut-over goes in stages.

        When the last one is shown, the stage takes effect: see `settle_old`.
        """
        with self.alone():
            if self._state == "cutting over":
                self.old.store.unhide(ids)

    def settle_old(self) -> bool:
        """Let the stage take effect if the old side has everything; answers whether it has."""
        with self.alone():
            self._look()
            return self._whole

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else reads or writes inside of this; do not call the gallery from within.

        A change that an error cut off is finished first: replayed later, it would undo this.
        """
        with self._exclusively():
            self.changes += 1
            yield

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        with self._gate.writing():
            if self._cut_off:
                self._settle()
            self._cut_off = self.new is not None
            yield
            self._cut_off = False

    @contextmanager
    def _moving(self) -> Iterator[None]:
        """Nobody else changes anything inside of this; searches go on, if the stores can."""
        if not (self.old.store.limits.threads and self._new().store.limits.threads):
            with self._exclusively():
                yield
            return
        while True:
            if self._cut_off:
                with self._exclusively():
                    pass  # what was cut off is finished now
            with self._gate.moving():
                if self._cut_off:
                    continue
                self._cut_off = True
                yield
                self._cut_off = False
                return

    def steady(self) -> AbstractContextManager[None]:
        """Nobody writes or moves inside of this, searches go on; do not call the gallery from
        within.
        """
        return self._gate.steady()

    def reading(self) -> AbstractContextManager[None]:
        """Nobody writes inside of this, though items may move; do not call the gallery from within.

        Unlike `steady` it waits for no move, so it is for whoever answers a search.
        """
        return self._gate.shared()

    def recover(self) -> int:
        """Finish what a dead process began; answers how many changes that were."""
        if self.new is None:
            return 0
        with self._gate.writing():
            self._cut_off = True
            count = self._settle()
            self._cut_off = False
            self._warn()
            return count

    def _warn(self) -> None:
        strays = self.strays()
        if strays:
            onward = "roll back, and upgrade again"
            if self.reads == "both":
                onward = "start the backfill, which looks for them"
            elif self._new().store.visible > len(self.old.store):
                onward = "write again what the old side lacks, or finish"
            _LOG.warning(
                "%d of %d items are not found once: was one of the stores, or the ledger, restored "
                "from an older copy? Restore all of them, or %s.",
                strays,
                len(self.old.store),
                onward,
            )

    def strays(self) -> int:
        """How many items are found twice or not at all, as far as counting tells; none should be.

        A write that goes on meanwhile may be counted on one side only: keep writers out.
        """
        if self.new is None or self.reads == "old" or self._state == "finished":
            return 0
        old, new = self.old.store, self.new.store
        if self.reads == "both":
            return abs(len(old) - old.visible - new.visible)
        behind = len(old) - new.visible - sum(self._ledger().counts().values())
        return max(behind, new.visible - len(old), 0)

    def _settle(self) -> int:
        upgrade, sides = self._ledger().upgrade(), (self.old.space, self._new().space)
        if upgrade and (upgrade.old, upgrade.new) != sides:
            raise UpgradeError(
                "Gallery",
                f"an upgrade from {sides[0]} to {sides[1]}",
                f"one from {upgrade.old} to {upgrade.new} in the ledger",
                "Open the stores of that upgrade, or plan one between these.",
            )
        self._state = upgrade.state if upgrade else None
        stage = self._ledger().meta(STAGE)
        self._stage = Stage.from_json(json.loads(stage)) if stage else None
        self._look()
        self.changes += 1
        count = self._journal().replay()
        self._gate.moved()
        return count

    def _ledger(self) -> Ledger:
        if self.ledger is None:
            raise UpgradeError("Gallery", "an upgrade", "a plain gallery", "Plan one first.")
        return self.ledger

    def _journal(self) -> Journal:
        both = self._state == "cutting over" or self._whole
        return Journal(self._ledger(), self.old.store, self._new().store, self._forward(), both)

    def _new(self) -> Side:
        if self.new is None:
            raise UpgradeError("Gallery", "an upgrade", "a plain gallery", "Plan one first.")
        return self.new

    def _forward(self) -> bool:
        return self._state in FORWARD

    def __len__(self) -> int:
        return len(self.keeper)

    @property
    def keeper(self) -> VectorStore:
        """The store that has every item."""
        return self._new().store if self._state == "finished" else self.old.store

    @property
    def share(self) -> float:
        """Part of the gallery that is found on the new side, in [0, 1].

        Quarantined items that were left behind at a cut-over are not, until it is finished.
        """
        if self.new is None or self.reads == "old":
            return 0.0
        total = 0 if self._state == "finished" else len(self.old.store)
        return min(self.new.store.visible / total, 1.0) if total else 1.0
