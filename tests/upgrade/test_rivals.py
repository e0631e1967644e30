"""The parts of which new scores of rivals are drawn, against slow references."""

import numpy as np
import pytest

from holdfast.upgrade.foresight.rivals import _SHARED, Pairs, Shared, Steps

LEVELS = len(_SHARED)


def test_a_level_is_the_product_of_its_table():
    random = np.random.default_rng(0)
    pairs = Pairs(*random.normal(size=(2, 4, 6)), *random.normal(size=(2, 6)))
    fitted, which = random.normal(size=12), random.random((4, 6)) < 0.5
    np.testing.assert_allclose(pairs.level(fitted)[which], pairs.table(which) @ fitted)
    asked, places = np.nonzero(which)
    np.testing.assert_allclose(pairs.plain(asked, places)[:, 1], pairs.predicted[which])
    np.testing.assert_array_equal(pairs.of(np.array([2])).height, pairs.height[:, [2]])


def test_means_of_steps_by_hand():
    random = np.random.default_rng(0)
    heights, weights, values = random.normal(size=(3, 5_000))
    weights = weights**2
    steps = Steps(heights, weights)
    told = steps.means(values)
    for level in range(LEVELS):
        mine = steps.bins == level
        assert told[level] == pytest.approx((weights * values)[mine].sum() / weights[mine].sum())
    assert (steps.bins == LEVELS - 1).mean() == pytest.approx(0.005, abs=0.0005)


def test_what_a_query_shares_is_its_normal_posterior():
    """One unknown for each query, seen through residuals of known size: solved pair by pair."""
    random = np.random.default_rng(0)
    residual, bins = random.normal(size=(5, 40)), random.integers(0, LEVELS, (5, 40))
    weights = (random.random((5, 40)) < 0.8).astype(float)
    shared = Shared(residual * weights, weights, bins, LEVELS)
    whole = [np.mean((residual**2)[(bins == level) & (weights > 0)]) for level in range(LEVELS)]
    size = np.array(_SHARED) * np.sqrt(whole)
    np.testing.assert_allclose(shared.size, size, rtol=1e-6)
    for query in range(5):
        grid = np.linspace(-6.0, 6.0, 4_001)
        density = -0.5 * grid**2
        for at in np.flatnonzero(weights[query]):
            level = bins[query, at]
            left = whole[level] - size[level] ** 2
            density -= 0.5 * (residual[query, at] - size[level] * grid) ** 2 / left
        density = np.exp(density - density.max())
        density /= density.sum()
        mean = density @ grid
        assert shared.mean[query] == pytest.approx(mean, abs=1e-4)
        assert shared.spread[query] == pytest.approx(
            np.sqrt(density @ (grid - mean) ** 2), abs=1e-4
        )
    np.testing.assert_allclose(shared.told(bins), shared.mean[:, None] * size[bins], rtol=1e-6)
    draws = np.stack([shared.draw(bins, np.random.default_rng(seed)) for seed in range(4_000)])
    spread = shared.spread[:, None] * size[bins]
    np.testing.assert_allclose(draws.mean(axis=0), shared.told(bins), atol=0.03)
    np.testing.assert_allclose(draws.std(axis=0), spread, rtol=0.05)
