"""Severity: the telescoping identity, and errors near and far in the tree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import InvalidInput
from holdfast.measure.diagnose.severity import severities, severity
from tests.measure.diagnose.worlds import world

RNG = np.random.default_rng(0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_the_mean_is_the_sum_over_levels_of_not_sharing_them(seed, levels):
    rng = np.random.default_rng(seed)
    asked, told = rng.integers(2, size=(2, 50, levels))
    same = np.cumprod(asked == told, axis=1)
    shares = [float(same[:, at].mean()) for at in range(levels)]
    assert severities(asked, told).mean() == pytest.approx(sum(1 - s for s in shares) / levels)


def test_errors_within_a_branch_weigh_less_than_errors_anywhere():
    made = world(0)
    tree = np.stack([made.domain, made.kind], axis=1)
    near = tree.copy()
    near[:, 1] = (near[:, 1] + 3) % 12  # another kind of the same domain
    far = tree[RNG.permutation(len(tree))]
    far = far[far[:, 1] != tree[:, 1]], tree[far[:, 1] != tree[:, 1]]
    assert severities(tree, tree).max() == 0.0
    assert (severities(tree, near) == 0.5).all()
    assert severities(*far).mean() > 0.6


def test_lost_answers_are_told_apart():
    made = world(1, "shortcut")
    tree = [made.domain, made.kind]
    found = severity(made.old, made.new, tree)
    assert found.change.difference.value == pytest.approx(found.new.mean() - found.old.mean())
    flipped = (found.old == 0) & (found.new > 0)
    assert found.lost.value == pytest.approx(found.new[flipped].mean())
    assert [f.metric for f in found.findings()] == ["severity@1", "severity of lost answers"]
    same = severity(made.old, made.old, tree)
    assert same.lost is None
    assert same.change.difference.value == 0.0


def test_a_model_that_falls_out_of_the_branch_fails():
    made = world(2)
    noise = type(made.new)(made.new.space, RNG.normal(size=made.new.array.shape).astype(np.float32))
    found = severity(made.old, noise, [made.domain, made.kind]).findings()[0]
    assert found.verdict == "fail"
    assert found.value > 0.2


def test_labels_belong_to_the_items():
    made = world(3)
    with pytest.raises(InvalidInput):
        severity(made.old, made.new, [])
    with pytest.raises(InvalidInput):
        severities(np.zeros((3, 1), int), np.zeros((3, 2), int))
    with pytest.raises(InvalidInput, match="labels of each"):
        severity(made.old, made.new, [np.zeros(len(made.old), int), np.zeros(3, int)])
