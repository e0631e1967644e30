"""The payload of a store as a source: what is gone, hidden, or deleted meanwhile."""

import pytest

from holdfast.errors import SourceError
from holdfast.items import Item
from holdfast.source.store_payload import StorePayloadSource
from holdfast.space import Space
from holdfast.store.memory import MemoryStore


@pytest.fixture
def store():
    store = MemoryStore(Space("any", 1, "dot"))
    payloads = [{"text": "alpha", "lang": "en"}, {"lang": "de"}, {"text": None}, {"text": ""}]
    store.upsert(["a", "b", "c", "d"], [[1.0]] * 4, payloads)
    return store


def test_rows_without_the_field_have_lost_their_content(store):
    source = StorePayloadSource(store)
    alpha, empty = Item("a", "alpha", {"text": "alpha", "lang": "en"}), Item("d", "", {"text": ""})
    assert source.get(["d", "b", "a", "x", "c"]) == [empty, None, alpha, None, None]
    assert source.scan().items == [alpha, empty]
    assert len(source) == 4


def test_another_field(store):
    items = StorePayloadSource(store, field="lang").scan().items
    assert [(i.id, i.content) for i in items] == [("a", "en"), ("b", "de")]


def test_pages_follow_the_store_even_when_all_their_rows_are_passed_over(store):
    source = StorePayloadSource(store)
    first, second, third = source.scan(None, 1), source.scan("a", 2), source.scan("c", 2)
    assert [[i.id for i in page.items] for page in (first, second, third)] == [["a"], [], ["d"]]
    assert (first.after, second.after, third.after) == ("a", "c", None)


def test_hidden_rows_are_still_read(store):
    store.hide(["a"])
    assert StorePayloadSource(store).get(["a"])[0].content == "alpha"


def test_a_delete_between_two_reads_is_looked_at_again(store):
    class Busy(MemoryStore):
        deletes = 1

        def get(self, ids, vectors=True):
            if self.deletes:
                self.deletes -= 1
                self.delete(["a"])
                self.upsert(["a2"], [[1.0]])
            return super().get(ids, vectors)

    busy = Busy(store.space)
    busy.upsert(["a", "d"], [[1.0]] * 2, [{"text": "alpha"}, {"text": "delta"}])
    assert StorePayloadSource(busy).get(["a", "d"]) == [None, Item("d", "delta", {"text": "delta"})]


def test_a_store_that_never_holds_still_is_an_error(store):
    class Liar(MemoryStore):
        def get(self, ids, vectors=True):
            return super().get([*ids, "never there"], vectors)

    with pytest.raises(SourceError, match="deleted in between"):
        StorePayloadSource(Liar(store.space)).get(["a"])
