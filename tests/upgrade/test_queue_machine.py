"""The queue of the ledger, against a plain list: whatever was done, and whatever was undone."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from holdfast.space import Space
from holdfast.upgrade.ledger import Ledger

OLD, NEW = Space("old", 3), Space("new", 5)
NAMES = st.sampled_from([f"i{n}" for n in range(4)])
FEW = st.lists(NAMES, min_size=1, max_size=4, unique=True)
WHO = st.integers(0, 1)


class Undo(Exception):
    """What makes a transaction be given up."""


class Queue(RuleBasedStateMachine):
    """Two connections to one ledger, of which either may write, beside a model of the queue."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="holdfast-queue-")
        path = Path(self.folder.name) / "ledger.sqlite"
        self.ledgers = [Ledger(path, lambda: 1.0) for _ in range(2)]
        self.ledgers[0].begin({}, OLD, NEW)
        self.model, self.last = {}, 0  # name to [place, status], in the order of places

    def teardown(self):
        for ledger in self.ledgers:
            ledger.close()
        self.folder.cleanup()

    def _append(self, names):
        """Places rise, and none is given twice; some may be left out."""
        for name in names:
            (place,) = self.ledgers[0].places([name])
            assert place > self.last
            self.model[name], self.last = [place, "todo"], place

    @rule(who=WHO, names=FEW)
    def fill(self, who, names):
        self.ledgers[who].fill(names)
        self._append([name for name in names if name not in self.model])

    @rule(who=WHO, names=FEW)
    def enqueue(self, who, names):
        self.ledgers[who].enqueue(names)
        for name in names:
            self.model.pop(name, None)
        self._append(names)

    @rule(who=WHO, places=st.sets(st.integers(1, 12), max_size=4))
    def done(self, who, places):
        self.ledgers[who].done(sorted(places))
        for entry in self.model.values():
            if entry[0] in places:
                entry[1] = "done"

    @rule(who=WHO, names=FEW)
    def quarantine(self, who, names):
        self.ledgers[who].quarantine(dict.fromkeys(names, "why"))
        for name in names:
            if self.model.get(name, [0, ""])[1] == "todo":
                self.model[name][1] = "quarantined"

    @rule(who=WHO, names=FEW)
    def settle(self, who, names):
        self.ledgers[who].settle(names)
        for name in names:
            if name in self.model:
                self.model[name][1] = "done"

    @rule(who=WHO)
    def release(self, who):
        aside = [entry for entry in self.model.values() if entry[1] == "quarantined"]
        assert self.ledgers[who].release() == len(aside)
        for entry in aside:
            entry[1] = "todo"

    @rule(who=WHO, names=FEW, places=st.sets(st.integers(1, 12), max_size=4))
    def undone(self, who, names, places):
        """All of it in a transaction that asks what is next, and is given up."""
        ledger = self.ledgers[who]
        with suppress(Undo), ledger.together():
            ledger.release()
            ledger.fill(names)
            ledger.quarantine(dict.fromkeys(names, "why"))
            ledger.done(sorted(places))
            ledger.todo(3)
            ledger.enqueue(names)
            ledger.settle(names)
            ledger.todo(1)
            raise Undo

    @precondition(lambda self: len(self.model) > 3)
    @rule(who=WHO)
    def plan_again(self, who):
        ledger = self.ledgers[who]
        ledger.set_state("rolled back")
        ledger.begin({}, OLD, NEW)
        self.model, self.last = {}, 0

    @rule(who=WHO, limit=st.integers(0, 5), after=st.integers(0, 12))
    def ask(self, who, limit, after):
        assert self.ledgers[who].todo(limit, after) == self._todo(after)[:limit]

    def _todo(self, after=0):
        return [(p, n) for n, (p, s) in self.model.items() if s == "todo" and p > after]

    @invariant()
    def they_agree(self):
        statuses = [status for _, status in self.model.values()]
        counts = {word: statuses.count(word) for word in ("todo", "quarantined")}
        aside = [name for name, (_, status) in self.model.items() if status == "quarantined"]
        for ledger in self.ledgers:
            assert ledger.todo(100) == self._todo()
            assert ledger.counts() == counts
            assert [name for name, _ in ledger.quarantined()] == aside
            assert ledger.total() == len(self.model)


def test_the_queue_is_what_a_plain_list_would_be():
    run_state_machine_as_test(
        Queue, settings=settings(max_examples=100, stateful_step_count=25, deadline=None)
    )
