"""A gallery over stores on disk answers as one over stores in memory does, also when reopened."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.errors import EncoderError, UpgradeError
from holdfast.hits import difference
from holdfast.items import Item
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.store.registry import open_store
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side
from tests.upgrade.toys import Clock, ToyEncoder, ToySource

OLD, NEW = Space("old", 3), Space("new", 5, "euclidean")
QUERIES = [(0.3, -0.2, 1.0, 0.4), (-1.0, 0.5, 0.25, -0.75)]
KINDS = {"faiss": {"index": "flat"}, "edge": {"exact": True}}
PLAN = Plan(batch_size=4, max_batch_size=4)


class Shelf:
    """One gallery, its upgrade, and what it takes to open them again."""

    def __init__(self, folder: Path, kind: str | None) -> None:
        self.folder, self.kind = folder, kind
        self.clock, self.source, self.again = Clock(), ToySource(), False
        self.models = {space: ToyEncoder(space, seed=space.dim) for space in (OLD, NEW)}
        self.kept = {space: MemoryStore(space) for space in (OLD, NEW)}
        ledger = self._ledger()
        ledger.begin(PLAN.model_dump(), OLD, NEW)
        ledger.close()
        self.open()

    def _ledger(self) -> Ledger:
        return Ledger(self.folder / "ledger.sqlite", lambda: 0.0)

    def _store(self, space: Space) -> Any:
        if self.kind is None:
            return self.kept[space]
        return open_store(self.kind, self.folder / space.name, space, **KINDS[self.kind])

    def open(self) -> None:
        old, new = (Side(self._store(space), self.models[space]) for space in (OLD, NEW))
        self.gallery = Gallery(old, new, self._ledger(), clock=self.clock)
        mover = ReEmbed(self.source, self.models[NEW])
        self.engine = Engine(self.gallery, mover, PLAN, sleep=lambda s: None)

    def do(self, verb: str, items: list[Item]) -> Any:
        """What came of it, in words that two shelves can be compared by."""
        for item in items:
            self.source.items[item.id] = item.content
        if verb == "fail":
            self.models[NEW].fail = [EncoderError("model", "an answer", "none")]
        self._order()
        try:
            if verb in ("write", "fail"):
                self.gallery.upsert(items)
            elif verb == "delete":
                self.gallery.delete([item.id for item in items])
            elif verb == "reopen":
                self.gallery.close()
                self.open()
            elif verb == "plan":
                if self.gallery.state == "rolled back":
                    self.gallery.ledger.begin(PLAN.model_dump(), OLD, NEW)
                    self.gallery.recover()
                    self.again = True
            elif verb == "run" or (verb == "step" and self.again):
                return self.engine.run(
                    1.0 if self.again or not items else items[0].content[0]
                ).share
            else:
                getattr(self.engine, verb)()
        except (UpgradeError, EncoderError) as error:
            return type(error)
        finally:
            self.models[NEW].fail = []
        return None

    def _order(self) -> None:
        """Items move in the order of a scan, shuffled; each kind of store has another one.

        So the queue is filled beforehand. A scan also decides in which order leftovers of an
        earlier upgrade are queued; from then on upgrades run to their end.
        """
        if self.gallery.state == "planned":
            names = self.gallery.old.store.scan(limit=100).rows.ids
            self.gallery.ledger.fill(sorted(names))

    def rows(self, side: Side) -> list[tuple[Any, ...]]:
        rows = side.store.scan(limit=100).rows
        columns = rows.ids, rows.revisions.tolist(), rows.payloads, rows.hidden.tolist()
        return sorted(zip(*columns, strict=True), key=lambda row: row[0])


shares = st.sampled_from([0.3, 0.5, 0.8]).map(lambda share: [Item("x", (share, 0.0, 0.0, 0.0))])
batches = st.lists(st.integers(0, 11), min_size=1, max_size=8, unique=True)
verbs = st.sampled_from(["write", "write", "write", "delete", "fail", "run", "run", "reopen"])
turns = st.sampled_from(["cut_over", "roll_back", "plan", "step", "pause", "reopen", "finish"])


@st.composite
def deeds(draw: st.DrawFn) -> list[tuple[str, list[Item]]]:
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    done: list[tuple[str, list[Item]]] = []
    for _ in range(draw(st.integers(4, 14))):
        verb = draw(verbs | turns)
        if verb == "run":
            done.append((verb, draw(shares | st.just([]))))
            continue
        names = draw(batches) if verb in ("write", "delete", "fail") else []
        items = [
            Item(f"é{n}", tuple(map(float, rng.normal(size=4))), {"even": n % 2 == 0})
            for n in names
        ]
        done.append((verb, items))
    return [("write", [*_first(rng)]), *done, ("reopen", [])]


def _first(rng: np.random.Generator) -> list[Item]:
    return [
        Item(f"é{n}", tuple(map(float, rng.normal(size=4))), {"even": n % 2 == 0})
        for n in range(11)
    ]


@pytest.mark.parametrize("kind", KINDS)
@given(todo=deeds())
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
def test_a_gallery_on_disk_equals_one_in_memory(kind: str, todo: list[Any]) -> None:
    if kind == "faiss":
        pytest.importorskip("faiss")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("disk", "memory")]
        disk, memory = (Shelf(p, k) for p, k in zip(paths, (kind, None), strict=True))
        for verb, items in todo:
            assert disk.do(verb, items) == memory.do(verb, items), verb
            assert disk.gallery.state == memory.gallery.state
            for side in ("old", "new"):
                a, b = (shelf.rows(getattr(shelf.gallery, side)) for shelf in (disk, memory))
                assert a == b, (verb, side)
            for where in (None, {"even": True}):
                got = disk.gallery.search(QUERIES, 5, where)
                assert difference(got, memory.gallery.search(QUERIES, 20, where)) is None, verb
        for shelf in (disk, memory):
            shelf.gallery.close()
