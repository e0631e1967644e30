"""The order of the ways of serving a half-moved gallery, in a small synthetic world."""

from __future__ import annotations

import numpy as np
import pytest

from bench import toy
from bench.toy_world import Sizes, World
from holdfast.hits import Hits
from holdfast.measure.labels import Labels
from holdfast.measure.ranking import evaluate

NEEDED = {*toy.LADDER, "RM + quantile", "RQT, closed form + quantile"}


@pytest.fixture(scope="module")
def compared():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(toy, "EPOCHS", 6)
        every = toy.Ways.all
        chosen = lambda ways: (pair for pair in every(ways) if pair[0] in NEEDED)  # noqa: E731
        patched.setattr(toy.Ways, "all", chosen)
        world = World.made(0, Sizes(classes=40, new=60, gallery=10))
        return toy.Compared.of(world, "cosine", 0)


@pytest.mark.slow
def test_each_step_of_training_gains_more_than_the_one_before(compared):
    gains = [compared.gain(name) for name in toy.LADDER]
    assert np.all(np.diff(gains) > 0.0), gains


@pytest.mark.slow
def test_calibration_and_metric_compatible_maps_never_make_the_curve_fall(compared):
    for name in NEEDED - {"RM", "RQT + CL"}:
        assert np.all(np.diff(compared.ran[name].curve) >= 0), name
    assert compared.gain("RM + quantile") > compared.gain("RM")


@pytest.mark.slow
def test_the_ends_are_those_of_one_system(compared):
    rank_merge, head = compared.ran["RM"], compared.ran["RQT + MCL, head"]
    assert rank_merge.curve[0] == compared.old
    assert rank_merge.curve[-1] == compared.ran["RQT + MCL"].curve[-1] == compared.new
    assert rank_merge.lost[0] == 0.0
    assert head.curve[-1] > compared.new


def test_the_figures_are_those_of_the_measures():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(6, 30)).astype(np.float32)
    queries, gallery = np.arange(6) % 3, np.arange(30) % 3
    value, first = toy.judged(table, queries[:, None] == gallery[None, :])
    order = np.argsort(-table, axis=1)
    ids = np.array([f"g{i}" for i in range(30)], dtype=object)[order]
    hits = Hits(ids, np.take_along_axis(table, order, axis=1))
    labels = Labels(
        {f"q{i}": c for i, c in enumerate(queries)}, {f"g{i}": c for i, c in enumerate(gallery)}
    )
    theirs = evaluate(["mAP", "CMC@1"], hits, labels)
    assert value == pytest.approx(theirs["mAP"].mean(), abs=1e-12)
    np.testing.assert_array_equal(first, theirs["CMC@1"].astype(bool))


def test_gain_is_relative_to_keeping_and_switching():
    line = toy.Ran(np.linspace(0.2, 0.6, 11), np.zeros(11))
    assert line.gain(0.2, 0.6) == pytest.approx(0.5)
    assert toy.Ran(np.full(11, 0.2), np.zeros(11)).gain(0.2, 0.6) == pytest.approx(0.0)
    assert toy.Ran(np.full(11, 0.6), np.zeros(11)).gain(0.2, 0.6) == pytest.approx(1.0)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_scores_are_those_of_a_loop(metric):
    a, b = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)
    for i, row in enumerate(toy.scores(a, b, metric)):
        for j, got in enumerate(row):
            if metric == "cosine":
                wanted = a[i] @ b[j] / np.linalg.norm(a[i]) / np.linalg.norm(b[j])
            else:
                wanted = -np.linalg.norm(a[i] - b[j])
            assert got == pytest.approx(wanted, abs=1e-5)
