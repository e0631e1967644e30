"""Turns: the commands that lead an upgrade from state to state, see the table in `engine.py`.

Each is kept in the audit with who gave it and why, in the transaction that changes the state;
refused ones are kept, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ...errors import InvalidInput, UpgradeError
from ...store.base import pages
from ..gallery import Gallery
from ..ledger import Ledger
from ..record.audit import Audit, Draft
from ..record.records import BEFORE_FINISHED, READS, State, Upgrade
from ..sides.stage import Stage
from .reconcile import Reconciled, ahead, astray, left_behind, lost, reconcile

_BACK = 2_000  # rows that move back at once
_HOUR = 3600.0
_MOVE = "Items have to move first: holdfast backfill, or start and resume where it is served."
_ONWARD = {  # what leads on from a state
    "planned": _MOVE,
    "copying": _MOVE,
    "paused": _MOVE,
    "ready": "What comes next is to cut over.",
    "cutting over": "What comes next is to cut over, or to step back.",
    "cut over": "What comes next is to finish, or to roll back.",
    "rolling back": "Let the rollback come to its end first: holdfast rollback.",
}


def held_over(ledger: Ledger, upgrade: Upgrade | None, holdover: float | None = None) -> float:
    """Hours for which the old side is still to be kept; 0 when it may be given up.

    Args:
        ledger: Of the upgrade; one that is only looked at will do.
        upgrade: The latest.
        holdover: Hours after the cut-over; as planned, where they are not given.
    """
    if upgrade is None or upgrade.state != "cut over":
        return 0.0
    hours = float(upgrade.plan.get("holdover_hours", 0.0)) if holdover is None else holdover
    cut = [time for time, kind, _ in ledger.events() if kind == "cut over"]
    return max(hours - (ledger.now - cut[-1]) / _HOUR, 0.0) if cut else 0.0


def paused_by_somebody(ledger: Ledger) -> bool:
    """Whether it is paused, and not by a backfill that reached its share, perhaps to measure."""
    upgrade = ledger.upgrade()
    told = [detail for _, kind, detail in ledger.events() if kind == "paused"]
    paused = upgrade is not None and upgrade.state == "paused" and bool(told)
    return paused and not str(told[-1].get("why", "")).startswith("reached ")


class Turns:
    """Turns the state of one upgrade.

    Args:
        gallery: With both sides.
        ledger: Of the gallery.
        holdover: Hours after the cut-over in which the old side may not be given up.
    Attributes:
        audit: Where commands are kept; its `who` is who acts where a command does not say.
    """

    def __init__(self, gallery: Gallery, ledger: Ledger, holdover: float = 0.0) -> None:
        self.gallery, self.audit = gallery, Audit(ledger)
        self._ledger, self._holdover = ledger, holdover
        self._old = gallery.old.store
        self._stop = False
        self._after = 0  # the last place of the queue that was claimed
        self._started = False  # whether the audit knows of a run
        self._tell: Callable[[], object] = lambda: None

    def pause(self, why: str = "asked for", by: str | None = None) -> None:
        """Stop after the batches under way; allowed while copying."""
        with self.audit.doing("pause", why, by) as draft:
            self._allow("pause", "copying", "ready", "paused")
            self._stop, self._started = True, False
            copying = self.gallery.set_state("paused", "copying", draft=draft, why=why)
            if not copying and not paused_by_somebody(self._ledger):  # it only measures
                self.gallery.set_state("paused", "paused", draft=draft, why=why)

    def retry(self, why: str = "", by: str | None = None) -> int:
        """Give all quarantined items another try; answers how many."""
        states: tuple[State, ...] = ("planned", "copying", "paused", "ready")
        with self.audit.doing("retry", why, by) as draft:
            self._allow("retry", *states)
            with self.gallery.alone():  # what is left behind must not be queued after a cut-over
                released = self._ledger.release() if self.gallery.state in states else 0
            self._allow("retry", *states)
            self._after = 0
            if released:
                told = "quarantined items are tried again"
                if not self.gallery.set_state("paused", "ready", draft=draft, why=told):
                    self._ledger.keep(draft.take())
        return released

    def stage(
        self, stage: Stage, leave_behind: bool = False, why: str = "", by: str | None = None
    ) -> Reconciled:
        """Let a part of the traffic read the new side alone, and the rest the old one.

        The old side shows its items again first, in pieces, and makes its index; until it has,
        everybody reads the new side. A stage that was cut off there goes on when it is given again.

        Args:
            stage: Who reads the new side; in place of the stage before.
            leave_behind: Accept that quarantined items are not found by them.
            why: For the audit.
            by: Who says so.
        Raises:
            InvalidInput: No `Stage`.
            UpgradeError: Not ready, something was found, or items are quarantined.
        """
        if not isinstance(stage, Stage):
            raise InvalidInput("cut over", "a Stage, such as Stage(0.1)", repr(stage))
        with self.audit.doing(f"cut over {stage}", why, by) as draft:
            self._allow("cut over in stages", "ready", "cutting over")
            found = Reconciled()
            if self.gallery.state == "ready":
                found = self._enter("cutting over", leave_behind, draft, stage)
            elif not self.gallery.set_state(
                "cutting over", "cutting over", stage=stage, draft=draft
            ):
                self._allow("cut over in stages", "cutting over")
        self._show_old()
        return found

    def step_back(self, why: str = "", by: str | None = None) -> None:
        """Let everybody read the old side again, while a cut-over goes in stages.

        Nothing is given up: writes go on to both sides, and a stage can be given again.

        Args:
            why: For the audit and the event.
            by: Who says so.
        Raises:
            UpgradeError: No stage is under way.
        """
        with self.audit.doing("step back", why, by) as draft:
            while not draft.kept:
                self._allow("step back", "cutting over")
                stage = self.gallery.stage
                if stage is None or stage.held:
                    break
                # Another thread may have given another stage meanwhile: then that one is held.
                self.gallery.set_state(
                    "cutting over",
                    "cutting over",
                    lambda seen=stage: self.gallery.stage != seen,  # type: ignore[misc]
                    stage=replace(stage, held=True),
                    draft=draft,
                    why=why,
                )
        self._show_old()

    def cut_over(
        self, leave_behind: bool = False, why: str = "", by: str | None = None
    ) -> Reconciled:
        """Read the new side alone.

        A reconciling scan of both stores comes first; what it finds to do sends the upgrade
        back to copying. After stages, whatever was written past the gallery forbids it.

        Args:
            leave_behind: Accept that quarantined items are not found until a rollback.
            why: For the audit.
            by: Who says so.
        Raises:
            UpgradeError: Not ready, something was found, or items are quarantined.
        """
        with self.audit.doing("cut over", why, by) as draft:
            self._allow("cut over", "ready", "cutting over")
            if self.gallery.state == "ready":
                return self._enter("cut over", leave_behind, draft)
            self._show_old()
            strays = astray(self.gallery) if self.gallery.whole else 0
            if strays:
                raise UpgradeError(
                    "cut over",
                    "the same items on both sides",
                    f"{strays} that were written past the gallery while it was cut over in stages",
                    "Write them again through the gallery, or roll back and upgrade again.",
                )
            if not self.gallery.set_state(
                "cut over", "cutting over", lambda: not self.gallery.whole, draft=draft
            ):
                self._allow("cut over", "cutting over")
                raise UpgradeError("cut over", "a whole old side", "hidden items", "Try again.")
            return Reconciled()

    def _enter(
        self, state: State, leave_behind: bool, draft: Draft, stage: Stage | None = None
    ) -> Reconciled:
        """Leave "ready" for a state in which the new side is read alone."""
        found = reconcile(self.gallery)
        counts = self._ledger.counts()
        left = counts["quarantined"]
        if left and not counts["todo"] and not leave_behind:
            raise UpgradeError(
                "cut over",
                "no quarantined items",
                f"{left}",
                "Mend them and try them again, or give them up until a rollback: "
                "--leave-behind-quarantined, over HTTP leave_behind_quarantined.",
            )
        # A write whose new model fails may queue its items until the very last moment.
        if self.gallery.set_state(
            state,
            "ready",
            lambda: self._ledger.todo(1) or self._ledger.counts()["quarantined"] > left,
            stage=stage,
            draft=draft,
            left_behind=left,
        ):
            return found
        self._allow("cut over", "ready")
        if not self._ledger.todo(1):  # one more was quarantined meanwhile
            return self._enter(state, leave_behind, draft, stage)
        self.gallery.set_state("copying", "ready", why="there is more to do")
        raise UpgradeError(
            "cut over",
            "every item on the new side",
            f"{self._ledger.counts()['todo']} that are not: written past the gallery or a model",
            "They are queued: backfill again, then cut over.",
        )

    def _show_old(self) -> None:
        """Make the old side whole again, so that it answers alone for who reads it."""
        if self.gallery.whole:
            return
        for hidden in self._hidden():
            self.gallery.show_old(hidden)
            self._tell()
        self._old.tend()
        self.gallery.settle_old()

    def _hidden(self) -> Iterator[list[str]]:
        """Ids that are hidden on the old side, page by page."""
        for rows in pages(self._old, _BACK):
            hidden = [rows.ids[i] for i in np.flatnonzero(rows.hidden)]
            if hidden:
                yield hidden

    def roll_back(self, why: str = "", by: str | None = None) -> None:
        """Read the old side alone; the items written since are there too.

        Items move back piece by piece, so that searches see each of them at every moment; after
        stages the old side has them all already. A rollback that was cut off goes on where it was.

        Raises:
            UpgradeError: It is finished, or the old side lacks what was written since the cut-over.
        """
        with self.audit.doing("roll back", why, by) as draft:
            if not self._turn_back(draft):
                return
        for hidden in self._hidden():
            self.gallery.back(hidden)
            self._tell()
        self.gallery.set_state("rolled back", "rolling back")
        self._old.tend()

    def _turn_back(self, draft: Draft) -> bool:
        """Give the order; answers whether items have to move back."""
        while True:
            state = self.gallery.state
            self._allow("roll back", *BEFORE_FINISHED)
            if state == "rolled back":
                return False
            self._stop = True
            if state == "cutting over":
                self._show_old()
            if state == "cut over":
                self._refuse_ahead()
            # The old side has everything already: in stages, and before anything moved. A new
            # side that an earlier upgrade left visible must not be read beside it.
            if self.gallery.whole or READS[state] == "old":
                if self.gallery.set_state("rolled back", state, draft=draft):
                    return False
            elif self.gallery.set_state("rolling back", state, draft=draft):
                return True
            # otherwise another thread has turned it meanwhile

    def _refuse_ahead(self) -> None:
        new = self.gallery.new
        if new is not None and self.gallery.whole:  # it serves at once, so counting must do
            with self.gallery.steady():
                count, such = len(new.store) - len(self._old), ""
        else:
            behind = ahead(self.gallery)
            count, such = len(behind), f", such as {behind[0]!r}" if behind else ""
        if count > 0:
            raise UpgradeError(
                "roll back",
                "every item on the old side, as it was written last",
                f"{count} that are not{such}: its store may have come back from an older copy",
                "Restore a newer one; or write or delete them through the gallery, or finish.",
            )

    def finish(
        self,
        leave_behind: bool = False,
        early: bool = False,
        why: str = "",
        by: str | None = None,
    ) -> None:
        """Give up the old side. Nothing is deleted here, but nothing leads back any more.

        Args:
            leave_behind: Accept that quarantined items, which only the old side has, are lost.
            early: Do it although the plan's holdover has not passed.
            why: For the audit.
            by: Who says so.
        """
        with self.audit.doing("finish", why, by) as draft:
            self._allow("finish", "cut over")
            hours = 0.0 if early else self.held_over()
            if hours > 0.0:
                raise UpgradeError(
                    "finish",
                    f"{self._holdover:g} {'hour' if self._holdover == 1 else 'hours'} after the "
                    "cut-over, as planned",
                    f"{hours:.1f} of them still to go",
                    "Wait, or say that it shall be early: --early, over HTTP early.",
                )
            left = left_behind(self.gallery)
            if left and not leave_behind:
                raise UpgradeError(
                    "finish",
                    "no items that only the old side has",
                    f"{left} quarantined ones, left behind at the cut-over",
                    "Write them again, or roll back and upgrade again, or say explicitly that they "
                    "may be lost: --leave-behind-quarantined, over HTTP leave_behind_quarantined.",
                )
            behind = lost(self.gallery)
            if behind:
                raise UpgradeError(
                    "finish",
                    "every item on the new side, as it was written last",
                    f"{len(behind)} that are not, such as {behind[0]!r}: its store came back from "
                    "an older copy, or refused a write that was cut off",
                    "Roll back, and upgrade again; or write or delete them through the gallery.",
                )
            self.gallery.set_state("finished", "cut over", draft=draft, left_behind=left)

    def held_over(self) -> float:
        """Hours for which the old side is still to be kept; 0 when it may be given up."""
        return held_over(self._ledger, self._ledger.upgrade(), self._holdover)

    def _allow(self, command: str, *states: State) -> None:
        if self.gallery.state not in states:
            raise UpgradeError(
                command,
                f"an upgrade that is {' or '.join(states)}",
                f"one that is {self.gallery.state or 'not planned'}",
                _ONWARD.get(self.gallery.state or "", ""),
            )
