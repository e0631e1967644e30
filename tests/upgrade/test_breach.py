"""What a breach does outside of copying: it steps a stage back, or is only written down."""

from __future__ import annotations

import json

import pytest

from holdfast.errors import InvalidInput, UpgradeError
from holdfast.items import Item
from holdfast.upgrade.backfill.stand import stand
from holdfast.upgrade.backfill.turns import paused_by_somebody
from holdfast.upgrade.record.audit import NOTHING
from holdfast.upgrade.record.breach import standing
from holdfast.upgrade.sides.stage import Stage
from holdfast.upgrade.watched import WatchConfig
from holdfast.upgrade.watching.quality import run_measured
from tests.upgrade.test_watch import COUNT, World, spoil_new, texts, world  # noqa: F401

KEYS = [f"user-{n}" for n in range(20)]


def watched(**more):
    return WatchConfig(share=1.0, calibration=60, **more)


def staged(world, **more):  # noqa: F811
    """In a stage of half of the traffic, the watch calibrated."""
    one = world(config=watched(**more))
    one.engine.run()
    one.ask(80)
    one.engine.stage(Stage(0.5), by="alice")
    return one


def sides(one):
    """Keys by the side that answers them."""
    (text,) = texts(1, 123)
    new = one.gallery.search([text], 10, side="new").row(0)
    told = {key: one.gallery.search([text], 10, key=key).row(0) == new for key in KEYS}
    return [key for key, on_new in told.items() if on_new]


def breaches(one):
    return [detail for _, kind, detail in one.ledger.events() if kind == "breach"]


def test_in_a_stage_everybody_is_led_back_to_the_old_side_and_nothing_is_given_up(world):  # noqa: F811
    one = staged(world)
    assert 0 < len(sides(one)) < len(KEYS)
    spoil_new(one)
    assert one.ask_until_it_breaks(60) is not None
    assert (one.gallery.state, one.gallery.stage) == ("cutting over", Stage(0.5, held=True))
    assert sides(one) == []
    (breach,) = breaches(one)
    assert (breach["did"], breach["finding"]) == ("stepped back", one.watch.breach.to_json())
    last = one.ledger.deeds()[-1]
    assert (last.who, last.what, last.outcome) == ("watch", "step back", "done")
    assert last.why == f"breach: {breach['why']}"
    told = stand(one.ledger)
    assert told["breach"] == {"time": 0.0, **breach}
    assert told["stage"]["words"] == "nobody, stepped back from 50 % of the traffic"
    assert (one.old.visible, one.new.visible) == (COUNT, COUNT)  # both sides answer alone
    one.gallery.upsert([Item("late", one.items["i7"])])
    assert {len(one.old), len(one.new)} == {COUNT + 1}


def test_a_stage_given_again_takes_effect_and_is_watched_again(world):  # noqa: F811
    one = staged(world)
    before = sides(one)
    spoil_new(one)
    one.ask_until_it_breaks(60)
    one.ask(100)
    assert len(breaches(one)) == 1  # it is told once
    one.engine.stage(Stage(0.5), by="alice")
    assert stand(one.ledger)["breach"] is None
    assert not one.gallery.stage.held
    one.ask(60)
    assert len(breaches(one)) == 2  # it is led back once more
    assert one.gallery.stage.held
    one.new_model.spoil = 0.0
    one.engine.stage(Stage(0.5), by="alice")
    one.ask(60)
    assert one.watch.breach is None
    assert sides(one) == before
    one.engine.cut_over()
    assert one.gallery.state == "cut over"


@pytest.mark.parametrize(
    ("more", "did", "state", "held"),
    [
        ({"in_stages": "tell"}, "told", "cutting over", False),
        ({"on_breach": "tell"}, "told", "cutting over", False),
        ({"on_breach": "tell", "in_stages": "step back"}, "stepped back", "cutting over", True),
        ({"on_breach": "roll back"}, "rolled back", "rolled back", None),
        ({"in_stages": "roll back"}, "rolled back", "rolled back", None),
    ],
)
def test_what_a_breach_does_in_a_stage_is_a_setting(world, more, did, state, held):  # noqa: F811
    one = staged(world, **more)
    spoil_new(one)
    one.ask_until_it_breaks(60)
    one.ask(60)
    assert [breach["did"] for breach in breaches(one)] == [did]
    assert one.gallery.state == state
    stage = one.gallery.stage
    assert (stage.held if stage else None) is held
    assert (sides(one) != []) is (held is False)
    assert stand(one.ledger)["breach"]["did"] == did


def test_when_all_has_moved_there_is_nothing_to_pause_and_it_is_written_down(world):  # noqa: F811
    one = world(config=watched())
    one.engine.run()
    one.ask(80)
    spoil_new(one)
    assert one.ask_until_it_breaks(60) is not None
    assert one.gallery.state == "ready"
    (breach,) = breaches(one)
    assert breach["did"] == "told"
    assert stand(one.ledger)["breach"]["finding"] == one.watch.breach.to_json()
    last = one.ledger.deeds()[-1]
    assert (last.who, last.what, last.outcome) == ("watch", "tell", "done")
    one.engine.stage(Stage(0.1))  # somebody goes on all the same
    assert stand(one.ledger)["breach"] is None


def test_after_the_cut_over_a_breach_is_written_down(world):  # noqa: F811
    one = world(config=watched())
    one.engine.run()
    one.ask(80)
    one.engine.cut_over()
    spoil_new(one)
    assert one.ask_until_it_breaks(60) is not None
    one.ask(40)
    assert [breach["did"] for breach in breaches(one)] == ["told"]
    assert one.gallery.state == "cut over"
    assert stand(one.ledger)["breach"]["did"] == "told"


def test_while_items_move_and_nothing_is_stopped_it_is_told_once(world):  # noqa: F811
    one = world(config=watched(on_breach="tell"))
    for _ in range(12):
        one.engine.step()
        one.ask(10)
    spoil_new(one)
    assert one.ask_until_it_breaks(200) is not None
    one.ask(150)
    assert (len(breaches(one)), one.gallery.state) == (1, "copying")


def test_a_command_that_comes_too_late_is_told_instead(world):  # noqa: F811
    one = staged(world)
    asked = []

    def step_back(why, by):
        asked.append(by)
        raise UpgradeError("step back", "an upgrade that is cutting over", "cut over")

    one.engine.step_back = step_back
    spoil_new(one)
    assert one.ask_until_it_breaks(60) is not None
    assert asked == ["watch"]
    assert [breach["did"] for breach in breaches(one)] == ["stepped back", "told"]
    assert one.watch.numbers()["failures"] == 0


def test_a_step_back_is_a_command_like_others(world):  # noqa: F811
    one = world(config=watched())
    with pytest.raises(UpgradeError, match="cutting over, got one that is planned"):
        one.engine.step_back()
    one.engine.run()
    one.engine.stage(Stage(0.3, ("acme",), {"lang": "en"}))
    one.engine.step_back("complaints", by="alice")
    one.engine.step_back("once more", by="alice")
    assert [(d.what, d.why, d.outcome) for d in one.ledger.deeds()[-2:]] == [
        ("step back", "complaints", "done"),
        ("step back", "once more", NOTHING),
    ]
    assert one.gallery.stage == Stage(0.3, ("acme",), {"lang": "en"}, held=True)
    for asks in ({"key": "u"}, {"tenant": "acme"}, {"where": {"lang": "en"}}):
        assert not one.gallery.chosen(["x"], None, asks.get("key"), asks.get("tenant")).any()
    one.gallery.recover()  # as the next process finds it
    assert one.gallery.stage.held
    one.engine.roll_back()
    assert one.gallery.state == "rolled back"


def test_a_step_back_holds_the_stage_that_was_given_meanwhile(world):  # noqa: F811
    one = world(config=watched())
    one.engine.run()
    one.engine.stage(Stage(0.1))
    turn, others = one.gallery.set_state, [Stage(0.9)]

    def late(state, *given, **told):
        if others and told.get("stage", Stage(1.0)).held:
            turn("cutting over", stage=others.pop())
        return turn(state, *given, **told)

    one.gallery.set_state = late
    one.engine.step_back()
    assert one.gallery.stage == Stage(0.9, held=True)


def test_a_step_back_shows_the_old_side_if_that_was_cut_off(world):  # noqa: F811
    one = world(config=watched())
    one.engine.run()
    one.engine._show_old = lambda: None
    one.engine.stage(Stage(0.5))
    assert not one.gallery.whole
    del one.engine._show_old
    one.engine.step_back()
    assert one.gallery.whole
    assert sides(one) == []


def test_a_ledger_remembers_a_step_back():
    assert Stage.from_json(json.loads(json.dumps(Stage(0.5, held=True).to_json()))).held


@pytest.mark.parametrize(
    ("kinds", "stands"),
    [
        ([], False),
        (["breach"], True),
        (["breach", "paused", "rolled back"], True),
        (["breach", "rate", "quarantined"], True),
        (["breach", "paused", "copying"], False),
        (["breach", "paused", "copying", "breach"], True),
        (["breach", "held"], True),
        (["breach", "held", "cutting over"], False),
        (["breach", "cut over"], False),
        (["cut over", "breach"], True),
        (["breach", "rolled back", "planned"], False),
    ],
)
def test_a_breach_stands_until_somebody_goes_on(kinds, stands):
    events = [
        (
            float(n),
            "cutting over" if kind == "held" else kind,
            {"stage": Stage(0.5, held=kind == "held").to_json()}
            if kind in ("held", "cutting over")
            else {"did": kind},
        )
        for n, kind in enumerate(kinds)
    ]
    found = standing(events)
    assert (found is not None) is stands
    if found:
        last = max(n for n, kind in enumerate(kinds) if kind == "breach")
        assert found == {"time": float(last), "did": "breach"}


class Measures:
    """Stands in for judged queries: what happens while they are asked is up to the test."""

    def __init__(self, gallery, meanwhile):
        self.gallery, self._meanwhile, self.shares = gallery, meanwhile, []

    def measure(self):
        self.shares.append(round(self.gallery.share, 2))
        self._meanwhile(self.gallery)


@pytest.mark.parametrize("until", [30, float("nan")])
def test_a_measured_run_until_what_is_no_share_moves_nothing(world, until):  # noqa: F811
    one = world(config=watched())
    measures = Measures(one.gallery, lambda gallery: None)
    with pytest.raises(InvalidInput, match="run_measured: expected a share between 0 and 1"):
        run_measured(one.engine, measures, until)
    assert (one.gallery.share, measures.shares) == (0.0, [])


def test_a_pause_while_it_is_measured_is_not_lost(world):  # noqa: F811
    one = world(config=watched())

    def meanwhile(gallery):
        if gallery.share > 0.25 and gallery.state == "paused":
            one.engine.pause("breach: agreement", by="watch")

    measures = Measures(one.gallery, meanwhile)
    status, _ = run_measured(one.engine, measures)
    assert (status.state, measures.shares) == ("paused", [0.0, 0.0, 0.1, 0.2, 0.3])
    assert paused_by_somebody(one.ledger)
    assert one.ledger.deeds()[-1].outcome == "done"
    measures._meanwhile = lambda gallery: None
    status, _ = run_measured(one.engine, measures)
    assert status.state == "ready"
