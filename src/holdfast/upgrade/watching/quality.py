"""Quality while an upgrade goes on: the same judged queries, asked again at each share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...arrays import Vectors
from ...hits import Hits
from ...items import Content
from ...measure.curve import Curve
from ...measure.finding import Finding, mixed
from ...measure.interval import FEW, bootstrap, paired_difference
from ...measure.judgements import Judgements
from ...measure.ranking import parse
from ..backfill.status import Status
from ..backfill.turns import paused_by_somebody
from ..engine import Engine, check_share
from ..gallery import Gallery
from ..gate import UNCOMPARED
from ..ledger import Ledger

STEPS = 10  # a curve has a point at every tenth
_BLOCK = 1_024  # queries asked at once
_DIGITS = 6  # of a query's value that are kept; compared with no more


class Quality:
    """Measures a gallery as it answers now, and keeps what it finds in the ledger.

    Args:
        gallery: With an upgrade under way.
        judgements: Queries, with texts, and their relevant items.
        metric: In ir_measures spelling.
        k: Hits asked for; the metric's cut where that is larger.
        note: For people who read the first finding: what to know of the judgements.
    """

    def __init__(
        self,
        gallery: Gallery,
        judgements: Judgements,
        metric: str = "nDCG@10",
        k: int = 10,
        note: str = "",
    ) -> None:
        self.gallery, self.judgements, self._note = gallery, judgements, note
        self.metric = parse(metric)
        self._k = max(k, self.metric.k or k)
        self._contents: list[Content] = [item.content for item in judgements.items()]
        self._asked: dict[str, Vectors] = {}
        told = [judgements.query_ids, judgements.texts, judgements.qrels]
        self._mark = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]

    def measure(self) -> Finding:
        """Ask every judged query; answers the finding for the present cell.

        Every later cell is compared with the first one at share 0, query by query: it fails
        when the whole interval of the difference lies below zero. With fewer than `FEW`
        queries, or where metric or judgements have changed since, nothing is judged, and the
        finding says so.
        """
        # What is read alone is the end of the curve, whatever was left behind.
        share = 1.0 if self.gallery.reads == "new" else self.gallery.share
        values = self.metric.per_query(self._search(), self.judgements)
        finding = Finding.of(
            str(self.metric), self._cell(share), bootstrap(values), note=self._note
        )
        base = self._base()
        if base is None and share > 0.0:
            finding = replace(finding, note=UNCOMPARED)
        elif base is not None:
            gap = paired_difference(base, np.round(values, _DIGITS))  # as the base was kept
            note = f"against old/old: {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
            worse = gap.high < 0.0
            finding = replace(finding, verdict="fail" if worse else "pass", note=note)
            if gap.n < FEW:
                finding = replace(finding, verdict="info", note=f"{too_few(gap.n)}; {note}")
        if self.gallery.ledger is not None:
            self.gallery.ledger.record(
                {
                    "finding": finding.to_json(),
                    "share": share,
                    "judgements": self._mark,
                    "per_query": [round(float(value), _DIGITS) for value in values],
                }
            )
        return finding

    def _cell(self, share: float) -> str:
        if self.gallery.reads == "both":
            return mixed(share)
        asks = "bridged" if self.gallery.old.encoder is None else "old"
        return "new/new" if self.gallery.reads == "new" else f"{asks}/old"

    def _search(self) -> Hits:
        """Encode each query once for each space, whatever the number of measurements."""
        sides = [side for side in (self.gallery.old, self.gallery.new) if side is not None]
        for side in sides:
            key = side.space.fingerprint
            if key not in self._asked and side.encoder is not None:
                self._asked[key] = side.encoder.encode(self._contents, "query")
        ready = list(self._asked.values())
        parts = []
        for start in range(0, len(self._contents), _BLOCK):
            rows = slice(start, start + _BLOCK)
            asked = [vectors.take(rows) for vectors in ready]
            # As it is served, but no live search: the watch would take these for its first sample.
            parts.append(self.gallery.search(asked, self._k, side="both"))
        return Hits.concat(parts)

    def _base(self) -> Any:
        """What the same metric and judgements said at share 0; None where they were not asked."""
        asked = (0.0, str(self.metric), self._mark)
        for record in self.gallery.ledger.findings() if self.gallery.ledger else []:
            if (record["share"], record["finding"]["metric"], record["judgements"]) == asked:
                return np.array(record["per_query"])
        return None


def too_few(count: int) -> str:
    """Why so many queries judge nothing.

    Example:
        >>> too_few(1), too_few(5)
        ('1 query is too few to judge by', '5 queries are too few to judge by')
    """
    return f"{count} {'query is' if count == 1 else 'queries are'} too few to judge by"


def measured(ledger: Ledger) -> dict[float, dict[str, Any]]:
    """The latest record at each share, shares rising; of the metric measured last, all queries."""
    records = [r for r in ledger.findings() if r["finding"]["slice"] == "all"]
    metric = records[-1]["finding"]["metric"] if records else None
    latest = {float(r["share"]): r for r in records if r["finding"]["metric"] == metric}
    return dict(sorted(latest.items()))


def cells(ledger: Ledger) -> list[Finding]:
    """The latest finding for each cell, in the order in which an upgrade passes them."""
    records = [r for r in ledger.findings() if r["finding"]["slice"] == "all"]
    latest = {r["finding"]["cell"]: r for r in records}
    ends = {"old/old": 0, "bridged/old": 0, "new/new": 2}
    passed = sorted(latest.values(), key=lambda r: (r["share"], ends.get(r["finding"]["cell"], 1)))
    return [Finding.from_json(r["finding"]) for r in passed]


def curve(ledger: Ledger) -> Curve | None:
    """The quality curve, once both ends have been measured by the same queries."""
    records = measured(ledger)
    if 0.0 not in records or 1.0 not in records:
        return None
    last = records[1.0].get("judgements")
    same = {share: r for share, r in records.items() if r.get("judgements") == last}
    if 0.0 not in same:
        return None
    metric = same[1.0]["finding"]["metric"]
    return Curve.of(metric, list(same), [record["per_query"] for record in same.values()])


def run_measured(
    engine: Engine,
    quality: Quality,
    until: float = 1.0,
    tell: Callable[[Finding], None] | None = None,
    guard: Callable[[Finding], bool] | None = None,
) -> tuple[Status, Sequence[Finding]]:
    """Run a backfill and measure at every tenth of the gallery.

    Shares that were measured before a restart are not measured again.

    Args:
        engine: Of the upgrade under way.
        quality: What to measure.
        until: Share to stop at.
        tell: Called with each finding as it is made.
        guard: Called with it as well; answers whether the run shall stop there.
    Returns:
        Where the upgrade stands, and the findings of this run.
    Raises:
        InvalidInput: No share; nothing moves then.
    """
    check_share(until, "run_measured")
    found: list[Finding] = []

    def measure() -> bool:
        found.append(quality.measure())
        if tell:
            tell(found[-1])
        stop = guard is not None and guard(found[-1])
        return stop or (gallery.ledger is not None and paused_by_somebody(gallery.ledger))

    gallery = quality.gallery
    known = measured(gallery.ledger) if gallery.ledger else {}
    if gallery.reads == "old":
        if not known:
            measure()
        engine.start()
        if measure():
            return engine.status(), found
    off = abs(gallery.share * STEPS - round(gallery.share * STEPS)) / STEPS * len(gallery)
    if off < 1.0 and gallery.share > 0.0 and gallery.share not in known:
        measure()  # a tenth that was reached and cut off before it was measured
    return _tenths(engine, gallery, until, measure), found


def _tenths(engine: Engine, gallery: Gallery, until: float, measure: Callable[[], bool]) -> Status:
    """Run from tenth to tenth until a measurement, or somebody else, says stop."""
    status = engine.status()
    for tenth in range(1, STEPS + 1):
        stop = min(tenth / STEPS, until)
        if gallery.share < stop or (stop == 1.0 and status.state != "ready"):
            status = engine.run(stop)
            if status.share < stop and status.todo:
                break  # somebody asked for a pause
            if measure():
                return engine.status()
            if status.state == "ready":
                break  # what has not moved is in quarantine
        if stop == until:
            break
    return status
