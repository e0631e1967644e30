"""Diagnoses of sampled items: planted faults are named, clean pairs are left in peace."""

import numpy as np
import pytest

from holdfast.arrays import id_array
from holdfast.errors import UpgradeError
from holdfast.measure.finding import Finding
from holdfast.measure.judgements import Judgements
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.assess import held
from holdfast.upgrade.foresight.diagnose import diagnosed
from holdfast.upgrade.foresight.scope import Scope
from holdfast.upgrade.foresight.unseen import Known
from tests.measure.diagnose.worlds import OLD, world

SEEDS = range(20)


def alarms(seed, fault, label=("domain", "kind")):
    """Metrics that failed when a gallery was sampled whole."""
    return [f.metric for f in found_in(seed, fault, label) if f.verdict == "fail"]


def found_in(seed, fault, label):
    made = world(seed, fault)
    names = [f"i{row}" for row in range(len(made.old))]
    store = MemoryStore(OLD)
    store.upsert(names, made.old, made.payloads)
    rows = np.arange(len(names))
    judgements = Judgements.from_dict({"q": {"i0": 1}}, {"q": "?"})
    scope = Scope(judgements, False, id_array(names), rows, len(names), rows, len(names))
    known = Known(made.old.take([0]), made.new.take([0]), made.old, rows, made.new, scope.relevant)
    return diagnosed(store, scope, known, label)


@pytest.mark.slow
def test_a_planted_shortcut_is_named_in_all_of_ten_worlds():
    assert all("shortcut by tag" in alarms(seed, "shortcut") for seed in SEEDS[:10])


@pytest.mark.slow
def test_a_planted_loss_is_named_in_all_of_ten_worlds():
    named = [alarms(seed, "loss") for seed in SEEDS[:10]]
    assert all("knowledge of lang" in found for found in named)
    assert sum("knowledge of brand" in found for found in named) <= 1


@pytest.mark.slow
def test_clean_pairs_raise_at_most_one_alarm_in_twenty():
    assert sum(bool(alarms(seed, "")) for seed in SEEDS) <= 1


def test_without_a_label_no_shortcut_is_looked_for():
    metrics = {f.metric for f in found_in(0, "shortcut", ())}
    assert "R2 of new from old" in metrics
    assert "neighbours kept@10" in metrics
    assert "knowledge of brand" in metrics
    assert not any(m.startswith(("shortcut", "severity")) for m in metrics)
    with pytest.raises(UpgradeError, match="nothing_like_it"):
        found_in(0, "", ("nothing_like_it",))


def test_an_alarm_holds_an_upgrade_and_nothing_else():
    alarm = Finding("knowledge of lang", "old to new", -0.4, -0.5, -0.3, 400, verdict="fail")
    falls = Finding("change of AP", "new/new", -0.2, -0.25, -0.15, 40, "lang=de", "fail")
    verdict, reasons = held("upgrade", ("Better.",), [alarm, falls])
    assert verdict == "hold"
    assert reasons == (
        "Better on average, but look first at: knowledge of lang -0.400, lang=de -0.200.",
        "Better.",
    )
    assert held("keep", ("No.",), [alarm]) == ("keep", ("No.",))
    assert held("upgrade", ("Better.",), [Finding("R@1", "new/new", 1, 1, 1, 9)])[0] == "upgrade"
