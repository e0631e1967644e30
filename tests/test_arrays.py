"""Vectors and ids: what is refused, what is left alone, and what comes out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from holdfast.arrays import (
    Vectors,
    as_vectors,
    check_ids,
    id_array,
    squared_norms,
    unit_rows,
)
from holdfast.errors import (
    DimensionMismatch,
    DuplicateIds,
    InvalidInput,
    NotFinite,
    WrongSpace,
    ZeroVector,
)
from holdfast.space import Space

COSINE, DOT, EUCLIDEAN = (Space(m, 3, m) for m in ("cosine", "dot", "euclidean"))
rows = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 6), st.just(3)),
    elements=st.floats(-1e6, 1e6, width=32),
)


@given(rows)
def test_squared_norms_against_loops(array):
    slow = [sum(float(x) ** 2 for x in row) for row in array]
    assert squared_norms(array) == pytest.approx(slow, rel=1e-5, abs=1e-30)


@given(rows)
def test_as_vectors_keeps_the_numbers_unless_cosine(array):
    given_array = array.copy()
    for space in (DOT, EUCLIDEAN):
        out = as_vectors(array, space, "test")
        assert out.space == space
        assert out.array.dtype == np.float32
        assert out.array.tobytes() == given_array.tobytes()
    assert array.tobytes() == given_array.tobytes()


@given(rows)
def test_cosine_rows_have_length_one_and_their_direction(array):
    lengths = [math.sqrt(sum(float(x) ** 2 for x in row)) for row in array]
    before = array.copy()
    if any(length < 1e-16 for length in lengths):
        if min(lengths) < 1e-18:
            with pytest.raises(ZeroVector):
                as_vectors(array, COSINE, "test")
        return
    out = as_vectors(array, COSINE, "test").array
    assert array.tobytes() == before.tobytes()
    for row, source, length in zip(out, array, lengths, strict=True):
        assert row == pytest.approx(source.astype(np.float64) / length, abs=3e-6)


@pytest.mark.parametrize("dim", [2, 384, 4096, 8192])
def test_unit_rows_keep_their_bits_when_stored_again(dim):
    array = np.random.default_rng(dim).normal(size=(200, dim)).astype(np.float32)
    once = unit_rows(array)
    assert np.linalg.norm(once.astype(np.float64), axis=1) == pytest.approx(np.ones(200), abs=2e-6)
    assert unit_rows(once).tobytes() == once.tobytes()
    one_by_one = np.concatenate([unit_rows(array[i : i + 1]) for i in range(200)])
    assert one_by_one.tobytes() == once.tobytes()


def test_only_rows_that_need_it_are_scaled():
    array = np.array([[1, 0, 0], [0, 2, 0], [0, 0, 0]], dtype=np.float32)
    assert unit_rows(array).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("shape", [(3,), (2, 2), (2, 4), (1, 2, 3), (0,), ()], ids=str)
def test_wrong_shapes(shape):
    with pytest.raises(DimensionMismatch, match=r"\(n, 3\)"):
        as_vectors(np.ones(shape), DOT, "test")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300, -1e39])
def test_not_finite_names_the_row(bad):
    array = np.ones((4, 3))
    array[2, 1] = bad
    for space in (COSINE, DOT, EUCLIDEAN):
        with pytest.raises(NotFinite, match=r"row 2 \(1 of 4 rows\)"):
            as_vectors(array, space, "test")


def test_zero_rows_only_matter_under_cosine():
    array = np.array([[1.0, 0, 0], [0, 0, 0], [1e-25, 0, 0]])
    with pytest.raises(ZeroVector, match=r"row 1 \(2 of 3 rows\)"):
        as_vectors(array, COSINE, "test")
    assert as_vectors(array, DOT, "test").array[1].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "bad",
    [[["a", "b", "c"]], [["1", "2", "3"]], [[1, 2], [1, 2, 3]], [[1j, 0, 0]], [[None, 1, 2]],
     [[{}, 1, 2]]],
    ids=str,
)  # fmt: skip
def test_what_is_no_array_of_numbers(bad):
    with pytest.raises((InvalidInput, NotFinite)):
        as_vectors(bad, DOT, "test")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[1, 2, 3], [1, 2, 3], [1, 2]], "3 in row 0 and 2 in row 2"),
        ((np.ones(3), np.ones(4)), "3 in row 0 and 4 in row 1"),
        ([[1, 2, 3], 4], "3 in row 0 and 1 in row 1"),
    ],
    ids=str,
)
def test_rows_of_different_lengths_are_named(rows, said):
    with pytest.raises(InvalidInput) as told:
        as_vectors(rows, DOT, "test")
    assert told.value.got == said


@pytest.mark.parametrize(
    "kind", [np.float64, np.float16, np.int64, np.int8, np.uint8, bool, object]
)
def test_every_real_dtype_becomes_float32(kind):
    array = np.array([[1, 0, 1], [0, 1, 1]]).astype(kind)
    out = as_vectors(array, DOT, "test").array
    assert out.dtype == np.float32
    assert out.tolist() == [[1, 0, 1], [0, 1, 1]]


def test_strided_and_read_only_arrays():
    wide = np.arange(12.0).reshape(2, 6)
    wide.setflags(write=False)
    out = as_vectors(wide[:, ::2], DOT, "test").array
    assert out.flags.c_contiguous
    assert out.tolist() == [[0, 2, 4], [6, 8, 10]]


def test_vectors_pass_only_in_their_space():
    vectors = as_vectors([[1, 2, 3]], DOT, "test")
    assert as_vectors(vectors, Space("label", 3, "dot", DOT.fingerprint), "test") is vectors
    for space in (COSINE, Space("other", 3, "dot")):
        with pytest.raises(WrongSpace, match=space.name):
            as_vectors(vectors, space, "test")


@pytest.mark.parametrize("space", [COSINE, DOT, EUCLIDEAN], ids=lambda space: space.metric)
@pytest.mark.parametrize(
    "rows",
    [np.array([[3.0, 0, 4]]), np.array([[3, 0, 4], [0, 0, 2]], "f4"), [[3, 0, 4]],
     np.array([[0.6, 0, 0.8]], "f4"), np.array([[0.6, 0, 0.8]])],
    ids=str,
)  # fmt: skip
def test_vectors_made_by_hand_are_what_they_are_made_of(space, rows):
    made = as_vectors(Vectors(space, rows), space, "test")
    assert made.array.dtype == np.float32
    assert made.array.tolist() == as_vectors(rows, space, "test").array.tolist()


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([[1.0, 2.0]], DimensionMismatch),
        ([1.0, 2.0, 3.0], DimensionMismatch),
        ([[np.nan, 2.0, 3.0]], NotFinite),
        ([[0.0, 0.0, 0.0]], ZeroVector),
    ],
)
def test_vectors_made_by_hand_of_what_is_none_are_refused(rows, error):
    with pytest.raises(error):
        as_vectors(Vectors(COSINE, np.array(rows, "f4")), COSINE, "test")


def test_vectors_take_and_array_protocol():
    vectors = as_vectors(np.arange(9).reshape(3, 3), DOT, "test")
    taken = vectors.take([2, 0])
    assert taken.space is DOT
    assert taken.array.tolist() == [[6, 7, 8], [0, 1, 2]]
    assert len(vectors) == 3
    assert np.asarray(vectors, dtype=np.float64).tolist() == vectors.array.tolist()
    copy = np.array(vectors)
    copy[:] = 0
    assert vectors.array[1].tolist() == [3, 4, 5]


@given(st.lists(st.one_of(st.text(max_size=3), st.integers(), st.none()), max_size=6))
def test_check_ids_against_its_definition(ids):
    good = all(isinstance(i, str) and i != "" for i in ids)
    if not good:
        with pytest.raises(InvalidInput):
            check_ids(ids, "test")
    elif any(ids.count(i) > 1 for i in ids):
        with pytest.raises(DuplicateIds, match="twice"):
            check_ids(ids, "test")
    else:
        assert check_ids(ids, "test") == ids
        assert check_ids(tuple(ids), "test", len(ids)) == ids
        with pytest.raises(InvalidInput, match="one per row"):
            check_ids(ids, "test", len(ids) + 1)


@pytest.mark.parametrize(("ids", "got"), [("abc", "string"), (None, "NoneType"), (3, "int")])
def test_one_string_or_nothing_is_no_list_of_ids(ids, got):
    with pytest.raises(InvalidInput, match=f"expected a sequence of ids, got one {got}"):
        check_ids(ids, "test")


def test_id_array_keeps_text_whole():
    out = id_array(["a", "bcd", ""])
    assert out.dtype == np.object_
    assert out.tolist() == ["a", "bcd", ""]
    assert id_array([]).shape == (0,)


def test_vectors_are_compared_by_identity():
    vectors = Vectors(DOT, np.zeros((1, 3), dtype=np.float32))
    assert vectors != Vectors(DOT, vectors.array)
