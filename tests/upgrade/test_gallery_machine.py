"""Any interleaving of writes, moves, crashes and turns: the gallery answers as an oracle does.

A crash is an exception that no code catches, raised before the n-th write to a store or to the
ledger; afterwards a new gallery is opened over what was written, as a new process would.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from holdfast.errors import UpgradeError
from holdfast.hits import Hits, difference
from holdfast.items import Item
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.reconcile import reconcile
from holdfast.upgrade.side import Side
from tests.upgrade.toys import Clock, ToyEncoder, ToySource

OLD, NEW = Space("old", 3), Space("new", 5, "euclidean")
IDS = [f"i{n}" for n in range(14)]
GROUPS = ["a", "b"]


class Crash(BaseException):
    """The process dies here."""


class Fuse:
    """Counts writes and raises when it burns out."""

    def __init__(self) -> None:
        self.left: int | None = None

    def burn(self) -> None:
        if self.left is None:
            return
        self.left -= 1
        if self.left < 0:
            self.left = None
            raise Crash


def fused(kind: type, fuse: Fuse, names: tuple[str, ...]) -> type:
    """A subclass whose writing methods burn the fuse before and after."""

    def wrap(name: str) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            fuse.burn()
            result = getattr(kind, name)(self, *args, **kwargs)
            fuse.burn()
            return result

        return method

    return type(f"Fused{kind.__name__}", (kind,), {name: wrap(name) for name in names})


class Machine(RuleBasedStateMachine):
    mode = "calibrated"

    @initialize(count=st.integers(0, len(IDS)), seed=st.integers(0, 99))
    def open_first(self, count: int, seed: int) -> None:
        self.fuse = Fuse()
        self.folder = tempfile.TemporaryDirectory()
        store = fused(MemoryStore, self.fuse, ("upsert", "delete", "hide", "unhide"))
        self.old, self.new = store(OLD), store(NEW)
        self.old_model, self.new_model = ToyEncoder(OLD, seed=1), ToyEncoder(NEW, seed=2)
        self.clock = Clock()
        self.rng = np.random.default_rng(seed)
        self.truth: dict[str, tuple[tuple[float, ...], str]] = {}
        self.source = ToySource()
        self.ledger_kind = fused(
            Ledger,
            self.fuse,
            ("write_entry", "close_entry", "done", "set_state", "enqueue", "fill", "quarantine"),
        )
        for name in IDS[:count]:
            self._accept(name, *self._draw())
        if self.truth:
            vectors = self.old_model.encode([c for c, _ in self.truth.values()], "document")
            payloads = [{"group": g} for _, g in self.truth.values()]
            self.old.upsert(list(self.truth), vectors, payloads, [self.clock() for _ in self.truth])
        self.ledger = self._open_ledger()
        self.plan = Plan(batch_size=3, max_batch_size=3, merge=self.mode)
        self.ledger.begin(self.plan.model_dump(), OLD, NEW)
        self._open()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.ledger.close()
            self.folder.cleanup()

    def _open_ledger(self) -> Ledger:
        return self.ledger_kind(Path(self.folder.name) / "ledger.sqlite", lambda: 0.0)

    def _open(self) -> None:
        self.gallery = Gallery(
            Side(self.old, self.old_model),
            Side(self.new, self.new_model),
            self.ledger,
            mode=self.mode,
            clock=self.clock,
        )
        mover = ReEmbed(self.source, self.new_model)
        self.engine = Engine(self.gallery, mover, self.plan, sleep=lambda s: None)

    def _draw(self) -> tuple[tuple[float, ...], str]:
        # Few distinct contents, so that ties and doubles occur.
        content = tuple(float(v) for v in self.rng.integers(-1, 2, size=4) + 0.25)
        return content, GROUPS[int(self.rng.integers(2))]

    def _accept(self, name: str, content: tuple[float, ...], group: str) -> None:
        self.truth[name] = (content, group)
        self.source.items[name] = content

    @property
    def state(self) -> str | None:
        return self.gallery.state

    # what may happen

    @rule(name=st.sampled_from(IDS), crash=st.none() | st.integers(0, 12))
    def write(self, name: str, crash: int | None) -> None:
        content, group = self._draw()
        before = self.truth.get(name)
        self.source.items[name] = content
        if self._run(crash, lambda: self.gallery.upsert([Item(name, content, {"group": group})])):
            self._accept(name, content, group)
        else:
            self._settle(name, before, (content, group))

    @rule(name=st.sampled_from(IDS), crash=st.none() | st.integers(0, 8))
    def remove(self, name: str, crash: int | None) -> None:
        before = self.truth.get(name)
        if self._run(crash, lambda: self.gallery.delete([name])):
            self.truth.pop(name, None)
        else:
            self._settle(name, before, None)

    @precondition(lambda self: self.state in ("planned", "copying", "paused", "ready"))
    @rule(crash=st.none() | st.integers(0, 12))
    def step(self, crash: int | None) -> None:
        self._run(crash, self.engine.step)

    @precondition(lambda self: self.state in ("planned", "copying", "paused", "ready"))
    @rule(name=st.sampled_from(IDS))
    def write_while_a_batch_is_encoded(self, name: str) -> None:
        content, group = self._draw()
        encode = self.new_model.encode

        def meddle(contents: Any, role: Any) -> Any:
            self.new_model.encode = encode
            made = encode(contents, role)
            self._accept(name, content, group)
            self.gallery.upsert([Item(name, content, {"group": group})])
            return made

        self.new_model.encode = meddle
        try:
            self.engine.step()
        finally:
            self.new_model.encode = encode

    @precondition(lambda self: self.state in ("planned", "copying", "paused", "ready"))
    @rule(name=st.sampled_from(IDS))
    def delete_while_a_batch_is_encoded(self, name: str) -> None:
        encode = self.new_model.encode

        def meddle(contents: Any, role: Any) -> Any:
            self.new_model.encode = encode
            made = encode(contents, role)
            self.gallery.delete([name])
            self.truth.pop(name, None)
            return made

        self.new_model.encode = meddle
        try:
            self.engine.step()
        finally:
            self.new_model.encode = encode

    @precondition(lambda self: self.state in ("copying", "paused", "ready"))
    @rule()
    def compare(self) -> None:
        if not self.ledger.upgrade().queued:  # it died before the queue was filled
            self.engine.start()
        assert not reconcile(self.gallery), "nobody wrote past the gallery"

    @precondition(lambda self: self.state in ("copying", "paused", "ready"))
    @rule(name=st.sampled_from(IDS))
    def write_past_the_gallery(self, name: str) -> None:
        content, group = self._draw()
        self._accept(name, content, group)
        vectors = self.old_model.encode([content], "document")
        self.old.upsert([name], vectors, [{"group": group}], [self.clock() + 100])
        stale = self.new.revisions([name])[0] >= 0
        found = reconcile(self.gallery)
        assert found.stale == stale
        assert not reconcile(self.gallery)

    @precondition(lambda self: self.state in ("copying", "ready"))
    @rule(crash=st.none() | st.integers(0, 12))
    def cut_over(self, crash: int | None) -> None:
        while self.ledger.todo(1):
            self.engine.step()
        if self.state == "copying":
            assert self.engine.step().state == "ready"
        try:
            self._run(crash, self.engine.cut_over)
        except UpgradeError:
            raise AssertionError("a ready upgrade must cut over") from None

    @precondition(lambda self: self.state not in ("rolled back", "finished"))
    @rule(crash=st.none() | st.integers(0, 6))
    def roll_back(self, crash: int | None) -> None:
        self._run(crash, self.engine.roll_back)

    @precondition(lambda self: self.state == "rolled back")
    @rule()
    def plan_again(self) -> None:
        self.ledger.begin(self.plan.model_dump(), OLD, NEW)
        self._open()

    @rule()
    def restart(self) -> None:
        self._die()

    def _run(self, crash: int | None, deed: Any) -> bool:
        """Whether the deed was acknowledged."""
        self.fuse.left = crash
        try:
            deed()
        except Crash:
            self._die()
            return False
        self.fuse.left = None
        return True

    def _die(self) -> None:
        self.fuse.left = None
        self.ledger.close()
        self.ledger = self._open_ledger()
        self._open()

    def _settle(self, name: str, before: Any, after: Any) -> None:
        """A write that was not acknowledged happened entirely or not at all."""
        stored = self.old.revisions([name])[0] >= 0
        found = None
        if stored:
            row = self.old.get([name])
            for option in (before, after):
                if option is None:
                    continue
                vectors = self.old_model.encode([option[0]], "document").array
                same = np.array_equal(vectors, row.vectors.array)
                if same and row.payloads[0]["group"] == option[1]:
                    found = option
        assert found in (before, after)
        assert stored == (found is not None)
        if found is None:
            self.truth.pop(name, None)
            return
        self._accept(name, *found)

    # what must hold

    @invariant()
    def every_item_is_on_exactly_one_side(self) -> None:
        if not hasattr(self, "gallery") or self.gallery.reads != "both":
            return
        new_ids = self._shown(self.new)
        assert self._shown(self.old) | new_ids == set(self.truth)
        assert not self._shown(self.old) & new_ids

    @invariant()
    def search_answers_as_the_oracle(self) -> None:
        if not hasattr(self, "gallery"):
            return
        queries = [(0.3, -0.2, 1.0, 0.4), (-1.0, 0.5, 0.25, -0.75)]
        for where in (None, {"group": "a"}):
            for k in (3, len(IDS) + 1):
                got = self.gallery.search(queries, k, where)
                wrong = difference(got, self._oracle(queries, where))
                assert wrong is None, f"{wrong} in state {self.state}"

    def _shown(self, store: MemoryStore) -> set[str]:
        rows = store.scan(limit=1000).rows
        return {name for name, hidden in zip(rows.ids, rows.hidden, strict=True) if not hidden}

    def _oracle(self, queries: list[Any], where: dict[str, str] | None) -> Hits:
        """From contents alone: encode everything, score everything, sort."""
        reads = self.gallery.reads
        on_new = self._shown(self.new) if reads == "both" else set(self.truth)
        rows = []
        for query in queries:
            scored = []
            for name, (content, group) in self.truth.items():
                if where and group != where["group"]:
                    continue
                if reads == "new" or (reads == "both" and name in on_new):
                    scored.append((name, self._score(self.new_model, query, content)))
                else:
                    old = self._score(self.old_model, query, content)
                    alone = reads == "old" or not on_new
                    scored.append((name, old if alone else self._calibrated(old, query)))
            rows.append(sorted(scored, key=lambda pair: -pair[1]))
        return Hits.of(rows, k=len(IDS))

    def _score(self, model: ToyEncoder, query: Any, content: Any) -> float:
        a = model.encode([query], "query").array[0].astype(float)
        b = model.encode([content], "document").array[0].astype(float)
        return float(a @ b) if model is self.old_model else -float(np.linalg.norm(a - b))

    def _calibrated(self, score: float, query: Any) -> float:
        pair = self.gallery._reference._pair()
        if pair is None:
            return score
        a = self.old_model.encode([query], "query").array[0].astype(float)
        b = self.new_model.encode([query], "query").array[0].astype(float)
        old = [float(a @ row) for row in pair[0].array.astype(float)]
        new = [-float(np.linalg.norm(b - row)) for row in pair[1].array.astype(float)]
        return (score - np.mean(old)) / np.std(old) * np.std(new) + float(np.mean(new))


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
