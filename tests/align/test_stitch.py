"""The stitch: exact on affine pairs, both ways told, few pairs told."""

import numpy as np

from holdfast.align.stitch import least_squares, stitch
from holdfast.arrays import as_vectors
from holdfast.space import Space

RNG = np.random.default_rng(0)
HIDDEN = RNG.normal(size=(600, 10))


def pair(count=600):
    """A new space that keeps all, and an old one that keeps half of it."""
    new = HIDDEN[:count] @ RNG.normal(size=(10, 16))
    old = HIDDEN[:count, :5] @ RNG.normal(size=(5, 8)) + 0.05 * RNG.normal(size=(count, 8))
    return as_vectors(old, Space("old", 8), "test"), as_vectors(new, Space("new", 16), "test")


def test_affine_pairs_are_solved_exactly():
    matrix, bias = RNG.normal(size=(10, 7)), RNG.normal(size=7)
    solved = least_squares(HIDDEN, HIDDEN @ matrix + bias)
    assert np.abs(solved - np.vstack([matrix, bias])).max() < 1e-8
    wide = np.column_stack([HIDDEN, np.ones(600)])
    missed = HIDDEN @ matrix + bias - wide @ solved
    assert 1.0 - (missed**2).sum() / np.var(HIDDEN @ matrix + bias, axis=0).sum() > 1.0 - 1e-12


def test_least_squares_is_that_of_the_normal_equations():
    noisy = HIDDEN @ RNG.normal(size=(10, 3)) + RNG.normal(size=(600, 3))
    wide = np.column_stack([HIDDEN, np.ones(600)])
    wanted = np.linalg.solve(wide.T @ wide, wide.T @ noisy)
    np.testing.assert_allclose(least_squares(HIDDEN, noisy), wanted, atol=1e-9)


def test_both_ways_are_told_and_differ():
    found = stitch(*pair())
    down, up = (way.evidence["least squares"]["cosine"].value for way in (found.down, found.up))
    assert down > 0.98  # the richer space holds the poorer one
    assert up < 0.9
    told = str(found)
    assert "new to old, 600 pairs, 37.5 a dimension" in told
    assert "old to new, 600 pairs, 75.0 a dimension" in told
    assert told.count("procrustes") == told.count("ridge") == told.count("least squares") == 2
    assert "few" not in told


def test_fewer_than_five_pairs_a_dimension_are_said_to_be_few():
    found = stitch(*pair(60))
    assert found.down.thin  # 60 pairs of 16 dimensions
    assert not found.up.thin  # 60 pairs of 8
    assert "few: below 80 pairs" in str(found)
    assert found.down.evidence["ridge"].thin


def test_what_ridge_says_is_what_a_bridge_says():
    from holdfast.align.bridge import Bridge
    from holdfast.align.linear import Ridge

    old, new = pair()
    bridge = Bridge.fit(Ridge(), new, old)
    assert stitch(old, new).down.evidence["ridge"].figures == bridge.evidence.figures
