"""Batches: their number, their halves, and how often each item is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.errors import InvalidInput
from holdfast.train.batches import balanced, generator, shuffled

CURRENT, MEMORY = np.arange(100), np.arange(500, 540)


def test_a_pass_over_everything():
    epoch = shuffled(CURRENT, 32, generator(0, 1))
    assert epoch.items.shape == (3, 32)
    assert len(np.unique(epoch.items)) == 96
    assert set(epoch.items.ravel().tolist()) <= set(CURRENT.tolist())
    assert not epoch.memory.any()


def test_fewer_items_than_a_batch_make_one_batch():
    assert sorted(shuffled(CURRENT[:5], 32, generator(0)).items[0].tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("size", "batches"), [(128, 1), (20, 7), (14, 10), (15, 9)])
def test_half_and_half(size, batches):
    epoch = balanced(CURRENT, MEMORY, size, generator(7))
    assert len(epoch) == batches == 140 // size
    for items, memory in epoch:
        assert int(memory.sum()) == size // 2
        assert (items[memory] >= 500).all()
        assert (items[~memory] < 500).all()


def test_nothing_is_drawn_again_while_items_last():
    epoch = balanced(CURRENT, MEMORY, 20, generator(7))  # 70 of 100 and 70 of 40
    assert len(np.unique(epoch.items[~epoch.memory])) == 70
    _, times = np.unique(epoch.items[epoch.memory], return_counts=True)
    assert len(times) == 40
    assert sorted(set(times.tolist())) == [1, 2]


def test_without_memory_it_is_shuffled():
    rng = generator(3), generator(3)
    alone = balanced(CURRENT, MEMORY[:0], 32, rng[0])
    assert np.array_equal(alone.items, shuffled(CURRENT, 32, rng[1]).items)


def test_the_order_follows_from_seed_task_and_epoch():
    def order(*where):
        return balanced(CURRENT, MEMORY, 20, generator(*where)).items.tolist()

    assert order(0, 1, 2) == order(0, 1, 2)
    assert len({str(order(*w)) for w in [(0, 1, 2), (1, 1, 2), (0, 2, 2), (0, 1, 3)]}) == 4


def test_each_item_comes_equally_often():
    counts = np.zeros(540)
    for epoch in range(2000):
        np.add.at(counts, balanced(CURRENT, MEMORY, 20, generator(epoch)).items.ravel(), 1)
    np.testing.assert_allclose(counts[:100], 2000 * 0.7, rtol=0.1)
    np.testing.assert_allclose(counts[500:], 2000 * 70 / 40, rtol=0.05)


def test_what_makes_no_batch_is_refused():
    with pytest.raises(InvalidInput, match="current items"):
        balanced(CURRENT[:0], MEMORY, 8, generator(0))
    with pytest.raises(InvalidInput, match="batches of 2"):
        balanced(CURRENT, MEMORY, 1, generator(0))
