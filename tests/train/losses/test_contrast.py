"""Losses on mixtures of old and new vectors: Hot-Refresh, MixBCT, UniBCT."""

from __future__ import annotations

import math

import numpy as np
import pytest

from holdfast.errors import InvalidInput

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.train.losses.classification import Classification  # noqa: E402
from holdfast.train.losses.influence import Influence  # noqa: E402
from holdfast.train.losses.mixbct import MixBCT, mixture  # noqa: E402
from holdfast.train.losses.regression_alleviating import RegressionAlleviating  # noqa: E402
from holdfast.train.losses.unibct import UniBCT, refined_prototypes  # noqa: E402
from tests.train.losses.draws import (  # noqa: E402
    LABELS,
    PROTOTYPES,
    batch,
    classify,
    cosine,
    cross_entropy,
    mean,
    normal,
    number,
    unit,
)


@pytest.mark.parametrize("hardest", [None, 1, 3, 50])
@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_regression_alleviating_against_a_double_loop(hardest, temperature):
    given = batch()
    new, old = given.new.numpy(), given.old.numpy()
    terms = []
    for i, y in enumerate(LABELS):
        others = [k for k, z in enumerate(LABELS) if z != y]
        to_old = sorted((cosine(new[i], old[k]) for k in others), reverse=True)[:hardest]
        to_new = sorted((cosine(new[i], new[k]) for k in others), reverse=True)[:hardest]
        own = cosine(new[i], old[i])
        total = 1.0 + sum(math.exp((s - own) / temperature) for s in to_old + to_new)
        terms.append(math.log(total))
    loss = RegressionAlleviating(temperature=temperature, hardest=hardest)
    assert number(loss(given)) == pytest.approx(mean(terms))


def test_the_triplet_against_a_double_loop():
    given = batch()
    new, old = given.new.numpy(), given.old.numpy()
    total = 0.0
    for i, y in enumerate(LABELS):
        others = [k for k, z in enumerate(LABELS) if z != y]
        for rows in (old, new):
            worst = max(cosine(new[i], rows[k]) for k in others)
            total += max(0.0, 0.8 - cosine(new[i], old[i]) + worst)
    got = number(RegressionAlleviating("triplet")(given))
    assert got == pytest.approx(total / len(LABELS))


def test_without_negatives_nothing_is_lost():
    for loss in (RegressionAlleviating(), RegressionAlleviating("triplet")):
        assert number(loss(batch((1, 1, 1)))) == pytest.approx(0.0, abs=1e-12)


def test_new_negatives_count():
    # New vectors that fall together are invisible to old ones; only this loss sees them.
    old = torch.eye(5, dtype=torch.float64)[[0, 1, 2]]
    fine = old + 0.01
    fallen = old + 3.0
    loss = RegressionAlleviating(temperature=0.1)
    given = {"labels": (0, 1, 2), "old": old}
    assert number(loss(batch(new=fallen, **given))) > number(loss(batch(new=fine, **given))) + 0.5


def test_a_mixture_replaces_a_share_by_credible_old_vectors():
    torch.manual_seed(0)
    new, old = torch.from_numpy(normal(2, 20, 5, seed=1))
    credible = torch.arange(20) % 2 == 0
    seen = np.zeros(20)
    for _ in range(200):
        mixed, chosen = mixture(new, old, credible, 0.3)
        assert int(chosen.sum()) == 6
        assert not chosen[~credible].any()
        np.testing.assert_allclose(mixed[chosen], unit(old[chosen]), atol=1e-12)
        np.testing.assert_allclose(mixed[~chosen], unit(new[~chosen]), atol=1e-12)
        seen += chosen.numpy()
    np.testing.assert_allclose(seen[::2] / 200, 0.6, atol=0.15)
    few = torch.arange(20) < 2
    assert mixture(new, old, few, 0.3)[1].nonzero().flatten().tolist() == [0, 1]
    assert not mixture(new, old, credible, 0.0)[1].any()
    assert mixture(new, old, ~few | few, 1.0)[1].all()


def test_mixbct_judges_the_mixture():
    given = batch()
    loss = MixBCT(1.0, Classification(smoothing=0.1, scale=2.0))
    credible = given.credible.numpy()
    rows = np.where(credible[:, None], unit(given.old), unit(given.new))
    logits = 2.0 * classify(torch.from_numpy(rows)).numpy()
    expected = mean(cross_entropy(r, y, 0.1) for r, y in zip(logits, LABELS, strict=True))
    assert number(loss(given)) == pytest.approx(expected)
    new = batch().new.requires_grad_()
    loss(batch(new=new)).backward()
    assert not new.grad[given.credible].any()
    assert bool(new.grad[~given.credible].any(1).all())


def test_prototypes_are_refined_along_the_graph_of_new_vectors():
    new, old = normal(12, 6, seed=0), normal(12, 5, seed=1)
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 4, 4, 0])
    got = refined_prototypes(new, old, labels, 5).numpy()
    for c in (0, 1, 4):
        rows = np.flatnonzero(labels == c)
        m = len(rows)
        E = np.zeros((m, m))
        for i in range(m):
            weights = [math.exp(cosine(new[rows[i]], new[rows[j]]) / 0.05) for j in range(m)]
            weights[i] = 0.0
            E[i] = np.array(weights) / sum(weights)
        v = 0.1 * np.linalg.inv(np.eye(m) - 0.9 * E) @ unit(old[rows])
        np.testing.assert_allclose(got[c], v.mean(0), atol=1e-10)
    np.testing.assert_allclose(got[2], unit(old[8]), atol=1e-12)
    assert not got[3].any()


@pytest.mark.parametrize("spread", [0.0, 0.9])
def test_a_large_class_is_refined_without_its_graph_in_memory(spread, monkeypatch):
    new, old, labels = normal(60, 6, seed=0), normal(60, 5, seed=1), np.arange(60) // 50
    whole = refined_prototypes(new, old, labels, 2, spread=spread).numpy()
    monkeypatch.setattr("holdfast.train.losses.unibct._SOLVED", 20)  # 8 rows of the graph at once
    parts = refined_prototypes(new, old, labels, 2, spread=spread).numpy()
    np.testing.assert_allclose(parts[0], whole[0], rtol=0.0, atol=1e-6)
    assert np.array_equal(parts[1], whole[1])  # ten items are few


def test_without_spreading_prototypes_are_means():
    new, old = normal(12, 6, seed=0), normal(12, 5, seed=1)
    labels = np.arange(12) % 3
    got = refined_prototypes(new, old, labels, 3, spread=0.0).numpy()
    for c in range(3):
        np.testing.assert_allclose(got[c], unit(old[labels == c]).mean(0), atol=1e-12)


def test_outliers_lose_their_weight():
    new = np.vstack([np.eye(4)[[0] * 6] + 0.01 * normal(6, 4, seed=0), -np.eye(4)[[0]]])
    old = np.vstack([np.eye(4)[[1] * 6], np.eye(4)[[2]]])
    refined = refined_prototypes(new, old, [0] * 7, 1).numpy()[0]
    assert refined[2] < 0.3 / 7


def test_unibct_waits_and_then_is_the_influence():
    loss = UniBCT(PROTOTYPES, scale=4.0, warm_up=0.3)
    assert number(loss(batch(progress=0.29))) == 0.0
    same = number(Influence(PROTOTYPES, scale=4.0)(batch()))
    assert number(loss(batch(progress=0.3))) == pytest.approx(same)
    new, old = normal(9, 6, seed=0), normal(9, 5, seed=1)
    labels = [0, 0, 0, 1, 1, 1, 2, 2, 2]
    before = loss.rows.clone()
    loss.refine(new, old, labels)
    expected = unit(refined_prototypes(new, old, labels, 4).numpy()[:3])
    np.testing.assert_allclose(loss.rows[:3], expected, atol=1e-12)
    assert torch.equal(loss.rows[3], before[3])
    assert torch.equal(loss.state_dict()["rows"], loss.rows)


def test_classes_that_the_old_model_never_knew_are_not_refined():
    new, old = normal(9, 6, seed=0), normal(9, 5, seed=1)
    labels = np.array([3, 0, 1, 0, 5, 1, 2, 2, 1])  # rows of three classes only
    loss = UniBCT(PROTOTYPES[:3], warm_up=0.0)
    loss.refine(new, old, labels)
    inside = labels < 3
    expected = refined_prototypes(new[inside], old[inside], labels[inside], 3)
    np.testing.assert_array_equal(loss.rows, expected)
    with pytest.raises(InvalidInput, match="classes below 3"):
        refined_prototypes(new, old, labels, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RegressionAlleviating("pairs"), "contrast or triplet"),
        (lambda: RegressionAlleviating(temperature=0.0), "temperature > 0"),
        (lambda: RegressionAlleviating(hardest=0), "hardest from 1"),
        (lambda: MixBCT(1.5), "a share in"),
        (lambda: UniBCT(PROTOTYPES, warm_up=2.0), "warm_up in"),
        (lambda: refined_prototypes([[1.0]], [[1.0]], [0], 1, spread=1.0), "spread in"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()
