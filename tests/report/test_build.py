"""What a report says: read from a ledger, compared with the ledger and the maths."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.measure.interval import paired_difference
from holdfast.report.build import MOMENTS, REASONS, Report, moments, scrubbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.watching.quality import curve
from tests.report.conftest import NEW, OLD, START, answered, record


def test_cells_are_the_findings_with_their_differences(measured):
    report = Report.of(measured)
    kept = measured.findings()
    assert [cell.finding.to_json() for cell in report.cells] == [r["finding"] for r in kept]
    assert [cell.share for cell in report.cells] == [r["share"] for r in kept]
    assert report.cells[0].difference is None
    for cell, row in zip(report.cells[1:], kept[1:], strict=True):
        assert cell.difference == paired_difference(kept[0]["per_query"], row["per_query"])
        gap = np.mean(row["per_query"]) - np.mean(kept[0]["per_query"])
        assert cell.difference.value == pytest.approx(gap, abs=1e-12)
    assert report.curve == curve(measured)
    assert report.main == report.cells


def test_the_latest_measurement_of_a_cell_counts(measured):
    again = record(measured, 0.5, answered(0.9), base=answered(0.0))
    (cell,) = [cell for cell in Report.of(measured).cells if cell.share == 0.5]
    assert cell.finding == again


def test_other_metrics_and_slices_are_told_but_are_not_the_headline(measured):
    record(measured, 0.0, answered(0.0), part="short")
    record(measured, 1.0, answered(0.2), part="short")
    record(measured, 0.0, answered(0.1), metric="RR@10")
    report = Report.of(measured)
    assert len(report.main) == 11
    assert [(c.finding.metric, c.finding.slice) for c in report.cells[11:]] == [
        ("R@10", "short"),
        ("R@10", "short"),
        ("RR@10", "all"),
    ]
    assert report.cells[12].difference == paired_difference(answered(0.0), answered(0.2))
    assert report.cells[13].difference is None


def test_without_share_zero_or_with_other_queries_there_is_no_difference(ledger):
    record(ledger, 0.3, answered(0.3))
    record(ledger, 0.6, answered(0.6))
    assert [cell.difference for cell in Report.of(ledger).cells] == [None, None]
    record(ledger, 0.0, answered(0.0)[:-1])
    assert [cell.difference for cell in Report.of(ledger).cells] == [None, None, None]


def test_counts_and_the_first_reasons(measured):
    names = [f"x{n}" for n in range(70)]
    measured.enqueue(names)
    measured.quarantine({name: f"reason {name}" for name in names[:60]})
    report = Report.of(measured)
    assert (report.todo, report.quarantined, len(report.reasons)) == (10, 60, REASONS)
    assert report.reasons[-1] == ("x49", "reason x49")


def test_moments_last_until_the_next_state_and_quarantines_are_one(ledger):
    ledger.fill([f"i{n}" for n in range(9)])
    ledger.set_state("copying")  # +10 s
    ledger.quarantine({"i0": "a", "i1": "b"})  # +20
    ledger.quarantine({"i2": "c"})  # +30
    ledger.event("rate", {"items_per_second": 5.0})  # +40
    ledger.set_state("paused", why="reached 30%")  # +50
    ledger.set_state("copying")  # +60
    report = Report.of(ledger)
    told = [(m.time - START, m.kind, dict(m.detail), m.lasted) for m in report.moments]
    assert told == [
        (0.0, "planned", {"old": str(OLD), "new": str(NEW)}, 10.0),
        (10.0, "copying", {}, 40.0),
        (20.0, "quarantined", {"items": 3}, None),
        (40.0, "rate", {"items_per_second": 5.0}, None),
        (50.0, "paused", {"why": "reached 30%"}, 10.0),
        (60.0, "copying", {}, None),
    ]
    assert report.copying == 40.0, "what goes on has not lasted yet"


def test_only_the_latest_upgrade_is_told(measured):
    measured.set_state("rolled back")
    measured.begin(Plan().model_dump(), OLD, NEW)
    report = Report.of(measured)
    assert [moment.kind for moment in report.moments] == ["planned"]
    assert (report.cells, report.curve, report.state) == ((), None, "planned")


def test_a_long_history_is_cut_at_its_beginning(ledger):
    for _ in range(MOMENTS):
        ledger.set_state("copying")
    report = Report.of(ledger)
    assert (len(report.moments), report.left_out) == (MOMENTS, 1)
    assert report.moments[0].kind == "copying"


def test_time_spent_copying_counts_what_is_left_out(ledger):
    for _ in range(MOMENTS):
        ledger.set_state("copying")
        ledger.set_state("paused")
    report = Report.of(ledger)
    shown = sum(moment.lasted or 0.0 for moment in report.moments if moment.kind == "copying")
    assert report.left_out == MOMENTS + 1
    assert report.copying == 2 * shown > 0.0


def test_a_clock_set_back_does_not_make_time_negative():
    told = moments([(100.0, "planned", {}), (40.0, "copying", {}), (50.0, "ready", {})])
    assert [moment.lasted for moment in told] == [0.0, 10.0, None]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("401 Unauthorized: Bearer abc.def-123 refused", "abc.def-123"),
        ("header Authorization: Bearer tOkEn999", "tOkEn999"),
        ('{"api_key": "q1w2e3"}', "q1w2e3"),
        ("password=hunter2, host=db", "hunter2"),
        ("postgres://user:hunter2@host/db refused", "hunter2"),
        ("key sk-proj-0123456789abcdef is not valid", "0123456789abcdef"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text, secret):
    assert secret in text
    assert secret not in scrubbed(text)
    assert "…" in scrubbed(text)


def test_other_words_stay_and_long_ones_are_cut():
    plain = "model: expected a token limit of 512, got 600 tokens. Ask sk-learn's http://host/path"
    plain += " or http://127.0.0.1:8080/v1: refused by a@b"
    assert scrubbed(plain) == plain
    assert len(scrubbed("x" * 5000)) == 300
    assert scrubbed("cut \ud83d") == "cut \\ud83d"


def test_events_and_reasons_pass_the_same_filter(ledger):
    ledger.fill(["a"])
    ledger.quarantine({"a": "Bearer abc123"})
    ledger.set_state("paused", why="Throttled: token=abc123")
    assert "abc123" not in repr(Report.of(ledger))
