"""Forward maps: what their uncertainty says, and its loss by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from holdfast.align.descent import Course, Pairs
from holdfast.align.forward import FastFill, Forward, Likelihood, prototypes
from holdfast.align.linear import Ridge
from holdfast.errors import InvalidInput, NotFitted
from tests.align.learned import curved

SMALL = {"hidden": (16,), "epochs": 5, "batch": 64, "rate": 1e-2}


def uneven(count=3000, seed=0):
    """Pairs whose noise grows with the first coordinate; and the noise's log variance."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, 5)).astype(np.float32)
    Y = X @ np.random.default_rng(9).normal(size=(5, 6))
    spread = np.exp(0.8 * X[:, 0] - 2.0)
    Y += spread[:, None] * rng.normal(size=Y.shape)
    return X, Y.astype(np.float32), np.log(6 * spread.astype(np.float64) ** 2)


def test_uncertainty_is_the_log_of_the_squared_error():
    X, Y, _ = uneven()
    fitted = FastFill(hidden=(8,), rate=1e-2).fit(X, Y)
    fresh, truth, planted = uneven(2000, seed=1)
    said = fitted.uncertainty(fresh)
    assert np.corrcoef(said, planted)[0, 1] > 0.95
    errors = np.sum((fitted.transform(fresh) - truth) ** 2, axis=1)
    # In each tenth, from the surest to the least sure, the error is what was predicted.
    for part in np.array_split(np.argsort(said), 10):
        assert 0.6 < errors[part].mean() / np.exp(said[part]).mean() < 1.6
    worst = np.argsort(-said)[:200]
    assert errors[worst].sum() > 0.35 * errors.sum()


def test_where_the_closed_form_is_kept_all_rows_are_as_uncertain_as_it_was_wrong():
    X, Y, _ = uneven(400)
    fitted = FastFill(hidden=(8,), epochs=0).fit(X, Y)
    rest = np.setdiff1d(np.arange(400), np.sort(np.random.default_rng(0).permutation(400)[:80]))
    part = Ridge().fit(X[rest], Y[rest])
    error = np.mean(np.sum((part.transform(X[rest]) - Y[rest]).astype(np.float64) ** 2, axis=1))
    np.testing.assert_allclose(fitted.uncertainty(X), np.log(error), rtol=1e-4)


def test_mapped_rows_give_their_uncertainty_by_one_product():
    X, Y, _ = uneven(300)
    fitted = FastFill(**SMALL).fit(X, Y)
    expected = [row @ fitted.variance_weight_ for row in fitted.transform(X).astype(np.float64)]
    np.testing.assert_allclose(fitted.uncertainty(X) - fitted.variance_bias_, expected, rtol=1e-6)
    state = fitted.get_state()
    other = FastFill().set_state(state)
    assert other.uncertainty(X).tobytes() == fitted.uncertainty(X).tobytes()
    with pytest.raises(InvalidInput, match="variance_weight_ of 6 numbers"):
        FastFill().set_state(state | {"variance_weight_": np.zeros(7, dtype=np.float32)})


@pytest.mark.parametrize(
    ("discriminate", "offset", "within"), [(0.0, 0.0, 1e-4), (0.5, 0.0, 1e-4), (0.5, 4096.0, 1e-2)]
)
def test_the_loss_is_the_likelihood_by_hand(discriminate, offset, within):
    X, Y = curved(80)
    Y += np.float32(offset)
    labels = np.arange(80) % 3
    pairs = Pairs.of(X, Y, labels if discriminate else None, 0.25, 0, "test")
    closed = Ridge().fit(X[pairs.rest], Y[pairs.rest])
    objective = Likelihood(pairs, closed, Course((8,), 1, 64, 1e-3, 0), discriminate)
    with torch.no_grad():
        objective.slope += torch.linspace(-0.3, 0.4, 5)
        objective.level += 0.2
        got = float(objective.loss(np.arange(20), True, np.random.default_rng(0)))
    y = Y[pairs.rest].astype(np.float64)
    spread = np.mean(np.sum((y - y.mean(axis=0)) ** 2, axis=1))
    centres = [Y[labels == c].astype(np.float64).mean(axis=0) for c in range(3)]

    def error(place):
        row = closed.transform(X[place : place + 1])[0].astype(np.float64)
        out = np.sum((row - Y[place]) ** 2) / spread
        if discriminate:
            scores = np.array([-10.0 * np.sum((row - c) ** 2) / spread for c in centres])
            logs = scores - np.log(np.sum(np.exp(scores)))
            target = 0.1 / 3 + 0.9 * (np.arange(3) == labels[place])
            out -= discriminate * np.sum(target * logs)
        return row, out

    level = np.log(np.mean([error(place)[1] for place in pairs.rest])) + 0.2
    terms = []
    for place in pairs.held:
        row, loss = error(place)
        unit = np.sqrt(spread / 5)
        s = (row - y.mean(axis=0)) @ np.linspace(-0.3, 0.4, 5) / unit + level
        terms.append(0.5 * np.exp(-s) * loss + 0.5 * s)
    assert got == pytest.approx(np.mean(terms), rel=within)
    # Folded, the same prediction is told of the error in the targets' own unit.
    weight, bias = objective.folded_variance()
    assert row @ weight + bias == pytest.approx(s + np.log(spread), rel=within)


def test_asking_for_the_class_brings_mapped_rows_nearer_to_their_own_prototype():
    rng = np.random.default_rng(0)
    labels = rng.integers(5, size=1500)
    hidden = 1.5 * rng.normal(size=(5, 6))[labels] + rng.normal(size=(1500, 6))
    X = np.tanh(hidden @ rng.normal(size=(6, 8))).astype(np.float32)
    Y = (hidden + rng.normal(size=hidden.shape)).astype(np.float32)
    means = prototypes(Y, labels)

    def right(fitted):
        far = ((fitted.transform(X[1000:])[:, None] - means[None]) ** 2).sum(axis=2)
        return np.mean(far.argmin(axis=1) == labels[1000:])

    plain = FastFill(0.0, **SMALL).fit(X[:1000], Y[:1000], labels[:1000])
    told = FastFill(3.0, **SMALL).fit(X[:1000], Y[:1000], labels[:1000])
    assert right(told) > right(plain)


def test_prototypes_are_the_means_of_a_loop():
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(50, 3)).astype(np.float32), rng.permutation(50) % 7
    expected = [rows[labels == c].mean(axis=0) for c in range(7)]
    np.testing.assert_allclose(prototypes(rows, labels), expected, atol=1e-6)


def test_labels_are_not_looked_at_unless_asked_for():
    X, Y = curved(200)
    with_labels = FastFill(**SMALL).fit(X, Y, np.arange(200) % 4)
    assert with_labels.parameters_.tobytes() == FastFill(**SMALL).fit(X, Y).parameters_.tobytes()
    assert Forward(**SMALL).fit(X, Y, "anything").transform(X).shape == (200, 5)


@pytest.mark.parametrize(
    ("discriminate", "labels", "message"),
    [
        (1.0, None, "labels, since discriminate is above 0, got none. Pass y"),
        (1.0, np.zeros(99), r"100 labels, one per pair, got shape \(99,\)"),
        (1.0, np.ones(100), "labels of at least two classes"),
        (-1.0, None, "discriminate from 0"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(discriminate, labels, message):
    with pytest.raises(InvalidInput, match=message):
        FastFill(discriminate).fit(*curved(100), labels)


def test_uncertainty_before_fit_or_of_other_rows_is_refused():
    with pytest.raises(NotFitted):
        FastFill().uncertainty(np.ones((1, 6)))
    fitted = FastFill(epochs=0).fit(*curved(50))
    with pytest.raises(InvalidInput, match=r"FastFill.uncertainty: expected \(n, 6\)"):
        fitted.uncertainty(np.ones((2, 5)))
