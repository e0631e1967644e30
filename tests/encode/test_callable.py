"""Functions as encoders."""

import numpy as np
import pytest

from holdfast.encode.callable import CallableEncoder
from holdfast.errors import EncoderError, EncoderUnavailable, InvalidInput, Throttled, WrongCount
from holdfast.space import Space

SPACE = Space("lengths", 2, "dot")


def lengths(texts):
    return [[len(text), 1.0] for text in texts]


def negated(texts):
    return np.array([[-len(text), -1.0] for text in texts])


def test_one_function_answers_both_roles():
    encoder = CallableEncoder(SPACE, lengths)
    for role in ("query", "document"):
        made = encoder.encode(["kelp", "rock weed"], role)
        assert made.space == SPACE
        assert made.array.tolist() == [[4.0, 1.0], [9.0, 1.0]]


def test_a_function_for_each_role():
    encoder = CallableEncoder(SPACE, lengths, negated)
    assert encoder.encode(["kelp"], "document").array.tolist() == [[4.0, 1.0]]
    assert encoder.encode(["kelp"], "query").array.tolist() == [[-4.0, -1.0]]


def test_nothing_is_answered_without_the_function():
    encoder = CallableEncoder(SPACE, lambda _: 1 / 0)
    assert encoder.encode([], "query").array.shape == (0, 2)


def test_any_content_passes_through():
    encoder = CallableEncoder(SPACE, lambda records: [[r["x"], r["y"]] for r in records])
    assert encoder.encode([{"x": 1, "y": 2}], "document").array.tolist() == [[1.0, 2.0]]


def test_the_function_cannot_change_the_callers_list():
    def greedy(texts):
        made = lengths(texts)
        texts.clear()
        return made

    given = ["kelp", "rock"]
    assert len(CallableEncoder(SPACE, greedy).encode(given, "query")) == 2
    assert given == ["kelp", "rock"]


def test_a_buffer_that_is_filled_again_does_not_change_old_answers():
    buffer = np.zeros((1, 2), dtype=np.float32)

    def reusing(texts):
        buffer[0] = [len(texts[0]), 1.0]
        return buffer

    encoder = CallableEncoder(SPACE, reusing)
    first = encoder.encode(["kelp"], "document")
    encoder.encode(["rock weed"], "document")
    assert first.array.tolist() == [[4.0, 1.0]]


def test_what_the_function_raises_is_a_permanent_failure_of_these_contents():
    def picky(texts):
        raise KeyError(texts[0])

    with pytest.raises(EncoderError, match=r"encoder of lengths.*KeyError: 'kelp'") as caught:
        CallableEncoder(SPACE, picky).encode(["kelp"], "query")
    assert not caught.value.transient
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("kind", [EncoderUnavailable, Throttled])
def test_the_function_may_ask_for_another_try(kind):
    def busy(_):
        raise kind("mine", "an answer", "none")

    with pytest.raises(kind) as caught:
        CallableEncoder(SPACE, busy).encode(["kelp"], "query")
    assert caught.value.transient


def test_unusable_answers_are_refused():
    with pytest.raises(WrongCount, match="expected 2 vectors"):
        CallableEncoder(SPACE, lambda _: [[1.0, 2.0]]).encode(["a", "b"], "query")
    with pytest.raises(EncoderError, match="NaN"):
        CallableEncoder(SPACE, lambda _: [[1.0, np.nan]]).encode(["a"], "query")
    with pytest.raises(InvalidInput, match="a role among"):
        CallableEncoder(SPACE, lengths).encode(["a"], "passage")
