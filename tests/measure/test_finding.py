"""Findings: the one rule of verdicts, and JSON both ways."""

import json
import math

import pytest

from holdfast.errors import InvalidInput
from holdfast.measure.finding import Finding, mixed
from holdfast.measure.interval import Interval

MEASURED = Finding("nDCG@10", "mixed@30%", 0.60, 0.55, 0.65, 300, slice="lang=de", note="test")


@pytest.mark.parametrize(
    ("least", "most", "verdict"),
    [
        (0.55, None, "pass"), (0.551, None, "fail"), (0.7, None, "fail"),
        (None, 0.65, "pass"), (None, 0.649, "fail"),
        (0.5, 0.7, "pass"), (0.5, 0.62, "fail"), (0.58, 0.7, "fail"),
    ],
)  # fmt: skip
def test_the_whole_interval_must_comply(least, most, verdict):
    assert MEASURED.judged(at_least=least, at_most=most).verdict == verdict


def test_the_note_says_against_what_and_whether_more_queries_may_help():
    undecided = MEASURED.judged(at_least=0.58)
    assert undecided.note.startswith("test; must be at least 0.58; the value is")
    assert MEASURED.judged(at_least=0.7).note == "test; must be at least 0.7"
    assert MEASURED.judged(0.5, 0.7).note == "test; must be at least 0.5 and at most 0.7"
    assert (MEASURED.verdict, MEASURED.note) == ("info", "test")  # the original stays


def test_json_round_trip_through_text():
    for finding in (MEASURED, MEASURED.judged(at_least=0.5)):
        assert Finding.from_json(json.loads(json.dumps(finding.to_json()))) == finding


def test_from_an_interval():
    got = Finding.of("AP", "new/new", Interval(0.5, 0.4, 0.6, 0.95, 7, 100), slice="s")
    assert got == Finding("AP", "new/new", 0.5, 0.4, 0.6, 7, slice="s")


@pytest.mark.parametrize(
    ("share", "cell"),
    [(0.0, "mixed@0%"), (0.3, "mixed@30%"), (0.07, "mixed@7%"), (1 / 3, "mixed@33.3333%"),
     (1.0, "mixed@100%")],
)  # fmt: skip
def test_mixed_cells(share, cell):
    assert mixed(share) == cell


def test_what_cannot_be_a_finding_is_refused():
    for bad in (math.nan, math.inf):
        with pytest.raises(InvalidInput, match="finite"):
            Finding("AP", "old/old", bad, 0.0, 1.0, 3)
    with pytest.raises(InvalidInput, match="low <= high"):
        Finding("AP", "old/old", 0.5, 0.6, 0.4, 3)
    with pytest.raises(InvalidInput, match="verdict"):
        Finding("AP", "old/old", 0.5, 0.4, 0.6, 3, verdict="maybe")
    with pytest.raises(InvalidInput, match="at_least"):
        MEASURED.judged()
    with pytest.raises(InvalidInput, match="share"):
        mixed(30)
