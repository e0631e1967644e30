"""Kernel regression against scikit-learn's, and through landmarks against a slow solution."""

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from holdfast.align.kernel import Kernel
from holdfast.align.linear import Ridge
from holdfast.errors import InvalidInput


def bent(count, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4)).astype(np.float32)
    weight = np.random.default_rng(99).normal(size=(4, 6))
    return x, (np.sin(x @ weight) + 0.3 * x @ weight).astype(np.float32)


def width(x):
    return np.mean([np.sum((a - b) ** 2) for a in x for b in x])


def test_with_all_pairs_as_landmarks_it_is_kernel_ridge():
    x, y = bent(80)
    theirs = KernelRidge(alpha=0.3, kernel="rbf", gamma=1.0 / width(x)).fit(x, y - y.mean(axis=0))
    fresh = bent(30, seed=1)[0]
    expected = theirs.predict(fresh) + y.mean(axis=0)
    np.testing.assert_allclose(Kernel(penalty=0.3).fit(x, y).transform(fresh), expected, atol=2e-3)


def test_landmarks_solve_the_penalised_least_squares():
    x, y = bent(200)
    fitted = Kernel(landmarks=20, penalty=0.5).fit(x, y)
    z = (fitted.landmarks_ + fitted.center_).astype(np.float64)

    def kernel(a, b):
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(axis=2) / width(x))

    seen, among = kernel(x, z), kernel(z, z)
    centred = y - y.mean(axis=0)
    found = fitted.coefficients_.astype(np.float64)
    # At the minimum of |seen c - y|^2 + 0.5 c'(among)c the gradient vanishes.
    gradient = seen.T @ (seen @ found - centred) + 0.5 * among @ found
    assert np.abs(gradient).max() < 1e-2 * np.abs(seen.T @ centred).max()
    assert all(np.abs(x - row).max(axis=1).min() < 1e-5 for row in z)
    assert len(z) == 20


def test_it_bends_where_ridge_cannot():
    x, y = bent(1_500)
    fresh, truth = bent(300, seed=1)
    errors = [
        np.mean((aligner.fit(x, y).transform(fresh) - truth) ** 2)
        for aligner in (Kernel(512), Ridge())
    ]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_the_scale_of_the_source_does_not_matter(scale):
    x, y = bent(100)
    one, other = Kernel(30).fit(x, y), Kernel(30).fit(scale * x, y)
    np.testing.assert_allclose(one.transform(x), other.transform(scale * x), atol=1e-3)


def test_rows_are_mapped_alone_and_in_blocks_alike():
    x, y = bent(5_000)
    fitted = Kernel(50).fit(x, y)
    whole = fitted.transform(x)
    np.testing.assert_allclose(whole[[0, 4_999]], fitted.transform(x[[0, 4_999]]), atol=1e-5)


@pytest.mark.parametrize(
    "given", [{"landmarks": 0}, {"landmarks": 2.5}, {"penalty": -1.0}, {"penalty": np.nan}]
)
def test_unusable_arguments_are_refused_by_name(given):
    rows = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.raises(InvalidInput, match=next(iter(given))):
        Kernel(**given).fit(rows, rows)
