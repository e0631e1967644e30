"""What a build leaves out, and what stops it: items at fault do not, a model that is out does."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.encode.cache import CachedEncoder
from holdfast.encode.callable import CallableEncoder
from holdfast.errors import (
    EncoderError,
    EncoderMisconfigured,
    EncoderUnavailable,
    InvalidInput,
    SourceError,
    StoreError,
)
from holdfast.items import Item
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.intake import Intake

SPACE = Space("toy", 2, "dot", "toy@1")
ITEMS = [Item(f"i{n:03}", f"{n}") for n in range(100)]


class Model(CallableEncoder):
    """Embeds a number as itself and one; refuses some of them."""

    def __init__(self, bad=()):
        super().__init__(SPACE, self.rows)
        self.bad, self.down, self.asked = set(bad), None, []

    def rows(self, texts):
        self.asked.append(list(texts))
        if self.down:
            raise self.down
        return [[np.nan if int(t) in self.bad else float(t), 1.0] for t in texts]


class Picky(MemoryStore):
    """Does not like one id."""

    error = InvalidInput

    def upsert(self, ids, *rest, **named):
        if "i007" in ids:
            raise self.error("this store", "ids it likes", "'i007'")
        super().upsert(ids, *rest, **named)


def took(model, items=ITEMS, stored=(), store=None, limit=10):
    store = MemoryStore(SPACE) if store is None else store
    intake = Intake(model, store, limit, lambda: None, lambda: 1)
    intake.take(items, stored)
    return store, intake


def there(store):
    rows = store.scan(limit=1_000, vectors=True).rows
    return {name: float(row[0]) for name, row in zip(rows.ids, rows.vectors.array, strict=True)}


def test_what_cannot_be_embedded_is_left_out_alone_and_tried_again_alone():
    bad = [0, 1, 2, 50, 99]
    store, intake = took(model := Model(bad))
    names = [f"i{n:03}" for n in bad]
    assert list(intake.left_out) == names
    assert all("NaN" in reason for reason in intake.left_out.values())
    assert there(store) == {f"i{n:03}": float(n) for n in range(100) if n not in bad}
    model.bad, model.asked = {2, 99}, []
    store, intake = took(model, [ITEMS[n] for n in bad], [ITEMS[3]], store)
    assert list(intake.left_out) == ["i002", "i099"]
    assert there(store) == {f"i{n:03}": float(n) for n in range(100) if n not in (2, 99)}
    assert {text for call in model.asked for text in call} <= {"3", *map(str, bad)}


def test_a_model_that_works_elsewhere_is_not_at_fault_for_a_whole_page():
    model = Model(range(50, 58))
    _, intake = took(model, ITEMS[:50])
    intake.take(ITEMS[50:58], ())
    assert len(intake.left_out) == 8
    _, intake = took(model, (), ITEMS[:1])  # all are stored: they prove as much
    intake.take(ITEMS[50:58], ())
    assert len(intake.left_out) == 8


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize(
    ("error", "raised", "calls"),
    [
        (EncoderUnavailable, None, 1),
        (EncoderMisconfigured, None, 1),
        (EncoderError, SourceError, 10),
    ],
)
def test_a_model_that_is_out_stops_it_at_once_and_blames_nobody(error, raised, calls, cached):
    model = Model()
    store, intake = took(CachedEncoder(model, ":memory:") if cached else model, ITEMS[:50])
    model.down, model.asked = error("the model", "an answer", "none"), []
    with pytest.raises(raised or error, match="none"):
        intake.take(ITEMS[50:], ())
    assert len(model.asked) <= calls
    assert (intake.left_out, len(store)) == ({}, 50)
    model.down = None
    intake.take(ITEMS[50:], ())
    assert len(store) == 100


def test_too_many_stop_it_and_the_others_are_stored():
    store = MemoryStore(SPACE)
    words = "at most 3 items that cannot be embedded or stored, got 4; the last one, 'i040'"
    with pytest.raises(SourceError, match=words):
        took(Model([10, 20, 30, 40]), store=store, limit=3)
    assert len(store) == 96


@pytest.mark.parametrize("error", [InvalidInput, StoreError])
def test_what_the_store_refuses_is_left_out(error):
    store = Picky(SPACE)
    store.error = error
    _, intake = took(Model([9]), store=store)
    assert intake.left_out.keys() == {"i009", "i007"}
    assert there(store) == {f"i{n:03}": float(n) for n in range(100) if n not in (7, 9)}


class Full(MemoryStore):
    """Takes nothing new, but replaces what it has."""

    def upsert(self, ids, *rest, **named):
        if (self.revisions(ids) < 0).any():
            raise StoreError("this store", "room", "none")
        super().upsert(ids, *rest, **named)


def test_what_an_earlier_build_left_out_is_left_out_again_and_a_full_store_is_told_from_it():
    store = Full(SPACE)
    MemoryStore.upsert(store, ["i000", "i099"], Model().encode(["0", "99"], "document"))
    fresh, stored = ITEMS[1:6], [ITEMS[0], ITEMS[99]]
    with pytest.raises(StoreError, match="this store: expected room, got none"):
        took(Model(), fresh, stored, store)
    intake = Intake(Model(), store, 10, lambda: None, lambda: 1)
    intake.take(fresh, stored, {item.id for item in ITEMS[:99]})
    assert list(intake.left_out) == [item.id for item in fresh]
    assert there(store) == {"i000": 0.0, "i099": 99.0}
