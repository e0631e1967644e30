"""The mixtures of the benchmarks answer what a real gallery answers; acceptance on real data."""

from functools import partial

import numpy as np
import pytest

from bench import mixture
from bench.judged import Judged, present, read
from bench.no_regret import ONE, TARGETS
from bench.sweep import Gain, sweep
from holdfast.measure.judgements import Judgements
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.store.topk import best
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.merge import Quantile, ZScore
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side
from tests.upgrade.toys import Clock, ToyEncoder, ToySource, contents

ITEMS, ASKED = contents(160), contents(9, seed=42)
MODELS = [ToyEncoder(Space("old", 5), seed=0), ToyEncoder(Space("new", 7), seed=1)]
SERVED = {
    "by_rank": mixture.by_rank,
    "zscore": mixture.zscore,
    "quantile": mixture.quantile,
    "fused": partial(mixture.fused, candidates=32),
    "cascade": mixture.cascade,
}


def judged():
    """Toy vectors; what answers what plays no part."""
    docs = [m.encode(list(ITEMS.values()), "document") for m in MODELS]
    asked = [m.encode(list(ASKED.values()), "query") for m in MODELS]
    names = [f"q{i}" for i in range(len(ASKED))]
    gains = np.zeros((len(ASKED), len(ITEMS)), dtype=np.int64)
    gains[np.arange(len(ASKED)), np.arange(len(ASKED))] = 1
    qrels = {name: {f"i{i}": 1} for i, name in enumerate(names)}
    return Judged("toy", "judge", tuple(ITEMS), Judgements(names, qrels), *docs, *asked, gains)


class Half:
    """A gallery of which a part has moved."""

    def __init__(self, path, name, share):
        mode = {"zscore": "calibrated", "quantile": "calibrated"}.get(name, name)
        stores = [MemoryStore(model.space) for model in MODELS]
        names = list(ITEMS)
        old = MODELS[0].encode(list(ITEMS.values()), "document")
        stores[0].upsert(names, old, None, [1] * len(names))
        self.ledger = Ledger(path / "ledger.sqlite", Clock())
        plan = Plan(batch_size=8, max_batch_size=8, merge=mode)
        self.ledger.begin(plan.model_dump(), *(model.space for model in MODELS))
        mover = ReEmbed(ToySource(ITEMS), MODELS[1])
        sides = [Side(s, m) for s, m in zip(stores, MODELS, strict=True)]
        kind = Quantile if name == "quantile" else ZScore

        def opened():
            how = {"mode": mode, "calibrator": kind(), "mover": mover, "clock": Clock(100)}
            return Gallery(*sides, self.ledger, **how)

        Engine(opened(), mover, plan).run(share)
        self.gallery = opened()  # learns afresh, from all that has moved
        place = {name: i for i, name in enumerate(names)}
        moved = [place[name] for name in self.ledger.first_done(len(names))]
        self.moved = np.array(moved, dtype=np.int64)
        self.waiting = np.setdiff1d(np.arange(len(names)), self.moved)


@pytest.mark.parametrize("name", sorted(SERVED))
@pytest.mark.parametrize("share", [0.15, 0.5, 0.9])
def test_a_simulated_mixture_ranks_as_a_real_gallery_does(tmp_path, name, share):
    half = Half(tmp_path, name, share)
    assert len(half.moved) == pytest.approx(share * len(ITEMS), abs=8)
    world = mixture.World.of(judged())
    table = SERVED[name](world, half.moved, half.waiting)
    hits = half.gallery.search(list(ASKED.values()), 10)
    half.gallery.close()
    found = np.array([[int(item[1:]) for item in row] for row in hits.ids.tolist()])
    # Places of equal score may be exchanged; nothing else may differ.
    expected = best(table, 10)[1]
    np.testing.assert_allclose(np.take_along_axis(table, found, axis=1), expected, atol=2e-4)


def test_a_cascade_keeps_of_what_waits_what_is_told_to_be_among_the_best_of_both_sides():
    world = mixture.World.of(judged())
    moved, waiting = np.arange(60), np.arange(60, 160)
    wide = mixture.cascade(world, moved, waiting, 20, near=False)
    narrow = mixture.cascade(world, moved, waiting, 20)
    told = mixture.fused(world, moved, waiting, candidates=20)
    fewer = 0
    for query in range(len(ASKED)):
        kept = np.flatnonzero(np.isfinite(narrow[query, waiting])) + 60
        best_told = np.argsort(-told[query], kind="stable")[:20]
        assert kept.tolist() == sorted(set(best_told.tolist()) & set(waiting.tolist()))
        assert np.isfinite(wide[query, waiting]).sum() == 20
        fewer += 20 - len(kept)
    assert fewer > 20
    np.testing.assert_array_equal(wide[:, moved], narrow[:, moved])


def test_a_gain_against_the_formula_written_out():
    rng = np.random.default_rng(0)
    old, new = rng.random(50), rng.random(50) + 0.5
    steps = np.linspace(0.0, 1.0, 11)[:, None] ** 2
    runs = np.stack([old + steps * (new - old)] * 3)
    gain = Gain.of(runs, old, new)
    trapezoid = sum((a + b) / 20 for a, b in zip(steps[:-1, 0], steps[1:, 0], strict=True))
    assert gain.value == pytest.approx(trapezoid)
    assert gain.drawn == pytest.approx(np.full(2000, trapezoid))


@pytest.mark.skipif(not present(), reason="needs ../shared/data/embeddings, which is absent")
def test_acceptance_on_cranfield():
    world = mixture.World.of(read("cranfield"))
    old, new = world.ndcg(world.old), world.ndcg(world.new)
    servings = {
        "fused": mixture.fused,
        "cascade": mixture.cascade,
        "one encoder, cascade": ONE["one encoder, cascade"],
    }
    runs = sweep(world, servings, 2, mixture.SHARES)
    gains = {name: Gain.of(values, old, new).value for name, values in runs.items()}
    assert gains["fused"] >= float(TARGETS["fused"]["mean"].split()[1])
    assert gains["cascade"] >= float(TARGETS["cascade"]["mean"].split()[1])
    assert gains["one encoder, cascade"] >= 0.6
    for values in runs.values():
        assert values.mean(axis=2).min() >= old.mean()
