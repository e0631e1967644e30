"""Questions made from documents: the passage that asks is not in the answer."""

import pytest

from holdfast.items import Item
from holdfast.upgrade.foresight.questions import question, questions

BODY = "It is the part of a kelp that stays while the rest of the plant is renewed."


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (f"What a holdfast is. {BODY}", "What a holdfast is."),
        (f"What a holdfast is\n\n{BODY}", "What a holdfast is"),
        (f"Kelp. {BODY}", "Kelp. It is the part of"),  # too short to ask: a third of the words
    ],
)
def test_the_beginning_asks_and_the_rest_answers(text, asked):
    made = question(Item("a", text))
    assert made.text == asked
    assert asked not in made.answer
    assert made.answer.split() == text.split()[len(asked.split()) :]


def test_a_sentence_that_comes_again_is_taken_out_everywhere():
    made = question(Item("a", f"What a holdfast is. {BODY} What a holdfast is. And so on."))
    assert "What a holdfast is." not in made.answer
    assert made.answer.endswith("And so on.")


@pytest.mark.parametrize("content", ["Too short to ask.", b"bytes", {"a": 1}, ""])
def test_what_makes_no_question_is_left_out(content):
    assert question(Item("a", content)) is None


def test_up_to_so_many_and_missing_items_are_skipped():
    items = [None, *(Item(str(n), f"Number {n} of them all. {BODY}") for n in range(5))]
    assert [one.id for one in questions(items, 3)] == ["0", "1", "2"]
