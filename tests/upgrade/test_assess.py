"""The order that an assessment plays through: that of the plan, as far as it can be seen."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from holdfast.arrays import as_vectors
from holdfast.errors import ConfigError
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.assess import Assessor
from holdfast.upgrade.foresight.diagnose import sliced
from holdfast.upgrade.foresight.forecast import Forecast
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.order import fair_sample, queue_up
from holdfast.upgrade.plan import Plan

IDS = np.array([f"i{n:03}" for n in range(600)], dtype=object)
REVISIONS = np.random.default_rng(0).permutation(len(IDS)).astype(np.int64)


def played(plan, given=None, ranked=slice(None)):
    """Ids in the order of the first play; of some documents, where only these are ranked."""
    assessor = Assessor(SimpleNamespace(given_order=lambda plan: given))
    scope = SimpleNamespace(ids=IDS[ranked], revisions=REVISIONS[ranked], items=len(IDS))
    return scope.ids[assessor._order(plan, scope)(plan.seed)].tolist()


@pytest.mark.parametrize("merge", ["fused", "calibrated"])
@pytest.mark.parametrize("order", ["random", "newest", "given"])
def test_it_is_the_one_in_which_the_plan_moves_them(tmp_path, merge, order):
    plan = Plan(merge=merge, order=order, order_file="first.txt", seed=5)
    given = IDS[::-1].tolist()
    store = MemoryStore(Space("old", 2))
    vectors = as_vectors(np.ones((len(IDS), 2)), store.space, "test")
    store.upsert(IDS.tolist(), vectors, revisions=REVISIONS)
    ledger = Ledger(tmp_path / "ledger.sqlite", clock=itertools.count(1.0).__next__)
    ledger.begin(plan.model_dump(), store.space, Space("new", 2, fingerprint="new"))
    queue_up(ledger, store, plan.order, plan.seed, given, plan.merge)
    assert played(plan, given) == [name for _, name in ledger.todo(len(IDS))]
    ledger.close()


def test_ids_of_a_large_gallery_that_are_not_ranked_are_no_mistake():
    plan, some = Plan(order="given", order_file="first.txt"), slice(0, 200)
    fair = fair_sample(IDS[some], plan.seed, plan.merge)
    one, other = [name for name in IDS[some] if name not in fair][-2:]
    assert played(plan, [other, "i500", one], some)[: len(fair) + 2] == [*fair, other, one]
    assert played(plan, ["i500"], some) == played(Plan(order="random"), ranked=some)
    with pytest.raises(ConfigError, match="ids of the gallery"):
        played(plan, ["of another gallery"])


def test_a_slice_is_as_unsure_as_the_forecast_of_it(forecast):
    curve, base = forecast(misfit=0.025)
    told = {f.slice: f for f in sliced(["a", "b"] * 40, "kind", base, curve) if f.slice != "all"}
    falls, differs = told["kind=a"], told["kind=b"]
    assert (falls.value, falls.verdict) == (pytest.approx(-0.2), "fail")
    assert differs.value == pytest.approx(-0.05)
    assert differs.low == pytest.approx(-0.05 - np.hypot(0.15, 0.025))  # plays say -0.2 or +0.1
    assert differs.high == pytest.approx(-0.05 + np.hypot(0.15, 0.025))
    assert differs.verdict == "info"
    (all_of_them,) = [f for f in sliced(["a"] * 80, "kind", base, curve) if f.slice != "all"]
    whole, n = curve.difference(base), all_of_them.n
    ends = all_of_them.value, all_of_them.low, all_of_them.high
    assert (*ends, n) == pytest.approx((whole.value, whole.low, whole.high, 80))


def test_where_forecasts_settle_nothing_no_slice_is_called_worse(forecast):
    curve, base = forecast(misfit=1.0)
    verdicts = [f.verdict for f in sliced(["a", "b"] * 40, "kind", base, curve)]
    assert "fail" not in verdicts


@pytest.fixture
def forecast():
    """Twenty plays of 80 queries: each other query falls a little more, or a little less, than by
    0.2 in all of them; the others fall by 0.2 in ten plays and rise by 0.1 in ten."""

    def made(misfit):
        values = np.full((20, 2, 80), 0.5)
        values[:, 1, ::2] -= 0.2 + np.linspace(-1e-9, 1e-9, 20)[:, None]
        values[:10, 1, 1::2] -= 0.2
        values[10:, 1, 1::2] += 0.1
        curve = Forecast("R@10", "random", (0.0, 1.0), (), (), values, misfit)
        return curve, np.full(80, 0.5)

    return made
