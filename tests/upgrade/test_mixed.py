"""Fused and cascading search through a gallery, against scores worked out item by item."""

from dataclasses import astuple, replace

import numpy as np
import pytest

from holdfast.align.bridge import Bridge
from holdfast.align.linear import Ridge
from holdfast.errors import EncoderError, SourceError
from holdfast.hits import Hits, difference
from holdfast.items import Item
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.search.fuse import Fusion, fidelity
from holdfast.upgrade.side import Side
from tests.upgrade.toys import Clock, ToyEncoder, ToySource, contents, pressed_weight

COUNT = 90
ASKED = list(contents(6, seed=42).values())
METRICS = ("cosine", "dot", "euclidean")


class Overloaded(EncoderError):
    transient = True


class World:
    def __init__(self, path, mode, metric="cosine"):
        spaces = Space("old", 5, metric), Space("new", 7, metric)
        self.models = [ToyEncoder(space, seed=seed) for seed, space in enumerate(spaces)]
        self.items = contents(COUNT)
        self.source = ToySource(self.items)
        self.stores = [MemoryStore(space) for space in spaces]
        names = list(self.items)
        vectors = self.models[0].encode(list(self.items.values()), "document")
        kinds = [{"kind": "even" if i % 2 == 0 else "odd"} for i in range(COUNT)]
        self.stores[0].upsert(names, vectors, kinds, [1] * COUNT)
        self.ledger = Ledger(path / f"{mode}-{metric}.sqlite", Clock())
        plan = Plan(batch_size=10, max_batch_size=10, merge=mode)
        self.ledger.begin(plan.model_dump(), *spaces)
        self.mover = ReEmbed(self.source, self.models[1])
        self.gallery = Gallery(
            *(Side(s, m) for s, m in zip(self.stores, self.models, strict=True)),
            self.ledger,
            mode=mode,
            mover=self.mover,
            clock=Clock(100),
        )
        self.engine = Engine(self.gallery, self.mover, plan)

    def with_dead_model(self):
        """The same, served over a bridge fitted on few items in place of the old model."""
        some = list(self.items.values())[:50]
        old, new = (model.encode(some, "document") for model in self.models)
        gallery = Gallery(
            Side(self.stores[0], bridge=Bridge.fit(Ridge(), new, old)),
            Side(self.stores[1], self.models[1]),
            self.ledger,
            mode="fused",
            clock=Clock(500),
        )
        return gallery, Engine(gallery, self.mover, self.engine.plan)

    def scores(self):
        """(q, n) true scores of both models, and which items have moved."""
        tables = []
        for model in self.models:
            asked = model.encode(ASKED, "query").array.astype(np.float64)
            rows = model.encode(list(self.items.values()), "document").array.astype(np.float64)
            if model.space.metric == "euclidean":
                tables.append(-np.linalg.norm(asked[:, None] - rows[None], axis=2))
            else:
                tables.append(asked @ rows.T)
        revisions = self.stores[1].revisions(list(self.items))
        return *tables, revisions >= 0

    def fused(self, keep=None):
        """What every item scores, by the rule of the module's docstring, if some can be found."""
        old, new, moved = self.scores()
        fusion = self.gallery._mixed._fusion
        asked = [model.encode(ASKED, "query") for model in self.models]
        scales = fusion.scales(*asked)
        rows = self.models[0].encode(list(self.items.values()), "document").array
        guess = fusion.predict(rows).array
        query = asked[1].array
        if asked[1].space.metric == "euclidean":
            predicted = -np.linalg.norm(query[:, None] - guess[None], axis=2)
        else:
            predicted = query @ guess.T
        there = np.ones(len(moved), dtype=bool) if keep is None else keep
        crowded = fusion.crowded(
            scales, *(np.where(there & side, old, -np.inf) for side in (moved, ~moved))
        )
        first = np.where(
            moved,
            fusion.moved(scales, old, new, rule=crowded),
            fusion.waiting(scales, old, predicted, crowded),
        )
        # The weight of old scores is that of the share of the 20 best that waits, query by query.
        found = first if keep is None else np.where(keep, first, -np.inf)
        part = np.array([[np.mean(~moved[np.argsort(-scores)[:20]])] for scores in found])
        rule = replace(crowded, weight=pressed_weight(crowded, part))
        mean, spread = scales.new
        known = fusion.moved(scales, old, new, rule=rule) * spread + mean
        waits = fusion.waiting(scales, old, predicted, rule) * spread + mean
        return np.where(moved, known, waits)

    def ranked(self, table, keep=None):
        names = np.array(list(self.items))
        keep = np.ones(len(names), dtype=bool) if keep is None else keep
        rows = []
        for scores in table:
            order = [i for i in np.argsort(-scores, kind="stable") if keep[i]]
            rows.append([(names[i], float(scores[i])) for i in order])
        return Hits.of(rows)


@pytest.fixture
def world(tmp_path):
    opened = []

    def make(mode, metric="cosine"):
        opened.append(World(tmp_path, mode, metric))
        return opened[-1]

    yield make
    for one in opened:
        one.gallery.close()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_fused_search_scores_every_item_by_both_models(world, metric, share):
    one = world("fused", metric)
    one.engine.run(share)
    hits = one.gallery.search(ASKED, COUNT)
    assert difference(hits, one.ranked(one.fused()), 1e-3) is None


@pytest.mark.parametrize("mode", ["fused", "cascade"])
@pytest.mark.parametrize("metric", METRICS)
def test_the_ends_are_one_model_bit_for_bit(world, metric, mode):
    one = world(mode, metric)
    for store, model in zip(one.stores, one.models, strict=True):
        alone = store.search(model.encode(ASKED, "query"), 10) if len(store) == COUNT else None
        if alone is None:
            one.engine.run()
            alone = store.search(model.encode(ASKED, "query"), 10)
        hits = one.gallery.search(ASKED, 10)
        assert hits.ids.tolist() == alone.ids.tolist()
        assert hits.scores.tobytes() == alone.scores.tobytes()


def test_with_too_little_to_learn_from_the_old_scores_rank_all(world):
    one = world("fused")
    one.engine.run(7 / COUNT)
    old, _, moved = one.scores()
    assert moved.sum() == 7
    hits = one.gallery.search(ASKED, COUNT)
    assert difference(hits, one.ranked(old), 1e-4) is None


def test_a_filter_holds_on_both_sides_and_one_side_alone_answers_as_it_is(world):
    one = world("fused")
    one.engine.run(0.5)
    even = np.arange(COUNT) % 2 == 0
    hits = one.gallery.search(ASKED, COUNT, {"kind": "even"})
    assert difference(hits, one.ranked(one.fused(even), even), 1e-3) is None
    moved = one.scores()[2]
    name = list(one.items)[int(np.flatnonzero(moved)[0])]
    one.gallery.upsert([Item(name, one.items[name], {"kind": "alone"})])
    hits = one.gallery.search(ASKED, 3, {"kind": "alone"})
    new = one.stores[1].search(one.models[1].encode(ASKED, "query"), 3, {"kind": "alone"})
    assert hits.scores.tobytes() == new.scores.tobytes()


@pytest.mark.parametrize("mode", ["calibrated", "by_rank", "fused", "cascade"])
def test_no_query_is_answered_by_no_hits(world, mode):
    one = world(mode)
    one.engine.run(0.5)
    assert one.gallery.search([], 7).ids.shape == (0, 7)


def test_what_was_deleted_past_the_gallery_is_left_out_and_ends_no_search(world):
    one = world("fused")
    one.engine.run(0.5)
    gone = np.zeros(COUNT, dtype=bool)
    gone[np.flatnonzero(one.scores()[2])[:3]] = True
    wanted = one.ranked(one.fused(~gone), ~gone)
    one.stores[0].delete([name for name, left in zip(one.items, gone, strict=True) if left])
    assert difference(one.gallery.search(ASKED, COUNT), wanted, 1e-3) is None
    assert difference(one.gallery.search(ASKED[:1], 5), wanted.take([0]), 1e-3) is None


def test_a_cascade_ranks_by_true_vectors_and_keeps_them(world):
    one = world("cascade")
    one.engine.run(0.2)
    before = one.scores()[2]
    one.gallery._mixed.learn()
    fusion = one.gallery._mixed._fusion  # a search learns before it moves anything
    old, new, _ = one.scores()
    scales = fusion.scales(*(model.encode(ASKED, "query") for model in one.models))
    mean, spread = scales.new
    hits = one.gallery.search(ASKED, COUNT)
    expected = fusion.moved(scales, old, new, sure=True) * spread + mean
    assert difference(hits, one.ranked(expected), 1e-3) is None
    assert before.sum() == 18
    assert one.scores()[2].all()  # every item was a candidate
    assert one.gallery.share == 1.0
    one.engine.run()
    assert one.engine.status().state == "ready"


def test_a_cascade_at_share_0_is_ranked_by_the_new_model(world):
    one = world("cascade")
    one.engine.start()
    hits = one.gallery.search(ASKED[:1], 5)
    waited = one.scores()[2]
    assert waited.sum() == 50  # its candidates moved
    old, new, _ = one.scores()
    asked_for = np.argsort(-old[0], kind="stable")[:50]
    best = asked_for[np.argsort(-new[0][asked_for], kind="stable")[:5]]
    assert hits.ids[0].tolist() == [list(one.items)[i] for i in best]


@pytest.mark.parametrize("metric", METRICS)
def test_a_cascade_embeds_only_what_may_be_among_the_best_of_both_sides(world, metric):
    one = world("cascade", metric)
    one.engine.run(0.4)
    one.gallery._mixed.learn()
    fused, before = one.fused(), one.scores()[2]
    old, new, _ = one.scores()
    encoded = []
    encode = one.models[1].encode
    one.models[1].encode = lambda items, role: (
        encoded.extend(items if role == "document" else []),
        encode(items, role),
    )[1]
    scales = one.gallery._mixed._fusion.scales(*(m.encode(ASKED, "query") for m in one.models))
    scales = type(scales)(*((part[0][:1], part[1][:1]) for part in astuple(scales)))
    sure = one.gallery._mixed._fusion.moved(scales, old[:1], new[:1], sure=True)[0]
    hits = one.gallery.search(ASKED[:1], 5)
    # 54 of 90 wait, and 50 of them are candidates; with the 36 that moved the best 50 count.
    asked_for = np.argsort(-np.where(before, -np.inf, old[0]))[:50]
    both = np.concatenate([asked_for, np.flatnonzero(before)])
    near = set(both[np.argsort(-fused[0][both])[:50]].tolist()) - set(np.flatnonzero(before))
    assert 0 < len(near) < 50
    assert len(encoded) == len(near)
    after = one.scores()[2]
    assert set(np.flatnonzero(after & ~before).tolist()) == near
    left = np.array(sorted(near | set(np.flatnonzero(before).tolist())))
    best = left[np.argsort(-sure[left])[:5]]
    assert hits.ids[0].tolist() == [list(one.items)[i] for i in best]
    encoded.clear()
    one.gallery.search(ASKED[:1], 5)
    assert len(encoded) < len(near) / 2  # by now more have moved, that compete with what waits


def test_what_a_cascade_moved_is_learned_from_behind_the_fair_sample(world):
    one = world("cascade")
    one.engine.run(0.2)
    done = one.ledger.first_done(COUNT)
    one.gallery.search(ASKED[:1], 5)
    moved = one.scores()[2]
    assert moved.sum() > 1.5 * len(done) == 27
    learned = []
    fitted = Fusion.__init__

    def spied(self, old, new, *more):
        learned.append((old.array, new.array))
        fitted(self, old, new, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Fusion, "__init__", spied)
        one.gallery._mixed._learned_at = 0
        one.gallery._mixed.learn()
    names = list(one.items)
    rest = sorted(n for n, shown in zip(names, moved, strict=True) if shown and n not in done)
    for model, rows in zip(one.models, learned[0], strict=True):
        wanted = model.encode([one.items[n] for n in [*done, *rest]], "document").array
        np.testing.assert_allclose(rows, wanted, atol=1e-6)


def test_what_each_query_of_a_cascade_answers_does_not_depend_on_its_neighbours(tmp_path):
    answers = []
    for number, rows in enumerate((slice(0, 6), slice(0, 1))):
        (tmp_path / str(number)).mkdir()
        one = World(tmp_path / str(number), "cascade")
        one.engine.run(0.4)
        answers.append(one.gallery.search(ASKED[rows], 5).take(np.array([0])))
        one.gallery.close()
    assert difference(*answers, 1e-5) is None


def test_what_a_cascade_kept_is_not_embedded_again(world):
    one = world("cascade")
    one.engine.start()
    one.gallery.search(ASKED[:1], 5)
    seen = []
    encode = one.models[1].encode
    one.models[1].encode = lambda items, role: (seen.extend(items), encode(items, role))[1]
    one.engine.run()
    assert len(seen) == COUNT - 50
    assert one.gallery.share == 1.0


def test_a_cascade_answers_when_the_new_model_fails_on_documents(world):
    one = world("cascade")
    one.engine.run(0.5)
    expected = one.ranked(one.fused())
    real = one.mover.encoder.encode

    def failing(items, role):
        if role == "document":
            raise Overloaded("model", "an answer", "none")
        return real(items, role)

    one.models[1].encode = failing
    hits = one.gallery.search(ASKED, 10)
    one.models[1].encode = real
    assert difference(hits, expected, 1e-3) is None
    assert one.gallery.share == pytest.approx(0.5)


def test_a_cascade_answers_when_the_source_does_not(world):
    one = world("cascade")
    one.engine.run(0.5)
    expected = one.ranked(one.fused())

    def away(ids):
        raise SourceError("documents", "an answer", "none")

    one.source.get = away
    assert difference(one.gallery.search(ASKED, 10), expected, 1e-3) is None
    assert one.gallery.share == pytest.approx(0.5)


def test_a_dead_models_bridge_is_fitted_again_on_what_moved(tmp_path):
    one = World(tmp_path, "fused")
    old_model = one.models[0]
    dead, engine = one.with_dead_model()
    bridge = dead.old.bridge
    engine.run(45 / COUNT)
    assert dead.old.bridge is bridge  # there was less to fit it on
    engine.run(80 / COUNT)
    assert dead.old.bridge.evidence.pairs > 50
    moved = [n for n, shown in zip(one.items, one.scores()[2], strict=True) if shown]
    asked = old_model.calls
    hits = dead.search([one.items[moved[0]]], 1)
    assert old_model.calls == asked  # only the bridge leads there now
    assert hits.ids[0].tolist() == [moved[0]]
    assert 0.0 < dead._mixed._fusion.fidelity < 1.0
    known = one.ledger.first_done(dead.old.bridge.evidence.pairs)
    expected = fidelity(Ridge(), *(store.get(known).vectors for store in one.stores))
    assert dead._mixed._fusion.fidelity == pytest.approx(expected, abs=1e-6)
    dead.close()


def test_a_bridge_that_is_fitted_again_while_a_write_is_encoded_does_not_fail_it(tmp_path):
    one = World(tmp_path, "fused")
    new_model = one.models[1]
    dead, engine = one.with_dead_model()
    first = dead.old.bridge
    engine.run(0.1)
    real, content = new_model.encode, (0.4, -0.3, 0.2, 0.1)

    def and_moves(contents, role):
        if content in contents:
            new_model.encode = real
            engine.run(80 / COUNT)
        return real(contents, role)

    new_model.encode = and_moves
    dead.upsert([Item("late", content)])
    assert dead.old.bridge is not first
    expected = [one.stores[i].get(["late"]).vectors.array for i in (0, 1)]
    asked = real([content], "document")
    assert np.array_equal(expected[1], asked.array)
    assert np.array_equal(expected[0], dead.old.bridge.transform(asked).array)
    dead.close()
