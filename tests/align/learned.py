"""Pairs that no affine map explains, and how far a map is from the truth."""

import numpy as np


def curved(count=600, source=6, target=5, noise=0.02, seed=0):
    """Rows, and what a fixed bend and a map make of them."""
    fixed = np.random.default_rng(99)
    bend, weight = fixed.normal(size=(source, 8)), fixed.normal(size=(8, target))
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, source)) + 0.3
    Y = np.tanh(X @ bend) @ weight + noise * rng.normal(size=(count, target)) - 1.0
    return X.astype(np.float32), Y.astype(np.float32)


def error(got, truth):
    """Mean squared distance."""
    return float(np.mean(np.sum((got.astype(np.float64) - truth) ** 2, axis=1)))
