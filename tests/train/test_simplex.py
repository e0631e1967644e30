"""Fixed classifiers: fast logits against the matrix, growth, and what is stored."""

from __future__ import annotations

import math

import numpy as np
import pytest

from holdfast.errors import InvalidInput
from holdfast.train.vertices import simplex

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.train.expansion import padded  # noqa: E402
from holdfast.train.heads import LearnedHead  # noqa: E402
from holdfast.train.simplex import OneHotHead, SimplexHead, simplex_logits  # noqa: E402

functional = torch.nn.functional


@pytest.mark.parametrize("capacity", [2, 3, 10, 513])
def test_fast_logits_are_those_of_the_matrix(capacity):
    z = np.random.default_rng(0).normal(size=(2, 7, capacity - 1))
    got = simplex_logits(torch.from_numpy(z), capacity).numpy()
    np.testing.assert_allclose(got, z @ simplex(capacity).T, atol=1e-12)


def test_fast_logits_keep_their_digits_in_float32():
    z = 20.0 * np.random.default_rng(0).normal(size=(64, 1023)).astype(np.float32)
    got = simplex_logits(torch.from_numpy(z), 1024).numpy()
    np.testing.assert_allclose(got, z.astype(np.float64) @ simplex(1024).T, atol=1e-3)


def test_their_gradient_is_that_of_the_matrix():
    z = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: simplex_logits(x, 6), (z,))
    (slope,) = torch.autograd.grad(simplex_logits(z, 6)[:, 2].sum(), z)
    np.testing.assert_allclose(slope.numpy(), np.tile(simplex(6)[2], (3, 1)), atol=1e-12)


@pytest.mark.parametrize(("length", "expected"), [(5.0, 2.06), (10.0, 0.045), (20.0, 2e-6)])
def test_the_cross_entropy_of_an_aligned_vector(length, expected):
    K = 1024
    z = torch.from_numpy(length * simplex(K, np.array([3])))
    value = float(functional.cross_entropy(simplex_logits(z, K), torch.tensor([3])))
    formula = math.log1p((K - 1) * math.exp(-length * K / (K - 1)))
    assert value == pytest.approx(formula, rel=1e-6)
    assert value == pytest.approx(expected, rel=0.05)


def test_the_simplex_head_stores_its_projection_only():
    head = SimplexHead(16, 1024)
    assert {k: tuple(v.shape) for k, v in head.state_dict().items()} == {
        "project.weight": (1023, 16)
    }
    rows = torch.randn(4, 16)
    answer = head(rows)
    expected = rows.numpy() @ head.project.weight.detach().numpy().T
    np.testing.assert_allclose(answer.vectors.detach().numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(
        answer.logits.detach().numpy(), expected @ simplex(1024).T, atol=1e-4
    )
    assert answer.shared is None
    assert head.dim == 1023


def test_scaled_heads_train_cosines():
    rows = torch.randn(4, 6)
    simplex_head, one_hot = SimplexHead(6, 4, scale=16.0), OneHotHead(6, 4, scale=16.0)
    for head, figure in ((simplex_head, simplex(4)), (one_hot, np.eye(4))):
        answer = head(rows)
        z = answer.vectors.detach().numpy()
        cosines = z / np.linalg.norm(z, axis=1, keepdims=True) @ figure.T
        np.testing.assert_allclose(answer.logits.detach().numpy(), 16.0 * cosines, atol=1e-5)


def test_a_grown_one_hot_head_keeps_its_coordinates():
    head = OneHotHead(6, 3)
    rows = torch.randn(5, 6)
    old = head(rows).vectors
    more = head.grown(7)(rows).vectors
    np.testing.assert_allclose(more[:, :3].detach(), old.detach(), atol=1e-6)
    # An old vector among longer ones keeps its products with the old coordinates.
    np.testing.assert_allclose(
        (more @ padded(old, 7).T).detach(), (more[:, :3] @ old.T).detach(), atol=1e-5
    )
    assert torch.equal(head(rows).logits, old)


@pytest.mark.parametrize("bias", [True, False])
def test_a_grown_learned_head_keeps_its_classes(bias):
    head = LearnedHead(6, 3, bias)
    rows = torch.randn(5, 6)
    more = head.grown(5)
    np.testing.assert_allclose(
        more(rows).logits[:, :3].detach(), head(rows).logits.detach(), atol=1e-6
    )
    assert torch.equal(more(rows).vectors, rows)
    assert (more.classifier.bias is not None) == bias


def test_heads_refuse_what_makes_no_sense():
    with pytest.raises(InvalidInput, match="at least 2 classes"):
        SimplexHead(4, 1)
    with pytest.raises(InvalidInput, match="at least 1 class"):
        OneHotHead(4, 0)
    with pytest.raises(InvalidInput, match=r"\(..., 4\) vectors"):
        simplex_logits(torch.zeros(2, 5), 5)
    for head in (OneHotHead(4, 3), LearnedHead(4, 3)):
        with pytest.raises(InvalidInput, match="at least the 3 outputs"):
            head.grown(2)
