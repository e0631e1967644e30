"""Metric-compatible maps: their loss, labels, head and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from holdfast.align.affine import apply
from holdfast.align.bridge import Bridge
from holdfast.align.chain import add_net, pack
from holdfast.align.check import CHECKS
from holdfast.align.descent import Course, Pairs
from holdfast.align.likeness import Neighbours, SameLabel
from holdfast.align.linear import Ridge
from holdfast.align.metric_compatible import Compatible, MetricCompatible
from holdfast.align.mlp import ResidualMLP
from holdfast.arrays import as_vectors
from holdfast.errors import InvalidInput, NotFitted
from holdfast.space import Space
from tests.align.learned import curved
from tests.align.test_contrast import by_hand

SMALL = {"hidden": (16,), "epochs": 6, "batch": 64, "rate": 1e-2}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_contract_holds_with_a_head(check):
    check(MetricCompatible(**SMALL, head=True, metric="euclidean", negatives="own"))


def labelled(count=300, seed=0):
    X, Y = curved(count, seed=seed)
    return X, Y, (X[:, 0] > 0.3).astype(int) + 2 * (X[:, 1] > 0.3)


def distance(a, b, metric):
    if metric == "cosine":
        return 1.0 - a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    return np.linalg.norm(a - b)


@pytest.mark.parametrize("negatives", ["own", "both"])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("given", ["labels", "neighbours"])
def test_the_loss_is_that_of_a_double_loop(metric, negatives, given):
    X, Y, labels = labelled(60)
    aligner = MetricCompatible(
        (8,), metric=metric, negatives=negatives, weight=0.7, temperature=0.5, head=True
    )
    pairs = Pairs.of(X, Y, labels if given == "labels" else None, 0.25, 0, "test")
    closed = Ridge().fit(X[pairs.rest], Y[pairs.rest])
    objective = Compatible(aligner, pairs, closed, Course((8,), 1, 64, 1e-3, 0))
    with torch.no_grad():
        for place, tensor in enumerate(objective.tensors()):
            tensor.add_(0.1 * (place + 1) * torch.ones_like(tensor).cumsum(0) / len(tensor))
        got = float(objective.loss(np.arange(15), True, np.random.default_rng(5)))
    x, y = X[pairs.held].astype(np.float64), Y[pairs.held].astype(np.float64)
    # 10 neighbours among the 45 rows that train are 3 among the 15 that judge.
    likeness = SameLabel(labels[pairs.held])
    if given == "neighbours":
        likeness = Neighbours(X[pairs.held], 3, metric)
    rows, alike = likeness.compose(np.arange(15), np.random.default_rng(5))
    new = x[rows].astype(np.float32)
    for weight in (objective.head, objective.layers):
        assert weight.folded()[-1][0].any()
    moved = new.copy()
    add_chain(new, objective.head.folded(), moved)
    mapped = apply(moved, closed.weight_, closed.bias_)
    add_chain(moved, objective.layers.folded(), mapped)
    mean = X[pairs.rest].astype(np.float64).mean(axis=0)
    unit = np.sqrt(2 * np.mean(np.sum((X[pairs.rest] - mean) ** 2, axis=1)))
    cool = 0.5 * (1.0 if metric == "cosine" else unit)
    old_side = [[-distance(a, y[b], metric) / cool for b in rows] for a in mapped]
    new_side = [[-distance(a, b, metric) / cool for b in moved] for a in moved]
    contrasted = by_hand(old_side, new_side, alike, rows[:, None] == rows[None, :], negatives)
    spread = np.sum(np.var(Y[pairs.rest].astype(np.float64), axis=0))
    squared = np.mean(np.sum((mapped - y[rows]) ** 2, axis=1)) / spread
    assert got == pytest.approx(squared + 0.7 * contrasted, rel=2e-3)


def add_chain(rows, chain, out):
    add_net(rows, *pack(chain), out)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_unit_of_length_does_not_matter(metric):
    X, Y, labels = labelled()
    small = MetricCompatible(**SMALL, metric=metric).fit(X, Y, labels)
    large = MetricCompatible(**SMALL, metric=metric).fit(8 * X, 8 * Y, labels)
    assert small.epoch_ == large.epoch_ > 0
    np.testing.assert_allclose(8 * small.transform(X), large.transform(8 * X), atol=2e-2)


def test_names_of_classes_do_not_matter():
    X, Y, labels = labelled()
    numbers = MetricCompatible(**SMALL).fit(X, Y, labels)
    names = MetricCompatible(**SMALL).fit(X, Y, np.array(["a", "b", "c", "d"])[labels])
    assert numbers.parameters_.tobytes() == names.parameters_.tobytes()
    assert (
        numbers.parameters_.tobytes() != MetricCompatible(**SMALL).fit(X, Y).parameters_.tobytes()
    )


def test_without_contrast_the_labels_change_the_batches_only():
    X, Y, labels = labelled()
    fitted = MetricCompatible(**{**SMALL, "epochs": 0}, weight=0.0).fit(X, Y, labels)
    rest = np.setdiff1d(np.arange(300), np.sort(np.random.default_rng(0).permutation(300)[:60]))
    held = np.setdiff1d(np.arange(300), rest)
    closed = Ridge().fit(X[rest], Y[rest])
    rows, _ = SameLabel(labels[held]).compose(np.arange(60), np.random.default_rng(0))
    errors = np.sum((closed.transform(X[held]) - Y[held]) ** 2, axis=1)[rows]
    spread = np.sum(np.var(Y[rest].astype(np.float64), axis=0))
    assert fitted.losses_[0] == pytest.approx(errors.mean() / spread, rel=1e-4)


def test_the_head_comes_before_the_map():
    X, Y, labels = labelled()
    fitted = MetricCompatible(**SMALL, head=True).fit(X, Y, labels)
    assert fitted.head_widths_.tolist() == [6, 16, 6]
    head = fitted.head_.transform(X)
    assert np.abs(head - X).max() > 1e-3
    expected = apply(head, fitted.weight_, fitted.bias_)
    add_net(head, fitted.widths_, fitted.parameters_, expected)
    np.testing.assert_allclose(fitted.transform(X), expected, atol=1e-5)


def test_a_head_without_training_changes_no_bit():
    X, Y, labels = labelled()
    fitted = MetricCompatible(epochs=0, head=True).fit(X, Y, labels)
    assert fitted.head_.transform(X).tobytes() == X.tobytes()
    assert fitted.transform(X).tobytes() == Ridge().fit(X, Y).transform(X).tobytes()


def test_the_head_is_an_aligner_that_is_saved_like_any_other(tmp_path):
    X, Y, labels = labelled()
    new, old = as_vectors(X, Space("new", 6), "t"), as_vectors(Y, Space("old", 5), "t")
    bridge = Bridge.fit(MetricCompatible(**SMALL, head=True, seed=4), new, old, y=labels)
    head = bridge.aligner.head_
    assert isinstance(head, ResidualMLP)
    assert (head.seed, head.hidden, head.n_features_out_) == (4, (16,), 6)
    Bridge(head, new.space, Space("new, headed", 6), bridge.evidence).save(tmp_path / "h")
    again = Bridge.load(tmp_path / "h").aligner
    assert again.transform(X).tobytes() == head.transform(X).tobytes()
    bridge.save(tmp_path / "b")
    loaded = Bridge.load(tmp_path / "b").aligner
    assert loaded.head_.transform(X).tobytes() == head.transform(X).tobytes()


def test_a_head_pulls_together_what_is_alike():
    X, Y, labels = labelled(600)
    fitted = MetricCompatible(**{**SMALL, "epochs": 20}, head=True).fit(X, Y, labels)
    fresh, _, truth = labelled(200, seed=1)

    def nearest_is_alike(rows):
        units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        cosines = units @ units.T - 2 * np.eye(len(units))
        return np.mean(truth[cosines.argmax(axis=1)] == truth)

    assert nearest_is_alike(fitted.head_.transform(fresh)) > nearest_is_alike(fresh) + 0.1


def test_no_head_is_told_so():
    X, Y, _ = labelled()
    with pytest.raises(NotFitted):
        MetricCompatible(head=True).head_  # noqa: B018
    with pytest.raises(InvalidInput, match=r"head=True, got head=False. Without a head"):
        MetricCompatible(epochs=0).fit(X, Y).head_  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "labels", "message"),
    [
        ({}, np.zeros(299), r"300 labels, one per pair, got shape \(299,\)"),
        ({}, np.zeros((300, 1)), "300 labels, one per pair"),
        ({}, np.zeros(300), r"at least two classes, got only .*0.* leave the labels out"),
        ({"neighbours": 0}, None, "labels, since neighbours is 0, got none. Pass y"),
        ({"neighbours": -1}, None, "neighbours as an integer from 0"),
        ({"neighbours": 2.5}, None, "neighbours as an integer from 0"),
        ({"metric": "dot"}, None, "metric as one of cosine, euclidean, got 'dot'"),
        ({"negatives": "all"}, None, "negatives as one of own, both, got 'all'"),
        ({"temperature": 0.0}, None, "a positive temperature"),
        ({"weight": -1.0}, None, "a weight from 0"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(arguments, labels, message):
    X, Y, _ = labelled()
    with pytest.raises(InvalidInput, match=message):
        MetricCompatible(**arguments).fit(X, Y, labels)


def test_a_refused_fit_keeps_what_was_learned():
    X, Y, labels = labelled()
    fitted = MetricCompatible(**SMALL, head=True).fit(X, Y, labels)
    before = fitted.transform(X).tobytes()
    with pytest.raises(InvalidInput):
        fitted.fit(X, Y, np.zeros(300))
    assert fitted.transform(X).tobytes() == before
