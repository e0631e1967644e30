"""Slices: a planted slice that gets worse under a rising average."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import InvalidInput
from holdfast.measure.comparison import compare
from holdfast.measure.finding import Finding
from holdfast.measure.slices import labels_of, regressed, slice_findings, table_findings
from tests.measure.assays import ASSAYS

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


def queries_of(slices, each, seed, falls=()):
    """A metric of `each` queries in every slice, which rises but where it falls."""
    rng = np.random.default_rng(seed)
    labels = [f"s{number:02}" for number in range(slices) for _ in range(each)]
    before = rng.random(slices * each)
    change = np.array([-0.15 if label in falls else 0.08 for label in labels])
    return before, before + change + 0.2 * rng.standard_normal(len(before)), labels


def test_three_of_twenty_slices_that_fall_under_a_rising_mean_are_named():
    falls = {"s03", "s11", "s17"}
    found = slice_findings(*queries_of(20, 60, 0, falls), "nDCG@10", "new/new")
    assert found[0].verdict == "pass"  # the average alone would say: go
    assert {f.slice for f in regressed(found)} == {f"slice={name}" for name in falls}


def test_chance_is_not_named():
    named = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        before = rng.random(400)
        after = before + 0.2 * rng.standard_normal(400)
        labels = [f"s{row % 10}" for row in range(400)]
        named += bool(regressed(slice_findings(before, after, labels, "AP", "new/new")))
    assert named <= 5  # about one in twenty would be, and some for short intervals


def test_one_slice_that_falls_clearly_is_named_among_many():
    found = slice_findings(*queries_of(40, 40, 1, {"s07"}), "AP", "new/new")
    assert "slice=s07" in {f.slice for f in regressed(found)}


@pytest.mark.parametrize(("falls", "named"), [(40, 0), (60, 60)])
def test_among_a_thousand_slices_thirty_that_seem_worse_are_chance(falls, named):
    found = [
        Finding("change of AP", "new/new", gain, gain - 0.09, gain + 0.09, 20, f"s{at}", verdict)
        for at in range(1_200)
        for gain, verdict in [(-0.1, "fail") if at < falls else (0.0, "info")]
    ]
    assert len(regressed(found)) == named  # 30 are to be expected; 44 or more in 1 of 100 cases


def test_assays_that_lost_under_a_higher_mean_are_counted_and_named():
    before = {name: old for name, (old, _) in ASSAYS.items()}
    after = {name: new for name, (_, new) in ASSAYS.items()}
    whole, count, *each = table_findings(before, after, "Spearman", "new/new")
    assert len(each) == 87
    assert whole.value == pytest.approx(0.04755, abs=1e-5)  # the mean rises
    worse = {name for name in ASSAYS if after[name] < before[name]}
    assert count.value == len(worse) == 14
    assert count.verdict == "fail"
    assert {f.slice for f in each if f.verdict == "fail"} == worse
    assert each[0].slice in worse
    assert each[0].value == min(f.value for f in each)
    assert "worst A0A1I9GEU1_NEIME_Kennouche_2019 by -0.042" in count.note
    tolerant = table_findings(before, after, "Spearman", "new/new", tolerance=0.03)
    assert tolerant[1].value == sum(after[n] - before[n] < -0.03 for n in ASSAYS) == 4


def test_tables_need_the_same_slices():
    with pytest.raises(InvalidInput, match="same slices"):
        table_findings({"a": 1.0}, {"b": 1.0}, "AP", "new/new")
