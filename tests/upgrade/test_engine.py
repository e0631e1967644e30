"""The engine: retries, quarantine, pace, budget, commands, orders, executors, turns."""

from __future__ import annotations

import json
import os
import threading

import numpy as np
import pytest

from holdfast.arrays import Vectors
from holdfast.encode.retry import Retry
from holdfast.errors import (
    ConfigError,
    EncoderError,
    EncoderMisconfigured,
    InvalidInput,
    NotFinite,
    StoreError,
    Throttled,
    UpgradeError,
)
from holdfast.items import Item
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.backfill.pace import BatchSize, RateLimit, delay
from holdfast.upgrade.backfill.stand import KEY, stand
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.executor import Inline, Threads
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import GONE, Copy, ReEmbed, Translate
from holdfast.upgrade.order import arrange
from holdfast.upgrade.side import Bridged, Side
from tests.upgrade.setup import NEW, OLD, Setup
from tests.upgrade.toys import Clock, ToyEncoder


@pytest.mark.parametrize("workers", [0, -1, "2", None, 1.5])
def test_threads_are_counted(workers):
    with pytest.raises(InvalidInput) as told:
        Threads(workers)
    assert (told.value.expected, told.value.got) == ("workers as an integer from 1", repr(workers))


@pytest.mark.parametrize("executor", [Inline, lambda: Threads(3)])
def test_a_run_moves_every_vector_and_hides_every_old_row(setup, executor):
    one = setup()
    status = one.engine(executor=executor()).run()
    assert (status.state, status.share, status.todo) == ("ready", 1.0, 0)
    assert one.moved_correctly()
    assert (one.old.visible, len(one.old), one.new.visible) == (0, 300, 300)


def test_a_budget_stops_at_the_share_and_goes_on_from_there(setup):
    one = setup()
    engine = one.engine()
    assert engine.run(0.3).share == pytest.approx(0.3, abs=1 / 300)
    assert engine.status().state == "paused"
    calls = one.new_model.calls
    assert engine.run(0.3).share == pytest.approx(0.3, abs=1 / 300)
    assert one.new_model.calls == calls, "a reached budget costs nothing"
    assert engine.run().state == "ready"


@pytest.mark.parametrize("until", [30, -0.1, float("nan"), True, "50%", None])
def test_a_budget_that_is_no_share_moves_nothing(setup, until):
    one = setup()
    with pytest.raises(InvalidInput, match="a share between 0 and 1"):
        one.engine().run(until)
    assert (one.gallery.state, len(one.new)) == ("planned", 0)


def test_both_sides_are_tended_where_a_budget_stops(setup):
    one = setup()
    tended = []
    one.old.tend = lambda: tended.append(("old", one.old.visible))
    one.new.tend = lambda: tended.append(("new", one.new.visible))
    one.engine().run(0.5)
    assert tended == [("old", 150), ("new", 150)]
    tended.clear()
    one.engine().run()
    assert tended == [("new", 300)], "the old side is not searched any more"


def test_a_budget_is_kept_by_threads_too(setup):
    assert setup().engine(executor=Threads(3)).run(0.3).share == pytest.approx(0.3, abs=1 / 300)


def test_throttling_is_waited_out_and_halves_the_batch(setup):
    one = setup(batch_size=64, max_batch_size=64, backoff=1.0)
    one.new_model.fail = [
        Throttled("model", "room", "429", retry_after=7.0),
        Throttled("model", "room", "429"),
    ]
    status = one.engine().run()
    assert status.state == "ready"
    assert one.moved_correctly()
    seconds = sum(one.slept) - 7.0
    assert 1.0 <= seconds <= 2.0, "second attempt: twice the back-off, jittered downwards"
    assert max(one.slept) <= 0.2, "who waits for long must hear what is asked for"


@pytest.mark.parametrize("executor", [Inline, lambda: Threads(2)])
@pytest.mark.parametrize("within", [False, True], ids=["engine", "encoder"])
def test_a_backfill_that_waits_for_a_model_hears_commands(setup, executor, within, monkeypatch):
    one = setup()
    slept, asked = [], []
    encode = one.new_model.encode

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3 and not asked:
            asked.append(one.ledger.ask("pause"))

    def away(contents, role):
        error = Throttled("model", "room", "429", retry_after=3_600.0)
        if within:
            while Retry(longest=3_600.0, sleep=sleep).rest(3_600.0):
                pass
        raise error

    monkeypatch.setattr(one.new_model, "encode", away)
    engine = one.engine(executor=executor())
    engine._sleep = sleep
    assert engine.run().state == "paused"
    assert one.ledger.asked() == []
    assert sum(slept) < 3.0, "not the hour that was asked for"
    monkeypatch.setattr(one.new_model, "encode", encode)
    assert engine.run().state == "ready"
    assert one.moved_correctly()
    engine.executor.close()


def test_a_pause_does_not_wait_for_a_model_that_is_away(setup):
    one = setup(backoff=1.0)
    one.new_model.fail = [Throttled("model", "room", "429") for _ in range(9)]
    engine = one.engine()
    engine._sleep = lambda seconds: engine.pause()
    assert engine.run().state == "paused"
    assert one.ledger.events()[-1][2] == {"why": "asked for"}
    one.new_model.fail.clear()
    assert engine.run().state == "ready"
    assert one.moved_correctly()


def test_a_model_that_stays_away_pauses_the_upgrade_and_loses_nothing(setup):
    one = setup(attempts=3)
    one.new_model.fail = [Throttled("model", "room", "429") for _ in range(3)]
    engine = one.engine()
    with pytest.raises(Throttled):
        engine.run()
    assert engine.status().state == "paused"
    assert "429" in one.ledger.events()[-1][2]["why"]
    assert engine.run().state == "ready"
    assert one.moved_correctly()


def test_a_run_in_an_application_is_told_from_one_that_was_cut_off(setup):
    one, seen = setup(), []
    one.ledger.set_meta(KEY, json.dumps({"pid": 2**30, "rate": 1.0}))  # killed before
    engine = one.engine(listener=lambda _: seen.append(stand(one.ledger)))
    engine.start()
    assert (stand(one.ledger)["state"], stand(one.ledger)["running"]) == ("copying", False)
    engine.run()
    moving = [told for told in seen if told["state"] == "copying"]
    assert {(told["running"], told["pid"]) for told in moving} == {(True, os.getpid())}


def test_a_run_that_is_interrupted_gives_a_reason_without_an_empty_message(setup):
    one = setup()
    one.new_model.fail = [KeyboardInterrupt()]
    engine = one.engine()
    with pytest.raises(KeyboardInterrupt):
        engine.run()
    assert one.ledger.events()[-1][2]["why"] == "KeyboardInterrupt"
    assert engine.run().state == "ready"


class Picky(ToyEncoder):
    """Refuses some contents for good."""

    def __init__(self, bad, how, **options):
        super().__init__(NEW, **options)
        self.bad, self.how = bad, how

    def encode(self, contents, role):
        if any(c in self.bad for c in contents):
            if self.how == "error":
                raise EncoderError("model", "text it can read", "nonsense")
            if self.how == "odd":
                raise EncoderError("model", "text it can read", "a text that was cut \ud83d")
            if self.how == "count":
                return super().encode([c for c in contents if c not in self.bad], role)
            raise NotFinite("model", "finite numbers", "NaN")
        return super().encode(contents, role)


@pytest.mark.parametrize("how", ["error", "count", "nan"])
def test_items_at_fault_are_found_by_halving_and_quarantined(setup, how):
    one = setup()
    bad = ["i3", "i4", "i250"]
    model = Picky([one.items[n] for n in bad], how, seed=2)
    one.new_model = model
    engine = one.engine(ReEmbed(one.source, model))
    status = engine.run()
    assert status.state == "ready"
    assert status.quarantined == 3
    reasons = dict(one.ledger.quarantined())
    assert sorted(reasons) == sorted(bad)
    assert one.moved_correctly([n for n in one.items if n not in bad])
    # They are still found, on the old side, and a cut-over that would lose them is refused.
    query = [one.items["i250"]]
    assert "i250" in one.gallery.search(query, 20).ids
    with pytest.raises(UpgradeError, match="no quarantined items"):
        engine.cut_over()
    model.bad = []
    assert engine.retry() == 3
    assert engine.run().state == "ready"
    engine.cut_over()
    assert one.moved_correctly()


def test_a_reason_that_utf_8_cannot_write_is_spelled_out(setup):
    one = setup()
    one.new_model = model = Picky([one.items["i3"]], "odd", seed=2)
    status = one.engine(ReEmbed(one.source, model)).run()
    assert (status.state, status.quarantined) == ("ready", 1)
    ((name, reason),) = one.ledger.quarantined()
    assert name == "i3"
    assert "cut \\ud83d" in reason


@pytest.mark.parametrize(("until", "side", "then"), [(0.5, "old", "paused"), (1.0, "new", "ready")])
def test_an_index_that_cannot_be_made_pauses_where_everything_has_moved(setup, until, side, then):
    """It was left copying, with nobody at it."""
    one = setup()
    store = getattr(one, side)
    store.tend = lambda: (_ for _ in ()).throw(StoreError(side, "memory for an index", "none"))
    engine = one.engine()
    with pytest.raises(StoreError, match="memory for an index"):
        engine.run(until)
    assert (one.gallery.state, one.gallery.share) == ("paused", until)
    assert one.ledger.events()[-1][1:] == (
        "paused",
        {"why": f"StoreError: {side}: expected memory for an index, got none."},
    )
    del store.tend
    assert engine.run(until).state == then


def test_quarantined_items_can_be_left_behind_and_come_back_with_a_rollback(setup):
    one = setup()
    del one.source.items["i7"]
    engine = one.engine()
    engine.run()
    assert one.ledger.quarantined() == [("i7", GONE)]
    engine.cut_over(leave_behind=True)
    assert "i7" not in one.gallery.search([one.items["i7"]], 300).ids
    assert one.gallery.share == engine.status().share == 299 / 300
    one.gallery.upsert([Item("i8", one.items["i8"])])
    one.gallery.delete(["i9"])
    assert one.gallery.share == 298 / 299
    engine.roll_back()
    assert one.gallery.search([one.items["i7"]], 1).ids.tolist() == [["i7"]]


def test_finishing_with_items_left_behind_takes_a_word(setup):
    one = setup()
    del one.source.items["i7"]
    engine = one.engine()
    engine.run()
    engine.cut_over(leave_behind=True)
    with pytest.raises(UpgradeError, match="1 quarantined ones, left behind"):
        engine.finish()
    assert one.gallery.state == "cut over"
    engine.finish(leave_behind=True)
    assert (one.gallery.state, one.gallery.share, len(one.gallery)) == ("finished", 1.0, 299)


def test_a_source_that_lost_everything_pauses_instead_of_quarantining_all(setup):
    one = setup(count=600, max_quarantined=0.1)
    one.source.items.clear()
    engine = one.engine()
    with pytest.raises(UpgradeError, match="at most 100 quarantined"):
        engine.run()
    assert engine.status().state == "paused"
    assert one.ledger.counts()["quarantined"] < 200


def test_a_refused_token_pauses_and_blames_no_item(setup):
    one = setup()
    one.new_model.fail = [EncoderMisconfigured("model", "a token", "401")]
    with pytest.raises(EncoderMisconfigured):
        one.engine().run()
    assert one.gallery.state == "paused"
    assert one.ledger.counts() == {"todo": 300, "quarantined": 0}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda rows: rows[:, :10], EncoderMisconfigured),
        (lambda rows: Vectors(Space("stranger", 12), rows), EncoderMisconfigured),
        (lambda rows: None, UpgradeError),
    ],
)
def test_a_model_of_somebody_s_own_is_judged_by_what_it_answers(setup, answer, error):
    """It need not check its answers itself: a wrong length is told of before items are blamed."""
    one = setup()
    encode = one.new_model.encode
    one.new_model.encode = lambda contents, role: answer(encode(contents, role).array)
    with pytest.raises(error, match="encoder of new: expected"):
        one.engine().run()
    blamed = 0 if error is EncoderMisconfigured else 128
    assert one.ledger.counts() == {"todo": 300 - blamed, "quarantined": blamed}


def test_a_command_from_elsewhere_pauses_and_throttles(setup):
    one = setup()
    one.ledger.ask("rate", rate=5.0)
    one.ledger.ask("dance")
    number = one.ledger.ask("pause")
    engine = one.engine()
    status = engine.run()
    assert status.state == "paused"
    assert 0 < status.share < 1
    assert one.ledger.asked() == []
    assert engine._limit.rate == 5.0
    assert number == 3


def test_a_live_write_that_the_new_model_refuses_waits_on_the_old_side(setup):
    one = setup()
    engine = one.engine()
    engine.run(0.5)
    moved = next(n for n in one.items if one.new.revisions([n])[0] >= 0)
    one.items[moved] = one.source.items[moved] = (1.0, 2.0, 3.0, 4.0)
    one.new_model.fail = [Throttled("model", "room", "429")]
    one.gallery.upsert([Item(moved, one.items[moved])])
    assert not one.old.get([moved]).hidden[0]
    assert moved in one.gallery.search([one.items[moved]], 300).ids
    assert one.ledger.waiting([moved]) == {moved}
    assert engine.run().state == "ready"
    assert one.moved_correctly()


def test_after_cut_over_a_write_needs_the_new_model(setup):
    one = setup()
    engine = one.engine()
    engine.run()
    engine.cut_over()
    one.new_model.fail = [Throttled("model", "room", "429")]
    with pytest.raises(Throttled):
        one.gallery.upsert([Item("x", (1.0, 2.0, 3.0, 4.0))])
    assert len(one.gallery) == 300


def test_shares_zero_and_one_are_the_single_stores_bit_for_bit(setup):
    one = setup()
    queries = [(0.1, 0.2, 0.3, 0.4), (-1.0, 0.0, 1.0, 0.5)]
    old_alone = one.old.search(one.old_model.encode(queries, "query"), 10)
    engine = one.engine()
    for when in ("before", "copying at 0"):
        got = one.gallery.search(queries, 10)
        assert np.array_equal(got.ids, old_alone.ids), when
        assert np.array_equal(got.scores, old_alone.scores), when
        engine.start()
    engine.run()
    new_alone = one.new.search(one.new_model.encode(queries, "query"), 10)
    for turn in (engine.cut_over, engine.finish):
        got = one.gallery.search(queries, 10)
        assert np.array_equal(got.ids, new_alone.ids)
        assert np.array_equal(got.scores, new_alone.scores)
        turn()


def test_one_side_alone_is_never_asked_through_the_other_model(setup):
    one = setup()
    calls = one.new_model.calls
    one.engine().start()
    one.gallery.search([(0.1, 0.2, 0.3, 0.4)], 3)
    assert one.new_model.calls == calls


@pytest.mark.parametrize("dead", [False, True])
def test_rollback_after_cut_over_keeps_what_was_written_since(setup, dead):
    one = setup()
    if dead:
        # The old model is gone; a bridge leads from the new space into its space.
        fixed = np.random.default_rng(5).normal(size=(NEW.dim, OLD.dim))

        class Map:
            origin, target = NEW, OLD

            def transform(self, vectors):
                array = vectors.array @ fixed
                norms = np.linalg.norm(array, axis=1, keepdims=True)
                return Vectors(OLD, (array / norms).astype(np.float32))

        one.gallery.old = Side(one.old, None, Map())
        one.gallery = Gallery(one.gallery.old, one.gallery.new, one.ledger, clock=Clock(10_000))
    engine = one.engine()
    engine.run()
    engine.cut_over()
    fresh = {"x1": (0.9, -0.8, 0.7, -0.6), "x2": (-0.5, 0.6, -0.7, 0.8)}
    one.gallery.upsert([Item(n, c, {"late": True}) for n, c in fresh.items()])
    one.gallery.upsert([Item("i5", (2.0, -1.0, 0.5, 0.25))])
    one.gallery.delete(["i9"])
    engine.roll_back()
    assert one.gallery.state == "rolled back"
    assert one.gallery.share == 0.0
    assert len(one.gallery) == 301
    hits = one.gallery.search(list(fresh.values()), 301)
    assert hits.ids[0, 0] == "x1"
    assert hits.ids[1, 0] == "x2"
    assert "i9" not in hits.ids
    assert one.gallery.search([(2.0, -1.0, 0.5, 0.25)], 1).ids.tolist() == [["i5"]]
    assert one.gallery.get(["x1"]).payloads == [{"late": True}]
    if dead:
        # The stand-in for the dead model in a gallery of one side.
        alone = Gallery(Side(one.old, Bridged(one.new_model, Map())), clock=Clock())
        assert alone.search(list(fresh.values()), 1).ids.tolist() == [["x1"], ["x2"]]


@pytest.mark.parametrize(
    ("state", "command"),
    [
        ("planned", "cut_over"),
        ("planned", "finish"),
        ("planned", "pause"),
        ("copying", "cut_over"),
        ("ready", "finish"),
        ("cut over", "run"),
        ("cut over", "pause"),
        ("cut over", "cut_over"),
        ("finished", "roll_back"),
        ("finished", "run"),
        ("rolled back", "run"),
        ("rolled back", "cut_over"),
    ],
)
def test_commands_the_table_of_states_does_not_allow(setup, state, command):
    one = setup(count=5)
    engine = one.engine()
    one.gallery.set_state(state)
    with pytest.raises(UpgradeError, match=f"one that is {state}"):
        getattr(engine, command)()
    assert one.gallery.state == state


def encoded_after_rolling_back(one, engine):
    """Contents that the new model is asked for by the next upgrade, from its start to ready."""
    engine.roll_back()
    one.plan_again()
    encoded = one.encoded_by_new()
    assert one.engine().run().state == "ready"
    return sum(encoded)


def test_an_upgrade_started_again_after_a_rollback_encodes_nothing_twice(setup):
    one = setup()
    engine = one.engine()
    engine.run(0.5)
    assert encoded_after_rolling_back(one, engine) == 150
    assert one.moved_correctly()


def test_translate_and_copy_need_no_content(setup):
    one = setup()

    class Turn:
        origin, target = OLD, NEW

        def transform(self, vectors):
            return Vectors(NEW, np.pad(vectors.array, ((0, 0), (0, 4))))

    one.source.items.clear()
    assert one.engine(Translate(Turn())).run().state == "ready"
    names = list(one.items)
    old, new = one.old.get(names).vectors.array, one.new.get(names).vectors.array
    assert np.array_equal(new, np.pad(old, ((0, 0), (0, 4))))


class Turn:
    """Maps old vectors by turning their coordinates round so many times."""

    origin, target = OLD, NEW

    def __init__(self, times):
        self.times = times

    def transform(self, vectors):
        turned = np.roll(vectors.array, self.times, axis=1)
        return Vectors(NEW, np.pad(turned, ((0, 0), (0, 4))))


def test_what_a_bridge_mapped_is_not_taken_for_what_the_model_answers(setup):
    one = setup()
    names = list(one.items)
    for times in (1, 2):
        mapped = one.engine(Translate(Turn(times)))
        assert mapped.run(1.0).state == "ready"
        old, new = one.old.get(names).vectors.array, one.new.get(names).vectors.array
        assert np.array_equal(new[:, :8], np.roll(old, times, axis=1)), "another bridge maps anew"
        mapped.cut_over()
        mapped.roll_back()
        one.plan_again()
    engine = one.engine()
    assert engine.run(0.5).state == "paused"
    assert len(one.new) == 150, "nothing that was mapped is left"
    assert encoded_after_rolling_back(one, engine) == 150, "what the model answered is kept"
    assert one.moved_correctly()


def test_a_bridge_that_mapped_nothing_takes_nothing_from_the_model(setup):
    one = setup()
    mapped = one.engine(Translate(Turn(1)))
    mapped.start()
    mapped.roll_back()
    one.plan_again()
    engine = one.engine()
    engine.run(0.5)
    assert encoded_after_rolling_back(one, engine) == 150, "what the model answered is kept"


def test_giving_up_what_was_mapped_goes_on_where_it_died(setup):
    one = setup()
    mapped = one.engine(Translate(Turn(1)))
    mapped.run(0.5)
    mapped.roll_back()
    one.plan_again()
    delete = one.new.delete

    def dies(ids):
        delete(ids[:40])
        raise KeyboardInterrupt

    one.new.delete = dies
    with pytest.raises(KeyboardInterrupt):
        one.engine().run()
    one.new.delete = delete
    assert (one.gallery.state, len(one.new)) == ("planned", 110)
    assert one.engine().run().state == "ready"
    assert one.moved_correctly()
    told = [detail for _, kind, detail in one.ledger.events() if kind == "mapped vectors given up"]
    assert told == [{"items": 110}]


def test_copy_carries_vectors_to_another_store_of_the_space(tmp_path):
    one = Setup(tmp_path, count=50, merge="compatible")
    other = MemoryStore(OLD)
    ledger = Ledger(tmp_path / "second.sqlite", lambda: 0.0)
    ledger.begin(one.plan.model_dump(), OLD, OLD)
    sides = Side(one.old, one.old_model), Side(other, one.old_model)
    gallery = Gallery(*sides, ledger, mode="compatible", clock=Clock())
    alone = one.old.search(one.old_model.encode([(0.1, 0.2, 0.3, 0.4)], "query"), 10)
    engine = Engine(gallery, Copy(OLD), one.plan)
    for share in (0.3, 0.7, 1.0):
        engine.run(share)
        mixed = gallery.search([(0.1, 0.2, 0.3, 0.4)], 10)
        assert np.array_equal(mixed.ids, alone.ids), "one space: mixing changes nothing"
    one.gallery.close()
    ledger.close()


def test_a_mover_into_the_wrong_space_is_refused(setup):
    one = setup(count=5)
    with pytest.raises(UpgradeError, match="a mover into new"):
        one.engine(ReEmbed(one.source, one.old_model))


def test_a_delete_waits_while_a_batch_is_read(setup):
    one = setup(count=60)
    one.gallery.delete(["i3"])  # so that the batch is looked up before it is read
    revisions, deleting = one.old.revisions, []

    def and_then_delete(names):
        found = revisions(names)
        if not deleting and len(names) > 1:  # the engine asks for a batch
            deleting.append(threading.Thread(target=one.gallery.delete, args=([names[0]],)))
            deleting[0].start()
            deleting[0].join(0.1)
        return found

    engine = one.engine()
    engine.start()
    one.gallery.delete(["i5"])
    one.old.revisions = and_then_delete
    while not deleting:
        engine.step()
    deleting[0].join()
    assert engine.run().state == "ready"
    assert len(one.old) == len(one.new) == one.new.visible == 57


def test_a_rollback_while_the_new_side_is_tended_is_not_undone(setup):
    one = setup()
    engine = one.engine()

    def roll_back():
        other = threading.Thread(target=engine.roll_back)
        other.start()
        other.join()

    one.new.tend = roll_back
    engine.run()
    assert one.gallery.state == "rolled back"
    assert (one.old.visible, one.new.visible) == (300, 0)


def test_what_is_written_while_the_queue_is_filled_moves_too(setup):
    one = setup(count=50)
    fill = one.ledger.fill

    def and_write(ids):
        fill(ids)
        one.gallery.upsert([Item("late", (0.9, -0.8, 0.7, -0.6))])

    one.ledger.fill = and_write
    one.source.items["late"] = (0.9, -0.8, 0.7, -0.6)
    engine = one.engine()
    assert engine.run().share == 1.0
    engine.cut_over()
    assert one.gallery.search([(0.9, -0.8, 0.7, -0.6)], 1).ids.tolist() == [["late"]]


def test_an_order_is_worked_out_once_also_onto_what_an_earlier_upgrade_left(setup):
    one = setup(order="given")
    engine = one.engine(given=list(one.items))
    engine.run(0.5)
    engine.roll_back()
    one.plan_again()
    asked = []
    engine = one.engine(given=lambda: asked.append(1) or list(one.items)[::-1])
    engine.start()
    queued = [name for _, name in one.ledger.todo(300)]
    assert queued[60:] == [name for name in reversed(one.items) if name not in queued[:60]]
    assert len(asked) == 1


@pytest.mark.parametrize("again", [False, True])
def test_an_order_that_is_refused_begins_nothing(setup, again):
    one = setup(order="given")
    if again:
        one.engine(given=list(one.items)).run(0.5)
        one.engine().roll_back()
        one.plan_again()
    with pytest.raises(ConfigError, match="order_file: expected ids of the gallery, got none"):
        one.engine(given=["nobody"]).run()
    assert (one.gallery.state, one.ledger.total()) == ("planned", 0)
    assert one.engine(given=list(one.items)).run().state == "ready"


def test_an_upgrade_that_died_before_its_queue_was_filled_fills_it(setup):
    one = setup(count=50)
    one.gallery.set_state("copying")
    engine = one.engine()
    while engine.step().state != "ready":
        pass
    assert one.moved_correctly()


@pytest.mark.parametrize("again", [False, True])
def test_what_is_written_while_the_queue_is_read_moves_too(setup, again):
    one = setup(count=50)
    if again:
        one.engine().run()
        one.engine().roll_back()
        one.plan_again()
    fill = one.ledger.fill

    def write_and(ids):
        if "late" not in one.source.items:
            one.items["late"] = one.source.items["late"] = (0.9, -0.8, 0.7, -0.6)
            one.gallery.upsert([Item("late", one.source.items["late"])])
        fill(ids)

    one.ledger.fill = write_and
    engine = one.engine()
    assert engine.run().share == 1.0
    engine.cut_over()
    assert "late" in one.items
    assert one.moved_correctly()


def test_a_write_that_fails_on_the_new_side_at_the_last_moment_prevents_the_cut_over(setup):
    one = setup(count=50)
    engine = one.engine()
    engine.run()
    counts, asked = one.ledger.counts, []

    def and_write():
        found = counts()
        if not asked:
            asked.append(found)
            one.new_model.fail = [EncoderError("model", "an answer", "none")]
            one.gallery.upsert([Item("late", (0.9, -0.8, 0.7, -0.6))])
        return found

    one.ledger.counts = and_write
    with pytest.raises(UpgradeError, match="1 that are not"):
        engine.cut_over()
    assert asked[0]["todo"] == 0
    assert one.gallery.state == "copying"
    one.source.items["late"] = (0.9, -0.8, 0.7, -0.6)
    assert engine.run().share == 1.0
    engine.cut_over()
    assert one.gallery.search([(0.9, -0.8, 0.7, -0.6)], 1).ids.tolist() == [["late"]]


def test_a_scan_that_another_cut_over_overtakes_takes_nothing_out_of_the_new_side(setup):
    one = setup()
    engine = one.engine()
    engine.run()
    scan = one.old.scan

    def overtaken(*given, **more):
        one.old.scan = scan
        page = scan(*given, **more)
        one.engine().cut_over()
        vectors = one.old_model.encode([one.items["i5"]], "document")
        one.old.upsert(["i5"], vectors, None, [10**9])  # past the gallery
        return page

    one.old.scan = overtaken
    with pytest.raises(UpgradeError, match="one that is cut over"):
        engine.cut_over()
    assert one.gallery.search([one.items["i5"]], 1).ids.tolist() == [["i5"]]
    assert not one.ledger.todo(1)


def test_searches_beside_a_backfill_always_see_every_item(setup):
    one = setup(count=400)
    queries = [one.items[f"i{n}"] for n in range(0, 400, 40)]
    wrong: list[str] = []
    stop = threading.Event()

    def search():
        while not stop.is_set():
            hits = one.gallery.search(queries, 401)
            for row in hits.ids:
                names = [n for n in row if n]
                if len(names) != 400 or len(set(names)) != 400:
                    wrong.append(f"{len(names)} hits, {len(set(names))} distinct")

    readers = [threading.Thread(target=search) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        one.engine(executor=Threads(2)).run()
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not wrong


# orders


def test_orders_start_with_a_random_sample_then_keep_their_promise():
    ids = np.array([f"i{n}" for n in range(1000)], dtype=object)
    revisions = np.arange(1000)
    newest = arrange("newest", ids, revisions, seed=0)
    assert sorted(newest) == sorted(ids)
    rest = [int(n[1:]) for n in newest[200:]]
    assert rest == sorted(rest, reverse=True)
    assert newest[:200] == arrange("random", ids, revisions, seed=0)[:200]
    given = arrange("given", ids, revisions, seed=0, given=["i7", "nobody", "i3", "i999"])
    listed = [n for n in given[200:] if n in ("i7", "i3", "i999")]
    assert given[200 : 200 + len(listed)] == listed
    assert listed == [n for n in ("i7", "i3", "i999") if n in listed]
    assert arrange("random", ids, revisions, seed=1) != arrange("random", ids, revisions, seed=2)


# pace


def test_batches_grow_while_that_is_faster_and_halve_when_throttled():
    size = BatchSize(10, 100)
    for seconds in (1.0, 1.0, 1.0):  # 10/s, 20/s, 40/s
        size.succeeded(size.value, seconds)
    assert size.value == 80
    size.succeeded(80, 2.0)  # 40/s: no better
    assert size.value == 80
    size.failed()
    assert size.value == 40


def test_the_rate_limit_spreads_items_over_time():
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    limit = RateLimit(10.0, lambda: now[0], sleep)
    for _ in range(5):
        limit.wait(20)
    assert now[0] == pytest.approx(8.0), "the fifth batch of 20 starts after 4 x 20 items"


def test_another_rate_and_a_pause_hold_for_who_waits_already():
    now, slept = [0.0], []

    def sleep(seconds):
        now[0] += seconds
        slept.append(seconds)
        if now[0] > 3.0:
            limit.rate = 100.0

    limit = RateLimit(0.01, lambda: now[0], sleep)
    limit.wait(100)
    assert slept == []
    limit.wait(100)  # in 10,000 seconds, then in one after the last
    assert 3.0 < now[0] < 3.5
    limit.wait(50, lambda: now[0] >= 3.8)
    assert 3.8 <= now[0] < 4.1
    assert max(slept) <= 0.2


@pytest.mark.parametrize("executor", [Inline, lambda: Threads(2)])
def test_a_backfill_that_waits_for_its_rate_hears_commands(setup, executor):
    one = setup(rate=0.001)
    asked, slept = [("rate", {"rate": 1e9}), ("pause", {})], []

    def sleep(seconds):
        slept.append(seconds)
        if asked:
            name, detail = asked.pop()
            one.ledger.ask(name, **detail)

    engine = one.engine(executor=executor())
    engine._limit._sleep = sleep
    status = engine.run()
    assert status.state == "paused"
    assert 0.0 < status.share < 0.4, "a batch or three"
    assert engine.run().state == "ready"
    assert one.moved_correctly()
    assert len(slept) == 2
    assert max(slept) < 1.0, "not the hours that the rate says"
    engine.executor.close()


def test_the_wait_after_a_failure_doubles_unless_the_provider_says():
    plain = EncoderError("m", "a", "b")
    assert 4.0 <= delay(plain, 3, 1.0) <= 8.0
    assert delay(Throttled("m", "a", "b", retry_after=3.5), 3, 1.0) == 3.5
    assert 4.0 <= delay(Throttled("m", "a", "b", retry_after=0.0), 3, 1.0) <= 8.0
