"""What the literature on alignment says must hold exactly, on planted rotations."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.align.bridge import Bridge
from holdfast.align.linear import Ridge
from holdfast.align.orthogonal import Orthogonal
from holdfast.align.procrustes import Procrustes
from holdfast.align.spherical import Interpolation
from holdfast.arrays import as_vectors
from holdfast.space import Space
from holdfast.store.memory import MemoryStore

DIM, ITEMS, QUERIES = 64, 4000, 300
OLD, NEW = Space("old", DIM), Space("new", DIM)


@pytest.fixture(scope="module")
def world():
    """Items and queries in both spaces, one the other turned; a query is near its item."""
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    new = rng.normal(size=(ITEMS, DIM))
    asked = new[:QUERIES] + 0.2 * rng.normal(size=(QUERIES, DIM))
    rows = {"new": new, "old": new @ turn, "new queries": asked, "old queries": asked @ turn}
    return turn, {
        name: as_vectors(x, NEW if name.startswith("new") else OLD, "test")
        for name, x in rows.items()
    }


def filled(vectors, order):
    store = MemoryStore(vectors.space)
    store.upsert([f"i{row}" for row in order], vectors.take(order))
    return store


def test_a_planted_rotation_is_recovered_to_a_millionth_and_keeps_all_inner_products(world):
    turn, v = world
    fitted = Procrustes().fit(v["new"].array, v["old"].array)
    assert np.abs(fitted.weight_ - turn).max() < 1e-6
    mapped = fitted.transform(v["new"].array).astype(np.float64) - fitted.bias_
    before = v["new"].array[:500].astype(np.float64)
    assert np.abs(mapped[:500] @ mapped[:500].T - before @ before.T).max() < 1e-6


@pytest.mark.parametrize("aligner", [Procrustes(), Orthogonal(), Ridge()], ids=repr)
def test_a_naive_swap_is_at_chance_and_bridged_queries_search_as_native_ones(world, aligner):
    _, v = world
    order = np.random.default_rng(1).permutation(ITEMS)
    old, new = filled(v["old"], order), filled(v["new"], np.arange(ITEMS))
    bridge = Bridge.fit(aligner, v["new"], v["old"])
    native = new.search(v["new queries"], 10)
    bridged = old.search(bridge.transform(v["new queries"]), 10)
    # What happens where nobody minds spaces: new queries on old rows, of the same length.
    swapped = old.search(as_vectors(v["new queries"].array, OLD, "test"), 10)
    assert (bridged.ids == native.ids).mean() > 0.999  # ties within float32 may change places
    np.testing.assert_allclose(bridged.scores, native.scores, atol=1e-4)
    own = np.array([f"i{row}" for row in range(QUERIES)], dtype=object)[:, None]
    assert (native.ids == own).any(axis=1).mean() > 0.99
    chance = 10 / ITEMS
    assert (swapped.ids == own).any(axis=1).mean() < chance + 4 * np.sqrt(chance / QUERIES)


def test_padded_and_unpadded_galleries_give_equal_scores():
    """Rows of fewer dimensions padded with zeros are searched as they are without."""
    rng = np.random.default_rng(2)
    old = rng.normal(size=(500, 24))
    new = (
        np.hstack([old, 0.3 * rng.normal(size=(500, 16))])
        @ np.linalg.qr(rng.normal(size=(40, 40)))[0]
    )
    narrow, wide = old.astype("f4"), np.pad(old, ((0, 0), (0, 16))).astype("f4")
    into_narrow = Procrustes(center=False).fit(new, narrow).transform(new)
    into_wide = Procrustes(center=False).fit(new, wide).transform(new)
    np.testing.assert_allclose(into_narrow @ narrow.T, into_wide @ wide.T, atol=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 1.0])
def test_interpolated_queries_have_unit_length_and_the_share_of_the_angle(world, alpha):
    _, v = world
    rng = np.random.default_rng(3)
    noisy = v["old queries"].array + 0.1 * rng.normal(size=(QUERIES, DIM))
    u, bridged = v["old queries"], as_vectors(noisy, OLD, "test")
    joined = Interpolation(alpha).between(u, bridged).array.astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), 1.0, atol=1e-6)

    def angle(a, b):
        return 2 * np.arctan2(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))

    whole = angle(u.array.astype(np.float64), bridged.array)
    np.testing.assert_allclose(angle(u.array, joined), alpha * whole, atol=1e-6)
