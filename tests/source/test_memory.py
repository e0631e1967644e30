"""The source in memory while it changes."""

import pytest

from holdfast.errors import DuplicateIds, InvalidInput
from holdfast.items import Item
from holdfast.source.memory import MemorySource


def test_a_scan_goes_on_after_its_cursor_was_deleted():
    source = MemorySource([Item(name, name.upper()) for name in "dbca"])
    page = source.scan(limit=2)
    assert ([i.id for i in page.items], page.after) == (["a", "b"], "b")
    source.delete(["b", "never there"])
    source.upsert([Item("c", "new"), Item("bb", "between")])
    rest = source.scan(page.after)
    assert [(i.id, i.content) for i in rest.items] == [("bb", "between"), ("c", "new"), ("d", "D")]
    assert source.get(["b", "c"]) == [None, Item("c", "new")]
    assert len(source) == 4


@pytest.mark.parametrize("limit", [0, 2**31])
def test_a_page_of_no_items_or_of_more_than_there_can_be_is_refused(limit):
    with pytest.raises(InvalidInput, match="a limit of at least 1 and at most 2,147,483,647"):
        MemorySource().scan(limit=limit)


def test_an_id_twice_is_refused():
    with pytest.raises(DuplicateIds, match="'a' twice"):
        MemorySource([Item("a", 1), Item("a", 2)])


def test_what_is_no_item_is_refused_and_nothing_is_added():
    source = MemorySource([Item("a", 1)])
    for given, got in (
        (Item("b", 2), "expected a list of items, got one Item"),
        ([Item("b", 2), ("c", 3)], "expected items, got tuple at place 1"),
        ("bc", "expected items, got str at place 0"),
        ([Item("b", 2), Item(3, 4)], "ids that are strings, got 3"),
    ):
        with pytest.raises(InvalidInput, match=got):
            source.upsert(given)
    assert [item.id for item in source.scan().items] == ["a"]


def test_a_scan_beside_a_delete_passes_over_what_has_gone():
    source = MemorySource([Item(name, name) for name in "abcd"])
    scanned = source.scan
    names = list(source._sorted)
    source.delete(["b", "d"])
    source._sorted = names  # as a scan has read them that began before
    page = scanned(limit=2)
    assert ([i.id for i in page.items], page.after) == (["a"], "b")
    assert [i.id for i in scanned(page.after).items] == ["c"]
