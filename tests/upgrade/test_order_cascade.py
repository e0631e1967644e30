"""A cascade that is played through does what a gallery does, search by search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bench import mixture
from bench.order_cascade import BEGUN, Play, begun
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side
from tests.upgrade.test_bench_mixture import ASKED, ITEMS, MODELS, judged
from tests.upgrade.toys import Clock, ToySource

NAMES = sorted(ITEMS)  # as a store pages through them


def world():
    """The toy set, its rows as a store would list them, with judgements by chance."""
    whole = judged()
    place = np.array([whole.ids.index(name) for name in NAMES])
    gains = np.random.default_rng(0).integers(0, 2, size=(len(ASKED), len(NAMES)))
    docs = whole.old_docs.take(place), whole.new_docs.take(place)
    return mixture.World.of(
        replace(whole, ids=tuple(NAMES), old_docs=docs[0], new_docs=docs[1], gains=gains)
    )


class Served:
    """A gallery in mode "cascade", and an engine that moves one item at a time."""

    def __init__(self, path):
        self.stores = [MemoryStore(model.space) for model in MODELS]
        old = MODELS[0].encode([ITEMS[name] for name in NAMES], "document")
        self.stores[0].upsert(NAMES, old, None, [1] * len(NAMES))
        ledger = Ledger(path / "ledger.sqlite", Clock())
        plan = Plan(batch_size=1, max_batch_size=1, merge="cascade")
        ledger.begin(plan.model_dump(), *(model.space for model in MODELS))
        mover = ReEmbed(ToySource(ITEMS), MODELS[1])
        sides = [Side(store, model) for store, model in zip(self.stores, MODELS, strict=True)]
        self.gallery = Gallery(*sides, ledger, mode="cascade", mover=mover, clock=Clock(100))
        self.engine = Engine(self.gallery, mover, plan)
        self.engine.start()
        self.order = np.array([NAMES.index(name) for _, name in ledger.todo(len(NAMES))])

    def moved(self):
        return self.stores[1].revisions(NAMES) >= 0

    def backfill(self):
        before = self.moved().sum()
        while self.moved().sum() == before < len(NAMES):
            self.engine.step()


def test_a_play_moves_and_answers_what_a_gallery_does(tmp_path):
    one, table = Served(tmp_path), world()
    play = Play(table, one.order, np.ones(len(ASKED)))
    asked = list(ASKED.values())
    saved = 0
    for turn in range(14):
        query = np.array([turn % len(asked)])
        top, fresh = play.answers(query)
        before = one.moved()
        hits = one.gallery.search([asked[query[0]]], 10)
        assert [NAMES[row] for row in top[0]] == hits.ids[0].tolist()
        assert np.flatnonzero(one.moved() & ~before).tolist() == sorted(fresh[0].tolist())
        saved += 50 - len(fresh[0])
        play.moved[fresh[0]] = True
        play._learn()
        one.backfill()
        play._backfill(1)
        assert one.moved().tolist() == play.moved.tolist()
    one.gallery.close()
    assert saved > 14 * 25


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_play_ends_with_the_new_model_and_counts_what_it_encodes(rate):
    table = world()
    order = np.random.default_rng(2).permutation(len(NAMES))
    weights = np.arange(1.0, 1.0 + len(ASKED))
    got = Play(table, order, weights, rate).run()
    np.testing.assert_array_equal(got.values[-1], table.ndcg(table.new))
    assert (got.costs[0] == 50).all()  # nothing is known yet
    assert got.costs[-1].max() < 16  # no more wait
    if rate:
        assert 0 < got.searches < len(order)
        assert got.demanded == pytest.approx(1.0 - got.searches / len(order), abs=0.1)
        assert 0.0 < got.early < 50.0
    else:
        assert (got.searches, got.demanded, got.early) == (0, 0.0, 0.0)
        shown = order[: len(order) // 2]
        wanted = mixture.cascade(table, shown, order[len(shown) :])
        np.testing.assert_allclose(got.values[5], table.ndcg(wanted), atol=1e-6)
    wide = Play(table, order, weights, rate, near=False).run()
    assert wide.costs[1:].mean() > 1.2 * got.costs[1:].mean()


def test_a_gain_counts_from_the_old_model_and_share_0_is_served():
    table = world()
    values = np.tile(table.ndcg(table.new), (11, 1))
    assert begun(table, values, None).gain.value == pytest.approx(1.0)
    steps = np.linspace(0.0, 1.0, 11)[:, None]
    line = table.ndcg(table.old) + steps * (table.ndcg(table.new) - table.ndcg(table.old))
    assert begun(table, line, np.arange(1.0, 10.0)).gain.value == pytest.approx(0.5)
    assert BEGUN[0] == 0.0 < BEGUN[1] < BEGUN[2] == 0.1
