"""Cutting over in stages, and the audit, by commands alone."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

from holdfast.upgrade.project import Project
from holdfast.upgrade.record.audit import person
from holdfast.upgrade.sides.stage import Stage, place
from holdfast.upgrade.watching.quality import measured
from tests.cli import toys
from tests.cli.conftest import ITEMS
from tests.cli.test_life import QUERY, agree, exact


def ready(planned):
    planned.done("backfill")
    return planned


def test_a_cut_over_goes_in_stages_and_back_at_once(planned):
    home = ready(planned)
    told = home.data("cutover", "--tenant", "acme", "--why", "a friendly customer")
    assert (told["state"], told["changed"]) == ("cutting over", True)
    assert Stage.from_json(told["stage"]) == Stage(0.0, ("acme",))
    agree(home.found(QUERY), exact(home, toys.old))  # who is not acme
    told = home.data("cutover", "--where", '{"lang": "de"}')
    german = [name for place, name in enumerate(home.documents) if place % 3 == 0]
    wanted = [pair for pair in exact(home, toys.new, k=ITEMS) if pair[0] in german][:10]
    agree(home.found(QUERY, 10, "--where", '{"lang": "de"}'), wanted)
    agree(home.found(QUERY), exact(home, toys.old))
    home.data("cutover", "--share", "100%")
    agree(home.found(QUERY), exact(home, toys.new))
    assert home.data("status")["state"] == "cutting over"
    assert home.data("status")["share"] == 1.0
    assert home.data("rollback")["state"] == "rolled back"
    agree(home.found(QUERY), exact(home, toys.old))


def test_each_query_has_its_side(planned):
    home = ready(planned)
    salt = home.data("status")["new"]["fingerprint"]
    home.done("cutover", "--share", "0.5")
    for query in list(home.queries.values())[:8]:
        model = toys.new if place(query.encode(), salt) < 0.5 else toys.old
        wanted = exact(home, model, model([query])[0])
        agree(home.found(query), wanted)
    assert "holdfast rollback takes effect at once" in home.done("cutover", "--share", "60%")
    assert home.data("cutover")["state"] == "cut over"
    agree(home.found(QUERY), exact(home, toys.new))


def test_what_was_left_behind_is_no_part_of_the_share(home):
    home.configure(new="picky", judged=True)
    queries = home.folder / "queries.jsonl"
    queries.write_text(re.sub(r"\bw13\b", "w12", queries.read_text()))  # which it can embed
    for command in ("build", "plan"):
        home.done(command)
    assert home.run("backfill").exit_code in (0, 1)  # as the gate says
    left = sum("w13" in text.split() for text in home.documents.values())
    share = (ITEMS - left) / ITEMS
    told = f"share        {round(100 * share, 2):g} % of {ITEMS} items\n"
    accept = "--leave-behind-quarantined"
    home.done("cutover", "--share", "50%", accept)
    assert home.data("status")["share"] == share
    assert told in home.done("status")
    assert home.run("cutover").exit_code in (0, 1)
    assert home.data("status")["share"] == share
    assert home.data("search", "w1")["share"] == share
    with closing(Project(home.config).ledger(readonly=True)) as ledger:
        *_, last = measured(ledger)
        assert (last, measured(ledger)[last]["finding"]["cell"]) == (1.0, "new/new")
    home.done("finish", "--yes-give-up-the-old-side", accept)
    assert home.data("status")["share"] == share


def test_stages_that_cannot_be_are_refused(planned):
    assert (
        "ready or cutting over, got one that is planned"
        in planned.run("cutover", "--share", "0.1").stderr
    )
    home = ready(planned)
    for wrong in (
        ("--share", "30"),
        ("--share", "0"),
        ("--where", "lang=en"),
        ("--where", '{"year": {"gt": 1}}'),
        ("--where", ""),  # a variable that is not set is nobody, not everybody
        ("--where", "{}"),
        ("--where", "null"),
        ("--share", "50%", "--where", "[]"),
        ("--tenant", ""),
    ):
        home.refused("cutover", *wrong)
    assert home.data("status")["state"] == "ready"


def test_after_the_cut_over_no_stage_is_taken_for_given(planned):
    home = ready(planned)
    home.done("cutover")
    for words in (("--share", "10%"), ("--tenant", "acme"), ("--where", '{"lang": "de"}')):
        result = home.run("cutover", *words)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "ready or cutting over, got one that is cut over" in result.stderr
        assert home.data("status")["state"] == "cut over"
    assert home.data("cutover") == {"state": "cut over", "changed": False}


def test_after_a_rollback_the_way_on_is_a_plan(planned):
    planned.done("rollback")
    for words, who in (
        (("cutover",), "cut over"),
        (("cutover", "--share", "10%"), "cut over"),
        (("cutover", "--step-back"), "step back"),
        (("finish", "--yes-give-up-the-old-side"), "finish"),
    ):
        refused = planned.run(*words)  # the audit has a row of it
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr == (
            f"holdfast: {who}: expected an upgrade under way, got one that is rolled back. "
            "Plan again: holdfast plan.\n"
        )
    assert planned.data("status")["state"] == "rolled back"


def test_a_holdover_keeps_the_old_side(home):
    home.configure(more="holdover_hours = 1.0")
    for command in ("build", "plan", "backfill", "cutover"):
        home.done(command)
    words = "finish", "--yes-give-up-the-old-side"
    refused = home.run(*words)
    assert refused.exit_code == 2
    assert "1 hour after the cut-over, as planned, got 1.0 of them still to go" in refused.stderr
    assert home.data("status")["state"] == "cut over"
    home.done(*words, "--early", "--why", "disk is full")


def test_the_audit_tells_who_did_what_and_why(planned):
    home = ready(planned)
    home.run("finish", "--yes-give-up-the-old-side", "--why", "no room")  # opens nothing
    home.run("pause")
    home.run("finish")  # the state forbids it before the word is asked for
    home.done("cutover", "--share", "0.2", "--why", "first stage")
    home.done("rollback", "--why", "Mr X complains")
    told = home.data("audit", "--check")
    assert told["whole"] is True
    rows = [(d["who"], d["what"], d["why"], d["outcome"]) for d in told["deeds"]]
    me, late = person(), "refused: finish: expected an upgrade that is cut over, got one that is"
    idle = "refused: pause: expected a backfill that runs, got an upgrade that is ready."
    assert rows == [
        (me, "plan", "", "done"),
        (me, "start", "", "done"),
        (me, "finish", "no room", f"{late} ready. Cut over first."),
        (me, "pause", "", idle),
        (me, "finish", "", f"{late} ready. Cut over first."),
        (me, "cut over 20 % of the traffic", "first stage", "done"),
        (me, "roll back", "Mr X complains", "done"),
    ]
    assert {d["gate"] for d in told["deeds"]} == {"no gate"}
    assert told["last_hash"] == told["deeds"][-1]["hash"]
    assert "Mr X complains" in home.done("audit")
    assert len(home.data("audit", "--limit", "1")["deeds"]) == 1


def test_an_edited_audit_is_found_out(planned):
    ledger = planned.folder / "gallery" / "ledger.sqlite"
    other = sqlite3.connect(ledger)
    other.execute("DROP TRIGGER audit_is_not_changed")
    other.execute("UPDATE audit SET who = 'nobody'")
    other.commit()
    other.close()
    assert planned.data("audit")["broken_at"] == 1
    result = planned.run("audit", "--check", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stderr)["got"] == "a break at row 1"
    assert "was edited" in planned.done("audit")


def test_a_step_back_leads_everybody_to_the_old_side_until_a_stage_is_given(planned):
    home = ready(planned)
    assert "ready" in home.run("cutover", "--step-back").stderr
    home.done("cutover", "--share", "100%")
    assert "new side     read by 100 % of the traffic" in home.done("status")
    told = home.data("cutover", "--step-back", "--why", "complaints")
    assert told["stage"] == {"share": 1.0, "tenants": [], "where": {}, "held": True}
    agree(home.found(QUERY), exact(home, toys.old))
    words = "read by nobody, stepped back from 100 % of the traffic"
    assert words in home.done("status")
    home.refused("cutover", "--step-back", "--share", "10%")
    home.done("cutover", "--share", "100%")
    agree(home.found(QUERY), exact(home, toys.new))


def test_the_status_tells_of_a_breach_until_somebody_goes_on(planned):
    home = ready(planned)
    ledger = Project(home.config).ledger()
    finding = {"metric": "agreement", "cell": "live@100%", "value": 0.1}
    ledger.event("breach", {"why": "agreement 0.100", "finding": finding, "did": "told"})
    ledger.close()
    assert "breach       agreement 0.100 (told)" in home.done("status")
    assert home.data("status")["breach"]["finding"] == finding
    home.done("cutover")
    assert home.data("status")["breach"] is None


def test_the_status_says_how_long_the_old_side_is_held_over(home):
    home.configure(more="holdover_hours = 2.0")
    for command in ("build", "plan", "backfill", "cutover"):
        home.done(command)
    assert 1.99 < home.data("status")["held_over"] <= 2.0
    assert re.search(r"held over +finish is due in (2:00:00|1:59:\d\d)", home.done("status"))
