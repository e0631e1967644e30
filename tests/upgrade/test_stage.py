"""Stages of a cut-over: who reads the new side, for how long, and the way back."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from holdfast.errors import InvalidInput, Throttled, UpgradeError
from holdfast.items import Item
from holdfast.store.where import parse
from holdfast.upgrade.backfill.stand import stand
from holdfast.upgrade.search import in_full
from holdfast.upgrade.search.in_full import search_in_full
from holdfast.upgrade.sides.stage import Stage, keys_of, place
from tests.upgrade.setup import NEW, OLD

QUERIES = [(0.1, 0.2, 0.3, 0.4), (-1.0, 0.0, 1.0, 0.5), (0.7, -0.7, 0.2, 0.1)]


def alone(one, side):
    """What a side answers for each query, by hand."""
    store, model = (one.old, one.old_model) if side == "old" else (one.new, one.new_model)
    names = list(one.items)
    rows = store.get(names).vectors.array
    scores = model.encode(QUERIES, "query").array @ rows.T
    return [[names[i] for i in np.argsort(-row, kind="stable")[:5]] for row in scores]


def test_places_are_spread_evenly_and_do_not_depend_on_the_process():
    assert place("user-17", "s") == place(b"user-17", "s") == pytest.approx(0.557661885721)
    places = np.array([place(f"u{n}", "salt") for n in range(4000)])
    assert np.abs(np.sort(places) - (np.arange(4000) + 0.5) / 4000).max() < 0.03
    other = np.array([place(f"u{n}", "other") for n in range(4000)])
    assert abs(np.corrcoef(places, other)[0, 1]) < 0.05


def test_a_larger_share_keeps_whom_a_smaller_one_had():
    keys = [f"u{n}" for n in range(2000)]
    had: set[str] = set()
    for share in (0.05, 0.1, 0.25, 0.5, 1.0):
        has = {key for key in keys if Stage(share).takes(key, "salt")}
        assert had <= has
        assert abs(len(has) / 2000 - share) < 0.03
        had = has
    assert had == set(keys)


@pytest.mark.parametrize(
    ("where", "asked", "named"),
    [
        ({"lang": "en"}, {"lang": "en"}, True),
        ({"lang": "en"}, {"lang": "de"}, False),
        ({"lang": "en"}, None, False),
        ({"lang": "en"}, {"lang": ["en", "de"]}, False),
        ({"lang": "en"}, {"lang": "en", "year": {"gt": 1999}}, True),
        ({"lang": "en"}, {"and": [{"year": 1}, {"lang": "en"}]}, True),
        ({"lang": "en"}, {"or": [{"year": 1}, {"lang": "en"}]}, False),
        ({"lang": "en"}, {"not": {"lang": "en"}}, False),
        ({"lang": "en", "year": 2000}, {"lang": "en"}, False),
        ({"lang": "en", "year": 2000}, {"year": 2000.0, "lang": "en"}, True),
        ({"new": True}, {"new": 1}, False),
    ],
)
def test_a_slice_is_asked_for_by_its_values(where, asked, named):
    assert Stage(where=where).names(None, parse(asked)) is named


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"share": 0.0},
        {"share": -0.1},
        {"share": 1.5},
        {"share": True},
        {"share": "0.5"},
        {"share": None},
        {"tenants": "acme"},
        {"tenants": ("",)},
        {"tenants": None},
        {"where": {"lang": ["en", "de"]}},
        {"where": {"or": [{"lang": "en"}]}},
        {"where": {"year": {"gt": 1}}},
    ],
)
def test_a_stage_of_nobody_or_of_nonsense_is_refused(wrong):
    with pytest.raises(InvalidInput):
        Stage(**wrong)


@pytest.mark.parametrize("given", [0.1, "10%"])
def test_a_share_alone_is_no_stage(setup, given):
    one = setup(count=60)
    engine = one.engine()
    engine.run()
    with pytest.raises(InvalidInput, match=r"a Stage, such as Stage\(0\.1\), got "):
        engine.stage(given)
    assert one.gallery.state == "ready"
    assert "cut over" not in str(one.ledger.deeds())


def test_a_stage_survives_json_and_tells_itself():
    stage = Stage(0.25, ("acme", "bolt"), {"lang": "en"})
    assert Stage.from_json(stage.to_json()) == stage
    assert str(stage) == "25 % of the traffic, tenants acme, bolt, searches for lang = 'en'"


def test_queries_are_keys_where_nobody_says_who_asks():
    vectors = [made_vectors(OLD), made_vectors(NEW)]
    assert keys_of(vectors) == keys_of(vectors[::-1])
    assert len(set(keys_of(vectors[0]))) == 3
    assert keys_of(["é", b"x", (1, 2)]) == ["é".encode(), b"x", b"(1, 2)"]


@pytest.mark.parametrize("word", ["key", "tenant"])
def test_who_asks_is_text_whether_or_not_a_stage_asks_for_it(setup, word):
    one = setup(count=60)
    engine = one.engine()
    engine.run()
    for state in ("ready", "cutting over"):
        assert one.gallery.state == state
        with pytest.raises(InvalidInput, match=f"a string as {word}, got 42. Use str"):
            one.gallery.search(QUERIES, 5, **{word: 42})
        half = "user \ud83d"  # of a surrogate pair, as a program may cut it
        assert len(one.gallery.search(QUERIES, 5, **{word: half})) == 3
        if state == "ready":
            engine.stage(Stage(0.5))


def made_vectors(space):
    from tests.upgrade.toys import ToyEncoder

    return ToyEncoder(space, seed=space.dim).encode(QUERIES, "query")


def test_each_key_stays_on_its_side_while_the_stage_grows(setup):
    one = setup()
    engine = one.engine()
    engine.run()
    old, new = alone(one, "old"), alone(one, "new")
    assert old != new
    been_new: set[str] = set()
    for share in (0.2, 0.5, 0.9):
        engine.stage(Stage(share))
        assert one.gallery.state == "cutting over"
        here = set()
        for key in (f"user-{n}" for n in range(60)):
            got = [one.gallery.search(QUERIES, 5, key=key).ids.tolist() for _ in range(2)]
            assert got[0] == got[1]
            assert got[0] in (old, new)
            if got[0] == new:
                here.add(key)
        assert been_new <= here
        assert len(here) == sum(place(f"user-{n}", NEW.fingerprint) < share for n in range(60))
        been_new = here
    assert 0 < len(been_new) < 60


def test_a_tenant_reads_the_new_side_and_nobody_else(setup):
    one = setup()
    engine = one.engine()
    engine.run()
    engine.stage(Stage(tenants=("acme",)))
    assert one.gallery.search(QUERIES, 5, tenant="acme").ids.tolist() == alone(one, "new")
    for other in ({}, {"tenant": "bolt"}, {"key": "acme"}):
        assert one.gallery.search(QUERIES, 5, **other).ids.tolist() == alone(one, "old")


def test_queries_of_one_call_may_fall_on_different_sides(setup):
    one = setup()
    engine = one.engine()
    engine.run()
    places = [place(repr(query), NEW.fingerprint) for query in QUERIES]
    engine.stage(Stage(float(np.median(places)) + 1e-9))
    got = one.gallery.search(QUERIES, 5).ids.tolist()
    sides = {"old": alone(one, "old"), "new": alone(one, "new")}
    for row, where in enumerate(places):
        assert got[row] == sides["new" if where <= np.median(places) else "old"][row]


class Column(list):
    """As a column of a table in pandas is: its index are labels, in an order of their own."""

    def __getitem__(self, label):
        return super().__getitem__(len(self) - 1 - int(label))


@pytest.mark.parametrize("made", [iter, tuple, Column, lambda q: dict(enumerate(q)).values()])
def test_whatever_holds_the_queries_each_gets_its_own_answer_in_a_stage(setup, made):
    one = setup()
    engine = one.engine()
    engine.run()
    assert one.gallery.search(made(QUERIES), 5).ids.tolist() == (
        one.gallery.search(QUERIES, 5).ids.tolist()
    )
    engine.stage(Stage(float(np.median([place(repr(q), NEW.fingerprint) for q in QUERIES]))))
    assert one.gallery.search(made(QUERIES), 5).ids.tolist() == (
        one.gallery.search(QUERIES, 5).ids.tolist()
    )


def test_what_is_written_in_a_stage_is_on_both_sides_and_survives_every_way_out(setup):
    for way in ("roll_back", "cut_over", "cut_over_and_back"):
        one = setup(count=60)
        engine = one.engine()
        engine.run()
        engine.stage(Stage(0.5))
        one.gallery.upsert([Item("x1", (0.9, -0.8, 0.7, -0.6)), Item("i5", (2.0, -1.0, 0.5, 0.25))])
        one.gallery.delete(["i9"])
        for side in ("old", "new"):
            hits = one.gallery.search([(0.9, -0.8, 0.7, -0.6)], 60, side=side)
            assert hits.ids[0, 0] == "x1"
            assert len(hits.row(0)) == 60
            assert "i9" not in hits.ids
        if way != "roll_back":
            engine.cut_over()
            one.gallery.upsert([Item("x2", (0.5, 0.5, 0.5, 0.5))])
        if way != "cut_over":
            engine.roll_back()
            assert one.gallery.state == "rolled back"
            assert one.old.visible == len(one.old)
        assert one.gallery.search([(0.9, -0.8, 0.7, -0.6)], 1).ids.tolist() == [["x1"]]
        one.gallery.close()
        one.ledger.path.unlink()


def test_a_rollback_after_stages_moves_nothing(setup):
    one = setup()
    engine = one.engine()
    engine.run()
    engine.stage(Stage(0.1))
    engine.cut_over()
    asked = []
    one.gallery.back = asked.append
    engine.roll_back()
    assert (one.gallery.state, asked) == ("rolled back", [])
    assert one.gallery.search(QUERIES, 5).ids.tolist() == alone(one, "old")


def test_until_the_old_side_is_whole_everybody_reads_the_new_one(setup):
    one = setup()
    engine = one.engine()
    engine.run()
    seen = []
    show = one.gallery.show_old

    def look(ids):
        show(ids[: len(ids) // 2])
        seen.append(one.gallery.search(QUERIES, 5, key="anybody").ids.tolist())
        show(ids[len(ids) // 2 :])

    one.gallery.show_old = look
    engine.stage(Stage(tenants=("nobody",)))
    assert seen == [alone(one, "new")]
    assert one.gallery.search(QUERIES, 5, key="anybody").ids.tolist() == alone(one, "old")


def test_a_write_in_a_stage_needs_the_new_model(setup):
    one = setup()
    engine = one.engine()
    engine.run()
    engine.stage(Stage(0.5))
    one.new_model.fail = [Throttled("model", "room", "429")]
    with pytest.raises(Throttled):
        one.gallery.upsert([Item("x", (1.0, 2.0, 3.0, 4.0))])
    assert len(one.gallery) == 300


def test_quarantined_items_forbid_a_stage_unless_they_are_left_behind(setup):
    one = setup()
    del one.source.items["i7"]
    engine = one.engine()
    engine.run()
    with pytest.raises(UpgradeError, match="no quarantined items"):
        engine.stage(Stage(0.5))
    engine.stage(Stage(0.5), leave_behind=True)
    assert "i7" in one.gallery.search(QUERIES, 300, side="old").ids
    assert "i7" not in one.gallery.search(QUERIES, 300, side="new").ids
    one.gallery.upsert([Item("i7", (1.0, 1.0, 0.0, 0.0))])  # mended by its author
    engine.cut_over()
    engine.finish()
    assert one.gallery.state == "finished"


def test_what_is_quarantined_and_written_again_is_quarantined_no_more_unless_it_fails(setup):
    one = setup()
    for name in ("i7", "i8", "i9"):
        del one.source.items[name]
    engine = one.engine()
    engine.run()
    assert one.ledger.counts() == {"todo": 0, "quarantined": 3}
    one.gallery.upsert([Item("i7", (1.0, 1.0, 0.0, 0.0))])
    one.gallery.delete(["i8"])
    assert one.ledger.counts() == {"todo": 0, "quarantined": 1}
    one.new_model.fail = [Throttled("model", "room", "429")]
    one.gallery.upsert([Item("i9", (1.0, 2.0, 3.0, 4.0))])  # to the old side: to be moved again
    assert one.ledger.counts() == {"todo": 1, "quarantined": 0}
    one.source.items["i9"] = (1.0, 2.0, 3.0, 4.0)
    engine.run()
    engine.cut_over()
    assert one.ledger.counts() == {"todo": 0, "quarantined": 0}


@pytest.mark.parametrize("staged", [True, False])
def test_what_was_left_behind_and_is_written_again_or_deleted_is_left_behind_no_more(setup, staged):
    one = setup()
    for name in ("i7", "i8", "i9"):
        del one.source.items[name]
    engine = one.engine()
    engine.run()
    if staged:
        engine.stage(Stage(0.5), leave_behind=True)
    else:
        engine.cut_over(leave_behind=True)

    def left():
        told = stand(one.ledger)
        assert told["share"] == (300 - told["quarantined"]) / 300
        assert (told["todo"], one.gallery.strays()) == (0, 0)
        return told["quarantined"]

    assert left() == 3
    one.gallery.upsert([Item("i6", (1.0, 0.0, 0.0, 0.0)), Item("i7", (1.0, 1.0, 0.0, 0.0))])
    assert left() == 2
    one.new_model.fail = [Throttled("model", "room", "429")]
    with pytest.raises(Throttled):
        one.gallery.upsert([Item("i9", (1.0, 2.0, 3.0, 4.0))])
    assert left() == 2
    one.gallery.delete(["i8", "i10"])
    assert left() == 1
    if staged:
        engine.cut_over()
    one.gallery.upsert([Item("i9", (1.0, 2.0, 3.0, 4.0))])
    assert left() == 0
    assert one.gallery.search([(1.0, 2.0, 3.0, 4.0)], 1, side="new").ids[0, 0] == "i9"
    engine.finish()


def test_what_was_written_past_the_gallery_in_a_stage_forbids_the_cut_over(setup):
    one = setup()
    engine = one.engine()
    engine.run()
    engine.stage(Stage(0.5))
    one.old.upsert(["stray"], one.old_model.encode([(1.0, 1.0, 1.0, 1.0)], "document"))
    with pytest.raises(UpgradeError, match="1 that were written past the gallery"):
        engine.cut_over()
    one.gallery.upsert([Item("stray", (1.0, 1.0, 1.0, 1.0))])
    engine.cut_over()
    assert one.gallery.state == "cut over"


def test_a_stage_is_remembered_by_the_next_process(setup):
    one = setup()
    engine = one.engine()
    engine.run()
    engine.stage(Stage(0.4, ("acme",)))
    got = [one.gallery.search(QUERIES, 5, key=f"u{n}").ids.tolist() for n in range(10)]
    one.gallery.recover()
    assert one.gallery.stage == Stage(0.4, ("acme",))
    assert got == [one.gallery.search(QUERIES, 5, key=f"u{n}").ids.tolist() for n in range(10)]


def test_the_old_side_is_held_over_for_as_long_as_planned(setup):
    one = setup(holdover_hours=48.0)
    now = [1_000_000.0]
    one.ledger._clock = lambda: now[0]
    engine = one.engine()
    engine.run()
    assert engine.held_over() == 0.0
    engine.cut_over()
    now[0] += 47 * 3600
    assert engine.held_over() == pytest.approx(1.0)
    with pytest.raises(UpgradeError, match=r"48 hours after the cut-over.*1\.0 of them"):
        engine.finish()
    assert one.gallery.state == "cut over"
    now[0] += 3600
    engine.finish()
    assert one.gallery.state == "finished"


def test_a_holdover_can_be_cut_short_by_a_word(setup):
    one = setup(holdover_hours=48.0)
    engine = one.engine()
    engine.run()
    engine.cut_over()
    engine.finish(early=True)
    assert one.gallery.state == "finished"


def test_a_side_can_be_asked_for_by_name_at_any_share(setup):
    one = setup()
    engine = one.engine()
    before = one.gallery.search(QUERIES, 5)
    engine.run(0.6)
    old = one.gallery.search(QUERIES, 5, side="old")
    assert np.array_equal(old.ids, before.ids)
    np.testing.assert_allclose(old.scores, before.scores, rtol=1e-6)
    moved = {name for name in one.items if one.new.revisions([name])[0] >= 0}
    new = one.gallery.search(QUERIES, 300, side="new")
    assert {name for name, _ in new.row(0)} == moved
    both = one.gallery.search(QUERIES, 5, side="both")
    assert np.array_equal(both.ids, one.gallery.search(QUERIES, 5).ids)
    assert one.gallery.meter.count == 2, "what is asked for comparison is not live"
    with pytest.raises(InvalidInput, match="side old, both or new"):
        one.gallery.search(QUERIES, 5, side="left")


def test_an_item_that_is_hidden_while_it_is_looked_for_counts_once(setup):
    one = setup(count=50)
    queries = one.old_model.encode(QUERIES, "query")
    whole = one.old.search(queries, 5)
    one.old.hide([f"i{n}" for n in range(20)])
    scan = one.old.scan

    def meddle(*given, **named):
        one.old.hide([f"i{n}" for n in range(20, 50)])
        return scan(*given, **named)

    one.old.scan = meddle
    got = search_in_full(one.old, queries, 5, None)
    assert np.array_equal(got.ids, whole.ids)
    only = search_in_full(one.old, queries, 5, parse({"lang": "xx"}))
    assert not only.row(0)


@pytest.mark.parametrize("when", ["before the scan", "between two pages", "at the end"])
def test_an_item_that_is_shown_while_it_is_looked_for_is_not_missed(setup, when, monkeypatch):
    """As a rollback shows them, and a stage: piece by piece, beside searches."""
    monkeypatch.setattr(in_full, "_PAGE", 25)
    one = setup(count=50)
    queries = one.old_model.encode(QUERIES, "query")
    whole = one.old.search(queries, 5)
    moved = list(one.items)
    one.old.hide(moved)
    scan, pages = one.old.scan, []

    def meddle(*given, **named):
        pages.append(True)
        if len(pages) == (2 if when == "between two pages" else 1):
            one.old.unhide(moved)
        return scan(*given, **named)

    if when == "at the end":
        search = one.old.search

        def late(*given, **named):
            one.old.search = search
            hits = search(*given, **named)
            one.old.unhide(moved)
            return hits

        one.old.search = late
    else:
        one.old.scan = meddle
    got = in_full.search_in_full(one.old, queries, 5, None)
    assert np.array_equal(got.ids, whole.ids)
    assert np.array_equal(got.scores, whole.scores)


def test_stages_turn_while_others_search_and_write(setup):
    one = setup(count=200)
    engine = one.engine()
    engine.run()
    wrong, stop = [], threading.Event()

    def search():
        while not stop.is_set():
            hits = one.gallery.search(QUERIES, 250, key="u")
            if {n for n, _ in hits.row(0)} < set(one.items):
                wrong.append(len(hits.row(0)))

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for share in (0.1, 0.6):
        engine.stage(Stage(share))
        one.gallery.upsert([Item(f"w{share}", (0.1, 0.1, 0.1, 0.1))])
    engine.cut_over()
    engine.roll_back()
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_plan_after_a_rollback_of_stages_is_rolled_back_at_once(setup):
    # The rollback left both sides visible: nothing may ever read them side by side.
    one = setup()
    engine = one.engine()
    engine.run()
    engine.stage(Stage(0.1))
    engine.roll_back()
    one.ledger.begin(one.plan.model_dump(), OLD, NEW)
    one.gallery.recover()
    states = []
    turn = one.gallery.set_state

    def look(state, *others, **told):
        done = turn(state, *others, **told)
        states.append((one.gallery.state, one.gallery.reads))
        return done

    one.gallery.set_state = look
    one.engine().roll_back()
    assert states == [("rolled back", "old")]
    assert one.gallery.search(QUERIES, 5).ids.tolist() == alone(one, "old")
