"""What a service was at when it ended, however it did: the next one goes on with it.

It is noted in the ledger, of one upgrade: what was cut off must not begin that of the next plan.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager

from ..errors import HoldfastError
from ..upgrade.ledger import Ledger
from ..upgrade.project import Project

_KEY = "serve: moving"  # of the ledger
_ON, _BACK, _DROP, _NOT = "on", "back", "drop", "not"
_LOG = logging.getLogger("holdfast.service")


class Unfinished:
    """Notes what goes on at the next start.

    Args:
        ledger: Of the gallery.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def moving(self) -> bool:
        """Whether items were moving, and no other process asked for a pause by then."""
        state = self._state
        if any(name == "pause" for _, name, _ in self._ledger.asked()):
            return False
        moving = self._noted(_ON) and state in ("planned", "paused")
        return moving or (state == "copying" and not self._noted(_BACK))

    @property
    def turning_back(self) -> bool:
        """Whether a rollback was asked for, or under way."""
        state = self._state
        asked = self._noted(_BACK) and state in ("planned", "copying", "paused", "ready")
        return asked or state == "rolling back"

    def move(self) -> None:
        """Note that items move."""
        self._note(_ON)

    def turn_back(self) -> None:
        """Note that a rollback is asked for: the batch under way may outlive the process."""
        self._note(_BACK)

    @property
    def dropping(self) -> bool:
        """Whether the old store was about to be deleted. A program may finish, and keep it."""
        return self._noted(_DROP) and self._state == "finished"

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """What is done within gives the old side up, and what comes after it deletes its store."""
        self._note(_DROP)
        try:
            yield
        except BaseException:
            if not self.dropping:
                self._note(_NOT)
            raise

    def dropped(self) -> None:
        """Note that the old store is deleted."""
        self._note(_NOT)

    def rest(self) -> None:
        """Note that nothing goes on, unless it is to turn back."""
        if not self._noted(_BACK):
            self._note(_NOT)

    def _note(self, what: str) -> None:
        self._ledger.set_meta(_KEY, f"{what} {self._number}")

    def _noted(self, what: str) -> bool:
        return self._ledger.meta(_KEY) == f"{what} {self._number}"

    @property
    def _state(self) -> str | None:
        upgrade = self._ledger.upgrade()
        return upgrade.state if upgrade else None

    @property
    def _number(self) -> int:
        upgrade = self._ledger.upgrade()
        return upgrade.number if upgrade else 0


def cleared(project: Project) -> bool:
    """Delete the old store if a service was about to; answers whether it did now."""
    with closing(project.ledger()) as ledger:
        unfinished = Unfinished(ledger)
        if not unfinished.dropping:
            return False
        try:
            project.drop_old()
        except HoldfastError as error:
            _LOG.warning("the old store is still there: %s", error)
            return False
        unfinished.dropped()
        return True
