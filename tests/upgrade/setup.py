"""A gallery and everything about it, for the tests of the engine."""

from __future__ import annotations

import numpy as np

from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side
from tests.upgrade.toys import Clock, ToyEncoder, ToySource, contents

OLD, NEW = Space("old", 8), Space("new", 12)


class Setup:
    """A gallery of n items, half a plan, and everything replaceable."""

    def __init__(self, tmp_path, count=300, **plan):
        self.items = contents(count)
        self.source = ToySource(dict(self.items))
        self.old_model, self.new_model = ToyEncoder(OLD, seed=1), ToyEncoder(NEW, seed=2)
        self.old, self.new = MemoryStore(OLD), MemoryStore(NEW)
        if count:
            vectors = self.old_model.encode(list(self.items.values()), "document")
            self.old.upsert(list(self.items), vectors, None, range(count))
        self.ledger = Ledger(tmp_path / "ledger.sqlite", lambda: 0.0)
        self.plan = Plan(**{"batch_size": 32, "max_batch_size": 32, "backoff": 0.0, **plan})
        self.ledger.begin(self.plan.model_dump(), OLD, NEW)
        self.slept: list[float] = []
        self.gallery = Gallery(
            Side(self.old, self.old_model),
            Side(self.new, self.new_model),
            self.ledger,
            clock=Clock(1000),
        )

    def engine(self, mover=None, **parts):
        mover = mover or ReEmbed(self.source, self.new_model)
        return Engine(self.gallery, mover, self.plan, sleep=self.slept.append, **parts)

    def plan_again(self):
        """Another upgrade between the same stores, after a rollback."""
        self.ledger.begin(self.plan.model_dump(), OLD, NEW)
        self.gallery.recover()

    def encoded_by_new(self):
        """How many contents the new model is asked for in each call from now on."""
        counts: list[int] = []
        encode = self.new_model.encode
        self.new_model.encode = lambda c, r: counts.append(len(c)) or encode(c, r)
        return counts

    def moved_correctly(self, names=None):
        names = list(self.items) if names is None else names
        wanted = self.new_model.encode([self.items[n] for n in names], "document").array
        return np.array_equal(self.new.get(names).vectors.array, wanted)
