"""Verification: pairs that are what they say, and thresholds found by a plain loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from holdfast.errors import DimensionMismatch, InvalidInput
from holdfast.measure.verification import Pairs, Verification, tar_at_far


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=3, max_size=30), st.integers(0, 1000))
def test_pairs_are_distinct_items_of_the_kind_they_say(labels, seed):
    counts = np.bincount(labels)
    if (counts > 0).sum() < 2 or counts.max() < 2:
        with pytest.raises(InvalidInput, match="Pairs"):
            Pairs.draw(labels, 10, seed)
        return
    pairs = Pairs.draw(labels, 40, seed)
    assert len(pairs) == 40
    assert pairs.same.tolist() == [True, False] * 20
    for a, b, same in zip(pairs.first, pairs.second, pairs.same, strict=True):
        assert (labels[a] == labels[b]) == same
        assert a != b


def test_every_pair_can_be_drawn_and_equally_often():
    pairs = Pairs.draw(["b", "a", "b", "a", "b"], 60_000, 1)
    same, other = {}, {}
    for a, b, kind in zip(pairs.first, pairs.second, pairs.same, strict=True):
        count = same if kind else other
        count[(a, b)] = count.get((a, b), 0) + 1
    # 2 of 5 items are "a" with one partner each, 3 are "b" with two.
    assert {pair: n / 30_000 for pair, n in same.items()} == {
        **{pair: pytest.approx(1 / 5, abs=0.02) for pair in [(1, 3), (3, 1)]},
        **{
            (a, b): pytest.approx(1 / 10, abs=0.02)
            for a in (0, 2, 4) for b in (0, 2, 4) if a != b
        },
    }  # fmt: skip
    assert set(other) == {(a, b) for a in range(5) for b in range(5) if (a + b) % 2}


def slow_accuracy(x, y, pairs, folds):
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, y))
    distance = [((x[a] - y[b]) ** 2).sum() for a, b in zip(pairs.first, pairs.second, strict=True)]
    grid = [i * 0.001 for i in range(4000)]
    right = []
    for fold in np.array_split(np.arange(len(pairs)), folds):
        others = [i for i in range(len(pairs)) if i not in set(fold.tolist())]
        scores = [sum((distance[i] < cut) == pairs.same[i] for i in others) for cut in grid]
        cut = grid[int(np.argmax(scores))]
        right += [float((distance[i] < cut) == pairs.same[i]) for i in fold]
    return right


def test_accuracy_equals_a_plain_loop():
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 30)
    centres = random.normal(size=(4, 6))
    x, y = (centres[labels] + random.normal(size=(30, 6)) for _ in range(2))
    pairs = Pairs.draw(labels.tolist(), 50)
    got = Verification(pairs, folds=5)(x, y)
    assert got.tolist() == slow_accuracy(x.astype("f4"), y.astype("f4"), pairs, 5)
    assert 0.5 < got.mean() < 1.0


def test_two_spaces_that_have_nothing_in_common_are_at_chance_and_one_is_not():
    random = np.random.default_rng(1)
    labels = random.integers(0, 10, 2000)
    x = np.eye(10)[labels] + 0.05 * random.normal(size=(2000, 10))
    turned = x @ np.linalg.qr(random.normal(size=(10, 10)))[0]
    measure = Verification(Pairs.draw(labels.tolist()))
    assert measure(x, x).mean() > 0.99
    assert 0.4 < measure(x, turned).mean() < 0.65
    assert len(measure) == 6000


def test_tar_at_far_is_a_quantile_of_the_impostors():
    random = np.random.default_rng(2)
    scores, same = random.normal(size=5000), random.random(5000) < 0.5
    scores[same] += 1.0
    got = tar_at_far(scores, same, 0.1)
    impostors = np.sort(scores[~same])
    cut = impostors[int(0.9 * len(impostors))]
    assert got.mean() == pytest.approx((scores[same] > cut).mean(), abs=0.005)
    assert 0.3 < got.mean() < 0.5  # 1 - Phi(1.2816 - 1) = 0.389
    with pytest.raises(InvalidInput, match="both kinds"):
        tar_at_far([1.0, 2.0], [1, 1], 0.1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=60), st.data())
def test_no_more_false_accepts_than_allowed_and_no_fewer_true_ones(pairs, data):
    scores, same = (np.array(part) for part in zip(*pairs, strict=True))
    if same.all() or not same.any():
        return
    far = data.draw(st.sampled_from([1e-4, 0.05, 0.1, 0.29, 0.5, 0.9]))
    false, true, _ = roc_curve(same, scores, drop_intermediate=False)
    assert tar_at_far(scores, same, far).mean() == pytest.approx(true[false <= far + 1e-12].max())


@pytest.mark.parametrize(
    ("same", "far", "came"),
    [
        ([1, 1], 0.1, "2 scores of 2 genuine and 0 other pairs"),
        ([1], 0.1, "2 scores of 1 genuine"),
        ([1, 0], 2.0, "a rate of false accepts in .*, got 2"),
        (["yes", "no"], 0.1, "got 'yes' at place 0"),
    ],
)
def test_pairs_of_one_kind_and_senseless_rates_are_refused(same, far, came):
    with pytest.raises(InvalidInput, match=came):
        tar_at_far([0.1, 0.2], same, far)


def test_senseless_pairs_and_folds_are_refused():
    for labels, count in ((["a", "a", "b"], 3), (["a", "b"], 4), (["a", "a"], 4)):
        with pytest.raises(InvalidInput, match="Pairs"):
            Pairs.draw(labels, count)
    with pytest.raises(InvalidInput, match="folds"):
        Verification(Pairs.draw(["a", "a", "b"], 4), folds=1)


def test_rows_of_other_items_or_of_two_lengths_are_refused():
    measure = Verification(Pairs.draw(["a", "a", "b"], 20), folds=2)
    with pytest.raises(InvalidInput, match="rows of items 0 to 2"):
        measure(np.eye(3), np.eye(3)[:2])
    with pytest.raises(DimensionMismatch, match="3 and 4"):
        measure(np.eye(3), np.eye(3, 4))
