"""Adaptation recall ratio: both truths against sets, and the status quo beside them."""

import numpy as np
import pytest

from holdfast.errors import InvalidInput
from holdfast.hits import Hits
from holdfast.measure.adaptation import adaptation
from holdfast.measure.judgements import Judgements

RNG = np.random.default_rng(0)
ITEMS = np.array([f"d{i}" for i in range(30)], dtype=object)


def random_hits(queries=40, k=8):
    order = np.argsort(RNG.random((queries, 30)), axis=1)[:, :k]
    return Hits(ITEMS[order], -np.arange(k, dtype=np.float32) * np.ones((queries, 1), "f4"))


BRIDGED, BEST, KEPT = random_hits(), random_hits(), random_hits()
JUDGED = Judgements.from_dict(
    {f"q{i}": {f"d{d}": 1 for d in RNG.integers(0, 30, 4)} for i in range(40)}
)


def slow_recall(hits, wanted, k):
    rows = [set(row[:k]) for row in hits.ids.tolist()]
    return np.mean([len(row & set(w)) / len(w) for row, w in zip(rows, wanted, strict=True)])


@pytest.mark.parametrize("k", [1, 5, 8])
@pytest.mark.parametrize("truth", ["judgements", "neighbours"])
def test_the_ratio_of_two_recalls(truth, k):
    if truth == "judgements":
        wanted = [list(JUDGED.qrels[q]) for q in JUDGED.query_ids]
    else:
        wanted = [row[:k] for row in BEST.ids.tolist()]
    got = adaptation(BRIDGED, BEST, KEPT, k, JUDGED if truth == "judgements" else truth)
    best = slow_recall(BEST, wanted, k)
    assert got.ratio.value == pytest.approx(slow_recall(BRIDGED, wanted, k) / best)
    assert got.status_quo.value == pytest.approx(slow_recall(KEPT, wanted, k) / best)
    assert got.change.difference.value == pytest.approx(
        slow_recall(BRIDGED, wanted, k) - slow_recall(KEPT, wanted, k)
    )
    assert got.truth == truth
    assert got.findings()[0].metric == f"ARR@{k} ({truth})"
    assert [f.cell for f in got.findings()] == ["bridged/old", "old/old", "bridged/old"]


def test_the_reembedded_system_itself_has_ratio_one():
    for truth in (JUDGED, "neighbours"):
        got = adaptation(BEST, BEST, BEST, 5, truth).ratio
        assert (got.value, got.low, got.high) == pytest.approx((1.0, 1.0, 1.0))


def test_the_two_truths_can_disagree():
    # The bridge finds what is relevant and none of what the new model finds.
    judged = Judgements.from_dict({f"q{i}": {"a": 1} for i in range(25)})
    bridged, best = Hits.of([[("a", 1.0)]] * 25), Hits.of([[("b", 1.0)]] * 24 + [[("a", 1.0)]])
    by_people = adaptation(bridged, best, best, 1, judged)
    by_imitation = adaptation(bridged, best, best, 1, "neighbours")
    assert by_people.ratio.value == pytest.approx(25.0)
    assert by_imitation.ratio.value == pytest.approx(1 / 25)
    assert by_people.change.outcome == "better"
    assert by_imitation.change.outcome == "worse"


def test_lists_of_other_lengths_are_judged_by_what_was_wanted():
    best = Hits.of([[("a", 2.0), ("b", 1.0)], [("c", 1.0)]])
    bridged = Hits.of([[("a", 2.0)], [("c", 2.0), ("x", 1.0)]])
    assert adaptation(bridged, best, best, 2, "neighbours").ratio.value == pytest.approx(0.75)


def test_no_ratio_to_nothing():
    judged = Judgements.from_dict({"q": {"a": 1}})
    other = Hits.of([[("b", 1.0)]])
    with pytest.raises(InvalidInput, match="above 0"):
        adaptation(other, other, other, 1, judged)
    with pytest.raises(InvalidInput, match="neighbours"):
        adaptation(other, other, other, 1, "neighbors")
