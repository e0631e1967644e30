"""Sessions of classes: published tables, and counts in loops."""

import numpy as np
import pytest

from holdfast.errors import InvalidInput
from holdfast.measure.sessions import SessionReport, _harmonic

CLASSES = [4, 2, 3]
RNG = np.random.default_rng(5)
LABELS = RNG.permutation(np.repeat(np.arange(9), 12))
PREDICTED = [
    np.where(RNG.random(108) < p, LABELS, RNG.integers(0, 9, 108)) for p in (0.8, 0.6, 0.5)
]
REPORT = SessionReport.of(PREDICTED, LABELS, CLASSES)


def share(after, classes):
    """Right items of some classes after a session, counted one by one."""
    items = [n for n in range(108) if LABELS[n] in classes]
    return sum(PREDICTED[after][n] == LABELS[n] for n in items) / len(items)


def test_a_published_row():
    """CPE-CLIP on CUB-200: A_1 to A_11, then Avg and PD, of as many items in each session."""
    published = [81.58, 78.52, 76.68, 71.86, 71.52, 70.23, 67.66, 66.52, 65.09, 64.47, 64.60]
    items = np.arange(len(published) * 1000)
    known = 10 * np.arange(1, len(published) + 1)  # for each percent
    right = items < np.round(published * known)[:, None]
    report = SessionReport(right, items // 1000)
    assert report.average().value == pytest.approx(0.7079, abs=1e-4)
    assert report.drop().value == pytest.approx(0.1698, abs=1e-3)


def test_accuracy_counts_the_items_of_known_classes():
    expected = [share(0, range(4)), share(1, range(6)), share(2, range(9))]
    assert [one.value for one in REPORT.accuracies()] == pytest.approx(expected)
    assert [one.n for one in REPORT.accuracies()] == [48, 72, 108]
    assert REPORT.average().value == pytest.approx(sum(expected) / 3)
    assert REPORT.drop().value == pytest.approx(expected[0] - expected[2])


def test_base_novel_and_their_harmonic_mean():
    base, novel = share(2, range(4)), share(2, range(4, 9))
    assert REPORT.base().value == pytest.approx(base)
    assert REPORT.novel().value == pytest.approx(novel)
    assert REPORT.harmonic().value == pytest.approx(2 / (1 / base + 1 / novel))
    assert REPORT.novel(1).value == pytest.approx(share(1, range(4, 6)))
    assert REPORT.base(0).value == pytest.approx(share(0, range(4)))
    with pytest.raises(InvalidInput, match="a later session"):
        REPORT.novel(0)


def test_a_method_that_never_learns_has_a_good_average_and_no_harmonic_mean():
    only_base = [np.where(LABELS < 4, LABELS, 0) for _ in CLASSES]
    report = SessionReport.of(only_base, LABELS, CLASSES)
    assert report.average().value == pytest.approx((1 + 4 / 6 + 4 / 9) / 3)
    assert report.harmonic().value == 0.0


def test_forgetting_is_the_best_there_was_less_what_is_left():
    first = max(share(0, range(4)), share(1, range(4))) - share(2, range(4))
    second = share(1, range(4, 6)) - share(2, range(4, 6))
    assert REPORT.forgetting() == pytest.approx([first, second])


def test_intervals_cover_and_findings_say_everything():
    for one in (REPORT.average(), REPORT.drop(), REPORT.harmonic()):
        assert one.low < one.value < one.high
    found = REPORT.findings("new/new")
    assert [one.metric for one in found] == ["Avg", "PD", "HM", *["accuracy"] * 5]
    assert [one.slice for one in found[3:]] == [
        "base", "novel", "after session 1", "after session 2", "after session 3"
    ]  # fmt: skip
    assert found[2].value == REPORT.harmonic().value
    assert len(SessionReport.of(PREDICTED[:1], LABELS % 4, [4]).findings("x")) == 3


def test_what_cannot_be_counted_is_refused():
    with pytest.raises(InvalidInput, match="3 sessions of 108"):
        SessionReport.of(PREDICTED[:2], LABELS, CLASSES)
    with pytest.raises(InvalidInput, match="each session's classes"):
        SessionReport.of(PREDICTED, LABELS % 6, CLASSES)
    with pytest.raises(InvalidInput, match="each session's classes"):
        SessionReport.of(PREDICTED, LABELS + 1, CLASSES)


def test_a_draw_without_base_items_says_nothing_of_the_harmonic_mean():
    drawn = [
        [0.1, 0.2, 0.3, 0.4],
        [0.0, 0.0, 0.3, 0.4],  # no base item
        [1e-17, -1e-18, 0.3, 0.4],  # none either, but for rounding
        [0.0, 0.2, 0.0, 0.4],  # neither finds any
    ]
    assert _harmonic(np.array(drawn)).tolist() == pytest.approx(
        [0.6, np.nan, np.nan, 0], nan_ok=True
    )
