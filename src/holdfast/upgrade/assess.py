"""The assessment: a verdict before anyone pays.

    keep       the new model is not better, or by less than is worth it: leave all as it is
    bridge     new queries over a bridge into the old vectors already bring what is shown
    upgrade    re-embedding is shown to bring more than anything cheaper
    hold       not settled: ask more queries, or sample more

What is better on average is still held where a slice got worse beyond chance, or where a
diagnosis of the sampled items names a shortcut or a loss.

A gain counts as shown when its whole interval lies above zero. That interval holds both the
choice of queries and how far off such a forecast may be. `old/old` and `bridged/old` are
measured; `mixed@...` and `new/new` are forecast from the sample, and say so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from ..arrays import IntArray
from ..measure.diagnose import CELL
from ..measure.finding import Finding, mixed
from ..measure.interval import FEW, Interval, bootstrap, paired_difference
from ..measure.ranking import Metric, parse
from ..measure.slices import regressed
from ..measure.thresholds import thresholds
from ..store.base import VectorStore
from ..store.topk import best
from .foresight.bill import bill, planned, within
from .foresight.diagnose import diagnosed, refuse_unknown, sliced, slices_by
from .foresight.forecast import DRAWS, FORECAST, MISFIT, Forecast, Forecaster, Measure, Order
from .foresight.mixture import serving_of
from .foresight.rivals import Floats
from .foresight.scope import Scope, scope_of
from .foresight.survey import Survey, conduct, hits_of, table_of
from .ledger import Ledger
from .order import RANKED, arrange
from .parts import ASSESSED
from .plan import Plan
from .price import Prices, characters
from .project import Project, refuse_same
from .record.records import refuse_under_way

Verdict: TypeAlias = Literal["keep", "bridge", "upgrade", "hold"]

ASSESSMENT = "assessment"  # key of the ledger: the latest one, as JSON
SAMPLE, WORTH = 0.1, 0.01
LOOK = "Better on average, but look first at"  # how the reason of an upgrade on hold begins
_PEEK = 64  # items whose length is looked at before anything is paid
_PAIRS = 50_000  # pairs of query and document behind the table of thresholds


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Args:
        sample: Part of the gallery that the new model may read.
        budget: What that may cost at most; needs a known price.
        prices: The table.
        slice_by: Payload field of the answers, by which results are cut.
        worth: A gain below this is not worth an upgrade.
        draws: Plays of the forecast.
        label: Payload fields that say what an item is, coarsest first, see `diagnose.py`.
    """

    sample: float = SAMPLE
    budget: float | None = None
    prices: Prices = field(default_factory=Prices)
    slice_by: str | None = None
    worth: float = WORTH
    draws: int = DRAWS
    label: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was found.

    Args:
        verdict: What to do.
        reasons: Why, in sentences.
        findings: Cells, changes, slices and thresholds.
        curve: The forecast, see `Forecast.to_json`.
        costs: Of the sample, of the whole upgrade, of storage.
        facts: Spaces, counts, where the queries are from.
        notes: What to know when reading them.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    curve: dict[str, Any]
    costs: dict[str, Any]
    facts: dict[str, Any]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        told = {name: getattr(self, name) for name in self.__slots__}
        return {**told, "findings": [finding.to_json() for finding in self.findings]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Assessment:
        """Read what `to_json` wrote."""
        return cls(
            data["verdict"],
            tuple(data["reasons"]),
            tuple(Finding.from_json(one) for one in data["findings"]),
            data["curve"],
            data["costs"],
            data["facts"],
            tuple(data["notes"]),
        )


def latest(ledger: Ledger) -> Assessment | None:
    """The one that was made last, if any."""
    kept = ledger.meta(ASSESSMENT)
    return None if kept is None else Assessment.from_json(json.loads(kept))


def decide(
    old: Floats | None, bridged: Floats, curve: Forecast, worth: float = WORTH
) -> tuple[Verdict, tuple[str, ...]]:
    """The verdict, from values of the same queries.

    Args:
        old: (q,) values of old/old; None where the old model is dead.
        bridged: (q,) values of bridged/old.
        curve: The forecast.
        worth: A gain below this is not worth an upgrade.
    """
    base, start = (bridged, "bridged/old") if old is None else (old, "old/old")
    gain, beyond = curve.difference(base), curve.difference(bridged)
    bridge = None if old is None else paired_difference(old, bridged)
    told = [f"new/new against {start}: {_signed(gain)}, forecast."]
    if bridge is not None:
        told += [
            f"bridged/old against old/old: {_signed(bridge)}, measured.",
            f"new/new against bridged/old: {_signed(beyond)}, forecast.",
        ]
    verdict, why = _decided(gain, bridge, beyond, worth)
    drop = [share for at, share in enumerate(curve.shares) if curve.difference(base, at).high < 0.0]
    if drop and verdict == "upgrade":
        told.append(f"On the way there it answers worse at {', '.join(map(mixed, drop))}.")
    return verdict, (why, *told)


def _decided(
    gain: Interval, bridge: Interval | None, beyond: Interval, worth: float
) -> tuple[Verdict, str]:
    bridges = bridge is not None and bridge.low > 0.0
    more = beyond if bridges else gain  # than anything cheaper
    shown = gain.low > 0.0 and more.low > 0.0
    if gain.n < FEW:
        return "hold", f"{gain.n} queries are too few to show anything: at least {FEW} are needed."
    if shown and more.high >= worth:
        return "upgrade", "Re-embedding is shown to bring more than anything cheaper."
    if bridges and shown:
        return "bridge", f"A bridge is shown to help; re-embedding brings less than {worth:g} more."
    if bridges:
        return "bridge", "A bridge is shown to help; that re-embedding brings more is not shown."
    if gain.high < worth:
        what: Verdict = "keep" if bridge is not None else "bridge"
        return what, f"Re-embedding brings less than {worth:g}, if anything."
    enough = f"About {_needed(gain):,} queries of this kind, or a larger sample, may settle it."
    return "hold", f"Not settled. {enough}"


def held(
    verdict: Verdict, reasons: tuple[str, ...], found: Sequence[Finding]
) -> tuple[Verdict, tuple[str, ...]]:
    """An upgrade that is better on average waits where a slice or a diagnosis says: look first.

    Args:
        verdict: By the average.
        reasons: Of it.
        found: Slices and diagnoses among others.
    """
    alarms = [f for f in found if f.cell == CELL and f.verdict == "fail"]
    named = [f"{f.metric} {f.value:+.3f}" for f in alarms]
    named += [f"{f.slice} {f.value:+.3f}" for f in regressed(found)]
    if verdict != "upgrade" or not named:
        return verdict, reasons
    why = f"{LOOK}: {', '.join(named)}."
    return "hold", (why, *reasons)


def _needed(gain: Interval) -> int:
    """Queries with which the interval would be as narrow as the gain is large."""
    half = (gain.high - gain.low) / 2.0
    ratio = half / max(abs(gain.value), 0.005)
    return int(np.ceil(gain.n * min(ratio**2, 100.0) / 10.0) * 10)


def _signed(gap: Interval) -> str:
    return f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"


class Assessor:
    """Assesses what a project serves now against its new model.

    Args:
        project: The project.
        request: What is asked for.
    """

    def __init__(self, project: Project, request: Request | None = None) -> None:
        self.project, self.request = project, request or Request()

    def run(self, dry_run: bool = False) -> Assessment | dict[str, Any]:
        """Assess; keeps the result in the ledger.

        Args:
            dry_run: Ask no model and write nothing; answers what would be asked, and its cost.
        Raises:
            UpgradeError: An upgrade is under way, or nothing was built.
            ConfigError: A budget without a price, or a merge that no forecast knows.
        """
        self.project.refuse_unbuilt("assess")
        ledger = self.project.ledger(readonly=dry_run)
        try:
            refuse_under_way("assess", ledger.upgrade())
            space = self.project.serving(ledger)
            self.project.refuse_lost(ledger, space)
            refuse_same("assess", space, self.project.new_encoder.space)
            store = self.project.store(space)
            try:
                scope, plan = self._scope(store)
                if dry_run:
                    return plan
                # Before anything is paid for.
                refuse_unknown(store, self.request.label)
                by = self.request.slice_by
                slices = None if by is None else slices_by(store, scope, by)
                kept, measure = self.project.folder / ASSESSED, self._measure(scope)
                survey = conduct(self.project, store, scope, kept, measure)
                made = self._assessment(store, survey, slices)
            finally:
                store.close()
            ledger.set_meta(ASSESSMENT, json.dumps(made.to_json()))
            return made
        finally:
            ledger.close()

    def _scope(self, store: VectorStore) -> tuple[Scope, dict[str, Any]]:
        space, prices = self.project.new_encoder.space, self.request.prices
        price = prices.of(space.name)
        first = store.scan(limit=_PEEK).rows.ids
        items = self.project.content(store).get(first)
        length = characters([item.content for item in items if item is not None])
        budget = self.request.budget
        most = None if budget is None else lambda asked: within(budget, asked, length, price)
        scope = scope_of(self.project, store, self.request.sample, most)
        plan = {
            "old": str(store.space),
            "new": str(space),
            "items": scope.items,
            "queries": len(scope.judgements),
            "made": scope.made,
            "sample": scope.size,
            **planned(scope, length, price, prices.currency),
        }
        return scope, plan

    def _assessment(
        self, store: VectorStore, survey: Survey, slices: Sequence[str] | None
    ) -> Assessment:
        scope, known, space = survey.scope, survey.known, self.project.new_encoder.space
        measure = self._measure(scope)
        judge, k = measure.judge, measure.k
        alive = self.project.old_encoder is not None
        plan: Plan = self.project.config.upgrade
        cascade = plan.merge == "cascade"
        serving = serving_of("fused" if cascade else plan.merge, plan.calibrator)
        forecaster = Forecaster(known, measure, self.request.draws, plan.seed)
        curve = forecaster.curve(serving, self._order(plan, scope), plan.order)
        bridged = judge(best(table_of(survey.bridged or known.old_queries, known.old_docs), k)[0])
        old = judge(best(known.old, k)[0]) if alive else None
        verdict, reasons = decide(old, bridged, curve, self.request.worth)
        notes = list(survey.notes)
        if cascade:
            notes.append("Merge 'cascade' is forecast as 'fused', which it does not fall below.")
        if curve.misfit > MISFIT:
            notes.append(
                "Forecasts miss what the sample itself answers, so they settle nothing here. "
                "A larger sample, or all of it (--sample 100%), may."
            )
        found = [*_cells(curve, old, bridged), *_table(survey, old)]
        if slices is not None:
            base = bridged if old is None else old
            found += sliced(slices, str(self.request.slice_by), base, curve)
        found += diagnosed(store, scope, known, self.request.label)
        verdict, reasons = held(verdict, reasons, found)
        facts = {
            "old": str(store.space),
            "new": str(space),
            "items": scope.items,
            "sample": len(scope.rows),
            "kept": scope.kept,
            "paid": survey.paid,
            "queries": len(scope.judgements),
            "questions": "made from documents" if scope.made else "judged",
            "merge": plan.merge,
            "order": plan.order,
        }
        return Assessment(
            verdict,
            reasons,
            tuple(found),
            curve.to_json(),
            bill(survey, space.name, space.dim, self.request.prices),
            facts,
            tuple(notes),
        )

    def _measure(self, scope: Scope) -> Measure:
        told = self.project.config.judgements
        metric = parse(told.metric if told else "nDCG@10")
        k = told.k if told else 10
        return Measure(_Judge(metric, scope), str(metric), max(k, metric.k or k))

    def _order(self, plan: Plan, scope: Scope) -> Order:
        given = self.project.given_order(plan) if plan.order == "given" else None
        place = {name: at for at, name in enumerate(scope.ids)}
        if given is not None and len(place) < scope.items:  # of the others nothing is seen here
            given = [name for name in given if name in place] or None
        # Orders that are worked out when the backfill starts are forecast as a random one.
        how = "random" if plan.order in RANKED and given is None else plan.order

        def order(seed: int) -> IntArray:
            names = arrange(how, scope.ids, scope.revisions, seed, given, plan.merge)
            return np.array([place[name] for name in names], dtype=np.int64)

        return order


class _Judge:
    """The metric of ranked places."""

    def __init__(self, metric: Metric, scope: Scope) -> None:
        self._metric, self._scope = metric, scope

    def __call__(self, places: IntArray) -> Floats:
        # A small gallery, or a sample of one, may have fewer items than the metric looks at.
        hits = hits_of(self._scope.ids, places, self._metric.k or 1)
        values: Floats = self._metric.per_query(hits, self._scope.judgements)
        return values


def _cells(curve: Forecast, old: Floats | None, bridged: Floats) -> list[Finding]:
    metric, found = curve.metric, []
    if old is not None:
        found.append(Finding.of(metric, "old/old", bootstrap(old), note="measured"))
    found.append(Finding.of(metric, "bridged/old", bootstrap(bridged), note="measured"))
    base = bridged if old is None else old
    for at, share in enumerate(curve.shares):
        if share == 0.0:
            continue
        cell = "new/new" if share == 1.0 else mixed(share)
        change = curve.difference(base, at)
        note = f"{FORECAST}; against share 0: {_signed(change)}"
        one = Finding.of(metric, cell, curve.points[at], note=note)
        found.append(replace(one, verdict="fail" if change.high < 0.0 else "pass"))
    last = Finding.of(f"change of {metric}", "new/new", curve.difference(base), note=FORECAST)
    worse, better = last.high < 0.0, last.low > 0.0
    found.append(replace(last, verdict="fail" if worse else "pass" if better else "info"))
    return [replace(f, verdict="info") if f.n < FEW else f for f in found]


def _table(survey: Survey, old: Floats | None) -> Sequence[Finding]:
    """Where cut-offs on old scores would lie on the new scale, from true pairs only."""
    if old is None:
        return []
    known = survey.known
    before, after = known.old[:, known.rows], known.new
    queries = np.broadcast_to(np.arange(len(before))[:, None], before.shape)
    chosen = np.random.default_rng(0).permutation(before.size)[:_PAIRS]
    at = np.quantile(best(known.old, min(10, known.old.shape[1]))[1], (0.1, 0.5, 0.9))
    pairs = (before.ravel()[chosen], after.ravel()[chosen])
    rows = thresholds(*pairs, at.tolist(), queries=queries.ravel()[chosen], resamples=100)
    return [row.finding() for row in rows]
