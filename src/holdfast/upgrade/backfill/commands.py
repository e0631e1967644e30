"""Commands that other processes left in the ledger, done by the one that holds the stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import HoldfastError, UpgradeError
from ..ledger import Ledger


def obey(ledger: Ledger, known: Mapping[str, Callable[..., Any]]) -> None:
    """Do what was asked for, by name, and say what became of it."""
    for number, name, detail in ledger.asked():
        try:
            if name not in known:
                raise UpgradeError("engine", f"one of {', '.join(known)}", repr(name))
            known[name](**detail)
            ledger.answer(number, "done")
        except (HoldfastError, TypeError, ValueError) as error:
            ledger.answer(number, f"refused: {error}")
