"""The audit: rows are only added, and whoever edits the file is found out."""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import sqlite3

import pytest

from holdfast.errors import UpgradeError
from holdfast.space import Space
from holdfast.upgrade.gate import Rule
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.record.audit import NOTHING, Audit, person
from holdfast.upgrade.record.deed import Deed
from holdfast.upgrade.sides.stage import Stage
from holdfast.upgrade.watching.verdict import verdict
from tests.upgrade.setup import Setup


@pytest.fixture
def ledger(tmp_path):
    times = iter(range(1000, 2000))
    ledger = Ledger(tmp_path / "ledger.sqlite", lambda: float(next(times)))
    yield ledger
    ledger.close()


@pytest.fixture
def setup(tmp_path):
    one = Setup(tmp_path, count=40)
    yield one
    one.gallery.close()


def told(one):
    return [(d.who, d.what, d.why, d.outcome.partition(":")[0]) for d in one.ledger.deeds()]


def test_rows_are_chained_by_the_documented_hash(ledger):
    audit = Audit(ledger, "alice", lambda: "pass: 3 findings")
    audit.record("pause", "lunch")
    audit.record("start", who="bob", gate="no gate", outcome="refused: not now")
    rows = audit.deeds()
    assert [(d.number, d.time, d.who, d.what, d.why, d.gate, d.outcome) for d in rows] == [
        (1, 1000.0, "alice", "pause", "lunch", "pass: 3 findings", "done"),
        (2, 1001.0, "bob", "start", "", "no gate", "refused: not now"),
    ]
    before = ""
    for deed in rows:
        parts = [before, *list(deed.to_json().values())[5:7]]  # number, time
        parts += [deed.who, deed.what, deed.why, deed.gate, deed.outcome]
        before = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        assert deed.hash == before
    assert audit.check() is None
    assert [d.number for d in audit.deeds(after=1)] == [2]
    assert [d.number for d in audit.deeds(limit=1)] == [1]


@pytest.mark.parametrize(
    "sql", ["UPDATE audit SET who = 'nobody'", "DELETE FROM audit", "REPLACE INTO audit VALUES "]
)
def test_rows_cannot_be_changed_by_sql(ledger, sql):
    Audit(ledger).record("start")
    if sql.startswith("REPLACE"):
        sql += "(1, 0, 'nobody', 'x', '', '', 'done', '')"
    other = sqlite3.connect(ledger.path)
    other.execute("PRAGMA recursive_triggers = ON")
    with pytest.raises(sqlite3.DatabaseError):
        other.execute(sql)
    other.close()
    assert ledger.deeds()[0].who == "program"


@pytest.mark.parametrize(
    ("sql", "broken"),
    [
        ("UPDATE audit SET who = 'nobody' WHERE number = 2", 2),
        ("UPDATE audit SET time = 1 WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number = 2", 3),
        ("DELETE FROM audit WHERE number = 1", 2),
        ("UPDATE audit SET outcome = 'done' WHERE number = 3", 3),
    ],
)
def test_whoever_edits_the_file_is_found_out(ledger, sql, broken):
    audit = Audit(ledger)
    for n in range(4):
        audit.record(f"deed {n}", outcome="refused: no")
    other = sqlite3.connect(ledger.path)
    for trigger in ("audit_is_not_changed", "audit_is_not_shortened"):
        other.execute(f"DROP TRIGGER {trigger}")
    other.execute(sql)
    other.commit()
    other.close()
    assert audit.check() == broken


def test_what_utf_8_cannot_write_is_spelled_out(ledger):
    audit = Audit(ledger, "al\udce9")
    audit.record("pause", "caf\udce9", outcome="refused: \ud83d")
    audit.record(str(Stage(tenants=("\udcff",))), gate="fails in lang = \ud83d")
    row, stage = audit.deeds()
    assert (row.who, row.why, row.outcome) == ("al\\udce9", "caf\\udce9", "refused: \\ud83d")
    assert (stage.what, stage.gate) == ("tenants \\udcff", "fails in lang = \\ud83d")
    assert audit.check() is None


def test_two_processes_make_one_chain(tmp_path):
    one, two = (Ledger(tmp_path / "ledger.sqlite", lambda: 0.0) for _ in range(2))
    for n in range(6):
        Audit((one, two)[n % 2], f"p{n % 2}").record(f"deed {n}")
    assert [d.what for d in one.deeds()] == [f"deed {n}" for n in range(6)]
    assert Audit(two).check() is None
    one.close()
    two.close()


def test_every_command_is_kept_with_who_and_why_and_refused_ones_too(setup):
    engine = setup.engine()
    engine.audit.who = "carol"
    with pytest.raises(UpgradeError):
        engine.cut_over(by="mallory", why="hurry")
    engine.run(0.5)
    engine.run(0.8)
    engine.pause("lunch", by="dave")
    engine.start("after lunch", by="dave")
    engine.run()
    engine.stage(Stage(0.1), why="first tenth")
    engine.cut_over()
    engine.roll_back("worse for Mr X", by="dave")
    engine.roll_back()
    assert told(setup) == [
        ("mallory", "cut over", "hurry", "refused"),
        ("carol", "start", "", "done"),
        ("dave", "pause", "lunch", "done"),
        ("dave", "start", "after lunch", "done"),
        ("carol", "cut over 10 % of the traffic", "first tenth", "done"),
        ("carol", "cut over", "", "done"),
        ("dave", "roll back", "worse for Mr X", "done"),
        ("carol", "roll back", "", NOTHING),
    ]
    assert engine.audit.check() is None


def test_what_other_processes_ask_for_carries_their_name(setup):
    setup.ledger.ask("rate", rate=5.0, by="erin (service)", why="nightly job")
    setup.ledger.ask("pause", by="erin (service)", why="deploy")
    setup.engine().run()
    assert told(setup)[1:] == [
        ("erin (service)", "rate 5", "nightly job", "done"),
        ("erin (service)", "pause", "deploy", "done"),
    ]


def test_an_upgrade_that_pauses_itself_says_so(setup):
    engine = setup.engine()
    engine.mover.move = burning
    with pytest.raises(RuntimeError):
        engine.run()
    assert told(setup)[-1] == ("engine", "pause", "RuntimeError: the machine burns", "done")


def burning(rows):
    raise RuntimeError("the machine burns")


def test_the_state_and_its_deed_are_one_transaction(setup, monkeypatch):
    engine = setup.engine()
    monkeypatch.setattr(
        type(setup.ledger), "event", lambda *a: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        engine.start(by="dave")
    assert setup.ledger.upgrade().state == "planned"
    assert setup.ledger.deeds() == []


def test_the_gate_speaks_in_one_line(ledger):
    ledger.begin({}, Space("a", 2), Space("b", 2))
    rules = [Rule(metric="R@10", cell="mixed@*", at_least=0.5)]
    assert verdict([], ledger) == "no gate"
    assert verdict(rules, ledger) == "nothing measured"
    for value, share in ((0.6, 0.1), (0.4, 0.2)):
        finding = {"metric": "R@10", "cell": f"mixed@{share:.0%}", "value": value}
        finding |= {"low": value, "high": value, "n": 9, "slice": "all", "verdict": "info"}
        ledger.record({"finding": finding, "share": share, "per_query": []})
        said = verdict(rules, ledger)
        assert said.startswith("pass: 1" if value > 0.5 else "fail: R@10 mixed@20% 0.400"), said
    few = "9 queries are too few to judge by"
    ledger.record({"finding": {**finding, "note": few}, "share": 0.2, "per_query": []})
    unsettled = [Rule(cell="mixed@20%", not_worse=True)]
    assert verdict(unsettled, ledger) == f"not settled: {few}"
    kept = Audit(ledger, gate=lambda: verdict(rules, ledger)).record("cut over")
    assert kept.gate.startswith("fail: R@10")


def test_a_person_has_a_name():
    assert person() == f"{pwd.getpwuid(os.getuid()).pw_name} (command line)"
    assert Deed("a", "b").outcome == "done"
