"""The assessment in a report: every figure is there, and stays readable."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from holdfast import plots
from holdfast.errors import InvalidInput
from holdfast.measure.finding import Finding
from holdfast.measure.interval import Interval
from holdfast.report import Report, render
from holdfast.report.words import headline
from holdfast.upgrade.assess import ASSESSMENT, Assessment, latest

SHARES = [0.0, 0.5, 1.0]
CURVE = {
    "metric": "R@10",
    "order": "random",
    "shares": SHARES,
    "points": [Interval(v, v - 0.1, v + 0.1, 0.95, 80).to_json() for v in (0.4, 0.5, 0.7)],
    "band": [[0.4, 0.4], [0.47, 0.53], [0.66, 0.74]],
    "area": 0.525,
    "draws": 20,
}
NOTHING = {"items": 10, "tokens": 250, "money": None, "currency": "", "seconds": 90.0, "note": "?"}
MADE = Assessment(
    "upgrade",
    ("Because <it> is.", "new/new against old/old: +0.300 [+0.200, +0.400], forecast."),
    (
        Finding("R@10", "old/old", 0.4, 0.3, 0.5, 80, note="measured"),
        Finding("R@10", "mixed@50%", 0.5, 0.4, 0.6, 80, note="forecast from the sample"),
        Finding("R@10", "new/new", 0.7123, 0.6, 0.8, 80, note="forecast from the sample"),
        Finding("change of R@10", "new/new", 0.123, 0.05, 0.2, 40, "lang=de"),
        Finding("threshold for 0.75 (accepted)", "new/new", 0.612, 0.6, 0.62, 80, note="keeps"),
    ),
    CURVE,
    {
        "whole": NOTHING,
        "rest": NOTHING,
        "bytes": 2_000_000,
        "storage_month": 0.5,
        "currency": "EUR",
    },
    {"queries": 80, "questions": "judged", "sample": 10, "items": 100},
    ("Ranked among 100 items.",),
)


def test_what_is_kept_is_read_back(ledger):
    assert latest(ledger) is None
    ledger.set_meta(ASSESSMENT, json.dumps(MADE.to_json()))
    assert latest(ledger) == MADE


def test_the_page_tells_verdict_reasons_and_figures(measured):
    assert 'id="decision"' not in render(Report.of(measured))
    measured.set_meta(ASSESSMENT, json.dumps(MADE.to_json()))
    page = render(Report.of(measured))
    assert page.index('id="decision"') < page.index('id="quality"')
    for told in (
        "Verdict: upgrade. ",
        "Because &lt;it&gt; is.",
        "0.712",
        "0.600 to 0.800",
        "lang=de",
        "0.750",
        "0.612",
        "about 250 tokens",
        "1 min 30 s",
        "0.50 EUR a month",
        "Ranked among 100 items.",
    ):
        assert told in page, told
    assert page == render(Report.of(measured))


def test_before_an_upgrade_the_verdict_is_the_headline_and_small_sums_are_not_nothing(ledger):
    small = {**MADE.costs, "storage_month": 0.0004}
    made = replace(MADE, costs=small)
    ledger.set_meta(ASSESSMENT, json.dumps(made.to_json()))
    page = render(Report.of(ledger))
    assert headline(Report(None, assessment=made)) == (
        "Assessed before an upgrade. Verdict: upgrade."
    )
    assert "less than 0.01 EUR a month" in page
    assert "Nothing was measured yet." in page


def test_the_forecast_is_drawn_with_its_band_and_what_was_measured():
    pytest.importorskip("matplotlib")
    points = {s: Interval(v, v, v, 0.95, 80) for s, v in zip(SHARES, (0.4, 0.5, 0.7), strict=True)}
    band = {s: (v - 0.03, v + 0.03) for s, v in zip(SHARES, (0.4, 0.5, 0.7), strict=True)}
    alone = plots.forecast_curve(points, band, metric="R@10")
    both = plots.forecast_curve(points, band, {0.0: points[0.0]}, metric="R@10")
    assert "R@10 forecast" in alone
    assert "R@10 measured" not in alone
    assert "R@10 measured" in both
    assert "0.700 at 100 %" in alone


@pytest.mark.parametrize("bad", [{0.0: (0.1, 0.2)}, {0.0: (0.1, np.nan), 1.0: (0.1, 0.2)}])
def test_a_band_that_does_not_belong_is_refused(bad):
    points = {s: Interval(0.5, 0.4, 0.6, 0.95, 80) for s in (0.0, 1.0)}
    with pytest.raises(InvalidInput, match="band"):
        plots.forecast_curve(points, bad, metric="R@10")


def test_what_to_look_at_first_is_told(measured):
    lost = Finding(
        "knowledge of lang", "old to new", -0.41, -0.5, -0.3, 400, verdict="fail", note="less <now>"
    )
    kept = Finding("neighbours kept@10", "old to new", 0.21, 0.2, 0.22, 400)
    made = replace(MADE, findings=(*MADE.findings, lost, kept))
    measured.set_meta(ASSESSMENT, json.dumps(made.to_json()))
    page = render(Report.of(measured))
    table = page[page.index("The sampled items in the old space and in the new") :]
    assert table.index("knowledge of lang") < table.index("look first") < table.index("neighbours")
    for told in ("-0.410", "-0.500 to -0.300", "less &lt;now&gt;", "+0.210"):
        assert told in table
    assert table.count("look first") == 1


def test_of_many_slices_the_worst_are_told(measured):
    slices = tuple(
        Finding("change of R@10", "new/new", at / 1_000, at / 1_000, at / 1_000, 40, f"shop={at}")
        for at in range(1_000)
    )
    measured.set_meta(ASSESSMENT, json.dumps(replace(MADE, findings=slices).to_json()))
    page = render(Report.of(measured))
    assert "Change of R@10 by slice, forecast, the worst 100 of 1,000" in page
    assert "shop=99<" in page
    assert "shop=100<" not in page
