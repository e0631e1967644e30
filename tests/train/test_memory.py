"""The memory: what is kept, in whatever order it came, and that it is a fair sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ArtifactError, InvalidInput
from holdfast.train.interface import Interface
from holdfast.train.memory import Memory

CLASSES = np.repeat(["cat", "dog", "newt"], [30, 50, 2])
ITEMS = np.arange(1000, 1082)


def kept(memory):
    return dict(zip(memory.items.tolist(), memory.classes.tolist(), strict=True))


def test_each_class_gets_its_quota():
    memory = Memory(per_class=20, seed=3).added(ITEMS, CLASSES)
    names, counts = np.unique(memory.classes, return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
        "cat": 20,
        "dog": 20,
        "newt": 2,
    }
    truth = dict(zip(ITEMS.tolist(), CLASSES.tolist(), strict=True))
    assert all(truth[item] == name for item, name in kept(memory).items())


def test_a_reservoir_keeps_its_capacity():
    memory = Memory(capacity=25).added(ITEMS[:10], CLASSES[:10])
    assert sorted(memory.items.tolist()) == ITEMS[:10].tolist()
    assert len(memory.added(ITEMS, CLASSES)) == 25


@pytest.mark.parametrize("size", [{"per_class": 7}, {"capacity": 11}])
@given(st.permutations(range(40)), st.lists(st.integers(0, 40), max_size=5), st.integers(0, 9))
def test_order_and_pieces_change_nothing(size, order, cuts, seed):
    whole = Memory(**size, seed=seed).added(ITEMS[:40], CLASSES[:40])
    pieces = Memory(**size, seed=seed)
    for part in np.split(np.array(order), sorted(cuts)):
        pieces = pieces.added(ITEMS[part], CLASSES[part])
    assert kept(pieces) == kept(whole)


@pytest.mark.parametrize("size", [{"per_class": 5}, {"capacity": 5}])
def test_each_item_is_kept_equally_often(size):
    seeds, n = 1500, 20
    counts = np.zeros(n)
    for seed in range(seeds):
        counts[Memory(**size, seed=seed).added(np.arange(n), ["x"] * n).items] += 1
    expected = seeds * 5 / n
    chi2 = float((((counts - expected) ** 2) / expected).sum())
    assert chi2 < 43.8  # the 0.1 % point of 19 degrees of freedom; draws without replacement: less


def test_neighbouring_places_and_seeds_are_not_alike():
    first = Memory(capacity=50, seed=0).added(np.arange(200), ["x"] * 200).items
    second = Memory(capacity=50, seed=1).added(np.arange(200), ["x"] * 200).items
    shifted = Memory(capacity=50, seed=0).added(np.arange(1, 201), ["x"] * 200).items
    assert len(np.intersect1d(first, second)) < 30  # 12.5 expected
    assert len(np.intersect1d(first + 1, shifted)) < 30


def test_what_is_forgotten_is_gone():
    memory = Memory(per_class=3).added(ITEMS, CLASSES)
    gone = memory.items[:2].tolist()
    left = memory.without(gone)
    assert kept(left) == {k: v for k, v in kept(memory).items() if k not in gone}
    assert len(memory) == 8  # the first one did not change


def test_it_is_saved_and_read_back(tmp_path):
    for memory in (
        Memory(per_class=3, seed=9).added(ITEMS, CLASSES),
        Memory(capacity=4),
    ):
        memory.save(tmp_path / "memory.safetensors")
        read = Memory.load(tmp_path / "memory.safetensors")
        assert kept(read) == kept(memory)
        assert kept(read.added([1, 2, 3], ["a"] * 3)) == kept(memory.added([1, 2, 3], ["a"] * 3))
    Interface("x", capacity=3).save(tmp_path / "other.safetensors")
    with pytest.raises(ArtifactError, match="expected a memory"):
        Memory.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize("sizes", [{}, {"per_class": 0}, {"per_class": 1, "capacity": 2}])
def test_sizes_that_make_no_sense_are_refused(sizes):
    with pytest.raises(InvalidInput, match="per_class or capacity"):
        Memory(**sizes)


@pytest.mark.parametrize(
    ("items", "classes"),
    [([1, 2], ["a"]), ([-1], ["a"]), ([0.5], ["a"]), ([1], [3]), ([[1]], [["a"]])],
)
def test_items_that_make_no_sense_are_refused(items, classes):
    with pytest.raises(InvalidInput, match="a name for each"):
        Memory(capacity=3).added(items, classes)


def test_one_item_has_one_class():
    memory = Memory(capacity=3).added([1], ["a"])
    with pytest.raises(InvalidInput, match="one class an item"):
        memory.added([1], ["b"])
    with pytest.raises(InvalidInput, match="one class an item"):
        memory.added([2, 2], ["a", "b"])
    assert len(memory.added([1], ["a"])) == 1
