"""The source contract in executable form, for our sources and for yours.

In one line, where `plant` makes a source of exactly the items it is given:

    check_source(plant)

or one test for each check, under pytest:

    @pytest.mark.parametrize("check", source_checks(), ids=str)
    def test_contract(check):
        check(plant)

The items have text as content and a payload of the fields `lang` (a string) and `year`
(an integer). A source may answer more payload fields than were planted, not fewer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from ..contract import equal, named, refuse_any, refuses
from ..errors import ContractBroken, InvalidInput
from ..items import Item
from .base import Source

Plant: TypeAlias = Callable[[list[Item]], Source]

_COUNT = 23  # a prime, so that no page size divides it


def _item(name: str, content: str, number: int) -> Item:
    return Item(name, content, {"lang": ("de", "en")[number % 2], "year": 1990 + number})


def _items(count: int = _COUNT) -> list[Item]:
    """Items whose order as text is neither that of planting nor of their numbers."""
    return [_item(f"item {i * 7 % count}", f"content of {i * 7 % count}", i) for i in range(count)]


def _same(what: str, got: Item | None, planted: Item | None) -> None:
    """The id, the content and every planted payload field must come back as they were."""
    if got is None or planted is None:
        equal(what, got, planted)
        return
    kept = {name: got.payload.get(name) for name in planted.payload}
    equal(what, (got.id, got.content, kept), (planted.id, planted.content, planted.payload))


def _walk(source: Source, limit: int, after: str | None = None) -> list[Item]:
    """A scan from a cursor to the end, with what each page owes."""
    out: list[Item] = []
    for _ in range(10 * _COUNT):
        page = source.scan(after, limit)
        if len(page.items) > limit:
            raise ContractBroken(f"scan of {limit}", f"at most {limit} items", str(len(page.items)))
        out += page.items
        after = page.after
        if after is None:
            return out
    raise ContractBroken(f"scan of {limit}", "an end", f"{10 * _COUNT} pages and a next one")


def check_len(plant: Plant) -> None:
    """`len` counts the items."""
    for count in (0, 1, _COUNT):
        equal(f"len of {count} items", len(plant(_items(count))), count)


def check_empty(plant: Plant) -> None:
    """A source without items has no item and one empty page."""
    source = plant([])
    equal("scan of nothing", _walk(source, 5), [])
    equal("get from nothing", list(source.get(["absent"])), [None])


def check_get(plant: Plant) -> None:
    """`get` answers id by id in the order asked, repeated ids included."""
    items = _items()
    source = plant(items)
    for asked in (items, items[::-1], [items[4], items[1], items[4]], []):
        got = source.get([item.id for item in asked])
        equal("number of answers", len(got), len(asked))
        for place, (one, planted) in enumerate(zip(got, asked, strict=True)):
            _same(f"answer {place}", one, planted)


def check_absent(plant: Plant) -> None:
    """What is not there is None, at its place."""
    items = _items()
    source = plant(items)
    asked = ["absent", items[3].id, "item", items[0].id, "item 999"]
    got = source.get(asked)
    equal("number of answers", len(got), len(asked))
    for name, one, planted in zip(asked, got, [None, items[3], None, items[0], None], strict=True):
        _same(f"answer to {name!r}", one, planted)


def check_scan(plant: Plant) -> None:
    """A scan visits every item exactly once, whatever the size of its pages."""
    items = {item.id: item for item in _items()}
    source = plant(list(items.values()))
    for limit in (1, 4, _COUNT - 1, _COUNT, _COUNT + 1, 1000):
        got = _walk(source, limit)
        equal(f"ids in pages of {limit}", sorted(i.id for i in got), sorted(items))
        for one in got:
            _same(f"{one.id!r} in pages of {limit}", one, items[one.id])


def check_order(plant: Plant) -> None:
    """The order of a scan is the same every time, whatever the size of its pages."""
    source = plant(_items())
    first = [item.id for item in _walk(source, 4)]
    for limit in (4, 1, 7, 1000):
        got = [item.id for item in _walk(source, limit)]
        equal(f"order in pages of {limit}", got, first)


def check_resume(plant: Plant) -> None:
    """A scan goes on from any cursor, in a source opened anew, with another page size."""
    whole = [item.id for item in _walk(plant(_items()), 1000)]
    source, again = plant(_items()), plant(_items())
    after, seen = None, 0
    while True:
        page = source.scan(after, 3)
        seen += len(page.items)
        after = page.after
        if after is None:
            return
        rest = [item.id for item in _walk(again, 5, after)]
        equal(f"items after the cursor {after!r}", rest, whole[seen:])


def check_interleaved(plant: Plant) -> None:
    """Two scans and a `get` on one source do not disturb each other."""
    items = {item.id: item for item in _items()}
    source = plant(list(items.values()))
    whole = [item.id for item in _walk(source, 1000)]
    first = source.scan(None, 6)
    second = source.scan(None, 9)
    _same("get between two pages", source.get([whole[-1]])[0], items[whole[-1]])
    rest = [i.id for i in first.items] + [i.id for i in _walk(source, 6, first.after)]
    equal("first of two scans", rest, whole)
    rest = [i.id for i in second.items] + [i.id for i in _walk(source, 9, second.after)]
    equal("second of two scans", rest, whole)


_TEXTS = (
    "",
    " spaces around ",
    "two\nlines\r\nand\ta tab",
    "a line \u2028 separator, a paragraph \u2029 one, a next \x85 line",
    "quotes \" ' and \\ backslashes {braces}",
    unicodedata.normalize("NFC", "Zürich é"),
    unicodedata.normalize("NFD", "Zürich é"),
    "日本語 العربية ελληνικά",
    "👩‍🔬 beyond the basic plane 𝔸",
    "x" * 100_000,
)


def check_text(plant: Plant) -> None:
    """Text comes back character by character."""
    items = [_item(f"text {i}", text, i) for i, text in enumerate(_TEXTS)]
    source = plant(items)
    for planted, one in zip(items, source.get([i.id for i in items]), strict=True):
        _same(f"get of {planted.id!r}", one, planted)
    scanned = {item.id: item for item in _walk(source, 3)}
    for planted in items:
        _same(f"scan of {planted.id!r}", scanned.get(planted.id), planted)


_IDS = (
    "1", "01", "1.0", "a", "A", "a b", "a/b", "a\\b", '"quoted"', "null", "true", "ß", "ss",
    unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"), "日本", "👩‍🔬",
)  # fmt: skip


def check_ids(plant: Plant) -> None:
    """Ids that look alike are different ids."""
    items = [_item(name, f"content of {name}", i) for i, name in enumerate(_IDS)]
    source = plant(items)
    for planted, one in zip(items, source.get(list(_IDS)), strict=True):
        _same(f"get of {planted.id!r}", one, planted)
    equal("ids of a scan", sorted(i.id for i in _walk(source, 4)), sorted(_IDS))
    equal("close but absent", source.get(["001", "B", " a", "SS"]), [None] * 4)


def check_limit(plant: Plant) -> None:
    """A page of no items cannot be asked for."""
    source = plant(_items())
    for limit in (0, -1):
        refuses(f"scan with limit {limit}", InvalidInput, partial(source.scan, None, limit))


def check_threads(plant: Plant) -> None:
    """Threads may read side by side."""
    items = _items()
    source = plant(items)

    def read(turn: int) -> None:
        for item in items[turn:] + items[:turn]:
            _same(f"get of {item.id!r} beside others", source.get([item.id])[0], item)
        equal("scan beside others", len(_walk(source, 4)), len(items))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(read, range(8)))


_CHECKS: tuple[Callable[[Plant], None], ...] = (
    check_len,
    check_empty,
    check_get,
    check_absent,
    check_scan,
    check_order,
    check_resume,
    check_interleaved,
    check_text,
    check_ids,
    check_limit,
    check_threads,
)


@dataclass(frozen=True, slots=True)
class Check:
    """One statement about sources.

    Args:
        function: Raises `ContractBroken` where the statement is false.
    """

    function: Callable[[Plant], None]

    def __str__(self) -> str:
        return self.function.__name__

    def __call__(self, plant: Plant) -> None:
        """Try it.

        Args:
            plant: Makes a source of exactly the items it is given; called several times.
        Raises:
            ContractBroken: The statement is false, or the source raised what nobody expects.
        """
        with named(self):
            self.function(plant)


def source_checks(leave_out: Sequence[str] = ()) -> list[Check]:
    """Every check, but for the ones named: say why where you leave one out."""
    return [Check(function) for function in _CHECKS if function.__name__ not in leave_out]


def check_source(plant: Plant) -> None:
    """Run the whole contract and report every check that fails at once.

    Args:
        plant: Makes a source of exactly the items it is given; called several times.
    Raises:
        ContractBroken: One or more checks failed; the message names them all.
    Example:
        >>> from holdfast.source.memory import MemorySource
        >>> check_source(MemorySource)
    """
    failures: list[ContractBroken] = []
    for check in source_checks():
        try:
            check(plant)
        except ContractBroken as broken:
            failures.append(broken)
    refuse_any("source", len(_CHECKS), failures)
