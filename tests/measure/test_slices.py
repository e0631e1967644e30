"""Slices: a planted slice that gets worse under a rising average."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import InvalidInput
from holdfast.measure.comparison import compare
from holdfast.measure.slices import labels_of, slice_findings

RNG = np.random.default_rng(0)
LABELS = ["de"] * 100 + ["en"] * 300 + ["fr"] * 30 + ["is"] * 5
BEFORE = RNG.random(435)
CHANGE = np.repeat([-0.1, 0.1, 0.0, -0.3], [100, 300, 30, 5])
AFTER = BEFORE + CHANGE + 0.05 * RNG.standard_normal(435)


def test_the_average_does_not_travel_alone():
    found = slice_findings(BEFORE, AFTER, LABELS, "nDCG@10", "new/new", "lang")
    whole, shown, fell, worst, *each = found
    assert (whole.metric, whole.slice, whole.verdict) == ("change of nDCG@10", "all", "pass")
    assert whole.value == pytest.approx((AFTER - BEFORE).mean())
    assert (shown.metric, shown.value, shown.verdict) == (
        "slices worse beyond doubt in nDCG@10", 1, "fail"
    )  # fmt: skip
    assert "1 of 4 slices have fewer than 20 queries" in shown.note
    assert (fell.value, fell.verdict) == (
        sum((AFTER - BEFORE)[np.array(LABELS) == s].mean() < 0 for s in set(LABELS)), "info"
    )  # fmt: skip
    assert (worst.slice, worst.verdict) == ("lang=de", "fail")
    assert worst.note.startswith("the worst slice; worse")
    assert each[0].slice == "lang=is"  # the lowest value, too small to judge
    assert {f.slice: f.verdict for f in each} == {
        "lang=is": "info",
        "lang=de": "fail",
        "lang=fr": "info",
        "lang=en": "pass",
    }


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_slices_add_up_to_the_whole(seed, n):
    random = np.random.default_rng(seed)
    before, after = random.random((2, n))
    labels = random.choice(["a", "b", "c"], n).tolist()
    found = slice_findings(before, after, labels, "AP", "new/new")
    each = found[4:]
    assert sum(f.n for f in each) == n
    assert sum(f.n * f.value for f in each) == pytest.approx(n * found[0].value)
    assert [f.value for f in each] == sorted(f.value for f in each)
    for finding in each:
        rows = [i for i, label in enumerate(labels) if f"slice={label}" == finding.slice]
        want = compare(before[rows], after[rows]).difference
        assert (finding.low, finding.high) == (want.low, want.high)


def test_where_lower_is_better_the_worst_slice_rose_most():
    found = slice_findings(BEFORE, AFTER, LABELS, "error", "new/new", "lang", False)
    assert (found[0].verdict, found[3].slice, found[3].verdict) == ("fail", "lang=en", "fail")


def test_small_slices_alone_judge_nothing():
    found = slice_findings([0.5] * 10, [0.1] * 10, list("ababababab"), "AP", "new/new")
    assert {f.verdict for f in found} == {"info"}
    assert found[1].value == 0
    assert found[2].value == 2


def test_labels_come_from_a_payload_field():
    assert labels_of([{"lang": "de"}, {"lang": None}, {"x": 1}, None, {"lang": 3}], "lang") == [
        "de", "(none)", "(none)", "(none)", "3"
    ]  # fmt: skip


def test_a_label_for_each_query():
    with pytest.raises(InvalidInput, match="2 labels"):
        slice_findings([0.1, 0.2], [0.1, 0.2], ["a"], "AP", "new/new")
