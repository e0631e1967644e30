"""The mean drift against plain means, a sum over versions, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.align.bridge import Bridge
from holdfast.align.drift import MeanDrift
from holdfast.arrays import as_vectors
from holdfast.errors import DimensionMismatch
from holdfast.space import Space


def drawn(count=80, dim=5, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def test_rows_are_moved_by_the_difference_of_the_means():
    X, Y, asked = drawn(), drawn(seed=1) + 3.0, drawn(7, seed=2)
    mapped = MeanDrift().fit(X, Y).transform(asked)
    for row, got in zip(asked.astype(np.float64), mapped, strict=True):
        expected = row + np.mean(Y.astype(np.float64), axis=0) - np.mean(X.astype("f8"), axis=0)
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_the_drifts_of_versions_in_a_row_sum_to_the_drift_from_first_to_last():
    first, second, third = drawn(), drawn(seed=1) + 1.0, drawn(seed=2) - 2.0
    there = MeanDrift().fit(first, second).transform(first)
    twice = MeanDrift().fit(second, third).transform(there)
    np.testing.assert_allclose(MeanDrift().fit(first, third).transform(first), twice, atol=1e-5)


def test_no_translation_has_a_smaller_squared_error():
    X, Y = drawn(), drawn(seed=1) + 1.0
    mapped = MeanDrift().fit(X, Y).transform(X).astype(np.float64)
    least = np.sum((mapped - Y) ** 2)
    for step in np.eye(5) * 0.01:
        assert np.sum((mapped + step - Y) ** 2) > least
        assert np.sum((mapped - step - Y) ** 2) > least


def test_spaces_of_two_dimensions_are_refused_with_what_leads_between_them():
    with pytest.raises(DimensionMismatch, match=r"of one dimension.* got 5 and 6\..*Procrustes"):
        MeanDrift().fit(drawn(), drawn(dim=6))


def test_a_bridge_is_saved_and_leads_back(tmp_path):
    a, b = Space("a", 5, "euclidean"), Space("b", 5, "euclidean")
    X, Y = as_vectors(drawn(), a, "test"), as_vectors(drawn() + 1.0, b, "test")
    Bridge.fit(MeanDrift(), X, Y).save(tmp_path / "b")
    bridge = Bridge.load(tmp_path / "b")
    np.testing.assert_allclose(bridge.transform(X).array, Y.array, atol=1e-6)
    np.testing.assert_allclose(bridge.inverse().transform(Y).array, X.array, atol=1e-6)
