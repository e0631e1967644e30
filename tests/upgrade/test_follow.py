"""Writes that went past the gallery arrive: in every state, once or twice, and whoever fails."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from holdfast.arrays import as_vectors
from holdfast.encode.retry import Retry
from holdfast.errors import EncoderUnavailable, InvalidInput, SourceError
from holdfast.items import Item
from holdfast.source.feed import Change
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.follow import Follower
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side

OLD, NEW = Space("old@1", 8), Space("new@1", 12)


class Letters:
    """Vectors that follow from the text; some texts make it fail."""

    def __init__(self, space):
        self.space, self.down = space, False

    def encode(self, contents, role):
        if self.down:
            raise EncoderUnavailable("model", "an answer", "none")
        if any("poison" in text for text in contents):
            raise InvalidInput("model", "a text it can read", "poison")
        rows = [
            np.random.default_rng(list(f"{self.space.name} {text}".encode())).normal(
                size=self.space.dim
            )
            for text in contents
        ]
        return as_vectors(rows, self.space, "letters")


class Table:
    """The feed of a table that others write into, in memory."""

    def __init__(self):
        self.rows, self.feed, self.mark, self.busy = {}, [], 0, False

    def write(self, **texts):
        for name, text in texts.items():
            self.rows[name] = text
            if text is None:
                del self.rows[name]
            self.mark += 1
            self.feed.append(Change(self.mark, name))

    def get(self, ids):
        return [
            Item(n, self.rows[n], {"text": self.rows[n]}) if n in self.rows else None for n in ids
        ]

    @contextmanager
    def following(self):
        yield not self.busy

    def latest(self):
        return max((change.mark for change in self.feed), default=0)

    def changed(self, limit=1000, after=0):
        return [change for change in self.feed if change.mark > after][:limit]

    def taken(self, changes):
        self.feed = [change for change in self.feed if change not in changes]

    def answers(self):
        return True


@pytest.fixture
def world(tmp_path):
    table, ledger = Table(), Ledger(tmp_path / "ledger.sqlite")
    old, new = Letters(OLD), Letters(NEW)
    plan = Plan(batch_size=4, max_batch_size=4, backoff=0.0)
    ledger.begin(plan.model_dump(), OLD, NEW)
    gallery = Gallery(
        Side(MemoryStore(OLD), old),
        Side(MemoryStore(NEW), new),
        ledger,
    )
    gallery.follower = Follower(gallery, table, every=0.005)
    table.write(**{f"d{n}": f"text {n}" for n in range(20)})
    assert gallery.follower.catch_up() == 20
    yield gallery, table, Engine(gallery, ReEmbed(table, new), plan)
    gallery.close()


def agrees(gallery, table):
    """Every row of the table is what is found for its text, on whichever side, and nothing else."""
    texts = [item.content for item in table.get(list(table.rows))]
    ids = [gallery.search([text], 1).ids[0, 0] for text in texts]
    return (ids, len(gallery)) == (list(table.rows), len(table.rows))


def test_writes_of_others_arrive_in_every_state(world):
    gallery, table, engine = world

    def others(step):
        table.write(
            **{f"d{step}": f"changed at {step}", f"d{step + 10}": None, f"n{step}": f"new {step}"}
        )
        gallery.follower.catch_up()
        assert agrees(gallery, table), gallery.state

    others(0)
    engine.run(0.4)
    others(1)
    engine.run()
    others(2)
    engine.cut_over()
    others(3)
    engine.roll_back()
    others(4)
    assert gallery.state == "rolled back"


def test_cutting_over_takes_over_what_nobody_has_yet(world):
    gallery, table, engine = world
    engine.run()
    table.write(d1=None, d2="another text", fresh="a new one")
    engine.cut_over()
    assert gallery.state == "cut over"
    assert agrees(gallery, table)
    assert table.feed == []


def test_content_that_the_backfill_reads_before_the_follower_ends_up_right(world):
    gallery, table, engine = world
    table.write(**{f"d{n}": f"text {n} of later" for n in range(0, 20, 2)}, d3=None)
    engine.run()  # new vectors of new content beside old payloads; one item without any
    assert gallery.follower.catch_up() == 11
    engine.run()
    engine.cut_over()
    assert agrees(gallery, table)
    rows = gallery.get([f"d{n}" for n in range(0, 20, 2)])
    assert [p["text"] for p in rows.payloads] == [f"text {n} of later" for n in range(0, 20, 2)]


def test_an_item_that_cannot_be_written_does_not_hold_up_the_others(world):
    gallery, table, _ = world
    table.write(a="poison", b="fine", c="fine too", d0=None, e="poison as well")
    assert gallery.follower.catch_up() == 3
    assert [change.id for change in table.feed] == ["a", "e"]
    there = gallery.old.store.revisions(["a", "b", "c", "d0", "e"]) >= 0
    assert there.tolist() == [False, True, True, False, False]
    assert gallery.follower.catch_up() == 0
    assert "d0" not in gallery.search(["text 0"], 30).ids
    said = [detail for _, kind, detail in gallery.ledger.events() if kind == "not followed"]
    assert [(detail["items"], detail["first"]) for detail in said] == [(2, "a")]
    table.write(a="mended")
    assert gallery.follower.catch_up() == 2
    assert gallery.search(["mended"], 1).ids[0, 0] == "a"


def test_writers_who_never_stop_are_not_chased_for_ever(world, monkeypatch):
    gallery, table, _ = world
    table.write(**{f"e{n}": f"text {n}" for n in range(400)})
    whole, turns = table.get, []

    def get(ids):
        turns.append(len(ids))
        table.write(**{f"later {len(turns)} {n}": "text" for n in range(400)})
        return whole(ids)

    monkeypatch.setattr(table, "get", get)
    assert gallery.follower.catch_up() == 512
    assert turns == [256, 256]
    monkeypatch.undo()
    gallery.follower.catch_up()
    assert len(gallery) == 20 + 400 + 800


def test_a_model_that_is_away_loses_nothing(world):
    gallery, table, _ = world
    table.write(a="first", d1=None)
    gallery.old.encoder.down = True
    with pytest.raises(EncoderUnavailable):
        gallery.follower.catch_up()
    assert len(table.feed) == 2
    gallery.old.encoder.down = False
    assert gallery.follower.catch_up() == 2
    assert agrees(gallery, table)


def test_what_was_cut_off_before_it_was_forgotten_is_done_again(world, monkeypatch):
    gallery, table, _ = world
    table.write(a="first", d1=None)
    monkeypatch.setattr(table, "taken", lambda changes: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gallery.follower.catch_up()
    monkeypatch.undo()
    table.write(a="second")
    assert gallery.follower.catch_up() == 3
    assert agrees(gallery, table)


def test_where_somebody_else_follows_nothing_is_done(world):
    gallery, table, _ = world
    table.write(a="first")
    table.busy = True
    assert gallery.follower.catch_up() == 0
    assert len(table.feed) == 1


def test_a_thread_goes_on_after_a_failure_and_ends_when_told(world):
    gallery, table, _ = world
    gallery.old.encoder.down = True
    table.write(a="first")
    gallery.follower.start()
    gallery.follower.start()  # one thread
    assert sum(t.name == "follower" for t in threading.enumerate()) == 1
    wait(lambda: gallery.follower.error is not None)
    gallery.old.encoder.down = False
    wait(lambda: not table.feed)
    assert gallery.search(["first"], 1).ids[0, 0] == "a"
    wait(lambda: gallery.follower.error is None)
    gallery.follower.close()
    assert not any(t.name == "follower" for t in threading.enumerate())


def test_whoever_closes_a_follower_waits_for_no_further_try(world, monkeypatch):
    gallery, table, _ = world
    begun = threading.Event()

    def encode(*given):
        begun.set()
        Retry().rest(900.0)
        raise EncoderUnavailable("model", "an answer", "none")

    monkeypatch.setattr(gallery.old.encoder, "encode", encode)
    table.write(a="first")
    gallery.follower.start()
    assert begun.wait(240)
    closing = threading.Thread(target=gallery.follower.close, daemon=True)
    closing.start()
    closing.join(240)
    assert not closing.is_alive()
    assert len(table.feed) == 1


def test_what_cannot_be_followed_is_told_once(world, monkeypatch, caplog):
    gallery, table, _ = world
    tries = []

    def latest():
        tries.append(None)
        raise SourceError("feed", "a feed", f"none, try {(len(tries) + 1) // 2}")

    monkeypatch.setattr(gallery.follower, "_every", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(table, "latest", latest)
        gallery.follower.start()
        wait(lambda: len(tries) > 4)
    gallery.follower.close()
    told = [record.message for record in caplog.records][:2]
    assert told == [
        f"the source is not followed just now: feed: expected a feed, got none, try {n}."
        for n in (1, 2)
    ]


def test_a_disk_that_fails_does_not_end_the_thread(world, monkeypatch):
    gallery, table, _ = world
    for error in (sqlite3.OperationalError("database or disk is full"), OSError(28, "no space")):
        with monkeypatch.context() as patch:
            patch.setattr(table, "latest", _raising(error))
            gallery.follower.start()
            wait(lambda error=error: gallery.follower.error is error)
        table.write(a=f"after {error}")
        wait(lambda: not table.feed)
        assert gallery.search([f"after {error}"], 1).ids[0, 0] == "a"


def test_nothing_that_a_model_raises_ends_the_thread(world, monkeypatch):
    gallery, table, _ = world
    error = ValueError("a model of somebody's own")
    with monkeypatch.context() as patch:
        patch.setattr(gallery.old.encoder, "encode", lambda *given: _raising(error)())
        table.write(a="first")
        gallery.follower.start()
        wait(lambda: gallery.follower.error is error)
    wait(lambda: not table.feed)
    assert gallery.search(["first"], 1).ids[0, 0] == "a"


def _raising(error):
    def fails():
        raise error

    return fails


def wait(done, seconds=240.0):
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until
        time.sleep(0.005)
