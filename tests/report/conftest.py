"""Ledgers to report on."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from holdfast.measure.finding import Finding, mixed
from holdfast.measure.interval import bootstrap, paired_difference
from holdfast.space import Space
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.plan import Plan

OLD = Space("wordllama@256", 256, fingerprint="0f1e2d3c4b5a6978")
NEW = Space("minilm@1", 384, "dot", fingerprint="a1b2c3d4e5f60718")
START = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
HARD = np.random.default_rng(0).random(80)  # how hard each query is


def answered(share, old=0.4, new=0.7):
    """Whether each query finds its answer: the easier half of them, so to say."""
    return (old + (new - old) * share > HARD).astype(float)


def record(ledger, share, values, cell=None, metric="R@10", base=None, part="all"):
    """Keep a measurement as the measuring of an upgrade does."""
    cell = cell or {0.0: "old/old", 1.0: "new/new"}.get(share) or mixed(share)
    finding = Finding.of(metric, cell, bootstrap(values), part)
    if base is not None:
        low = paired_difference(base, values).high < 0.0
        finding = Finding(**{**finding.to_json(), "verdict": "fail" if low else "pass"})
    ledger.record(
        {
            "finding": finding.to_json(),
            "share": share,
            "judgements": f"of {len(values)} queries",
            "per_query": [float(v) for v in values],
        }
    )
    return finding


@pytest.fixture
def ledger(tmp_path):
    """A planned upgrade; its clock moves on by ten seconds whenever it is read."""
    ticks = itertools.count(START, 10.0)
    one = Ledger(tmp_path / "ledger.sqlite", lambda: next(ticks))
    one.begin(Plan().model_dump(), OLD, NEW)
    yield one
    one.close()


@pytest.fixture
def measured(ledger):
    """An upgrade that went through, with a curve of eleven points."""
    ledger.fill([f"i{n}" for n in range(20)])
    ledger.set_state("copying")
    for tenth in range(11):
        base = answered(0.0) if tenth else None
        record(ledger, tenth / 10, answered(tenth / 10), base=base)
    ledger.done(range(1, 21))
    ledger.set_state("ready")
    return ledger
