"""Quarantine: items that cannot be moved are set aside, and too many of them stop the upgrade."""

from __future__ import annotations

from collections.abc import Mapping, Sized

from ...errors import UpgradeError
from ..ledger import Ledger
from ..plan import Plan

_MANY = 100  # items that are tolerated whatever their part of the gallery


def tolerated(plan: Plan, whole: Sized) -> int:
    """How many items of a gallery may be in quarantine, or of a source be left out of a build."""
    return max(_MANY, int(plan.max_quarantined * len(whole)))


def set_aside(
    ledger: Ledger, failed: Mapping[str, str], place_of: Mapping[str, int], limit: int
) -> None:
    """Put items into quarantine.

    Args:
        ledger: Keeps them.
        failed: Reasons by id; at least one.
        place_of: Where they stood in the queue.
        limit: How many are tolerated, earlier ones included.
    Raises:
        UpgradeError: They are more than that.
    """
    ledger.quarantine(failed, place_of)
    refuse_many(ledger, failed, limit)


def refuse_many(ledger: Ledger, failed: Mapping[str, str], limit: int) -> None:
    """Stop where too many items are in quarantine.

    Args:
        ledger: Keeps them.
        failed: Reasons of the last ones; at least one.
        limit: How many are tolerated.
    Raises:
        UpgradeError: They are more than that.
    """
    count = ledger.counts()["quarantined"]
    if count > limit:
        name, reason = next(iter(failed.items()))
        raise UpgradeError(
            "backfill",
            f"at most {limit} quarantined items",
            f"{count}; the last one, {name!r}: {reason.removesuffix('.')}",
            "Mend the cause, then retry the quarantined items and backfill again.",
        )
