"""Any interleaving of writes, moves, crashes and turns: the gallery answers as an oracle does.

Several upgrades follow each other, into other spaces, onto what earlier ones left behind. One
machine each for scores that are calibrated, comparable, fused, or compared by rank, and for an old
model that is dead and reached through a bridge.

A crash is an exception that no code catches, raised before the n-th write to a store or to the
ledger; afterwards a new gallery is opened over what was written, as a new process would.
"""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from holdfast.arrays import Vectors, as_vectors
from holdfast.errors import EncoderError, InvalidInput, UpgradeError
from holdfast.hits import Hits, difference
from holdfast.items import Item
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.backfill.reconcile import reconcile
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Bridged, Side
from holdfast.upgrade.sides.stage import Stage
from tests.upgrade.toys import Clock, ToyEncoder, ToySource, pressed_weight

SPACES = [Space("one", 3), Space("two", 5, "euclidean"), Space("three", 4, "dot")]
READ_ALONE = ("cutting over", "cut over", "finished")
MOVING = ("planned", "copying", "paused", "ready")
IDS = [f"i{n}" for n in range(14)]
GROUPS = ["a", "b"]
QUERIES = [(0.3, -0.2, 1.0, 0.4), (-1.0, 0.5, 0.25, -0.75)]
STAGES = [Stage(0.3), Stage(0.7), Stage(1.0), Stage(0.0, ("acme",)), Stage(where={"group": "a"})]


def position(key: bytes, space: Space) -> float:
    """Where a key stands among all, by the letter of the documentation."""
    digest = hashlib.blake2b(key, digest_size=8, key=space.fingerprint.encode()).digest()
    return int.from_bytes(digest, "big") / 2**64


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


class Picky(MemoryStore):
    """Refuses some items, whatever is in them."""

    refused: frozenset[str] = frozenset()

    def upsert(self, ids: Any, *given: Any) -> None:
        if self.refused & set(ids):
            raise InvalidInput("this store", "ids it likes", repr(ids))
        super().upsert(ids, *given)


class Map:
    """A bridge from the second space into the first."""

    origin, target = SPACES[1], SPACES[0]
    _matrix = np.random.default_rng(7).normal(size=(5, 3))

    def transform(self, vectors: Vectors) -> Vectors:
        return as_vectors(vectors.array.astype(float) @ self._matrix, self.target, "map")


class Machine(RuleBasedStateMachine):
    mode, spaces, dead = "calibrated", SPACES, False

    @initialize(count=st.integers(0, len(IDS)), seed=st.integers(0, 99))
    def open_first(self, count: int, seed: int) -> None:
        self.fuse = Fuse()
        self.folder = tempfile.TemporaryDirectory()
        self.stores: dict[int, MemoryStore] = {}
        self.clock = Clock()
        self.rng = np.random.default_rng(seed)
        self.truth: dict[str, tuple[tuple[float, ...], str]] = {}
        self.source = ToySource()
        self.ledger_kind = fused(
            Ledger,
            self.fuse,
            ("write_entry", "close_entry", "done", "set_state", "enqueue", "fill", "quarantine"),
        )
        self._between(0, 1)
        for name in IDS[:count]:
            self._accept(name, *self._draw())
        if self.truth:
            vectors = self.old_model.encode([c for c, _ in self.truth.values()], "document")
            payloads = [{"group": g} for _, g in self.truth.values()]
            self.old.upsert(list(self.truth), vectors, payloads, [self.clock() for _ in self.truth])
        self.ledger = self._open_ledger()
        self.plan = Plan(batch_size=3, max_batch_size=3, merge=self.mode)
        self._plan()

    def _between(self, old: int, new: int) -> None:
        self.ends = old, new
        kind = fused(Picky, self.fuse, ("upsert", "delete", "hide", "unhide"))
        for slot in self.ends:
            self.stores.setdefault(slot, kind(self.spaces[slot]))
        self.old, self.new = self.stores[old], self.stores[new]
        self.old.refused = frozenset()
        self.new_model = self._model(new)
        self.old_model = Bridged(self.new_model, Map()) if self.dead else self._model(old)

    def _model(self, slot: int) -> ToyEncoder:
        space = self.spaces[slot]
        return ToyEncoder(space, seed=space.dim)

    def _plan(self) -> None:
        self.ledger.begin(self.plan.model_dump(), self.old.space, self.new.space)
        self._open()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.ledger.close()
            self.folder.cleanup()

    def _open_ledger(self) -> Ledger:
        return self.ledger_kind(Path(self.folder.name) / "ledger.sqlite", lambda: 0.0)

    def _open(self) -> None:
        self.gallery = Gallery(
            Side(self.old, None, Map()) if self.dead else Side(self.old, self.old_model),
            Side(self.new, self.new_model),
            self.ledger,
            mode=self.mode,
            clock=self.clock,
        )
        mover = ReEmbed(self.source, self.new_model)
        self.engine = Engine(self.gallery, mover, self.plan, sleep=lambda s: None)

    def _draw(self) -> tuple[tuple[float, ...], str]:
        # Few distinct contents, so that ties and doubles occur; ranks would break ties at will.
        drawn = self.rng.integers(-1, 2, size=4) + 0.25
        drawn = self.rng.normal(size=4) if self.mode == "by_rank" else drawn
        content = tuple(float(v) for v in drawn)
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
        if self._is_refused([name]):
            return
        content, group = self._draw()
        before = self.truth.get(name)
        self.source.items[name] = content
        if self._run(crash, lambda: self.gallery.upsert([Item(name, content, {"group": group})])):
            self._accept(name, content, group)
        else:
            self._settle(name, before, (content, group))

    @rule(
        names=st.lists(st.sampled_from(IDS), min_size=2, max_size=6, unique=True),
        crash=st.none() | st.integers(0, 12),
    )
    def write_several(self, names: list[str], crash: int | None) -> None:
        if self._is_refused(names):
            return
        drawn = {name: self._draw() for name in names}
        before = {name: self.truth.get(name) for name in names}
        for name, (content, _) in drawn.items():
            self.source.items[name] = content
        items = [Item(name, content, {"group": g}) for name, (content, g) in drawn.items()]
        done = self._run(crash, lambda: self.gallery.upsert(items))
        for name in names:
            if done:
                self._accept(name, *drawn[name])
            else:
                self._settle(name, before[name], drawn[name])
        changed = {self.truth.get(n) == drawn[n] for n in names if before[n] != drawn[n]}
        assert len(changed) <= 1, "half a batch was written"

    def _is_refused(self, names: list[str]) -> bool:
        """Whether a write of these is; it leaves no trace then."""
        if not self.new.refused & set(names) or self.state not in READ_ALONE:
            return False
        before = [store.scan(limit=100, vectors=True).rows for store in (self.old, self.new)]
        with pytest.raises(InvalidInput, match="ids it likes"):
            self.gallery.upsert([Item(name, *self._draw()[:1], {}) for name in names])
        for store, rows in zip((self.old, self.new), before, strict=True):
            now = store.scan(limit=100, vectors=True).rows
            assert (now.ids, list(now.payloads)) == (rows.ids, list(rows.payloads))
            assert np.array_equal(now.revisions, rows.revisions)
            assert np.array_equal(now.hidden, rows.hidden)
            assert np.array_equal(now.vectors.array, rows.vectors.array)
        return True

    @rule(names=st.lists(st.sampled_from(IDS), max_size=4))
    def let_the_new_store_refuse(self, names: list[str]) -> None:
        self.new.refused = frozenset(names)

    @rule(name=st.sampled_from(IDS))
    def write_while_the_new_model_fails(self, name: str) -> None:
        content, group = self._draw()
        before = dict(self.source.items)
        self.source.items[name] = content
        self.new_model.fail = [EncoderError("model", "an answer", "none")] * 3
        try:
            self.gallery.upsert([Item(name, content, {"group": group})])
            self._accept(name, content, group)
        except EncoderError:
            assert self.dead or self.state in ("cutting over", "cut over", "finished")
            self.source.items = before
            self._open()
        finally:
            self.new_model.fail = []

    @rule(name=st.sampled_from(IDS))
    def lose_its_content(self, name: str) -> None:
        self.source.items.pop(name, None)

    @precondition(lambda self: self.state in MOVING)
    @rule()
    def mend_and_retry(self) -> None:
        self.source.items.update({name: content for name, (content, _) in self.truth.items()})
        self.new.refused = frozenset()
        self.engine.retry()
        assert not self.ledger.quarantined()

    @rule(name=st.sampled_from(IDS), crash=st.none() | st.integers(0, 8))
    def remove(self, name: str, crash: int | None) -> None:
        before = self.truth.get(name)
        if self._run(crash, lambda: self.gallery.delete([name])):
            self.truth.pop(name, None)
        else:
            self._settle(name, before, None)

    @precondition(lambda self: self.state in MOVING)
    @rule(crash=st.none() | st.integers(0, 12))
    def step(self, crash: int | None) -> None:
        self._run(crash, self.engine.step)

    @precondition(lambda self: self.state in MOVING)
    @rule(count=st.integers(1, 3), crash=st.none() | st.integers(0, 12))
    def step_over_what_the_new_store_refuses(self, count: int, crash: int | None) -> None:
        if not self.ledger.upgrade().queued:
            self.engine.start()
        names = [name for _, name in self.ledger.todo(count)]
        there = self.new.revisions(names) >= 0  # left by an earlier upgrade: not written again
        names = [n for n, t in zip(names, there, strict=True) if n in self.source.items and not t]
        self.new.refused = frozenset(names)
        if self._run(crash, self.engine.step):
            assert set(names) & set(self.truth) <= self.ledger.waiting(names)
            assert not self.ledger.todo(1) or self.ledger.todo(1)[0][1] not in names
            assert not reconcile(self.gallery)

    @precondition(lambda self: self.state in MOVING)
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

    @precondition(lambda self: self.state in MOVING)
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

    def _make_ready(self) -> None:
        if self.state == "cutting over":
            return
        self.mend_and_retry()
        for _ in range(len(IDS) + 2):
            if self.engine.step().state == "ready" and not self.ledger.todo(1):
                break
        assert self.state == "ready"

    @precondition(lambda self: self.state in ("copying", "ready", "cutting over"))
    @rule(stage=st.sampled_from(STAGES), crash=st.none() | st.integers(0, 12))
    def stage(self, stage: Stage, crash: int | None) -> None:
        self._make_ready()
        if self._run(crash, lambda: self.engine.stage(stage)):
            assert (self.state, self.gallery.stage) == ("cutting over", stage)
            assert self.gallery.whole

    @precondition(lambda self: self.state in ("copying", "ready", "cutting over"))
    @rule(crash=st.none() | st.integers(0, 12))
    def cut_over(self, crash: int | None) -> None:
        self._make_ready()
        try:
            self._run(crash, self.engine.cut_over)
        except UpgradeError:
            raise AssertionError("a ready upgrade must cut over") from None

    @precondition(lambda self: self.state not in ("rolled back", "finished"))
    @rule(crash=st.none() | st.integers(0, 6))
    def roll_back(self, crash: int | None) -> None:
        self._run(crash, self.engine.roll_back)

    @precondition(lambda self: self.state == "cut over")
    @rule(crash=st.none() | st.integers(0, 3))
    def finish(self, crash: int | None) -> None:
        self._run(crash, self.engine.finish)

    @precondition(lambda self: self.state == "rolled back")
    @rule()
    def plan_again(self) -> None:
        self._plan()

    @precondition(lambda self: self.state in ("rolled back", "finished") and not self.dead)
    @rule(step=st.sampled_from([1, 2]), drop=st.booleans())
    def plan_into_another_space(self, step: int, drop: bool) -> None:
        serving = self.ends[self.state == "finished"]
        target = (serving + step) % 3
        if drop:
            self.stores.pop(target, None)
        self._between(serving, target)
        self._plan()

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
        finished = self.state == "finished"
        store, model = (self.new, self.new_model) if finished else (self.old, self.old_model)
        stored = store.revisions([name])[0] >= 0
        found = None
        if stored:
            row = store.get([name])
            for option in (before, after):
                if option is None:
                    continue
                vectors = model.encode([option[0]], "document").array
                same = np.allclose(vectors, row.vectors.array)
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
        if not hasattr(self, "gallery"):
            return
        reads, old, new = self.gallery.reads, self._shown(self.old), self._shown(self.new)
        assert {"old": old, "new": new, "both": old | new}[reads] == set(self.truth)
        assert reads != "both" or not old & new
        assert not self.gallery.whole or old == new == set(self.truth)
        assert self.ledger.deeds() == [] or self.engine.audit.check() is None
        assert len(self.gallery) == len(self.truth)
        assert len(self.ledger.journal()) == 0

    @invariant()
    def search_answers_as_the_oracle(self) -> None:
        if not hasattr(self, "gallery"):
            return
        for where in (None, {"group": "a"}):
            for k in (3, len(IDS) + 1):
                got = self.gallery.search(QUERIES, k, where)
                wrong = difference(got, self._oracle(QUERIES, where))
                assert wrong is None, f"{wrong} in state {self.state}"

    @invariant()
    def who_asks_decides_the_side_while_cutting_over(self) -> None:
        if not hasattr(self, "gallery") or self.state != "cutting over":
            return
        for asked in ({"key": "user-1"}, {"key": "user-2"}, {"tenant": "acme"}):
            for where in (None, {"group": "a"}):
                got = self.gallery.search(QUERIES, 3, where, **asked)
                wrong = difference(got, self._oracle(QUERIES, where, **asked))
                assert wrong is None, f"{wrong}: {asked}, {where}, {self.gallery.stage}"

    @invariant()
    def the_old_side_can_be_asked_in_full(self) -> None:
        if not hasattr(self, "gallery") or self.state == "finished":
            return
        got = self.gallery.search(QUERIES, 3, {"group": "a"}, side="old")
        wrong = difference(got, self._oracle(QUERIES, {"group": "a"}, side="old"))
        assert wrong is None, f"{wrong} in state {self.state}"

    @invariant()
    def the_old_model_answers_alone_while_the_new_one_fails(self) -> None:
        if not hasattr(self, "gallery") or self.dead or self.state == "finished":
            return
        if self.mode == "compatible":  # one space: the old model's vectors are the new one's
            return
        where = {"group": "a"}
        self.new_model.fail = [EncoderError("model", "an answer", "none")] * 2
        got = self.gallery.search(QUERIES, 3, where, tenant="acme")
        asked = len(self.new_model.fail) < 2
        self.new_model.fail = []
        assert bool(got.without) == asked
        wrong = difference(got, self._oracle(QUERIES, where, side="old"))
        assert wrong is None, f"{wrong} in state {self.state}"

    @invariant()
    def the_new_model_answers_alone_where_both_sides_are_whole(self) -> None:
        if not hasattr(self, "gallery") or self.dead or self.mode == "compatible":
            return
        where = {"group": "a"}
        self.old_model.fail = [EncoderError("model", "an answer", "none")] * 2
        try:
            got = self.gallery.search(QUERIES, 3, where, key="user-1")
        except EncoderError:
            assert self.gallery.reads != "new"
            assert not self.gallery.whole
        else:
            asked = len(self.old_model.fail) < 2
            assert bool(got.without) == asked
            assert self.gallery.whole or not asked
            if asked:
                wrong = difference(got, self._oracle(QUERIES, where, side="new"))
                assert wrong is None, f"{wrong} in state {self.state}"
        finally:
            self.old_model.fail = []

    def _shown(self, store: MemoryStore) -> set[str]:
        rows = store.scan(limit=1000).rows
        return {name for name, hidden in zip(rows.ids, rows.hidden, strict=True) if not hidden}

    def _reads(self, query: Any, where: Any, key: str | None, tenant: str | None) -> str:
        """Which side answers a query."""
        stage = self.gallery.stage
        if stage is None or not self.gallery.whole or where is None or not stage.where:
            named = False
        else:
            named = where == stage.where
        if stage is None or not self.gallery.whole or named or tenant in (stage.tenants or [0]):
            return self.gallery.reads
        own = (key or tenant or repr(query)).encode()
        return "new" if position(own, self.new.space) < stage.share else "old"

    def _oracle(
        self,
        queries: list[Any],
        where: dict[str, str] | None,
        side: str | None = None,
        key: str | None = None,
        tenant: str | None = None,
    ) -> Hits:
        """From contents alone: encode everything, score everything, sort."""
        on_new = self._shown(self.new) if self.gallery.reads == "both" else set(self.truth)
        rows = []
        for query in queries:
            reads = side or self._reads(query, where, key, tenant)
            old, new = [], []
            for name, (content, group) in self.truth.items():
                if where and group != where["group"]:
                    continue
                if reads == "new" or (reads == "both" and name in on_new):
                    new.append((name, self._score(self.new_model, query, content)))
                else:
                    old.append((name, self._score(self.old_model, query, content)))
            if reads == "both" and on_new and self._shown(self.old):
                old, new = self._on_one_scale(old, new, query)
            rows.append(sorted(new + old, key=lambda pair: -pair[1]))
        return Hits.of(rows, k=len(IDS))

    def _on_one_scale(self, old: list[Any], new: list[Any], query: Any) -> tuple[Any, Any]:
        if self.mode == "compatible":
            return old, new
        if self.mode == "calibrated":
            return [(name, self._calibrated(score, query)) for name, score in old], new
        if self.mode == "fused":
            return self._fused(old, new, query) if old and new else (old, new)
        ranked = [sorted(side, key=lambda pair: -pair[1]) for side in (old, new)]
        return tuple([(n, 1 / (61 + i)) for i, (n, _) in enumerate(side)] for side in ranked)

    def _fused(self, old: list[Any], new: list[Any], query: Any) -> tuple[Any, Any]:
        """Every item by both models; the new score predicted where the item has not moved."""
        fusion = self.gallery._mixed._fusion
        by_old = {n: self._score(self.old_model, query, self.truth[n][0]) for n, _ in old + new}
        if fusion is None:
            return old, [(name, by_old[name]) for name, _ in new]
        asked = [model.encode([query], "query") for model in (self.old_model, self.new_model)]
        scales = fusion.scales(*asked)
        rows = self.old_model.encode([self.truth[n][0] for n, _ in old], "document")
        guesses = fusion.predict(rows.array).array.astype(float)
        target = asked[1].array[0].astype(float)
        guessed = [self._between_two(self.new.space, target, row) for row in guesses]
        old_table = np.array([[by_old[n] for n, _ in old]])
        known_old = np.array([[by_old[n] for n, _ in new]])
        known_new = np.array([[score for _, score in new]])

        def scored(rule: Any) -> tuple[Any, Any]:
            waiting = fusion.waiting(scales, old_table, np.array([guessed]), rule)[0]
            return waiting, fusion.moved(scales, known_old, known_new, rule=rule)[0]

        waiting, moved = scored(fusion.rule)
        best = sorted([(-s, True) for s in waiting] + [(-s, False) for s in moved])[:20]
        part = sum(waits for _, waits in best) / len(best)
        weight = pressed_weight(fusion.rule, part)
        waiting, moved = scored(replace(fusion.rule, weight=weight))
        mean, spread = (float(part[0, 0]) for part in scales.new)
        return tuple(
            [
                (name, float(score) * spread + mean)
                for (name, _), score in zip(side, scores, strict=True)
            ]
            for side, scores in ((old, waiting), (new, moved))
        )

    def _score(self, model: Any, query: Any, content: Any) -> float:
        a = model.encode([query], "query").array[0].astype(float)
        b = model.encode([content], "document").array[0].astype(float)
        return self._between_two(model.space, a, b)

    def _between_two(self, space: Space, a: Any, b: Any) -> float:
        return -float(np.linalg.norm(a - b)) if space.metric == "euclidean" else float(a @ b)

    def _calibrated(self, score: float, query: Any) -> float:
        pair = self.gallery._mixed._reference._pair()
        if pair is None:
            return score
        a = self.old_model.encode([query], "query").array[0].astype(float)
        b = self.new_model.encode([query], "query").array[0].astype(float)
        spaces = self.old.space, self.new.space
        samples = [rows.array.astype(float) for rows in pair]
        old = [self._between_two(spaces[0], a, row) for row in samples[0]]
        new = [self._between_two(spaces[1], b, row) for row in samples[1]]
        return (score - np.mean(old)) / np.std(old) * np.std(new) + float(np.mean(new))


class ByRank(Machine):
    mode = "by_rank"


class FusedMode(Machine):
    mode = "fused"


class Compatible(Machine):
    mode, spaces = "compatible", [SPACES[0]] * 3


class DeadOldModel(Machine):
    dead = True


def case(machine: type[Machine], examples: int) -> Any:
    made = machine.TestCase
    made.settings = settings(
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    return made


TestMachine = case(Machine, 30)
TestByRank = case(ByRank, 10)
TestFused = case(FusedMode, 12)
TestCompatible = case(Compatible, 10)
TestDeadOldModel = case(DeadOldModel, 12)
