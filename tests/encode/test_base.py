"""The checks that all encoders share."""

import numpy as np
import pytest

from holdfast.arrays import Vectors, as_vectors
from holdfast.encode.base import as_answer, as_contents, as_texts, nothing
from holdfast.errors import EncoderError, EncoderMisconfigured, InvalidInput, WrongCount
from holdfast.space import Space

SPACE = Space("toy", 2)
DOT = Space("toy", 2, "dot")


def test_contents_are_copied():
    given = ["a", "b"]
    taken = as_contents(given, "query", "toy")
    assert taken == given
    assert taken is not given
    assert as_contents(("a",), "document", "toy") == ["a"]
    assert as_contents((c for c in "ab"), "document", "toy") == ["a", "b"]
    assert as_contents(np.array(["a", "b"], dtype=object), "document", "toy") == ["a", "b"]


@pytest.mark.parametrize("one", ["text", b"bytes", {"a": 1}, 3, None])
def test_one_content_is_not_a_sequence(one):
    with pytest.raises(InvalidInput, match=f"a sequence of contents, got one {type(one).__name__}"):
        as_contents(one, "query", "toy")


@pytest.mark.parametrize("role", ["passage", "", None, "Query"])
def test_roles_are_two(role):
    with pytest.raises(InvalidInput, match="a role among query, document"):
        as_contents(["a"], role, "toy")


@pytest.mark.parametrize("bad", [None, 3, b"bytes", ["list"], float("nan")])
def test_texts_are_text(bad):
    with pytest.raises(EncoderError, match=f"got {type(bad).__name__} at place 1"):
        as_texts(["fine", bad], "query", "toy")


def test_texts_are_whole_characters():
    fine = ["", "ä", "👩‍🔬", "\x00", "日本"]
    assert as_texts(fine, "query", "toy") == fine
    with pytest.raises(EncoderError, match="half of a surrogate pair at place 1"):
        as_texts(["fine", "\udc80"], "query", "toy")


def test_an_answer_becomes_unit_rows_under_cosine_only():
    values = [[3.0, 4.0], [0.0, 2.0]]
    np.testing.assert_allclose(as_answer(values, 2, SPACE, "toy").array, [[0.6, 0.8], [0, 1]])
    np.testing.assert_array_equal(as_answer(values, 2, DOT, "toy").array, values)


def test_a_wrong_count_says_both_numbers():
    with pytest.raises(WrongCount, match="toy: expected 3 vectors, one for each content, got 2"):
        as_answer(np.ones((2, 2)), 3, SPACE, "toy")
    with pytest.raises(WrongCount, match="expected 0 vectors"):
        as_answer(np.ones((2, 2)), 0, SPACE, "toy")
    with pytest.raises(WrongCount, match="got 1"):
        as_answer(as_vectors([[1.0, 0.0]], SPACE, "toy"), 2, SPACE, "toy")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0], [2.0]], r"\(n, 2\) vectors of toy, got shape \(2, 1\)"),
        ([1.0, 2.0], r"got shape \(2,\)"),
        ([[1.0, np.nan], [1.0, 0.0]], "row 0"),
        ([[1.0, 0.0], [1.0, -np.inf]], "row 1"),
        ([[1.0, 0.0], [0.0, 0.0]], "with a direction"),
        ([["a", "b"], ["c", "d"]], "numbers"),
        ([[1.0, 0.0], [1.0]], "numbers"),
        (as_vectors([[1.0, 0.0]] * 2, Space("other", 2), "toy"), "vectors of other"),
        (None, "an .* array of numbers, got a NoneType"),
        (1.0, "got a float"),
        (iter([[1.0, 0.0]]), "got a list_iterator"),
        (np.float32(1.0), "got a float32"),
    ],
)
def test_an_unusable_answer_is_an_encoder_error(values, message):
    with pytest.raises(EncoderError, match=message) as caught:
        as_answer(values, 2, SPACE, "toy")
    assert not caught.value.transient


@pytest.mark.parametrize("width", [0, 1, 3])
def test_rows_of_another_length_are_no_content_s_fault(width):
    with pytest.raises(EncoderError, match=rf"got shape \(2, {width}\)") as caught:
        as_answer(np.ones((2, width)), 2, SPACE, "toy")
    assert isinstance(caught.value, EncoderMisconfigured) == bool(width)


def test_rows_of_another_space_are_no_content_s_fault():
    strangers = as_vectors([[1.0, 0.0]] * 2, Space("other", 2), "toy")
    with pytest.raises(EncoderMisconfigured, match=r"toy: expected vectors of toy.*Encode with"):
        as_answer(strangers, 2, SPACE, "toy")


@pytest.mark.parametrize("empty", [[], np.zeros(0), np.zeros((0, 2)), np.zeros((0, 7))])
def test_no_rows_have_the_right_shape(empty):
    # Libraries disagree about the shape of nothing, so it is ours to say.
    made = as_answer(empty, 0, SPACE, "toy")
    assert made.array.shape == (0, 2)
    assert made.array.dtype == np.float32
    assert isinstance(nothing(SPACE), Vectors)
