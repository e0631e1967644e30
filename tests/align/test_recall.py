"""Recall against sorting, and against every order of rows that tie."""

from itertools import permutations

import numpy as np
import pytest

from holdfast.align.recall import found, tables

DEPTHS = (1, 5, 10)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def test_recall_is_what_sorting_says():
    rng = np.random.default_rng(0)
    asked, stored = (unit(rng.normal(size=(n, 5))) for n in (30, 50))
    right = [rng.choice(50, size=rng.integers(1, 4), replace=False) for _ in range(30)]
    slow = np.zeros((30, 3))
    for i in range(30):
        order = np.argsort(-(stored @ asked[i]))
        for column, k in enumerate(DEPTHS):
            slow[i, column] = len(set(order[:k]) & set(right[i])) > 0
    np.testing.assert_array_equal(found(asked, stored, right, DEPTHS), slow)


def test_rows_that_tie_share_the_place():
    stored = np.array([[1, 0]] * 4, dtype=np.float32)
    values = found(stored[:2], stored, [np.array([2]), np.array([0, 1])], (1, 3, 10))
    np.testing.assert_allclose(values, [[0.25, 0.75, 1.0], [0.5, 1.0, 1.0]])


@pytest.mark.parametrize("good", [1, 2, 3])
@pytest.mark.parametrize("better", [0, 2])
def test_of_rows_that_tie_every_order_is_as_likely(good, better):
    stored = np.array([[2.0, 0]] * better + [[1.0, 0]] * 5, dtype=np.float32)
    right = np.arange(better, better + good)
    depths = tuple(range(1, 8))
    first = list(range(better))
    orders = [[*first, *order] for order in permutations(range(better, better + 5))]
    hit = [[not set(right).isdisjoint(order[:k]) for k in depths] for order in orders]
    got = found(np.array([[1.0, 0]], dtype=np.float32), stored, [right], depths, "dot")
    np.testing.assert_allclose(got[0], np.mean(hit, axis=0), atol=1e-12)


@pytest.mark.parametrize("metric", ["dot", "euclidean"])
@pytest.mark.parametrize("scale", [1e-14, 1e-6, 1e-3, 1e3, 1e6, 1e14])
def test_the_unit_of_length_does_not_matter(metric, scale):
    rows = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    noisy = rows + np.random.default_rng(1).normal(size=rows.shape).astype(np.float32)
    own = list(np.arange(200)[:, None])
    plain = found(noisy, rows, own, DEPTHS, metric)
    assert 0.2 < plain[:, 0].mean() < 1.0
    factor = np.float32(2.0 ** round(np.log2(scale)))  # exact, so that no order changes
    np.testing.assert_array_equal(found(noisy * factor, rows * factor, own, DEPTHS, metric), plain)


def test_distances_far_from_the_origin_keep_their_digits():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 16)).astype(np.float32)
    near = rows + 0.01 * rng.normal(size=rows.shape).astype(np.float32)
    own = list(np.arange(200)[:, None])
    far = found(near + np.float32(1000), rows + np.float32(1000), own, (1,), "euclidean")
    assert far.mean() == 1.0


def test_a_large_gallery_is_scored_a_few_rows_at_a_time():
    """Memory is bounded by scores held at once, and not only by rows that ask."""
    rng = np.random.default_rng(0)
    asked, stored = (rng.normal(size=(n, 2)).astype(np.float32) for n in (300, 100_000))
    parts = []
    for part, table in tables(asked, stored, "dot"):
        assert table.nbytes <= 64e6
        parts.append(np.arange(part.start, part.stop))
        np.testing.assert_allclose(table[-1, :9], stored[:9] @ asked[part.stop - 1], atol=1e-5)
    np.testing.assert_array_equal(np.concatenate(parts), np.arange(300))
