"""Gates: rules against findings, and a guard that pauses an engine."""

import pytest
from pydantic import ValidationError

from holdfast.measure.finding import Finding
from holdfast.upgrade.gate import Rule, failed, judge
from holdfast.upgrade.guard import Guard


def found(cell, value, width=0.05, metric="nDCG@10", part="all", verdict="info"):
    return Finding(metric, cell, value, value - width, value + width, 100, part, verdict)


def test_the_whole_interval_must_comply():
    findings = [found("mixed@10%", 0.50), found("mixed@20%", 0.56)]
    judged = judge([Rule(cell="mixed@*", at_least=0.5)], findings)
    assert [f.verdict for f in judged] == ["fail", "pass"]
    assert "its interval is not" in judged[0].note
    (high,) = judge([Rule(cell="mixed@20%", at_most=0.6)], findings)
    assert high.verdict == "fail"
    assert failed(judged) == [judged[0]]


def test_a_rule_speaks_only_of_what_it_names():
    findings = [
        found("new/new", 0.2, metric="R@10"),
        found("new/new", 0.2, part="lang=de"),
        found("old/old", 0.2),
        found("new/new", 0.9),
    ]
    (one,) = judge([Rule(metric="nDCG@10", cell="new/new", at_least=0.5)], findings)
    assert (one.value, one.verdict) == (0.9, "pass")
    sliced = judge([Rule(cell="new/new", slice="lang=*", at_least=0.1)], findings)
    assert [(f.slice, f.verdict) for f in sliced] == [("lang=de", "pass")]


def test_not_worse_reads_the_verdict_of_the_finding_itself():
    rule = Rule(cell="mixed@*", not_worse=True)
    worse, fine = found("mixed@10%", 0.1, verdict="fail"), found("mixed@20%", 0.1, verdict="info")
    assert [f.verdict for f in judge([rule], [worse, fine])] == ["fail", "pass"]
    alone = Finding("R@10", "mixed@10%", 0.1, 0.1, 0.1, 19, note="too few")
    assert judge([rule], [alone]) == [alone]
    both = Rule(cell="mixed@*", not_worse=True, at_least=0.0)
    assert judge([both], [worse])[0].verdict == "fail"


def test_a_rule_without_a_finding_fails_once_all_is_measured():
    rule = Rule(cell="mixed@35%", at_least=0.1)
    assert judge([rule], [found("new/new", 0.9)], whole=False) == []
    (nothing,) = judge([rule], [found("new/new", 0.9)])
    assert (nothing.verdict, nothing.cell, nothing.n) == ("fail", "mixed@35%", 0)


@pytest.mark.parametrize(
    "bad", [{}, {"cell": "new/new"}, {"at_least": float("nan")}, {"at_leats": 0.5}]
)
def test_a_rule_that_says_nothing_is_refused(bad):
    with pytest.raises(ValidationError):
        Rule(**bad)


class Paused:
    """An engine that remembers why it was paused."""

    def __init__(self, state):
        self.state, self.gallery, self.ledger = state, self, self
        self.reasons, self.events = [], []

    def pause(self, why="asked for"):
        self.reasons.append(why)

    def event(self, kind, detail):
        self.events.append((kind, detail["why"]))


def test_the_guard_pauses_where_a_rule_fails_and_says_why():
    engine = Paused("copying")
    guard = Guard([Rule(cell="mixed@*", at_least=0.4)], engine)
    assert not guard(found("mixed@10%", 0.6))
    assert not guard(found("old/old", 0.1))
    assert engine.reasons == []
    assert guard(found("mixed@20%", 0.3))
    (why,) = engine.reasons
    assert why.startswith("gate: nDCG@10 mixed@20% 0.300, ")
    assert "must be at least 0.4" in why
    assert engine.events == [("gate", why.removeprefix("gate: "))]
    assert [f.cell for f in guard.failed] == ["mixed@20%"]


def test_outside_of_copying_a_failure_is_kept_and_nothing_paused():
    engine = Paused("ready")
    guard = Guard([Rule(cell="mixed@*", at_least=0.4)], engine)
    assert guard(found("mixed@100%", 0.3))
    assert engine.reasons == []
    assert [kind for kind, _ in engine.events] == ["gate"]
    assert len(guard.failed) == 1
