"""While one of two models does not answer, the other one serves alone: with values."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from holdfast.align.bridge import Bridge
from holdfast.align.procrustes import Procrustes
from holdfast.errors import (
    ConfigError,
    EncoderError,
    EncoderMisconfigured,
    EncoderUnavailable,
    LedgerError,
    Throttled,
)
from holdfast.hits import Hits, difference
from holdfast.items import Item
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.search.mixed import CANDIDATES
from holdfast.upgrade.side import Side
from holdfast.upgrade.sides.stage import Stage
from tests.upgrade.setup import Setup
from tests.upgrade.toys import Clock

DOWN = EncoderUnavailable("new model", "an answer", "none")


class Time:
    """Seconds that pass when they are told to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def made(tmp_path):
    return ready(tmp_path, 60)


def ready(tmp_path, count, share=0.5, mode="calibrated", **plan):
    world = Setup(tmp_path, count, merge=mode, **plan)
    world.gallery = Gallery(
        Side(world.old, world.old_model),
        Side(world.new, world.new_model),
        world.ledger,
        mode=mode,
        clock=Clock(1000),
    )
    if share:
        world.engine().run(until=share)
    world.time = Time()
    world.gallery.silences["new"]._clock = world.time
    world.told = heard(world.gallery.silences["new"])
    return world


def heard(silence):
    """What is told of a silence, and the word of each that it was."""
    told, tell = [], silence._tell

    def listen(what, detail):
        tell(what, detail)
        told.append((what, dict(detail)))
        came.set()

    came, silence._tell = threading.Event(), listen
    return told, came


def down(model, error=DOWN):
    """It answers no query; documents it does."""
    encode, calls = model.encode, []

    def fail(contents, role):
        if role != "query":
            return encode(contents, role)
        calls.append(list(contents))
        raise error

    model.encode = fail
    return calls, lambda: setattr(model, "encode", encode)


def queries(count=5, seed=9):
    return [tuple(map(float, row)) for row in np.random.default_rng(seed).normal(size=(count, 4))]


def by_old(world, asked, k):
    """The old model over all items, by hand."""
    names = list(world.items)
    rows = world.old_model.encode([world.items[n] for n in names], "document").array.astype(float)
    table = world.old_model.encode(asked, "query").array.astype(float) @ rows.T
    return Hits.of(
        [
            sorted(zip(names, row.tolist(), strict=True), key=lambda p: -p[1])[: k + 1]
            for row in table
        ]
    )


@pytest.mark.parametrize("mode", ["calibrated", "by_rank", "fused"])
@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_everything_is_ranked_by_the_old_model_at_any_share(tmp_path, mode, share):
    world = ready(tmp_path, 120, share, mode)
    asked = queries()
    usual = world.gallery.search(asked, 10)
    assert not usual.without
    down(world.new_model)
    found = world.gallery.search(asked, 10)
    assert found.without == "the new model gave no answer: new model: expected an answer, got none."
    assert difference(found, by_old(world, asked, 10)) is None
    assert difference(usual, by_old(world, asked, 10)) is not None


def test_of_many_moved_items_the_mapped_queries_find_nearly_all(tmp_path):
    world = ready(tmp_path, 900, 0.9, "fused")
    asked = queries(40)
    down(world.new_model)
    found, truth = world.gallery.search(asked, 10), by_old(world, asked, 10).top(10)
    pairs = zip(found.ids.tolist(), truth.ids.tolist(), strict=True)
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in pairs]) > 0.9


def test_before_a_handful_has_moved_nothing_needs_to_be_learned(tmp_path):
    world = ready(tmp_path, 60, 0.0, batch_size=3, max_batch_size=3)
    world.engine().step()
    assert len(world.new) == 3
    down(world.new_model)
    assert difference(world.gallery.search(queries(), 10), by_old(world, queries(), 10)) is None


def test_payload_filters_hold(made):
    made.gallery.upsert([Item("i3", made.items["i3"], {"lang": "en"})])
    down(made.new_model)
    assert made.gallery.search(queries(1), 10, {"lang": "en"}).ids[0].tolist() == ["i3", *[""] * 9]


def test_after_the_cut_over_too_until_the_old_side_is_given_up(made):
    engine = made.engine()
    engine.run()
    engine.cut_over()
    calls, _ = down(made.new_model)
    assert difference(made.gallery.search(queries(), 10), by_old(made, queries(), 10)) is None
    engine.finish()
    made.time.now += 1_000.0
    with pytest.raises(EncoderUnavailable, match="new model: expected an answer"):
        made.gallery.search(queries(), 10)
    assert len(calls) == 2


def test_in_a_stage_those_who_read_the_new_side_get_the_old_one(made):
    engine = made.engine()
    engine.run()
    engine.stage(Stage(0.0, ("acme",)))
    down(made.new_model)
    for tenant in ("acme", "other"):
        found = made.gallery.search(queries(), 10, tenant=tenant)
        assert bool(found.without) is (tenant == "acme")
        assert difference(found, by_old(made, queries(), 10)) is None


def test_a_silent_model_is_not_waited_for_and_asked_again_after_rests_that_grow(made):
    calls, mend = down(made.new_model)
    told, came = made.told
    for second, count in ((0.0, 1), (0.5, 1), (1.0, 2), (2.5, 2), (3.0, 3), (6.9, 3)):
        made.time.now = 100.0 + second
        assert made.gallery.search(queries(), 3).without
        for thread in threading.enumerate():  # a try goes on beside the search
            if thread.name == "holdfast-silence":
                thread.join(240)
        assert len(calls) == count, second
    mend()
    made.time.now = 107.0
    came.clear()
    assert made.gallery.search(queries(), 3).without
    assert came.wait(240)
    usual = made.gallery.search(queries(), 3)
    assert not usual.without
    assert difference(usual, by_old(made, queries(), 3)) is not None
    assert told == [
        ("silent", {"model": "new", "why": str(DOWN)}),
        ("answers again", {"model": "new", "seconds": 7.0, "searches": 7}),
    ]
    assert [kind for _, kind, _ in made.ledger.events()][-2:] == ["silent", "answers again"]


def test_a_model_that_takes_too_long_is_not_waited_for(made):
    made.gallery.silences["new"].patience = 0.01
    encode, let_go = made.new_model.encode, threading.Event()
    made.new_model.encode = lambda c, r: (let_go.wait(240), encode(c, r))[1]
    found = made.gallery.search(queries(), 10)
    assert found.without.endswith("the model of new: expected an answer within 0.01 s, got none.")
    assert difference(found, by_old(made, queries(), 10)) is None
    let_go.set()


def test_an_answer_that_comes_too_late_does_not_end_the_silence(made):
    made.gallery.silences["new"].patience = 5.0
    _, mend = down(made.new_model)
    made.gallery.search(queries(), 3)
    mend()
    encode, late = made.new_model.encode, threading.Event()

    def slow(contents, role):
        made.time.now += 6.0
        late.set()
        return encode(contents, role)

    made.new_model.encode = slow
    made.time.now += 1.0
    assert made.gallery.search(queries(), 3).without
    assert late.wait(240)
    assert made.gallery.search(queries(), 3).without


def test_a_setting_that_is_wrong_silences_a_model_too(made):
    down(made.new_model, EncoderMisconfigured("new model", "a token", "none"))
    assert made.gallery.search(queries(), 3).without
    assert made.told[0][0][0] == "silent"


def test_one_query_that_it_refuses_silences_no_model(made):
    calls, _ = down(made.new_model, EncoderError("new model", "a shorter text", "a long one"))
    for _ in range(2):
        found = made.gallery.search(queries(), 10)
        assert difference(found, by_old(made, queries(), 10)) is None
    assert (len(calls), made.told[0], made.gallery.silences["new"].error) == (2, [], None)


def test_before_a_quarter_has_moved_nobody_stands_in_for_the_old_model(tmp_path):
    world = ready(tmp_path, 1_200, 0.2)
    calls, _ = down(world.old_model)
    for asked in (1, 2, 3):  # it is asked each time, and is not taken for silent
        with pytest.raises(EncoderUnavailable):
            world.gallery.search(queries(1), 10)
        assert len(calls) == asked
    world.engine().run(until=0.25)
    found = world.gallery.search(queries(1), 10)
    assert found.without == "the old model gave no answer: new model: expected an answer, got none."


@pytest.mark.parametrize("mode", ["calibrated", "fused"])
def test_the_new_model_answers_as_it_does_where_the_old_one_is_dead(tmp_path, mode, monkeypatch):
    world = ready(tmp_path, 600, 0.6, mode)
    down(world.old_model)
    found = world.gallery.search(queries(), 10)
    monkeypatch.setitem(CANDIDATES, "fused", 200)
    names = list(world.items)[:60]
    few = [world.items[name] for name in names]
    old, new = (m.encode(few, "document") for m in (world.old_model, world.new_model))
    bridge = Bridge.fit(Procrustes(), new, old)  # fitted again on all that has moved
    dead = Gallery(
        Side(world.old, None, bridge),
        Side(world.new, world.new_model),
        world.ledger,
        mode="fused",
        clock=Clock(2000),
    )
    assert difference(found, dead.search(queries(), 11)) is None


def test_in_a_stage_the_new_model_answers_for_the_old_one_too(made):
    engine = made.engine()
    engine.run()
    engine.stage(Stage(0.0, ("acme",)))
    usual = made.gallery.search(queries(), 10, tenant="acme")
    down(made.old_model)
    found = made.gallery.search(queries(), 10, tenant="other")
    assert found.without.startswith("the old model gave no answer")
    assert difference(found, usual) is None


def test_where_both_models_are_down_the_error_is_told(tmp_path):
    world = ready(tmp_path, 600)
    down(world.old_model)
    down(world.new_model)
    for _ in range(2):
        with pytest.raises(EncoderUnavailable, match="new model: expected an answer"):
            world.gallery.search(queries(), 3)


def test_the_old_model_does_not_stand_in_where_a_side_was_asked_for(made):
    down(made.new_model)
    for side in ("both", "new"):
        with pytest.raises(EncoderUnavailable):
            made.gallery.search(queries(), 3, side=side)
    assert made.told[0] == []


def test_without_an_old_model_the_error_is_told(tmp_path):
    world = ready(tmp_path, 60)
    world.gallery.old = Side(world.old)
    down(world.new_model)
    with pytest.raises((EncoderUnavailable, ConfigError)):
        world.gallery.search(queries(), 3)


def test_a_watch_does_not_hear_of_it(made):
    class Ear:
        heard = 0

        def hear(self, *_):
            self.heard += 1

        def close(self):
            pass

    made.gallery.watch = Ear()
    made.gallery.search(queries(), 3)
    down(made.new_model)
    made.gallery.search(queries(), 3)
    assert made.gallery.watch.heard == 1


def test_a_ledger_that_cannot_be_written_fails_no_search(made):
    def full(what, detail):
        raise LedgerError("ledger.sqlite", "a readable ledger", "a disk that is full")

    made.ledger.event = full
    down(made.new_model)
    found = made.gallery.search(queries(), 10)
    assert difference(found, by_old(made, queries(), 10)) is None


def test_after_a_rollback_nobody_misses_it(made):
    down(made.new_model)
    made.gallery.search(queries(), 3)
    assert made.gallery.silent == {"new": str(DOWN)}
    made.engine().roll_back()
    assert not made.gallery.search(queries(), 3).without
    assert made.gallery.silent == {}


class Own(EncoderUnavailable):
    """As somebody writes one who knows nothing of its parts."""

    def __init__(self, code):
        super().__init__("own model", "an answer", f"code {code}")


@pytest.mark.parametrize("error", [Own(7), Throttled("own model", "patience", "code 7", "", 3.0)])
def test_a_silence_keeps_nobody_alive_who_met_it(tmp_path, error):
    world = ready(tmp_path, 600)
    down(world.old_model, error)
    down(world.new_model, error)
    for _ in range(2):
        with pytest.raises(type(error).__mro__[1], match="code 7") as told:
            world.gallery.search(queries(), 3)
        assert told.value.transient
        assert getattr(told.value, "retry_after", None) == getattr(error, "retry_after", None)
    kept = world.gallery.silences["old"].error
    assert kept is not error
    assert (kept.__traceback__, kept.__cause__, kept.__context__) == (None, None, None)


def test_hits_carry_the_word_along(made):
    down(made.new_model)
    found = made.gallery.search(queries(), 3)
    for part in (found.take(slice(0, 2)), found.top(2), Hits.concat([Hits.empty(1, 3), found])):
        assert part.without == found.without
