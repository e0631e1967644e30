"""Items that the new store refuses are set aside alone; a store that cannot write is not taken
for one that refuses."""

from __future__ import annotations

import json
import sqlite3

import numpy as np
import psycopg
import pytest

from holdfast.arrays import as_vectors
from holdfast.errors import HoldfastError, InvalidInput, StoreError, UpgradeError, ZeroVector
from holdfast.items import Item
from holdfast.store.edge import EdgeStore
from holdfast.store.faiss import FaissStore
from holdfast.store.memory import MemoryStore
from holdfast.store.pgvector import PgvectorStore
from holdfast.upgrade.backfill.reconcile import reconcile
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.mover import Translate
from holdfast.upgrade.side import Side
from holdfast.upgrade.sides.halving import halve
from tests.upgrade.setup import NEW, OLD
from tests.upgrade.toys import Clock

KINDS = {"memory": MemoryStore, "edge": EdgeStore, "faiss": FaissStore, "pgvector": PgvectorStore}
BAD = ["i3", "i4", "i70", "i119"]
A, B = (0.9, -0.8, 0.7, -0.6), (-0.5, 0.6, 0.7, 0.8)


def opened(kind, folder, space):
    return kind(space) if issubclass(kind, MemoryStore) else kind(folder / space.name, space)


def narrow(kind):
    """A kind of store that refuses some ids, as its own limits would have it."""

    class Narrow(kind):
        bad: tuple[str, ...] = ()
        error: type[HoldfastError] = InvalidInput
        calls = 0

        def upsert(self, ids, *given, **named):
            self.calls += 1
            for name in ids:
                if name in self.bad:
                    raise self.error("this store", "ids it likes", repr(name), "Use others.")
            super().upsert(ids, *given, **named)

    return Narrow


def over(one, old, new):
    """The same setup over other stores."""
    rows = one.old.scan(limit=1_000, vectors=True).rows
    if old is not one.old:
        old.upsert(rows.ids, rows.vectors, None, rows.revisions)
    one.old, one.new = old, new
    sides = Side(one.old, one.old_model), Side(one.new, one.new_model)
    one.gallery = Gallery(*sides, one.ledger, clock=Clock(1000))
    return one


@pytest.fixture(params=KINDS)
def kind(request):
    if request.param == "pgvector":
        request.getfixturevalue("postgres")
    return KINDS[request.param]


@pytest.fixture
def world(setup, tmp_path, kind):
    return over(setup(count=120), MemoryStore(OLD), opened(narrow(kind), tmp_path, NEW))


def is_sound(one, left):
    """All but those left behind are on the new side alone, with the vectors of the new model."""
    rows = one.old.scan(limit=1_000).rows
    shown = {name for name, h in zip(rows.ids, rows.hidden, strict=True) if not h}
    others = [name for name in one.items if name not in left]
    assert shown == set(left)
    assert (len(one.new), one.new.visible) == (len(others), len(others))
    assert one.moved_correctly(others)
    return True


@pytest.mark.parametrize("error", [InvalidInput, StoreError])
def test_what_the_new_store_refuses_is_quarantined_by_its_own_words(world, error):
    world.new.bad, world.new.error = tuple(BAD), error
    engine = world.engine()
    status = engine.run()
    assert (status.state, status.quarantined, status.todo) == ("ready", 4, 0)
    told = "this store: expected ids it likes, got {!r}. Use others."
    assert dict(world.ledger.quarantined()) == {name: told.format(name) for name in BAD}
    assert is_sound(world, BAD)
    for name in BAD:
        assert world.gallery.search([world.items[name]], 120).ids[0].tolist().count(name) == 1
    # Nobody tries again, or is stopped by them, until somebody says so.
    calls = world.new.calls
    assert engine.run().quarantined == 4
    assert not reconcile(world.gallery)
    with pytest.raises(UpgradeError, match="no quarantined items, got 4"):
        engine.cut_over()
    assert (world.gallery.state, world.new.calls) == ("ready", calls)
    # In vain, while the cause is there.
    assert engine.retry() == 4
    assert (engine.run().quarantined, is_sound(world, BAD)) == (4, True)
    world.new.bad = ("i119",)
    assert engine.retry() == 4
    assert (engine.run().quarantined, is_sound(world, ["i119"])) == (1, True)
    engine.cut_over(leave_behind=True)
    assert "i119" not in world.gallery.search([world.items["i119"]], 120).ids
    engine.roll_back()
    assert world.gallery.search([world.items["i119"]], 1).ids.tolist() == [["i119"]]


def test_step_by_step_and_in_groups_as_well(world):
    world.new.bad = tuple(BAD)
    engine = world.engine()
    while engine.step().state != "ready":
        pass
    assert (engine.status().quarantined, is_sound(world, BAD)) == (4, True)
    world.new.bad = ()
    engine.retry()
    while engine.step().state != "ready":
        pass
    engine.cut_over()
    assert is_sound(world, [])


@pytest.mark.parametrize("begun", [0.0, 0.5])
@pytest.mark.parametrize("cause", [None, ConnectionError("gone"), sqlite3.OperationalError("full")])
def test_a_store_that_writes_nothing_pauses_and_quarantines_nothing(world, begun, cause):
    """Whether it says what happened, or not."""
    engine = world.engine()
    engine.run(begun)
    before, calls = world.ledger.counts(), []

    def broken(*given, **named):
        calls.append(given)
        raise StoreError("this store", "an answer", "none") from cause

    world.new.upsert = broken
    for _ in range(2):
        calls.clear()
        with pytest.raises(StoreError, match="expected an answer, got none") as told:
            engine.run()
        assert told.value.__cause__ is cause
        assert type(told.value) is StoreError
        assert world.gallery.state == "paused"
        assert len(calls) <= (4 if cause is None else 1), "it must not be asked for each row"
        assert {**world.ledger.counts(), "todo": 0} == {**before, "todo": 0}
    del world.new.upsert
    assert engine.run().state == "ready"
    assert is_sound(world, [])


@pytest.mark.parametrize("room", [0, 1, 45, 100])
def test_a_store_that_is_full_pauses_and_quarantines_nothing(world, room):
    """It may go on to replace what it has."""
    upsert = world.new.upsert

    def limited(ids, *given, **named):
        fresh = int((world.new.revisions(ids) < 0).sum())
        if fresh and len(world.new) + fresh > room:
            raise StoreError("this store", f"at most {room} rows", "more")
        upsert(ids, *given, **named)

    world.new.upsert = limited
    engine = world.engine()
    with pytest.raises(StoreError, match=f"at most {room} rows"):
        engine.run()
    assert (world.gallery.state, world.ledger.counts()["quarantined"]) == ("paused", 0)
    assert world.gallery.search([world.items["i5"]], 120).ids[0].tolist().count("i5") == 1
    world.new.upsert = upsert
    assert engine.run().state == "ready"
    assert is_sound(world, [])


def test_a_store_that_refuses_everything_pauses_before_all_is_in_quarantine(setup):
    one = setup(count=600, max_quarantined=0.1)
    over(one, one.old, narrow(MemoryStore)(NEW))
    one.new.bad = tuple(one.items)
    with pytest.raises(UpgradeError, match=r"at most 100 quarantined.*this store: expected ids"):
        one.engine().run()
    assert one.gallery.state == "paused"
    assert one.ledger.counts()["quarantined"] < 200


def test_a_failure_that_passes_is_not_held_against_an_item(setup):
    one = setup(count=40, batch_size=1, max_batch_size=1)
    over(one, one.old, MemoryStore(NEW))
    engine = one.engine()
    engine.run(0.5)
    upsert = one.new.upsert

    def once(*given, **named):
        one.new.upsert = upsert
        raise StoreError("this store", "an answer", "none")

    one.new.upsert = once
    with pytest.raises(StoreError, match="an answer"):
        engine.run()
    assert engine.run().quarantined == 0
    assert is_sound(one, [])


@pytest.mark.parametrize("error", [InvalidInput, StoreError])
def test_a_live_write_that_the_new_store_refuses_waits_and_is_set_aside(world, error):
    engine = world.engine()
    engine.run(0.5)
    moved = world.new.scan(limit=1).rows.ids[0]
    world.new.bad, world.new.error = (moved, "x"), error
    for name in (moved, "x"):
        world.items[name] = world.source.items[name] = A
        world.gallery.upsert([Item(name, A)])
        assert world.ledger.waiting([name]) == {name}
        assert world.gallery.search([A], 121).ids[0].tolist().count(name) == 1
    assert world.ledger.journal() == []
    world.gallery.upsert([Item("y", A)])
    world.items["y"] = A
    assert engine.run().quarantined == 2
    assert is_sound(world, [moved, "x"])
    world.gallery.delete(["x"])
    del world.items["x"]
    world.new.bad = ()
    engine.retry()
    engine.run()
    engine.cut_over()
    assert is_sound(world, [])


@pytest.mark.parametrize("way_on", ["write", "delete", "roll back"])
@pytest.mark.parametrize("name", ["i7", "fresh"])
def test_a_refused_write_that_was_cut_off_after_the_cut_over_is_named(setup, name, way_on):
    """Its writer was never told: the old side has it by then, and the new one never will."""
    one = setup(count=40)
    one = over(one, one.old, narrow(MemoryStore)(NEW))
    one.engine().run()
    one.engine().cut_over()
    one.new.bad = (name,)
    cut, one.new.upsert = one.new.upsert, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        one.gallery.upsert([Item(name, A)])
    one.new.upsert = cut
    sides = Side(one.old, one.old_model), Side(one.new, one.new_model)
    one.gallery = Gallery(*sides, one.ledger, clock=Clock(9_000))
    engine = one.engine()
    with pytest.raises(UpgradeError, match=f"1 that are not, such as {name!r}: .* was cut off"):
        engine.finish()
    if way_on == "roll back":
        engine.roll_back()
        assert one.gallery.search([A], 1).ids.tolist() == [[name]]
        return
    if way_on == "write":
        one.new.bad = ()
        one.gallery.upsert([Item(name, B)])
    else:
        one.gallery.delete([name])
    engine.finish()
    assert (one.gallery.search([B], 1).ids.tolist() == [[name]]) is (way_on == "write")


@pytest.mark.parametrize("error", [InvalidInput, StoreError])
def test_a_search_that_moves_items_tries_a_refused_one_once(setup, error):
    one = setup(count=40)
    over(one, one.old, narrow(MemoryStore)(NEW))
    one.gallery = Gallery(
        one.gallery.old,
        one.gallery.new,
        one.ledger,
        mode="cascade",
        mover=one.engine().mover,
        clock=Clock(1000),
    )
    engine = one.engine()
    engine.run(0.25)
    waiting = one.ledger.todo(100)
    name = waiting[0][1]
    one.new.bad, one.new.error = (name,), error
    hits = one.gallery.search([one.items[name]], 20)
    assert hits.ids[0].tolist().count(name) == 1
    assert one.ledger.quarantined()[0][0] == name
    calls = one.new.calls
    assert one.gallery.search([one.items[name]], 20).ids[0].tolist().count(name) == 1
    assert one.new.calls == calls
    assert engine.run().quarantined == 1
    one.new.bad = ()
    engine.retry()
    engine.run()
    assert is_sound(one, [])


# What real engines refuse.


def test_a_payload_that_sqlite_cannot_keep(setup, tmp_path):
    one = over(setup(count=60), MemoryStore(OLD), opened(FaissStore, tmp_path, NEW))
    one.old.upsert(["i7"], one.old.get(["i7"]).vectors, [{"text": "x" * 9_000}], [50])
    one.new._rows._data.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 8_000)
    engine = one.engine()
    assert engine.run().quarantined == 1
    ((name, why),) = one.ledger.quarantined()
    assert (name, "rows that SQLite can keep" in why) == ("i7", True)
    assert is_sound(one, ["i7"])
    one.new._rows._data.connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000)
    engine.retry()
    assert engine.run().quarantined == 0
    assert is_sound(one, [])
    assert one.new.get(["i7"]).payloads == [{"text": "x" * 9_000}]


def test_a_disk_that_is_full_for_sqlite(setup, tmp_path):
    one = over(setup(count=120), MemoryStore(OLD), opened(FaissStore, tmp_path, NEW))
    rows = one.old.get(list(one.items))
    long = [{"text": f"{n}" + "x" * 4_000} for n in rows.ids]
    one.old.upsert(rows.ids, rows.vectors, long, rows.revisions)
    run = one.new._rows._data.connection.execute
    run(f"PRAGMA max_page_count = {run('PRAGMA page_count').fetchone()[0] + 60}")
    engine = one.engine()
    with pytest.raises(StoreError, match="full"):
        engine.run()
    assert 0 < one.new.visible < 60
    assert (one.gallery.state, one.ledger.counts()["quarantined"]) == ("paused", 0)
    run("PRAGMA max_page_count = 100000")
    assert engine.run().state == "ready"
    assert is_sound(one, [])


def test_an_id_that_postgres_cannot_index_beside_one_that_a_constraint_forbids(
    setup, tmp_path, postgres
):
    one = over(setup(count=60), MemoryStore(OLD), opened(PgvectorStore, tmp_path, NEW))
    long = "l" * 3_000
    one.items[long] = one.source.items[long] = A
    one.old.upsert([long], one.old_model.encode([A], "document"), None, [70])
    title = json.loads((tmp_path / NEW.name / "postgres.json").read_text())["table"]
    with psycopg.connect(postgres, autocommit=True) as others:
        others.execute(f"ALTER TABLE {title} ADD CONSTRAINT not_this CHECK (id <> 'i9')")
        engine = one.engine()
        assert engine.run().quarantined == 2
        reasons = dict(one.ledger.quarantined())
        assert "ids of at most 2,600 bytes" in reasons[long]
        assert "not_this" in reasons["i9"]
        assert is_sound(one, [long, "i9"])
        others.execute(f"ALTER TABLE {title} DROP CONSTRAINT not_this")
        engine.retry()
        assert engine.run().quarantined == 1
        assert is_sound(one, [long])
        others.execute(f"ALTER TABLE {title} RENAME TO {title}_away")
        with pytest.raises(StoreError, match="does not exist"):
            one.gallery.upsert([Item("x", A)])
        others.execute(f"ALTER TABLE {title}_away RENAME TO {title}")
    one.gallery.upsert([Item("y", A)])
    assert "y" in one.gallery.search([A], 60).ids


def test_a_constraint_on_one_of_two_tables_that_change_together(setup, tmp_path, postgres):
    stores = [opened(PgvectorStore, tmp_path, space) for space in (OLD, NEW)]
    one = over(setup(count=60), *stores)
    title = json.loads((tmp_path / NEW.name / "postgres.json").read_text())["table"]
    with psycopg.connect(postgres, autocommit=True) as others:
        others.execute(f"ALTER TABLE {title} ADD CONSTRAINT not_this CHECK (id NOT IN ('i9', 'x'))")
        engine = one.engine()
        assert engine.run(0.5).quarantined in (0, 1)
        one.items["x"] = one.source.items["x"] = A
        one.gallery.upsert([Item("x", A)])
        assert one.gallery.search([A], 61).ids[0].tolist().count("x") == 1
        assert engine.run().quarantined == 2
        assert is_sound(one, ["i9", "x"])
        # A process died after it had announced another content.
        made = [m.encode([B], "document") for m in (one.old_model, one.new_model)]
        data = [vectors.array.tobytes() for vectors in made]
        one.ledger.write_entry("write", ["x"], [9_000], [{"late": True}], *data)
        assert one.gallery.recover() == 1
        one.items["x"] = one.source.items["x"] = B
        assert one.gallery.get(["x"]).payloads == [{"late": True}]
        assert one.gallery.search([B], 61).ids[0].tolist().count("x") == 1
        assert one.ledger.waiting(["x"]) == {"x"}
        assert engine.run().quarantined == 2
        assert is_sound(one, ["i9", "x"])
        others.execute(f"ALTER TABLE {title} DROP CONSTRAINT not_this")
    engine.retry()
    engine.run()
    engine.cut_over()
    assert is_sound(one, [])


def test_what_a_bridge_makes_nothing_of_is_set_aside(setup):
    """A vector without a direction, which no store of a cosine space takes."""
    one = setup(count=60)
    lost = one.old.get(["i7", "i30"]).vectors.array

    class Turn:
        origin, target = OLD, NEW

        def transform(self, vectors):
            array = np.pad(vectors.array, ((0, 0), (0, 4)))
            array[(vectors.array[:, None] == lost).all(axis=2).any(axis=1)] = 0.0
            return as_vectors(array, NEW, "turn")

    engine = one.engine(Translate(Turn()))
    assert engine.run().quarantined == 2
    reasons = dict(one.ledger.quarantined())
    assert set(reasons) == {"i7", "i30"}
    assert all("vectors with a direction" in why for why in reasons.values())
    others = [name for name in one.items if name not in reasons]
    wanted = np.pad(one.old.get(others).vectors.array, ((0, 0), (0, 4)))
    assert np.array_equal(one.new.get(others).vectors.array, wanted)


def test_halving_keeps_the_order_and_asks_no_more_than_it_must():
    asked = []

    def do(places):
        asked.append(places.tolist())
        if {3, 6} & set(places.tolist()):
            raise ZeroVector("test", "a direction", "none")
        return places.tolist()

    found = halve(8, do, lambda error: isinstance(error, ZeroVector))
    assert found.kept == [place for part in found.answers for place in part] == [0, 1, 2, 4, 5, 7]
    assert sorted(found.errors) == [3, 6]
    assert len(asked) == 11
    assert halve(0, do, lambda error: True).answers == []
    with pytest.raises(ZeroVector):
        halve(8, do, lambda error: False)
