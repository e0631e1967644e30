"""The orthogonal layer: exact at every step, right gradients, and no more than it claims."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.linalg import expm

from holdfast.errors import InvalidInput

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.train.orthogonal import OrthogonalLayer, exponential  # noqa: E402

ROTATIONS = ["exponential", "cayley", "householder"]


def away(rotation, dim, size=1.0, dtype=None):
    """A layer far from the identity."""
    torch.manual_seed(0)
    layer = OrthogonalLayer(dim, rotation).to(dtype or torch.float32)
    with torch.no_grad():
        for values in layer.parameters():
            values.add_(size * torch.randn_like(values))
    return layer


def off(layer):
    """Largest singular value of Q^T Q - I, in float64."""
    Q = layer.matrix().detach().double()
    return float(torch.linalg.matrix_norm(Q.T @ Q - torch.eye(layer.dim).double(), 2))


def by_hand(layer):
    """Q from its definition."""
    free = layer.free.detach().double().numpy()
    eye = np.eye(layer.dim)
    if layer.rotation == "householder":
        Q = eye
        for v in free:
            Q = Q @ (eye - 2.0 * np.outer(v, v) / (v @ v))
        return Q
    upper = np.triu(free, 1)
    skew = upper - upper.T
    return (
        expm(skew) if layer.rotation == "exponential" else np.linalg.inv(eye + skew) @ (eye - skew)
    )


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("dim", [2, 3, 40, 41])
def test_the_matrix_is_the_one_defined(rotation, dim):
    layer = away(rotation, dim)
    np.testing.assert_allclose(layer.matrix().detach().numpy(), by_hand(layer), atol=2e-5)
    assert np.linalg.det(by_hand(layer)) == pytest.approx(1.0)


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("dim", [3, 160, 512])
def test_it_is_orthogonal_far_from_the_identity(rotation, dim):
    layer = away(rotation, dim, size=0.2)
    assert off(layer) < 1e-5
    assert float((layer.matrix() - torch.eye(dim)).detach().norm()) > 0.2 * math.sqrt(dim)


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("count", [1, 4, 50])
def test_rows_are_turned_by_the_matrix(rotation, count):
    layer = away(rotation, 12)
    rows = torch.randn(count, 12)
    got = layer(rows).detach().numpy()
    bias = layer.bias.detach().numpy()
    np.testing.assert_allclose(got, rows.numpy() @ by_hand(layer).T + bias, atol=2e-5)
    deeper = layer(rows[None].expand(2, -1, -1)).detach().numpy()
    np.testing.assert_allclose(deeper, np.stack([got, got]), atol=2e-5)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_it_starts_at_the_identity(rotation):
    rows = torch.randn(5, 9)
    np.testing.assert_allclose(OrthogonalLayer(9, rotation)(rows).detach(), rows, atol=2e-6)


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("count", [2, 7])
def test_gradients(rotation, count):
    layer = away(rotation, 4, dtype=torch.float64)
    rows = torch.randn(count, 4, dtype=torch.float64, requires_grad=True)

    def turned(x, free, bias):
        return torch.func.functional_call(layer, {"free": free, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(turned, (rows, layer.free, layer.bias))


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_a_thousand_steps_leave_it_orthogonal_and_find_a_rotation(rotation):
    torch.manual_seed(1)
    target = torch.linalg.qr(torch.randn(40, 40)).Q
    if torch.linalg.det(target) < 0:
        target[0] *= -1.0
    layer = OrthogonalLayer(40, rotation)
    adam = torch.optim.Adam(layer.parameters(), lr=0.01)
    for step in range(1000):
        for group in adam.param_groups:
            group["lr"] = 0.01 * (1.0 + math.cos(math.pi * step / 1000))
        rows = torch.randn(32, 40)
        adam.zero_grad()
        (layer(rows) - rows @ target.T - 1.0).square().mean().backward()
        adam.step()
    Q = layer.matrix().detach().double()
    assert float((Q.T @ Q - torch.eye(40).double()).norm()) < 1e-5
    apart = (layer.matrix() - target).detach().norm() / target.norm()
    assert float(apart) < 0.1
    np.testing.assert_allclose(layer.bias.detach(), 1.0, atol=0.02)


def test_few_reflections_move_few_directions():
    torch.manual_seed(0)
    layer = OrthogonalLayer(20, "householder", reflections=4)
    with torch.no_grad():
        layer.free.add_(torch.randn_like(layer.free))
    Q = layer.matrix().detach().numpy().astype(float)
    np.testing.assert_allclose(Q, by_hand(layer), atol=1e-5)
    assert np.linalg.matrix_rank(Q - np.eye(20), tol=1e-4) == 4


@pytest.mark.parametrize("norm", [0.0, 1e-3, 0.4, 3.0, 40.0])
def test_the_exponential_is_that_of_scipy(norm):
    rng = np.random.default_rng(0)
    skew = rng.normal(size=(15, 15))
    skew = skew - skew.T
    skew *= norm / np.abs(skew).sum(0).max()
    got = exponential(torch.from_numpy(skew)).numpy()
    np.testing.assert_allclose(got, expm(skew), rtol=0.0, atol=2e-14)


@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize("wild", [math.nan, math.inf])
def test_a_training_that_diverged_is_for_the_loop_to_refuse(rotation, wild):
    layer = OrthogonalLayer(6, rotation)
    with torch.no_grad():
        layer.free[0, 1] = wild
    assert not bool(torch.isfinite(layer(torch.randn(9, 6))).all())


def test_half_precision_around_it_does_not_bend_it():
    layer = away("cayley", 16)
    rows = torch.randn(5, 16)
    expected = layer(rows)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(layer(rows).detach(), expected.detach())
        assert layer(rows.bfloat16()).dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OrthogonalLayer(4, "givens"), "a rotation among exponential, cayley"),
        (lambda: OrthogonalLayer(1), "at least 2"),
        (lambda: OrthogonalLayer(4, "cayley", reflections=2), "with householder only"),
        (lambda: OrthogonalLayer(5, "householder", reflections=3), "even number"),
        (lambda: OrthogonalLayer(5, "householder", reflections=6), "from 2 to 4"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()
