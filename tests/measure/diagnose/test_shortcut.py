"""The conflict probe: against all pairs counted one by one, and on planted cues."""

import numpy as np
import pytest

from holdfast.errors import InvalidInput
from holdfast.measure.diagnose.shortcut import shortcut, win_rate
from tests.measure.diagnose.worlds import world


def counted(rows, labels, cue):
    """The mean win rate, pair by pair."""
    table = rows @ rows.T
    rates = []
    for i in range(len(rows)):
        a = [j for j in range(len(rows)) if labels[j] == labels[i] and cue[j] != cue[i]]
        b = [j for j in range(len(rows)) if labels[j] != labels[i] and cue[j] == cue[i]]
        if a and b:
            rates.append(np.mean([float(table[i, y] > table[i, x]) for x in a for y in b]))
    return float(np.mean(rates))


def test_win_rates_are_those_of_all_pairs():
    made = world(0, "shortcut", items=60)
    tag = made.columns["tag"]
    found = shortcut(made.old, made.new, made.kind, tag, "tag")
    assert found.old.value == pytest.approx(counted(made.old.array, made.kind, tag), abs=1e-6)
    assert found.new.value == pytest.approx(counted(made.new.array, made.kind, tag), abs=1e-6)
    assert found.rise.value == pytest.approx(found.new.value - found.old.value)


def test_ties_are_halves():
    assert win_rate(np.array([1.0]), np.array([1.0, 1.0])) == 0.5
    assert win_rate(np.array([2.0, 0.0]), np.array([1.0])) == 0.5


def test_a_shortcut_is_told_apart_from_a_model_that_is_only_worse():
    made = world(1, "shortcut")
    alarm = shortcut(made.old, made.new, made.kind, made.columns["tag"], "tag")
    assert alarm.alarm
    assert alarm.finding().verdict == "fail"
    assert "the same tag beats the same label" in alarm.finding().note
    # Answers by the tag alone find fewer items of a label: recall says so, no probe is needed.
    rows = np.eye(24)[made.columns["tag"]] + 0.05 * np.random.default_rng(0).normal(size=(400, 24))
    blind = shortcut(made.old, type(made.old)(made.old.space, rows.astype(np.float32)),
                     made.kind, made.columns["tag"], "tag")  # fmt: skip
    assert blind.rise.low > 0.0
    assert blind.recall.high < 0.0
    assert not blind.alarm


def test_a_cue_that_never_disagrees_cannot_be_probed():
    made = world(2)
    assert shortcut(made.old, made.new, made.kind, made.domain, "domain") is None
    with pytest.raises(InvalidInput, match="the same items"):
        shortcut(made.old, made.new, made.kind[:9], made.domain, "domain")
