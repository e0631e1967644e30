"""How contents come into two spaces: two models are asked at the same time, each once."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from holdfast.errors import EncoderError, EncoderUnavailable, InvalidInput
from holdfast.items import Item
from tests.upgrade.setup import Setup


@pytest.fixture
def half(tmp_path):
    made = Setup(tmp_path, 60)
    made.engine().run(until=0.5)
    made.old_model.calls = made.new_model.calls = 0
    yield made
    made.gallery.close()


class Meeting:
    """Models that answer once both of them have been asked."""

    def __init__(self, *models):
        self._all_here = threading.Barrier(len(models))
        for model in models:
            model.encode = self._after(model.encode)

    def _after(self, encode):
        def answer(contents, role):
            self._all_here.wait(240)
            return encode(contents, role)

        return answer


def broken(model, error):
    def encode(contents, role):
        raise error

    model.encode = encode


def unavailable(name):
    return EncoderUnavailable(name, "an answer", "none")


def test_a_search_asks_two_models_at_the_same_time(half):
    queries = [half.items["i3"], half.items["i40"]]
    before = half.gallery.search(queries, 5)
    half.old_model.calls = half.new_model.calls = 0
    Meeting(half.old_model, half.new_model)
    found = half.gallery.search(queries, 5)
    assert found.ids.tolist() == before.ids.tolist()
    assert found.scores.tolist() == before.scores.tolist()
    assert (half.old_model.calls, half.new_model.calls) == (1, 1)


def test_a_write_asks_two_models_at_the_same_time(half):
    Meeting(half.old_model, half.new_model)
    half.gallery.upsert([Item("fresh", (1.0, 2.0, 3.0, 4.0))])
    assert (half.old_model.calls, half.new_model.calls) == (1, 1)
    assert half.new.revisions(["fresh"])[0] == half.old.revisions(["fresh"])[0] > 0


def test_an_error_of_the_old_model_ends_a_search(half):
    broken(half.old_model, unavailable("old_model"))
    with pytest.raises(EncoderError, match="old_model"):
        half.gallery.search([half.items["i3"]], 5)


def test_a_write_ends_with_the_error_of_the_old_model(half):
    broken(half.old_model, unavailable("old_model"))
    with pytest.raises(EncoderError, match="old_model"):
        half.gallery.upsert([Item("fresh", (1.0, 2.0, 3.0, 4.0))])
    assert half.old.revisions(["fresh"])[0] == half.new.revisions(["fresh"])[0] == -1


def test_a_write_after_the_cut_over_says_what_the_old_model_is_needed_for(half):
    engine = half.engine()
    engine.run()
    engine.cut_over()
    broken(half.old_model, unavailable("old_model"))
    with pytest.raises(EncoderError, match=r"old_model.* got none\. Until .* holdfast finish "):
        half.gallery.upsert([Item("fresh", (1.0, 2.0, 3.0, 4.0))])
    assert half.new.revisions(["fresh"])[0] == -1
    engine.finish()
    half.gallery.upsert([Item("fresh", (1.0, 2.0, 3.0, 4.0))])
    assert half.new.revisions(["fresh"])[0] > 0


def test_a_write_stays_with_the_old_model_where_the_new_one_fails(half):
    broken(half.new_model, unavailable("new_model"))
    half.gallery.upsert([Item("fresh", (1.0, 2.0, 3.0, 4.0))])
    assert half.old.revisions(["fresh"])[0] > 0
    assert half.new.revisions(["fresh"])[0] == -1
    assert half.old_model.calls == 1


def test_vectors_of_other_numbers_of_queries_are_refused(half):
    asked = [half.items[f"i{n}"] for n in range(3)]
    old, new = (model.encode(asked, "query") for model in (half.old_model, half.new_model))
    told = "the same queries in each space, got 2 and 3 vectors"
    with pytest.raises(InvalidInput, match=told):
        half.gallery.search([old.take(slice(0, 2)), new])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("kelp", "one string"),
        (b"kelp", "one picture"),
        ({"text": "kelp"}, "one dict"),
        (7, "one int"),
        (None, "one NoneType"),
        (np.zeros((1, 3)), "a bare array"),
    ],
    ids=repr,
)
def test_what_is_no_list_of_queries_is_refused(half, given, said):
    for side in (None, "new"):
        with pytest.raises(InvalidInput) as told:
            half.gallery.search(given, 3, side=side)
        assert told.value.got == said


def test_one_side_needs_one_model(tmp_path):
    made = Setup(tmp_path, 20)
    made.old_model.calls = 0
    made.gallery.search([made.items["i3"]], 5)
    assert (made.old_model.calls, made.new_model.calls) == (1, 0)
    made.gallery.close()


def test_a_model_that_hangs_does_not_hold_up_the_error_of_the_other(half):
    let_go = threading.Event()
    encode = half.new_model.encode
    half.new_model.encode = lambda c, r: let_go.wait(240) and encode(c, r)
    broken(half.old_model, unavailable("old_model"))
    with pytest.raises(EncoderError, match="old_model"):
        half.gallery.search([half.items["i3"]], 5)
    assert not let_go.is_set()
    let_go.set()
