"""The contract holds for every source we ship, and catches what it is there to catch."""

import gzip
import json
import time
import unicodedata
from itertools import count

import pytest

from holdfast.errors import ContractBroken, InvalidInput
from holdfast.items import Item
from holdfast.source.base import ItemPage, Source
from holdfast.source.check import check_source, source_checks
from holdfast.source.jsonl import JsonlSource
from holdfast.source.memory import MemorySource
from holdfast.source.parquet import ParquetSource
from holdfast.source.store_payload import StorePayloadSource
from holdfast.space import Space
from holdfast.store.memory import MemoryStore

FIELDS = ["lang", "year"]


def records(items):
    return [{"key": i.id, "body": i.content, **i.payload} for i in items]


def plant_memory(items, folder):
    return MemorySource(items)


def plant_jsonl(items, folder, escape=True):
    lines = [json.dumps(r, ensure_ascii=escape) + "\n" for r in records(items)]
    path = folder / "items.jsonl"
    path.write_text("".join(lines), encoding="utf-8", newline="")
    return JsonlSource(path, id="key", text="body", payload=FIELDS)


def plant_jsonl_plain(items, folder):
    return plant_jsonl(items, folder, escape=False)


def plant_jsonl_gz(items, folder):
    path = plant_jsonl(items, folder).path
    packed = folder / "items.jsonl.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return JsonlSource(packed, id="key", text="{body}", payload=FIELDS)


def plant_parquet(items, folder):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    schema = arrow.schema(
        [("key", arrow.string()), ("body", arrow.string()), ("lang", arrow.string()),
         ("year", arrow.int32())]
    )  # fmt: skip
    table = arrow.Table.from_pylist(records(items), schema=schema)
    parquet.write_table(table, folder / "items.parquet", row_group_size=4)
    return ParquetSource(folder / "items.parquet", id="key", text=["body"], payload=FIELDS)


def plant_store(items, folder):
    store = MemoryStore(Space("any", 1, "dot"))
    if items:
        payloads = [{"text": i.content, **i.payload} for i in items]
        store.upsert([i.id for i in items], [[1.0]] * len(items), payloads)
    return StorePayloadSource(store)


PLANTS = [
    plant_memory, plant_jsonl, plant_jsonl_plain, plant_jsonl_gz, plant_parquet, plant_store
]  # fmt: skip


@pytest.mark.parametrize("check", source_checks(), ids=str)
@pytest.mark.parametrize("plant", PLANTS)
def test_contract(plant, check, tmp_path):
    number = count()

    def fresh(items):
        folder = tmp_path / str(next(number))
        folder.mkdir()
        source = plant(items, folder)
        assert isinstance(source, Source)
        return source

    check(fresh)


class LosesTheLastPage(MemorySource):
    def scan(self, after=None, limit=1000):
        page = super().scan(after, limit)
        return ItemPage([], None) if after and page.after is None else page


class RepeatsTheCursor(MemorySource):
    def scan(self, after=None, limit=1000):
        page = super().scan(after, limit)
        again = [] if after is None else self.get([after])
        return ItemPage((again + page.items)[:limit] if again else page.items, page.after)


class CountsPages(MemorySource):
    """Its cursor is a page number, which means another place with another page size."""

    def scan(self, after=None, limit=1000):
        if limit < 1:
            raise InvalidInput("scan", "a limit", str(limit))
        page = int(after or 0)
        names = self._sorted[page * limit : (page + 1) * limit]
        more = (page + 1) * limit < len(self)
        return ItemPage(self.get(names), str(page + 1) if more else None)


class OneShot(MemorySource):
    """One place for all scans, as with an open file."""

    def scan(self, after=None, limit=1000):
        if after is None:
            self.place = None
        page = super().scan(self.place, limit)
        self.place = page.after
        return page


class Shuffles(MemorySource):
    turn = 0

    def scan(self, after=None, limit=1000):
        if after is None:
            self.turn += 1
            self._sorted = sorted(self._items, reverse=self.turn % 2 == 0)
            at = 0
        else:
            at = self._sorted.index(after) + 1
        if limit < 1:
            raise InvalidInput("scan", "a limit", str(limit))
        names = self._sorted[at : at + limit]
        return ItemPage(self.get(names), names[-1] if at + limit < len(self) else None)


class IgnoresTheLimit(MemorySource):
    def scan(self, after=None, limit=1000):
        return super().scan(after, max(limit, 3) if limit > 0 else limit)


class TakesAnyLimit(MemorySource):
    def scan(self, after=None, limit=1000):
        return super().scan(after, max(limit, 1))


class NeverEnds(MemorySource):
    def scan(self, after=None, limit=1000):
        page = super().scan(after, limit)
        return ItemPage(page.items, page.after or (self._sorted or ["a"])[-1])


class LeavesOutTheAbsent(MemorySource):
    def get(self, ids):
        return [item for item in super().get(ids) if item is not None]


class RaisesOnTheAbsent(MemorySource):
    def get(self, ids):
        return [self._items[name] for name in ids]


class AnswersInItsOwnOrder(MemorySource):
    def get(self, ids):
        return super().get(sorted(ids))


class AnswersOnce(MemorySource):
    def get(self, ids):
        return super().get(list(dict.fromkeys(ids)))


class CountsOneMore(MemorySource):
    def __len__(self):
        return super().__len__() + 1


class Changed(MemorySource):
    """Base of sources that alter what they hold."""

    def __init__(self, items):
        super().__init__([self.change(i) for i in items])


class Strips(Changed):
    def change(self, item):
        return Item(item.id, item.content.strip(), item.payload)


class Normalises(Changed):
    def change(self, item):
        return Item(item.id, unicodedata.normalize("NFC", item.content), item.payload)


class CutsLongText(Changed):
    def change(self, item):
        return Item(item.id, item.content[:65_536], item.payload)


class SplitsAtSeparators(Changed):
    def change(self, item):
        return Item(item.id, "\n".join(item.content.splitlines()), item.payload)


class DropsPayload(Changed):
    def change(self, item):
        return Item(item.id, item.content)


class TurnsNumbersToText(Changed):
    def change(self, item):
        return Item(item.id, item.content, {k: str(v) for k, v in item.payload.items()})


class FoldsIds(MemorySource):
    def __init__(self, items):
        super().__init__({i.id.casefold(): i for i in items}.values())

    def get(self, ids):
        folded = {name.casefold(): item for name, item in self._items.items()}
        return [folded.get(name.casefold()) for name in ids]


class ScansWithoutPayload(MemorySource):
    def scan(self, after=None, limit=1000):
        page = super().scan(after, limit)
        return ItemPage([Item(i.id, i.content) for i in page.items], page.after)


class SharesOnePlace(MemorySource):
    """Seeks and then reads, with nothing to keep two threads apart."""

    def __init__(self, items):
        super().__init__(items)
        self.place = ()

    def get(self, ids):
        self.place = ids
        time.sleep(0.002)
        return super().get(self.place)


SABOTEURS = {
    LosesTheLastPage: "check_scan",
    RepeatsTheCursor: "check_scan",
    CountsPages: "check_resume",
    OneShot: "check_interleaved",
    Shuffles: "check_order",
    IgnoresTheLimit: "check_scan",
    TakesAnyLimit: "check_limit",
    NeverEnds: "check_empty",
    LeavesOutTheAbsent: "check_absent",
    RaisesOnTheAbsent: "check_absent",
    AnswersInItsOwnOrder: "check_get",
    AnswersOnce: "check_get",
    CountsOneMore: "check_len",
    Strips: "check_text",
    Normalises: "check_text",
    CutsLongText: "check_text",
    SplitsAtSeparators: "check_text",
    DropsPayload: "check_get",
    TurnsNumbersToText: "check_get",
    FoldsIds: "check_ids",
    ScansWithoutPayload: "check_scan",
    SharesOnePlace: "check_threads",
}


@pytest.mark.parametrize("saboteur", SABOTEURS)
def test_every_saboteur_is_caught_by_name(saboteur):
    with pytest.raises(ContractBroken, match=SABOTEURS[saboteur]):
        check_source(saboteur)


def test_every_check_is_needed_by_some_saboteur():
    assert {str(c) for c in source_checks()} == set(SABOTEURS.values())


def test_checks_can_be_left_out_by_name():
    left = {str(c) for c in source_checks(leave_out=["check_empty"])}
    assert {str(c) for c in source_checks()} - left == {"check_empty"}


def test_the_trace_of_an_unexpected_error_is_kept():
    class Crashes(MemorySource):
        def scan(self, after=None, limit=1000):
            raise ZeroDivisionError("of the source.")

    with pytest.raises(ContractBroken, match=r"got ZeroDivisionError: of the source\. See") as told:
        check_source(Crashes)
    assert isinstance(told.value.__cause__.__cause__, ZeroDivisionError)
