"""The simplex in closed form against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.errors import InvalidInput
from holdfast.train.vertices import axes, coefficients, simplex


def by_construction(capacity):
    """Axes and one point on the diagonal, centred, each scaled to length one."""
    n = capacity - 1
    points = np.vstack([np.eye(n), np.full((1, n), (1.0 - np.sqrt(1.0 + n)) / n)])
    points -= points.mean(0)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


@pytest.mark.parametrize("capacity", [2, 3, 4, 17, 100, 1024])
def test_it_is_the_regular_simplex(capacity):
    W = simplex(capacity)
    n = capacity - 1
    np.testing.assert_allclose(W, by_construction(capacity), atol=1e-13)
    expected = np.full((capacity, capacity), -1.0 / n)
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(W @ W.T, expected, atol=1e-13)
    np.testing.assert_allclose(W.sum(0), 0.0, atol=1e-12)
    np.testing.assert_allclose(W.T @ W, capacity / n * np.eye(n), atol=1e-12)


def test_golden_rows():
    expected = [[0.9659, -0.2588], [-0.2588, 0.9659], [-0.7071, -0.7071]]
    np.testing.assert_allclose(simplex(3), expected, atol=5e-5)
    np.testing.assert_allclose(simplex(2), [[1.0], [-1.0]], atol=1e-15)


def test_some_rows_are_those_rows():
    chosen = np.array([9, 0, 9, 4])
    np.testing.assert_array_equal(simplex(10, chosen), simplex(10)[chosen])
    np.testing.assert_array_equal(axes(10, chosen), np.eye(10)[chosen])
    np.testing.assert_array_equal(axes(4), np.eye(4))


@pytest.mark.parametrize("capacity", [1, 0, -3])
def test_too_few_vertices_are_refused(capacity):
    with pytest.raises(InvalidInput, match="at least 2 classes"):
        coefficients(capacity)


@pytest.mark.parametrize("vertices", [[10], [-1], [[1]]])
def test_a_vertex_that_is_not_there_is_refused(vertices):
    with pytest.raises(InvalidInput, match="numbers from 0 to 9"):
        simplex(10, np.array(vertices))
