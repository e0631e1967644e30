"""The bench of orders: shared maps are the maps, kept curves the curves, policies the package's."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from bench import mixture
from bench.order import Outcome, _more
from bench.order_curves import Curves, Remembered
from bench.order_policies import ALL, DEAR, LARGE, ORACLES, RECORDED, Past, gain, order_of
from holdfast.align.kernel import Kernel
from holdfast.upgrade.mover import Moved
from holdfast.upgrade.order import fair_sample
from tests.upgrade.test_bench_mixture import judged
from tests.upgrade.test_order import Home, Parsed

SHARES = (0.0, 0.3, 0.6, 1.0)


def past(**more):
    """A log of the toy queries, each asked as often as its number says."""
    world = judged()
    log = world.old_queries, world.new_queries
    count = len(world.ids)
    return Past(world, log, np.arange(1.0, len(log[0]) + 1), 3, np.linspace(1, 9, count), **more)


def test_a_remembered_map_is_the_map_and_is_not_fitted_again(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 4)), rng.normal(size=(80, 3))
    monkeypatch.setattr(Remembered, "_maps", {})
    first, fresh = Remembered(single=True).fit(x, y), Kernel(single=True).fit(x, y)
    np.testing.assert_array_equal(first.transform(x), fresh.transform(x))
    monkeypatch.setattr(Kernel, "_fit", None)
    np.testing.assert_array_equal(
        Remembered(single=True).fit(x.copy(), y).transform(x), first.transform(x)
    )
    with pytest.raises(TypeError):
        Remembered(single=True).fit(x, y + 1.0)


def test_a_kept_curve_is_the_curve(tmp_path):
    gains = np.random.default_rng(0).integers(0, 2, size=(9, 160))
    world = mixture.World.of(replace(judged(), gains=gains))
    order = np.random.default_rng(1).permutation(160)
    serving = partial(mixture.fused, candidates=32)
    wanted = mixture.curve(world, serving, order, SHARES)
    np.testing.assert_array_equal(Curves(tmp_path)(world, order, SHARES), wanted)
    (kept,) = tmp_path.iterdir()
    np.save(kept, wanted + 1.0)
    np.testing.assert_array_equal(Curves(tmp_path)(world, order, SHARES), wanted + 1.0)
    np.testing.assert_array_equal(Curves(None)(world, order, SHARES), wanted)
    other = Curves(tmp_path)(world, order[::-1], SHARES)
    assert not np.array_equal(other, wanted)


QUICKLY = [name for name in (*ALL, DEAR) if "FastFill" not in name]  # that one trains for seconds


@pytest.mark.parametrize("name", QUICKLY)
def test_every_policy_moves_everybody_once_behind_the_fair_sample(name):
    known = past()
    order = order_of(name, known)
    assert sorted(order.tolist()) == list(range(160))
    names = np.array([str(n) for n in range(160)], dtype=object)
    sample = fair_sample(names, 3, "calibrated" if name == LARGE else "fused")
    assert order[: len(sample)].tolist() == [int(n) for n in sample]


def test_what_is_recorded_has_a_random_order_the_recommended_one_and_an_oracle():
    assert {"random", "gain", "searched", ORACLES[1]} <= set(RECORDED) <= set(ALL)


def test_the_oracle_moves_what_the_heavy_search_finds_with_the_new_model():
    known = past()
    found = known.found(known.queries[1], known.judged.new_docs, 10)
    order = order_of(ORACLES[0], known).tolist()
    wanted = [item for item in found[-1].tolist() if item not in order[:32]]
    assert wanted
    assert max(order.index(item) for item in wanted) < 32 + 60


def test_gain_is_the_order_that_the_package_works_out(tmp_path):
    """The same items, log and sample: by `Ranking` from stores, and by the bench from arrays."""
    home = Home()
    home.old, home.new = Parsed(home.old), Parsed(home.new)
    log = {"1 0 0 0": 5.0, "0 1 0 0": 2.0}
    lines = [json.dumps({"text": text, "count": count}) for text, count in log.items()]
    (tmp_path / "log.jsonl").write_text("\n".join(lines), encoding="utf-8")
    ranking = home.ranking(tmp_path, "gain")
    sample = home.known
    new = home.new._inner.encode(list(home.items.values()), "document")
    asked = tuple(side.encode(list(log), "query") for side in (home.old, home.new))
    world = replace(
        judged(),
        ids=tuple(home.names),
        old_docs=home.vectors,
        new_docs=new,
        old_queries=asked[0],
        new_queries=asked[1],
    )
    told = Past(world, asked, np.array(list(log.values())), 0, np.ones(300))
    told.__dict__["known"] = home.vectors.take(sample), new.take(sample)
    ranking._mover = type("Known", (), {"move": lambda _, rows: _moved(rows, new)})()
    worth = gain(told)
    ranked = [int(name[1:]) for name in ranking()]
    assert len(ranked) == np.count_nonzero(worth)
    assert (np.diff(worth[ranked]) <= 1e-6).all()
    assert worth[ranked[0]] == worth.max()


def _moved(rows, new):
    return Moved(rows, new.take([int(name[1:]) for name in rows.ids]))


def test_one_policy_less_another_is_the_difference_of_their_gains():
    rng = np.random.default_rng(0)
    ends = np.sort(rng.random((2, 30)), axis=0)
    tables = [np.vstack([ends[:1], rng.random((9, 30)), ends[1:]]) for _ in range(2)]
    weights = rng.random(30)
    one, other = (Outcome(table, weights, (0.0,)) for table in tables)
    for even in (True, False):
        got = _more(one, other, even)
        wanted = other.curve(even).gain.value - one.curve(even).gain.value
        assert got["value"] == pytest.approx(wanted)
        assert got["low"] < got["value"] < got["high"]
