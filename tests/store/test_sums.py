"""Bits that turn on the disk: found when a file of rows is opened."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from holdfast.arrays import Vectors
from holdfast.errors import StoreError
from holdfast.space import Space
from holdfast.store.registry import open_store
from holdfast.store.rows import RowFile
from holdfast.store.sums import sums_of

SPACE = Space("rows", 4, "dot")
ROWS = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
NAMES = [f"n{i}" for i in range(10)]


def turn(path, bit):
    """Turn one bit of a file."""
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def write(rows, some):
    given = [{} for _ in some]
    rows.upsert([NAMES[i] for i in some], Vectors(SPACE, ROWS[some]), given, None)


@pytest.fixture
def folder(tmp_path):
    rows = RowFile(tmp_path, SPACE)
    write(rows, [0, 1, 2])
    write(rows, [3])
    write(rows, [4, 5])
    rows.close()
    return tmp_path


def read(folder):
    """The vectors of a file of rows, in the order of ids."""
    with closing(RowFile(folder, SPACE, tidy=False)) as rows:
        return rows.scan(vectors=True).rows.vectors.array


def test_a_checksum_is_the_sum_of_the_words_of_a_row():
    words = [sum(row.view(np.uint32).tolist()) % 2**32 for row in ROWS]
    assert sums_of(ROWS).tolist() == words
    assert sums_of(ROWS[::2]).tolist() == words[::2]
    assert sums_of(ROWS[:0]).tolist() == []


@pytest.mark.parametrize("slot", [0, 3, 5])
def test_every_bit_counts(folder, slot):
    path = folder / "vectors.0.f32"
    for bit in range(128 * slot, 128 * slot + 128):
        turn(path, bit)
        with pytest.raises(StoreError, match=f"1 of 6 that are not, such as 'n{slot}'. Restore"):
            read(folder)
        turn(path, bit)
    np.testing.assert_array_equal(read(folder), ROWS[:6])


def test_a_row_that_was_never_flushed_is_not_taken_for_a_vector(folder):
    path = folder / "vectors.0.f32"
    path.write_bytes(path.read_bytes()[:32] + bytes(48) + path.read_bytes()[80:])
    with pytest.raises(StoreError, match="3 of 6 that are not, such as 'n2', 'n3', 'n4'"):
        read(folder)


def test_what_nobody_reads_may_turn(folder):
    with closing(RowFile(folder, SPACE)) as rows:
        rows.delete(["n3"])
    turn(folder / "vectors.0.f32", 128 * 3 + 5)
    np.testing.assert_array_equal(read(folder), ROWS[[0, 1, 2, 4, 5]])


def test_checksums_move_with_the_rows(folder):
    with closing(RowFile(folder, SPACE)) as rows:
        rows.delete(["n0", "n2"])
        assert rows.compact(force=True).tolist() == [1, 3, 4, 5]
        write(rows, [6])
    np.testing.assert_array_equal(read(folder), ROWS[[1, 3, 4, 5, 6]])
    for place, name in enumerate(["n1", "n3", "n4", "n5", "n6"]):
        turn(folder / "vectors.1.f32", 128 * place)
        with pytest.raises(StoreError, match=f"1 of 5 that are not, such as '{name}'"):
            read(folder)
        turn(folder / "vectors.1.f32", 128 * place)


def test_checksums_begin_anew_when_no_row_is_left(folder):
    with closing(RowFile(folder, SPACE)) as rows:
        rows.delete(NAMES)
        assert rows.compact().tolist() == []
        write(rows, [7, 8])
    np.testing.assert_array_equal(read(folder), ROWS[7:9])
    turn(folder / "vectors.1.f32", 130)
    with pytest.raises(StoreError, match="1 of 2 that are not, such as 'n8'"):
        read(folder)


@pytest.mark.parametrize("kind", ["edge", "faiss"])
def test_a_store_says_which_rows_are_damaged(tmp_path, kind):
    store = open_store(kind, tmp_path, SPACE)
    store.upsert(NAMES, ROWS)
    store.hide(NAMES[:3])
    store.close()
    path = tmp_path / ("archive/vectors.0.f32" if kind == "edge" else "vectors.0.f32")
    turn(path, 30)
    with pytest.raises(StoreError, match=f"such as '{NAMES[0]}'. Restore the folder from a copy"):
        open_store(kind, tmp_path, SPACE)
    turn(path, 30)
    store = open_store(kind, tmp_path, SPACE)
    np.testing.assert_array_equal(store.get(NAMES).vectors.array, ROWS)
    store.close()
