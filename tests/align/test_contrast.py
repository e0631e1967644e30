"""Contrastive losses against double loops and against published special cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from holdfast.align.contrast import contrast, distances
from holdfast.align.likeness import Neighbours, SameLabel


def by_hand(old, new, alike, same, negatives):
    """Sums of exponentials, row by row."""
    size = len(old)
    terms_old, terms_new = [], []
    for i in range(size):
        others = [j for j in range(size) if alike[i][j] and not same[i][j]]
        own = [j for j in range(size) if same[i][j]]
        unlike = [j for j in range(size) if not alike[i][j]]
        n_old = sum(math.exp(old[i][j]) for j in unlike)
        n_new = sum(math.exp(new[i][j]) for j in unlike)
        if negatives == "both":
            n_old = n_new = n_old + n_new
        p_old = sum(math.exp(old[i][j]) for j in others or own)
        terms_old.append(-math.log(p_old / (p_old + n_old)))
        if others:
            p_new = sum(math.exp(new[i][j]) for j in others)
            terms_new.append(-math.log(p_new / (p_new + n_new)))
    return np.mean(terms_old) + (np.mean(terms_new) if terms_new else 0.0)


def batch(labels, repeated=()):
    rng = np.random.default_rng(0)
    labels = np.array(labels)
    old, new = rng.normal(size=(2, len(labels), len(labels))).astype(np.float32)
    same = np.eye(len(labels), dtype=bool)
    for i, j in repeated:
        same[i, j] = same[j, i] = True
    return old, new, labels[:, None] == labels[None, :], same


def value(old, new, alike, same, negatives):
    return float(contrast(torch.from_numpy(old), torch.from_numpy(new), alike, same, negatives))


@pytest.mark.parametrize("negatives", ["own", "both"])
@pytest.mark.parametrize(
    "given",
    [
        batch([0, 0, 1, 1, 2, 2, 2]),
        batch([0, 0, 1, 2, 2, 3]),  # some classes have one row
        batch([0, 1, 2, 3]),  # all have
        batch([0, 0, 1, 1, 1], repeated=[(0, 1)]),  # one item twice
    ],
)
def test_the_loss_is_that_of_a_double_loop(given, negatives):
    assert value(*given, negatives) == pytest.approx(by_hand(*given, negatives), rel=1e-5)


def test_rows_that_are_all_alike_cost_nothing():
    given = batch([0, 0, 0])
    assert value(*given, "both") == 0.0


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_with_one_space_and_one_row_a_class_it_is_the_regression_alleviating_loss(temperature):
    rng = np.random.default_rng(3)
    n, o = rng.normal(size=(2, 8, 5))
    n, o = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (n, o))
    expected = []
    for i in range(8):
        match = np.exp(n[i] @ o[i] / temperature)
        others = [k for k in range(8) if k != i]
        pushed = sum(np.exp(n[i] @ o[k] / temperature) for k in others)
        pushed += sum(np.exp(n[i] @ n[k] / temperature) for k in others)
        expected.append(-np.log(match / (match + pushed)))
    a, b = (torch.from_numpy(x.astype(np.float32)) for x in (n, o))
    old, new = (-distances(a, x, "cosine") / temperature for x in (b, a))
    got = float(contrast(old, new, np.eye(8, dtype=bool), np.eye(8, dtype=bool), "both"))
    assert got == pytest.approx(np.mean(expected), rel=1e-4)


def test_only_differences_of_logits_count():
    old, new, alike, same = batch([0, 0, 1, 1])
    shifted = old + 5.0, new + 5.0, alike, same
    assert value(*shifted, "both") == pytest.approx(value(old, new, alike, same, "both"), rel=1e-5)
    # Moving one system alone is what training across both must notice, and each alone cannot.
    moved = old + 5.0, new, alike, same
    assert value(*moved, "own") == pytest.approx(value(old, new, alike, same, "own"), rel=1e-5)
    assert value(*moved, "both") > value(old, new, alike, same, "both") + 1.0


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_distances_are_those_of_a_loop_and_have_slopes(metric):
    a, b = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32)
    b[2] = a[1]
    rows = torch.from_numpy(a).requires_grad_(True)
    got = distances(rows, torch.from_numpy(b), metric)
    for i in range(6):
        for j in range(6):
            if metric == "cosine":
                wanted = 1 - a[i] @ b[j] / np.linalg.norm(a[i]) / np.linalg.norm(b[j])
            else:
                wanted = np.linalg.norm(a[i] - b[j])
            assert got[i, j].item() == pytest.approx(wanted, abs=1e-3)
    got.sum().backward()
    assert torch.isfinite(rows.grad).all()


def test_distances_far_from_the_origin_keep_their_digits():
    a, b = np.random.default_rng(0).normal(size=(2, 6, 4)).astype(np.float32) + np.float32(8192)
    wanted = np.linalg.norm(a[:, None].astype(np.float64) - b[None], axis=2)
    got = distances(torch.from_numpy(a), torch.from_numpy(b), "euclidean")
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-3)


def test_partners_are_of_the_anchors_class_and_all_of_it():
    labels = np.array([2, 0, 1, 0, 2, 0])
    likeness, rng = SameLabel(labels), np.random.default_rng(0)
    drawn = set()
    for _ in range(50):
        rows, alike = likeness.compose(np.array([1, 4, 2]), rng)
        assert rows[:3].tolist() == [1, 4, 2]
        assert labels[rows].tolist() == [0, 2, 1, 0, 2, 1]
        np.testing.assert_array_equal(alike, labels[rows][:, None] == labels[rows][None, :])
        drawn.add(int(rows[3]))
    assert drawn == {1, 3, 5}


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neighbours_are_those_of_brute_force(metric):
    points = np.random.default_rng(4).normal(size=(40, 5)).astype(np.float32)
    points *= np.linspace(0.5, 3.0, 40, dtype=np.float32)[:, None]
    units = points / np.linalg.norm(points, axis=1, keepdims=True)
    seen = units if metric == "cosine" else points
    lists = []
    for i in range(40):
        far = [np.inf if j == i else float(np.sum((seen[i] - seen[j]) ** 2)) for j in range(40)]
        lists.append(set(np.argsort(far)[:3].tolist()))
    likeness, anchors = Neighbours(points, 3, metric), np.arange(0, 40, 3)
    rows, alike = likeness.compose(anchors, np.random.default_rng(0))
    half = len(anchors)
    assert all(rows[half + i] in lists[rows[i]] for i in range(half))

    def near(i, j):
        return i == j or j in lists[i] or i in lists[j]

    def in_group(place, other):
        group = {rows[place % half], rows[place % half + half]}
        return any(near(member, rows[other]) for member in group)

    for i in range(2 * half):
        for j in range(2 * half):
            assert alike[i, j] == (in_group(i, j) or in_group(j, i))


def test_a_single_row_has_no_neighbour():
    rows, alike = Neighbours(np.ones((1, 3), dtype=np.float32), 5, "cosine").compose(
        np.array([0]), np.random.default_rng(0)
    )
    assert rows.tolist() == [0, 0]
    assert alike.all()
