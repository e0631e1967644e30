"""What a report says, as plain data: read from the ledger once, before anything is drawn.

Ids and reasons come from the ledger, content and vectors never do. A reason may quote what
a model or a server said, so it is cut and what looks like a secret is taken out.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

from ..errors import spelled
from ..measure.curve import Curve
from ..measure.finding import Finding
from ..measure.interval import Interval, paired_difference
from ..upgrade.assess import Assessment, latest
from ..upgrade.backfill.stand import still_open
from ..upgrade.ledger import Ledger
from ..upgrade.record.records import State, Upgrade
from ..upgrade.watching.quality import curve

REASONS = 50  # quarantined items that are named
MOMENTS = 200  # events that are told, the latest ones
_LONG = 300  # characters of a reason
_STATES: tuple[str, ...] = get_args(State)
_SECRETS = re.compile(
    r"(?i)(?P<name>\b(?:authorization|api[-_ ]?key|access[-_ ]?key|password|secret|token)"
    r"[\"']?\s*[:=]\s*[\"']?(?:bearer\s+)?|\bbearer\s+|//[^/\s:@]*:(?=\S*@))[^\s\"'@,;]+"
    r"|\b(?:sk|pk|hf|ghp|gho|xox[abp])[-_][\w-]{8,}"
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One measured cell.

    Args:
        finding: What was measured there.
        share: Part of the gallery in the new space, in [0, 1].
        difference: To the cell at share 0, query by query; None for that cell itself, and
            where other queries were asked.
    """

    finding: Finding
    share: float
    difference: Interval | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened.

    Args:
        time: Seconds since 1970.
        kind: A state that was entered, or "quarantined", "reconciled", "rate", "dropped".
        detail: As the ledger has it.
        lasted: Seconds until the next state; None for what is no state, or still is.
    """

    time: float
    kind: str
    detail: Mapping[str, Any]
    lasted: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report says.

    Args:
        upgrade: The latest one; None where nothing was planned.
        cells: What was measured, by metric and rising share.
        curve: The quality curve, once both ends are measured.
        todo: Items still to move.
        quarantined: Items that could not be moved.
        reasons: (id, reason) of the first `REASONS` of them.
        moments: Events of this upgrade, oldest first.
        left_out: How many earlier events are not among them.
        copying: Seconds spent copying, as far as they are over; those left out count.
        versions: What this report was made with.
        assessment: The latest verdict before an upgrade, if one was asked for.
    """

    upgrade: Upgrade | None
    cells: tuple[Cell, ...] = ()
    curve: Curve | None = None
    todo: int = 0
    quarantined: int = 0
    reasons: tuple[tuple[str, str], ...] = ()
    moments: tuple[Moment, ...] = ()
    left_out: int = 0
    copying: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    assessment: Assessment | None = None

    @classmethod
    def of(cls, ledger: Ledger) -> Report:
        """Read a ledger; a read-only one is enough."""
        from .. import __version__

        counts, upgrade = still_open(ledger), ledger.upgrade()
        told = moments(ledger.events())
        return cls(
            upgrade,
            tuple(cells(ledger.findings())),
            curve(ledger) if upgrade else None,
            counts["todo"],
            counts["quarantined"],
            tuple((name, scrubbed(why)) for name, why in ledger.quarantined(REASONS)),
            tuple(told[-MOMENTS:]),
            max(len(told) - MOMENTS, 0),
            sum(m.lasted or 0.0 for m in told if m.kind == "copying"),
            {
                "holdfast": __version__,
                "Python": platform.python_version(),
                "numpy": np.__version__,
            },
            latest(ledger),
        )

    @property
    def state(self) -> State | None:
        """Of the latest upgrade."""
        return self.upgrade.state if self.upgrade else None

    @property
    def main(self) -> tuple[Cell, ...]:
        """Cells over all queries, of the curve's metric or else the first one."""
        whole = [cell for cell in self.cells if cell.finding.slice == "all"]
        if not whole:
            return ()
        metric = self.curve.metric if self.curve else whole[0].finding.metric
        return tuple(cell for cell in whole if cell.finding.metric == metric)


def cells(records: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """The latest record of each cell, with its difference to the cell at share 0."""
    latest = {}
    for record in records:
        finding = Finding.from_json(record["finding"])
        latest[finding.metric, finding.slice, finding.cell] = (finding, record)
    metrics = list(dict.fromkeys(metric for metric, _, _ in latest))
    ranked = sorted(
        latest.values(),
        key=lambda pair: (metrics.index(pair[0].metric), pair[0].slice, pair[1]["share"]),
    )
    start: dict[tuple[str, str], Mapping[str, Any]] = {}
    found = []
    for finding, record in ranked:
        share = float(record["share"])
        first = start.setdefault((finding.metric, finding.slice), record)
        comparable = float(first["share"]) == 0.0 and first is not record
        found.append(Cell(finding, share, _difference(first, record) if comparable else None))
    return found


def _difference(first: Mapping[str, Any], record: Mapping[str, Any]) -> Interval | None:
    before, after = first.get("per_query", ()), record.get("per_query", ())
    if not before or first.get("judgements") != record.get("judgements"):
        return None
    return paired_difference(before, after)


def moments(events: Sequence[tuple[float, str, Mapping[str, Any]]]) -> list[Moment]:
    """Events of the latest upgrade; runs of quarantined items become one."""
    begun = max((at for at, event in enumerate(events) if event[1] == "planned"), default=0)
    found: list[Moment] = []
    for time, kind, detail in events[begun:]:
        last = found[-1] if found else None
        if last and kind == last.kind == "quarantined":
            items = last.detail.get("items", 0) + detail.get("items", 0)
            found[-1] = Moment(last.time, kind, {"items": items})
            continue
        safe = {k: scrubbed(v) if isinstance(v, str) else v for k, v in detail.items()}
        found.append(Moment(time, kind, safe))
    return _lasting(found)


def _lasting(found: Sequence[Moment]) -> list[Moment]:
    """With the seconds until the next state."""
    timed: list[Moment] = []
    until: float | None = None
    for moment in reversed(found):
        if moment.kind in _STATES:
            lasted = None if until is None else max(until - moment.time, 0.0)
            until = moment.time
            timed.append(Moment(moment.time, moment.kind, moment.detail, lasted))
        else:
            timed.append(moment)
    return timed[::-1]


def scrubbed(text: str) -> str:
    """Short, without what looks like a secret, and of characters that a page can carry.

    A safety net, not a promise: encoders and stores of ours put no secrets into messages.

    Example:
        >>> scrubbed("401: api_key=abc123 is not known")
        '401: api_key=… is not known'
    """
    clean = _SECRETS.sub(lambda match: f"{match['name'] or ''}…", spelled(text))
    return clean if len(clean) <= _LONG else f"{clean[: _LONG - 1]}…"
