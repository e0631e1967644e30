"""Payloads on their way from store to store: never checked twice, never changed by it."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from holdfast.space import Space
from holdfast.store.edge_payload import PACKED, pack, packed, unpack
from holdfast.store.memory import MemoryStore, as_payloads
from holdfast.store.payloads import PARSED, TEXT, Payloads, join, take, texts
from holdfast.store.registry import open_store

MANY = [
    {},
    {"n": 1, "lang": "en"},
    {"price": 0.1 + 0.2, "tags": ["a", 1, None, {"deep": [True]}], "big": 2**70, "é": "\u2028"},
    {"third": 1 / 3, "none": None, "list": [0.7, 0.1]},
]


def plain(payloads):
    return [json.dumps(dict(p), sort_keys=True) for p in payloads]


def forms():
    names, numbers = [f"i{i}" for i in range(len(MANY))], list(range(len(MANY)))
    return {
        "parsed": Payloads(list(MANY), PARSED),
        "text": Payloads([json.dumps(p, separators=(",", ":")) for p in MANY], TEXT),
        "packed": Payloads(list(map(pack, names, MANY, numbers)), PACKED),
    }


@pytest.mark.parametrize("form", ["parsed", "text", "packed"])
def test_every_form_reads_as_what_was_given(form):
    held = forms()[form]
    assert held == MANY
    assert held != MANY[:3]
    assert [held[-1], *held[1:3]] == [MANY[-1], *MANY[1:3]]
    assert repr(held) == repr(MANY)
    assert take(held, [3, 1]) == [MANY[3], MANY[1]] == take(MANY, [3, 1])
    assert [json.loads(text) for text in texts(held)] == MANY
    assert as_payloads(held, "test") is held
    for other in forms().values():
        assert join(held, other) == MANY + MANY
    assert join(held, MANY) == MANY + MANY


def test_looking_at_a_text_gives_a_new_object_each_time():
    held = forms()["text"]
    held[1]["n"] = 99
    assert held == MANY


def test_what_a_shard_packed_is_packed_as_afresh():
    names, numbers = ["a", "b", "c", "d"], [7, 8, 9, 10]
    again = Payloads(list(map(pack, names, MANY, [1, 2, 3, 4])), PACKED)
    fresh = list(map(pack, names, MANY, numbers))
    assert list(packed(names, again, numbers)) == fresh
    assert list(packed(names, forms()["text"], numbers)) == fresh
    assert list(packed(names, forms()["packed"], numbers)) == fresh, "other ids"
    assert [unpack(one) for one in fresh] == MANY


def test_fractions_read_back_with_an_error_are_packed_from_the_text():
    kept = pack("a", {"x": 0.1}, 1)
    off = kept | {"f-x": np.nextafter(0.1, 1.0)}
    assert list(packed(["a"], Payloads([off], PACKED), [2])) == [pack("a", {"x": 0.1}, 2)]


@pytest.mark.parametrize(
    "kinds", list(pairwise(["memory", "faiss", "edge", "memory", "edge", "faiss"]))
)
def test_rows_of_one_store_go_into_another_and_are_found_there(tmp_path, kinds):
    if "faiss" in kinds:
        pytest.importorskip("faiss")
    space, names = Space("one", 4, "dot"), [f"i{i}" for i in range(len(MANY))]
    stores = [
        MemoryStore(space) if kind == "memory" else open_store(kind, tmp_path / f"{i}", space)
        for i, kind in enumerate((*kinds, kinds[1]))
    ]
    rng = np.random.default_rng(0)
    stores[0].upsert(names, rng.normal(size=(len(names), 4)).astype("f4"), MANY)
    for left, right in pairwise(stores):
        left.hide(names[:2])
        rows = left.get(names)
        right.upsert(rows.ids, rows.vectors, rows.payloads, rows.revisions)
        assert plain(right.get(names).payloads) == plain(MANY)
        for where in ({"n": 1}, {"price": {"gte": 0.1 + 0.2}}, {"tags": "a"}, {"list": 0.7}):
            asked = rng.normal(size=(1, 4))
            want = MemoryStore(space)
            want.upsert(names, rows.vectors, MANY)
            found = right.search(asked, 9, where).ids[0].tolist()
            assert found == want.search(asked, 9, where).ids[0].tolist()
    for store in stores:
        store.close()


def test_payloads_may_come_one_by_one():
    store = MemoryStore(Space("one", 1, "dot"))
    store.upsert(iter("ab"), [[1.0], [2.0]], ({"n": n} for n in (1, 2)))
    assert store.get(["a", "b"]).payloads == [{"n": 1}, {"n": 2}]
