"""Sentences of a report: the right ones for what was measured and for every state."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from holdfast.report.build import Moment, Report
from holdfast.report.words import (
    cost,
    duration,
    event_words,
    gain,
    headline,
    next_steps,
    state_words,
    utc,
)
from holdfast.upgrade.record.records import State
from tests.report.conftest import NEW, OLD, START, answered, record


def commands(report):
    return [command.removeprefix("holdfast ") for command, _ in next_steps(report)]


def test_a_rise_is_told_with_both_ends(measured):
    low, high = answered(0.0).mean(), answered(1.0).mean()
    assert headline(Report.of(measured)) == (
        f"The upgrade is ready to cut over: R@10 rose from {low:.3f} to {high:.3f}; "
        "no share fell below the old system."
    )


def test_a_fall_names_the_share_that_fell_furthest(ledger):
    base = answered(0.0)
    record(ledger, 0.0, base)
    record(ledger, 0.5, answered(0.0, old=0.1), base=base)
    record(ledger, 1.0, answered(1.0), base=base)
    said = gain(Report.of(ledger).main)
    worst = answered(0.0, old=0.1).mean()
    assert said.endswith(
        f"1 of 2 measured shares fell below the old system, mixed@50% furthest, at {worst:.3f}"
    )


def test_few_queries_are_said_to_be_few(ledger):
    record(ledger, 0.0, np.ones(19))
    record(ledger, 1.0, np.zeros(19))
    assert gain(Report.of(ledger).main) == (
        "R@10 fell from 1.000 to 0.000; 19 queries are too few to judge by"
    )


def test_a_dip_within_the_interval_is_not_called_a_fall(ledger):
    base = answered(0.0)
    lower = base.copy()
    lower[np.flatnonzero(base)[0]] = 0.0
    record(ledger, 0.0, base)
    record(ledger, 0.3, lower, base=base)
    said = gain(Report.of(ledger).main)
    assert said == (
        f"R@10 went from {base.mean():.3f} to {lower.mean():.3f}, a difference that 80 queries "
        "do not tell from none at 30 % of the gallery; "
        "1 of 1 measured shares lies below the old system, none beyond its interval"
    )


def test_a_fall_at_the_end_is_called_one(ledger):
    base = answered(1.0)
    record(ledger, 0.0, base)
    record(ledger, 1.0, answered(0.0), base=base)
    assert gain(Report.of(ledger).main).startswith(
        f"R@10 fell from {base.mean():.3f} to {answered(0.0).mean():.3f}; 1 of 1"
    )


def test_one_measurement_is_a_value_and_none_is_said(ledger):
    assert headline(Report.of(ledger)) == "The upgrade is planned: no quality was measured."
    record(ledger, 0.0, answered(0.0), cell="bridged/old")
    value = answered(0.0).mean()
    assert gain(Report.of(ledger).main) == f"R@10 is {value:.3f} in bridged/old"


STEPS = {
    "planned": ["backfill", "rollback"],
    "copying": ["status", "backfill", "rollback"],
    "paused": ["backfill", "rollback"],
    "ready": ["cutover", "rollback"],
    "cutting over": ["cutover", "rollback"],
    "cut over": ["finish", "rollback"],
    "rolling back": ["rollback"],
    "rolled back": ["plan"],
    "finished": ["plan"],
}


def test_every_state_has_its_steps():
    assert set(STEPS) == set(get_args(State))


@pytest.mark.parametrize("state", STEPS)
def test_the_steps_of_a_state_are_commands_it_allows(ledger, state):
    ledger.set_state(state)
    report = Report.of(ledger)
    assert commands(report) == STEPS[state]
    assert all(told.endswith(".") for _, told in next_steps(report))
    assert state_words(report).endswith(".")


@pytest.mark.parametrize("state", STEPS)
def test_quarantined_items_are_tried_again_while_that_is_possible(ledger, state):
    ledger.fill(["a", "b"])
    ledger.quarantine({"a": "gone"})
    ledger.set_state(state)
    report = Report.of(ledger)
    again = state in ("planned", "copying", "paused", "ready")
    assert commands(report) == (["quarantine --retry"] if again else []) + STEPS[state]
    lost = "1 quarantined item cannot be found on the new side." in state_words(report)
    assert lost == (state in ("cutting over", "cut over", "finished"))


def test_a_new_system_that_is_worse_leads_back_first(ledger):
    record(ledger, 0.0, answered(1.0))
    record(ledger, 1.0, answered(0.0), base=answered(1.0))
    ledger.set_state("ready")
    assert commands(Report.of(ledger)) == ["rollback", "cutover"]


def test_a_ledger_without_an_upgrade_is_told_how_to_begin():
    assert commands(Report(None)) == ["plan --dry-run"]
    assert headline(Report(None)) == "There is no upgrade to report on."


@pytest.mark.parametrize(
    ("kind", "detail", "said"),
    [
        ("planned", {"old": str(OLD), "new": str(NEW)}, f"Planned, from {OLD} to {NEW}"),
        ("planned", {}, "Planned, from the old one to the new one"),
        ("paused", {"why": "reached 30%"}, "Paused: reached 30%"),
        ("cut over", {"left_behind": 0}, "Cut over: searches read the new side alone"),
        (
            "cut over",
            {"left_behind": 2},
            "Cut over: searches read the new side alone; 2 items left behind",
        ),
        ("quarantined", {"items": 1}, "Quarantined 1 item"),
        (
            "reconciled",
            {"missing": 3, "stale": 0, "doubled": 1200, "deleted": 0},
            "The reconciling scan mended 3 missing, 1,200 doubled",
        ),
        ("rate", {"items_per_second": 2.5}, "The rate was limited to 2.5 items a second"),
        ("rate", {"items_per_second": 0.0}, "The rate was freed of its limit"),
        ("dropped", {"space": "a {b}"}, "Deleted the store of a {b}"),
        ("something new", {"x": 1}, "Something new"),
    ],
)
def test_events_in_words(kind, detail, said):
    assert event_words(Moment(START, kind, detail)) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0.0 s"), (9.94, "9.9 s"), (59.6, "1 min"), (3600.0, "1 h"), (90061.0, "1 d 1 h")],
)
def test_durations_in_two_units(seconds, said):
    assert duration(seconds) == said


def test_sums_and_times_are_never_rounded_to_nothing():
    told = {"money": 0.0003, "currency": "USD", "tokens": 0, "seconds": 0.2, "note": ""}
    assert cost(told) == "less than 0.01 USD, no tokens, less than a second"
    told = {**told, "money": 0.0, "tokens": 7, "seconds": 0.0}
    assert cost(told) == "0.00 USD, about 7 tokens"
    assert cost({**told, "seconds": 90.0}).endswith("about 1 min 30 s")


def test_times_are_utc_in_any_year():
    assert f"{utc(START):%Y-%m-%d %H:%M:%S}" == "2026-09-21 14:13:20"
    assert utc(-1.5).year == 1969
