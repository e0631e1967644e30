"""What looks at a whole gallery, piece by piece, while the side that has every item changes."""

from __future__ import annotations

import threading
import time

import pytest

from holdfast.errors import StoreError
from holdfast.items import Item
from holdfast.store.edge import EdgeStore
from holdfast.store.faiss import FaissStore
from holdfast.store.memory import MemoryStore
from holdfast.upgrade import gallery as module
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.side import Side
from tests.background import beside
from tests.upgrade.setup import NEW, OLD
from tests.upgrade.toys import Clock

PIECE = 40
STORES = {
    "memory": lambda folder, space: MemoryStore(space),
    "edge": lambda folder, space: EdgeStore(folder / space.name, space),
    "faiss": lambda folder, space: FaissStore(folder / space.name, space),
}


@pytest.fixture(params=["memory", "memory to edge", "edge to faiss"])
def one(request, setup, tmp_path, monkeypatch):
    """A gallery of 300 items that is found by pieces of 40, ready to be cut over."""
    monkeypatch.setattr(module, "_PAGE", PIECE)
    made = setup()
    kinds = (request.param.split(" to ") * 2)[:2]
    made.new = STORES[kinds[1]](tmp_path, NEW)
    if kinds[0] != "memory":
        rows = made.old.scan(limit=1_000, vectors=True).rows
        made.old = STORES[kinds[0]](tmp_path, OLD)
        made.old.upsert(rows.ids, rows.vectors, [{"n": int(n[1:]) % 3} for n in rows.ids])
    sides = Side(made.old, made.old_model), Side(made.new, made.new_model)
    made.gallery = Gallery(*sides, made.ledger, clock=Clock(1000))
    return made


@pytest.fixture
def after_piece(monkeypatch):
    """Do something once, after so many pieces were read and before the next one is."""

    def arrange(number, do):
        honest, looked = module.matches, []

        def late(tree, payload):
            looked.append(True)
            if len(looked) == PIECE * (number - 1) + 1:
                do()
            return honest(tree, payload)

        monkeypatch.setattr(module, "matches", late)

    return arrange


@pytest.mark.parametrize("piece", [1, 4, 7])
def test_every_item_is_found_once_across_a_finish(one, after_piece, piece):
    engine = one.engine()
    engine.run()
    engine.cut_over()
    after_piece(piece, engine.finish)
    found = one.gallery.find(None)
    assert one.gallery.state == "finished"
    assert sorted(found) == sorted(one.items)


def test_what_a_finish_gave_up_is_not_found_after_it(one, after_piece):
    """Left behind on the old side, and given up while the first piece was read."""
    gone = one.gallery.find(None)[0]  # in whatever order this store is read: of the first piece
    del one.source.items[gone]
    engine = one.engine()
    engine.run()
    engine.cut_over(leave_behind=True)
    after_piece(1, lambda: engine.finish(leave_behind=True))
    found = one.gallery.find(None)
    assert sorted(found) == sorted(set(one.items) - {gone})


def test_nothing_is_found_in_a_gallery_that_was_closed_meanwhile(one, after_piece):
    one.engine().run(0.5)
    after_piece(2, one.gallery.close)
    with pytest.raises(StoreError, match="Gallery: expected an open gallery, got a closed one"):
        one.gallery.find(None)


def test_items_are_found_whatever_is_done_to_the_gallery(one):
    """All but those that others write and delete meanwhile."""
    stop, wrong, rounds = threading.Event(), [], []

    def look():
        while not stop.is_set():
            found = one.gallery.find(None)
            kept = [name for name in found if not name.startswith("x")]
            if sorted(kept) != sorted(one.items) or len(found) != len(set(found)):
                wrong.append(found)
            rounds.append(len(found))

    def look_on():
        """Wait for another look, however late it comes to its turn."""
        last, seen = time.monotonic() + 60, len(rounds)
        while len(rounds) == seen:
            assert time.monotonic() < last
            time.sleep(0.001)

    join = beside(look)
    engine = one.engine()
    try:
        for until in (0.3, 0.7, 1.0):
            engine.run(until)
            look_on()
            one.gallery.upsert([Item(f"x{until}", (1.0, 2.0, 3.0, 4.0))])
            one.source.items[f"x{until}"] = (1.0, 2.0, 3.0, 4.0)
        engine.run()
        engine.cut_over()
        engine.roll_back()
        one.plan_again()
        engine = one.engine()
        engine.run()
        one.gallery.delete(["x0.3"])
        engine.cut_over()
        engine.finish()
        one.gallery.delete(["x0.7"])
    finally:
        stop.set()
    join()
    assert not wrong
    assert len(rounds) > 2
    assert sorted(one.gallery.find({"n": 1})) == (
        sorted(n for n in one.items if int(n[1:]) % 3 == 1) if one.old.limits.persistent else []
    )
