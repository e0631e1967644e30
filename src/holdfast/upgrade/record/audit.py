"""The audit: every command with who gave it, when, why, and what the gate said by then.

Commands of the engine keep their own row, in the transaction that changes the state; refused ones
are kept as well. Rows are only ever added.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...errors import HoldfastError
from .deed import DONE, Deed

if TYPE_CHECKING:
    from .ledger_file import LedgerFile

NOTHING = "nothing to do"  # the outcome of a command that found its work done


@dataclass(slots=True)
class Draft:
    """A deed that is being done.

    Args:
        deed: As it will be kept when it succeeds.
        kept: Whether a change of state took it along.
    """

    deed: Deed
    kept: bool = False

    def take(self) -> Deed:
        """The deed, for the change that keeps it."""
        self.kept = True
        return self.deed


class Audit:
    """Adds deeds to a ledger and reads them.

    Args:
        ledger: Where they are; one that is only looked at will do for reading.
        who: Who acts, where a command does not say.
        gate: Answers what the gate says by now, in one line; "no gate" without one.
    """

    def __init__(
        self, ledger: LedgerFile, who: str = "program", gate: Callable[[], str] | None = None
    ) -> None:
        self.who = who
        self._ledger, self.gate = ledger, gate

    def record(
        self,
        what: str,
        why: str = "",
        who: str | None = None,
        gate: str | None = None,
        outcome: str = DONE,
    ) -> Deed:
        """Add a deed; when this returns it is on disk.

        Args:
            what: The command.
            why: The reason that was given.
            who: By default who this audit was made for.
            gate: By default what the gate says now.
            outcome: What became of it.
        """
        said = self._said() if gate is None else gate
        return self._ledger.keep(Deed(who or self.who, what, why, said, outcome))

    @contextmanager
    def doing(self, what: str, why: str = "", who: str | None = None) -> Iterator[Draft]:
        """Keep what becomes of a command: done by whoever takes the draft, or refused."""
        draft = Draft(Deed(who or self.who, what, why, self._said()))
        try:
            yield draft
        except HoldfastError as error:
            self._ledger.keep(replace(draft.deed, outcome=f"refused: {error}"))
            raise
        if not draft.kept:
            self._ledger.keep(replace(draft.deed, outcome=NOTHING))

    def _said(self) -> str:
        return self.gate() if self.gate else "no gate"

    def deeds(self, after: int = 0, limit: int | None = None) -> list[Deed]:
        """Deeds behind a number, oldest first."""
        return self._ledger.deeds(after, limit)

    def check(self) -> int | None:
        """The number of the first row that does not fit the ones before it; None when all do."""
        before, expected = "", 1
        for deed in self.deeds():
            if deed.number != expected or deed.hash != deed.seal(before):
                return deed.number
            before, expected = deed.hash, expected + 1
        return None


def person() -> str:
    """Who runs this process, for the audit."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without an entry
        name = f"user {os.getuid()}"
    return f"{name} (command line)"
