"""A whole upgrade by commands alone, and back, and again."""

import json
import re
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from holdfast import Bridge
from holdfast.cli import main
from holdfast.upgrade.ledger import Ledger
from tests.cli import toys
from tests.cli.conftest import ITEMS, snapshot

QUERY = "w3 w14 w15"


def exact(home, model, asked=None, k=10):
    """The k nearest by brute force."""
    names = list(home.documents)
    asked = model([QUERY])[0] if asked is None else asked
    scores = model(list(home.documents.values())) @ asked
    order = np.argsort(-scores, kind="stable")[:k]
    return [(names[i], float(scores[i])) for i in order]


def agree(found, wanted):
    assert [name for name, _ in found] == [name for name, _ in wanted]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in wanted], atol=1e-4)


def test_an_upgrade_from_start_to_finish(home):
    home.config.unlink()
    written = home.data(
        "init",
        *("--source", str(home.folder / "docs.jsonl")),
        *("--old", "python:tests.cli.toys:old,dim=16"),
        *("--new", "python:tests.cli.toys:new,dim=24"),
    )
    assert written == {"written": str(home.config)}

    assert home.data("inspect")["built"] is False
    assert home.data("build")["items"] == ITEMS
    assert home.data("build")["items"] == ITEMS  # again changes nothing
    agree(home.found(QUERY), exact(home, toys.old))

    before = snapshot(home.folder)
    dry = home.data("plan", "--dry-run")
    assert snapshot(home.folder) == before
    assert (dry["items"], dry["merge"], dry["dry_run"]) == (ITEMS, "fused", True)
    assert home.data("plan")["dry_run"] is False
    seen = home.data("inspect")
    assert (seen["state"], seen["relation"]) == ("planned", "unrelated")
    assert seen["stores"]["old"]["items"] == ITEMS
    assert seen["stores"]["old"]["payload_keys"] == ["lang"]
    assert seen["stores"]["new"]["problem"] == "no store yet"

    part = home.data("backfill", "--until", "30%")
    assert (part["state"], part["paused_by"], part["failed"]) == ("paused", None, [])
    assert part["share"] == pytest.approx(0.3, abs=1 / ITEMS)
    status = home.data("status")
    assert (status["state"], status["todo"]) == ("paused", part["todo"])
    assert status["share"] == pytest.approx(part["share"])
    everything = home.found(QUERY, k=2 * ITEMS)
    assert sorted(name for name, _ in everything) == sorted(home.documents)

    assert home.data("backfill")["state"] == "ready"
    cut = home.data("cutover")
    assert (cut["changed"], cut["left_behind"], sum(cut["mended"].values())) == (True, 0, 0)
    assert home.data("cutover")["changed"] is False
    agree(home.found(QUERY), exact(home, toys.new))
    assert home.data("inspect")["serving"] == home.data("status")["new"]

    assert home.data("rollback")["items"] == ITEMS
    assert home.data("rollback")["changed"] is False
    assert home.data("inspect")["serving"] == home.data("status")["old"]
    agree(home.found(QUERY), exact(home, toys.old))

    home.done("plan")
    home.done("backfill", "--until", "0.5")
    home.done("backfill")
    home.done("cutover")
    assert len(list((home.folder / "gallery" / "stores").iterdir())) == 2
    assert "no such word" in home.refused("finish")
    finished = home.data("finish", "--yes-give-up-the-old-side")
    assert finished == {"state": "finished", "changed": True, "dropped": True}
    (left,) = (home.folder / "gallery" / "stores").iterdir()
    assert home.data("inspect")["serving"]["fingerprint"] in left.name
    agree(home.found(QUERY), exact(home, toys.new))
    report = home.folder / "report.html"
    assert home.data("report", "--out", str(report)) == {"written": str(report)}
    assert report.read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_words_for_people_say_what_is_next(home):
    assert "holdfast plan" in home.done("build")
    shown = home.done("plan", "--dry-run")
    assert "Nothing was written" in shown
    told = dict(re.findall(r"(?m)^(\S+(?: \S+)*)  +(.+)$", shown))
    assert (told["merge"], told["rate"], told["workers"]) == ("fused", "no limit", "1")
    # what has no effect in this plan
    assert not told.keys() & {"executor", "actors", "cpus", "yield above", "holdover hours"}
    assert "holdfast backfill" in home.done("plan")
    assert "30 % of 120 items moved. Paused" in home.done("backfill", "--until", "30%")
    assert "30 % of 120 items" in home.done("status")
    assert "All 120 items moved. Ready. Next: holdfast cutover." in home.done("backfill")
    assert "holdfast rollback" in home.done("cutover")
    assert "120 items answer from the old side" in home.done("rollback")


@pytest.mark.parametrize("command", ["build", "plan", "backfill", "cutover", "rollback"])
def test_quiet_commands_say_nothing(home, command):
    for name in ("build", "plan", "backfill", "cutover", "rollback"):
        result = home.run(name, "--quiet")
        assert result.exit_code == 0
        if name == command:
            assert result.output == ""
            return


def test_looking_is_an_answer_also_when_quiet(planned):
    assert "planned" in planned.done("status", "--quiet")
    assert "d" in planned.done("search", "--quiet", QUERY)
    assert "planned" in planned.done("inspect", "--quiet")


@pytest.mark.parametrize(
    ("said", "code", "state"),
    [("give up the old side", 0, "finished"), ("yes", 2, "cut over"), ("", 2, "cut over")],
)
def test_finish_asks_for_the_word_where_somebody_is_there(planned, monkeypatch, said, code, state):
    for command in ("backfill", "cutover"):
        planned.done(command)
    monkeypatch.setattr(sys.modules["holdfast.cli.cutover"], "_somebody_is_there", lambda: True)
    result = CliRunner().invoke(main, planned.words("finish"), input=f"{said}\n")
    assert result.exit_code == code, result.output
    assert planned.data("status")["state"] == state
    stores = list((planned.folder / "gallery" / "stores").iterdir())
    assert len(stores) == (1 if code == 0 else 2)


def test_finish_goes_on_where_it_was_cut_off(planned, monkeypatch):
    for command in ("backfill", "cutover"):
        planned.done(command)
    with monkeypatch.context() as patch:
        patch.setattr("holdfast.upgrade.project.Project.drop_old", lambda _: 1 // 0)
        assert planned.run("finish", "--yes-give-up-the-old-side").exit_code == 2
    assert len(list((planned.folder / "gallery" / "stores").iterdir())) == 2
    done = planned.data("finish", "--yes-give-up-the-old-side")
    assert done == {"state": "finished", "changed": False, "dropped": True}
    assert len(list((planned.folder / "gallery" / "stores").iterdir())) == 1


def test_a_dead_model_is_reached_through_a_bridge(home):
    home.done("build")
    told = home.config.read_text(encoding="utf-8")
    old = 'encoder = "python"\nfunction = "tests.cli.toys:old"\ndim = 16'
    assert old in told
    home.config.write_text(told.replace(old, 'encoder = "none"'), encoding="utf-8")
    plan = home.data("plan")
    assert plan["old_model"].startswith("dead")
    (bridge,) = plan["bridges"]
    assert sum(rung["chosen"] for rung in bridge["tried"]) == 1
    home.done("backfill", "--until", "50%")
    assert len(home.found(QUERY, k=2 * ITEMS)) == ITEMS
    home.done("rollback")
    (path,) = (home.folder / "gallery" / "bridges").glob("*.safetensors")
    asked = Bridge.load(path).transform(toys.new([QUERY])).array
    agree(home.found(QUERY), exact(home, toys.old, asked=asked[0]))
    assert "Bridge" in home.done("plan")


def test_while_the_new_model_is_away_the_old_one_answers_and_says_so(home, monkeypatch):
    home.configure(new="away")
    home.done("build")
    before = home.data("search", QUERY)
    home.done("plan")
    home.data("backfill", "--until", "60%")
    monkeypatch.setenv("TOY_AWAY", "1")
    found = home.data("search", QUERY)
    assert before["without"] is None
    assert found["without"].startswith("the new model gave no answer: toys:away: expected")
    for told in (before, found):
        hits = [(hit["id"], hit["score"]) for hit in told["answers"][0]["hits"]]
        agree(hits, exact(home, toys.old))
    result = home.run("search", "-q", QUERY)
    assert (
        result.exit_code,
        result.stderr.count("One model ranked all items: the new model gave no answer"),
    ) == (0, 1)
    kinds = [event["kind"] for event in home.data("status")["events"]]
    assert kinds[-1] == "silent" != kinds[-2]


def test_more_hits_than_there_are_items_take_no_room(planned):
    everything = planned.found(QUERY, ITEMS)
    assert len(everything) == ITEMS
    assert planned.found(QUERY, 10**20) == everything


def test_filters_and_several_queries(planned):
    planned.done("backfill", "--until", "50%")
    where = json.dumps({"lang": "de"})
    first, second = planned.data("search", QUERY, "w1", "-k", "99", "--where", where)["answers"]
    assert (first["query"], second["query"]) == (QUERY, "w1")
    for answer in (first, second):
        assert len(answer["hits"]) == ITEMS / 3
        assert {hit["payload"]["lang"] for hit in answer["hits"]} == {"de"}


def test_what_cannot_be_moved_is_listed_retried_and_left_behind(home, monkeypatch):
    home.configure(new="picky")
    home.done("build")
    home.done("plan")
    bad = {name for name, text in home.documents.items() if "w13" in text.split()}
    part = home.data("backfill")
    assert (part["state"], part["quarantined"]) == ("ready", len(bad))
    listed = home.data("quarantine")
    assert {item["id"] for item in listed["items"]} == bad
    assert all(item["reason"] for item in listed["items"])
    assert f"{len(bad)}" in home.run("cutover").stderr
    assert home.data("quarantine", "--retry")["released"] == len(bad)
    assert home.data("status")["state"] == "paused"
    assert home.data("backfill")["quarantined"] == len(bad)
    monkeypatch.setenv("TOY_MENDED", "1")
    home.done("quarantine", "--retry")
    assert home.data("backfill")["quarantined"] == 0
    assert home.data("cutover")["left_behind"] == 0


def test_quarantined_items_can_be_left_behind_in_so_many_words(home):
    home.configure(new="picky")
    for command in ("build", "plan", "backfill"):
        home.done(command)
    bad = home.data("quarantine")["quarantined"]
    assert bad > 1
    for limit, count in ((1, 1), (10**21, bad)):  # SQLite counts no further than 2**63
        assert len(home.data("quarantine", "--limit", str(limit))["items"]) == count
    assert home.data("cutover", "--leave-behind-quarantined")["left_behind"] == bad
    assert len(home.found(QUERY, k=2 * ITEMS)) == ITEMS - bad
    home.done("rollback")
    assert len(home.found(QUERY, k=2 * ITEMS)) == ITEMS


def test_a_lost_ledger_loses_no_items(planned):
    """What it had moved is hidden on the old side: a build that took it for whole found half."""
    planned.done("backfill", "--until", "50%")
    for file in (planned.folder / "gallery").glob("ledger.sqlite*"):
        file.unlink()
    assert "Build it first" in planned.refused("search", "w1")
    Ledger(planned.folder / "gallery" / "ledger.sqlite").close()
    for command in (["search", "w1"], ["plan"]):
        told = planned.run(*command).stderr
        assert "expected the ledger of the upgrade that hid 60 of its 120 items" in told
        assert told.endswith("give the upgrade up: holdfast build shows them again.\n")
    assert planned.data("build")["items"] == ITEMS
    found = [name for name, _ in planned.found("w1 w2", k=2 * ITEMS)]
    assert sorted(found) == sorted(planned.documents)
    planned.done("plan")
    assert planned.data("backfill")["state"] == "ready"


def test_after_a_rollback_nothing_is_to_move(planned):
    planned.done("backfill", "--until", "50%")
    assert planned.data("status")["todo"] == ITEMS // 2
    planned.done("rollback")
    assert planned.data("status")["todo"] == 0
    page = planned.folder / "report.html"
    planned.done("report", "--out", str(page))
    assert "Still to move</dt><dd>0 items" in page.read_text(encoding="utf-8")
