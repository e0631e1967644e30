"""Commands over HTTP: the life of an upgrade, confirmations, refusals, and the audit."""

import re
import time

import pytest

from holdfast.measure.finding import Finding
from holdfast.service.deeds import DEEDS, GIVE_UP, READ_NEW, READ_OLD, STEP_BACK
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.project import Project

SLOW = 6.0  # items a second: twenty seconds for all of them, so that there is time to stop


def everything(client, planned):
    found = client.ids("w1 w2", 200)
    assert len(found) == len(set(found))
    return sorted(found) == sorted(planned.documents)


def test_the_whole_life(client, planned):
    assert client.command("start").json()["done"]
    told = client.until("ready")
    assert (told["share"], told["todo"], told["reads"]) == (1.0, 0, "both")
    assert everything(client, planned)
    assert client.command("cut-over").json()["state"] == "cut over"
    assert client.status()["reads"] == "new"
    client("PUT", "/api/items", {"items": [{"id": "new", "content": "w1 w2 w3"}]})
    assert client.command("roll-back").json()["state"] == "rolled back"
    assert client.status()["reads"] == "old"
    assert client.ids("w1 w2 w3", 1) == ["new"]  # written after the cut-over
    assert client.command("plan").json()["state"] == "planned"
    client.command("start")
    client.until("ready")
    client.command("cut-over")
    told = client.command("finish").json()
    assert told["state"] == "finished"
    assert "deleted" in told["words"]
    told = client.status()
    assert (told["share"], told["reads"], len(told["serves"])) == (1.0, "new", 1)
    assert client.ids("w1 w2 w3", 1) == ["new"]
    assert len(list((planned.folder / "gallery" / "stores").iterdir())) == 1


def test_pause_and_resume(client, planned):
    planned_share = client.status()["share"]
    client.command("throttle", items_per_second=SLOW)
    client.command("start")
    client.until_moved(0.1)
    told = client.command("pause", why="lunch").json()
    assert (told["state"], told["done"]) == ("paused", True)
    first = client.status()
    assert planned_share < first["share"] < 1.0
    assert first["rate_limit"] == SLOW
    time.sleep(0.2)
    assert client.status()["todo"] == first["todo"]
    assert everything(client, planned)
    assert client.command("throttle", items_per_second=0.0).json()["done"]
    client.command("resume")
    assert client.until("ready")["todo"] == 0


def test_a_throttle_is_noticed_in_the_middle_of_a_wait(client):
    client.command("throttle", items_per_second=0.01)  # a quarter of an hour for each batch
    client.command("start")
    client.until_moved(0.01)
    client.command("throttle", items_per_second=0.0)
    client.until("ready")


def test_every_command_says_what_it_would_do_and_why_not(still):
    told = {one["name"]: one for one in still.get("/api/commands").json()}
    assert list(told) == list(DEEDS)
    assert {name for name, one in told.items() if one["allowed"]} == {
        *("start", "throttle", "roll-back"),
    }
    assert "120 items begin to move" in told["start"]["tells"]
    assert told["cut-over"]["confirm"] == READ_NEW
    assert told["roll-back"]["confirm"] == READ_OLD
    assert told["finish"]["confirm"] == GIVE_UP
    assert "no way back" in told["finish"]["tells"]
    assert told["pause"]["why_not"] == "nothing moves"
    assert told["cut-over"]["why_not"] == "the upgrade is planned"


@pytest.mark.parametrize("confirm", ["", "yes", "read the new side alone"])
def test_what_cannot_be_taken_back_wants_its_own_words(still, confirm):
    told = still("POST", "/api/commands/roll-back", {"confirm": confirm})
    assert told.status_code == 422
    data = told.json()
    assert (data["who"], data["expected"]) == ("roll back: confirm", f'"{READ_OLD}"')
    assert "The plan is given up" in data["fix"]  # it says what would happen
    assert still.status()["state"] == "planned"


def test_a_command_that_the_state_forbids_is_a_conflict(still):
    told = still("POST", "/api/commands/cut-over", {"confirm": READ_NEW})
    assert told.status_code == 409
    assert told.json()["title"] == "UpgradeError"
    assert told.json()["got"] == "the upgrade is planned"


def test_a_throttle_without_a_number_frees_nothing(client):
    client.command("throttle", items_per_second=SLOW)
    told = client.command("throttle")
    assert (told.status_code, told.json()["expected"]) == (422, "items_per_second, 0 for no limit")
    assert client.status()["rate_limit"] == SLOW


def test_an_unknown_command_names_the_known_ones(still):
    told = still("POST", "/api/commands/..%2f..%2fetc", {})
    assert told.status_code in (404, 422)
    told = still("POST", "/api/commands/drop", {})
    assert told.status_code == 422
    assert "cut-over" in told.json()["expected"]


def test_the_audit_keeps_who_what_why_and_the_gate(client):
    client.command("start", why="the new model is better")
    client.until("ready")
    client("POST", "/api/commands/cut-over", {"confirm": "no"})
    client.command("cut-over", why="measured")
    deeds = client.get("/api/audit").json()["deeds"]
    told = [(deed["what"], deed["who"], deed["why"], deed["outcome"]) for deed in deeds]
    assert ("serve", "service", "the service started", "done") in told
    assert ("start", "ALICE", "the new model is better", "done") in told
    assert ("cut over", "ALICE", "measured", "done") in told
    numbers = [deed["number"] for deed in deeds]
    assert numbers == sorted(set(numbers))
    assert client.get(f"/api/audit?after={numbers[-2]}").json()["deeds"] == deeds[-1:]


def test_the_audit_keeps_what_the_state_forbids_as_the_command_line_does(client):
    client("POST", "/api/commands/cut-over", {"confirm": READ_NEW, "why": "now"})
    client("POST", "/api/commands/roll-back", {"confirm": "no"})  # is told the words: a question
    client("POST", "/api/commands/pause", {}, token=False)  # nobody whom it knows
    deed = client.get("/api/audit").json()["deeds"][-1]
    known = [deed[part] for part in ("who", "what", "why", "gate")]
    assert known == ["ALICE", "cut over", "now", "no gate"]
    wanted = "an upgrade that is ready or cutting over, got the upgrade is planned."
    assert deed["outcome"] == f"refused: cut over: expected {wanted}"


def test_the_audit_keeps_the_gate_and_the_reason_also_where_no_engine_acts(planned, opened):
    planned.configure(more="\n[[gate]]\nat_least = 0.1\n")
    client = opened(planned)
    client.command("throttle", items_per_second=SLOW, why="lunch")
    client.command("start")
    client.command("throttle", items_per_second=0.0, why="dinner")
    client.until("ready")
    rows = [(d["what"], d["why"], d["gate"]) for d in client.get("/api/audit").json()["deeds"]]
    assert (f"rate {SLOW:g}", "lunch", "nothing measured") in rows
    assert ("rate 0", "dinner", "nothing measured") in rows


def test_quarantine_is_told_tried_again_and_left_behind(home, opened, monkeypatch):
    home.configure(new="picky")
    home.done("build")
    home.done("plan")
    client = opened(home)
    client.command("start")
    told = client.until("ready")
    broken = [name for name, text in home.documents.items() if "w13" in text.split()]
    assert told["quarantined"] == len(broken) > 0
    rows = client.get("/api/quarantine").json()
    assert sorted(row["id"] for row in rows["items"]) == sorted(broken)
    assert all("NaN" in row["reason"] for row in rows["items"])
    assert len(client.get("/api/quarantine?limit=1").json()["items"]) == 1
    refused = client.command("cut-over")
    assert refused.status_code == 409
    assert "quarantined" in refused.json()["expected"]
    monkeypatch.setenv("TOY_MENDED", "1")
    assert f"{len(broken)} items" in client.command("retry").json()["words"]
    client.command("resume")
    assert client.until("ready")["quarantined"] == 0


def test_one_item_is_told_as_one():
    stand = {"todo": 1, "quarantined": 1}
    assert DEEDS["resume"].tells(stand) == "Moving goes on, with 1 item left."
    assert DEEDS["retry"].tells(stand) == "Another try for 1 quarantined item."


def test_a_stage_tells_what_it_does_not_find():
    stand = {"stage": None, "quarantined": 0}
    assert "quarantined" not in DEEDS["stage"].tells(stand)
    told = DEEDS["stage"].tells({**stand, "quarantined": 1})
    assert "1 quarantined item cannot be found on the new side. Stepping back" in told


def test_a_gate_that_fails_pauses_and_says_so(home, opened):
    home.configure(new="awful", judged=True)
    with home.config.open("a") as file:
        file.write('\n[[gate]]\ncell = "mixed@*"\nnot_worse = true\n')
    home.done("build")
    home.done("plan")
    client = opened(home)
    client.command("start")
    told = client.until("paused")
    assert 0.0 < told["share"] < 1.0
    found = client.get("/api/findings").json()
    assert found["rules"] == ["* mixed@*: not worse"]
    failed = [one for one in found["gate"] if one["verdict"] == "fail"]
    assert len(failed) == 1
    assert found["findings"][0]["cell"] == "old/old"
    assert found["findings"][-1]["share"] == pytest.approx(told["share"])


def test_a_model_that_fails_for_good_pauses_with_the_reason(home, opened):
    home.configure(new="broken")
    home.done("build")
    home.done("plan")
    client = opened(home)
    client.command("start")
    told = client.until("paused")
    assert "the model is gone" in told["trouble"]
    assert client.get("/").text.count("the model is gone") >= 1
    assert everything(client, home)
    assert client.command("roll-back").json()["state"] == "rolled back"


def test_an_error_that_nobody_foresaw_is_told_and_nothing_is_said_to_move(client, monkeypatch):
    def assertion(self, *_, **__):
        raise RuntimeError("CUDA error: device-side assert triggered, api_key=abc123")

    monkeypatch.setattr(Engine, "run", assertion)
    client.command("start")
    told = client.until("paused")
    assert told["trouble"] == (
        "RuntimeError: CUDA error: device-side assert triggered, api_key=\u2026"
    )
    assert "device-side assert" in client.get("/").text
    monkeypatch.undo()
    client.command("resume")
    assert client.until("ready")["trouble"] == ""


def test_a_plan_that_cannot_be_changes_nothing(client, planned):
    client.command("roll-back")
    planned.config.write_text(planned.config.read_text() + "\n[nonsense]\n")
    told = client.command("plan")
    assert (told.status_code, told.json()["title"]) == (409, "ConfigError")
    assert client.status()["state"] == "rolled back"
    assert everything(client, planned)


def test_a_plan_for_a_trained_model_that_is_not_there_is_a_conflict_and_no_defect(client, planned):
    client.command("roll-back")
    text = planned.config.read_text()
    old, new = text.index("[new]"), text.index("[upgrade]")
    trained = '[new]\nencoder = "trained"\npath = "nowhere.safetensors"\n\n'
    planned.config.write_text(text[:old] + trained + text[new:])
    told = client.command("plan")
    assert (told.status_code, told.json()["title"]) == (409, "ArtifactError")
    assert client.status()["state"] == "rolled back"


def test_a_long_command_is_answered_before_it_is_done(client):
    client.command("start")
    client.until("ready")
    told = client.command("cut-over", wait=0.0).json()
    assert told["done"] in (True, False)
    assert client.until("cut over")["reads"] == "new"


def test_a_cut_over_in_stages_keeps_a_key_on_its_side(client, planned):
    client.command("start")
    client.until("ready")
    told = client.command("stage", share=0.5, tenants=["acme"], why="carefully").json()
    assert told["state"] == "cutting over", told
    assert "50 % of the traffic, tenants acme" in told["words"]
    text = next(iter(planned.queries.values()))
    first = {key: client.ids(text, 10, key=key) for key in map(str, range(30))}
    assert {key: client.ids(text, 10, key=key) for key in first} == first
    columns = client("POST", "/api/compare", {"text": text}, token=False).json()["columns"]
    old, _, new = ([place["id"] for place in column["places"]] for column in columns)
    assert old != new
    assert client.ids(text, 10, tenant="acme") == new
    on_new = sum(ids == new for ids in first.values())
    assert on_new + sum(ids == old for ids in first.values()) == 30
    assert 5 <= on_new <= 25
    assert client.command("cut-over").json()["state"] == "cut over"
    assert client.ids(text, 10, key="1") == new


def test_in_a_stage_an_answer_says_which_side_it_came_from(client, planned):
    client.command("start")
    client.until("ready")
    client.command("stage", share=0.5, tenants=["acme"], where={"lang": "de"})
    text = next(iter(planned.queries.values()))
    columns = client("POST", "/api/compare", {"text": text}, token=False).json()["columns"]
    assert "depends on who asks" in columns[1]["why_not"]
    sides = {c["name"]: [place["id"] for place in c["places"]] for c in columns}

    def asked(**more):
        body = {"texts": [text], **more}
        told = client("POST", "/api/search", body, token=False).json()
        return told["reads"], [hit["id"] for hit in told["answers"][0]["hits"]]

    for key in map(str, range(20)):
        reads, ids = asked(key=key)
        assert ids == sides[reads]
    assert asked(tenant="acme") == ("new", sides["new"])
    assert asked(where={"lang": "de"})[0] == "new"
    many = client("POST", "/api/search", {"texts": list(planned.queries.values())}, token=False)
    assert many.json()["reads"] == "both"
    figures = client.get("/metrics").text
    assert client.status()["reads"] == "both"
    assert "holdfast_share 0.5" in figures
    count = {
        s: re.search(rf'holdfast_searches_total{{side="{s}"}} (\S+)', figures)[1] for s in sides
    }
    assert float(count["both"]) == 1.0
    assert float(count["old"]) + float(count["new"]) == 22.0
    assert float(count["old"]) > 0.0


def test_a_step_back_leads_everybody_to_the_old_side_and_a_stage_forward_again(client, planned):
    client.command("start")
    client.until("ready")
    assert client.command("step-back").json()["got"] == "the upgrade is ready"
    assert client.status()["stage"] is None
    client.command("stage", share=1.0)
    assert client.status()["reads"] == "new"
    told = client("POST", "/api/commands/step-back", {}).json()
    assert (told["expected"], told["status"]) == (f'"{STEP_BACK}"', 422)
    assert "Everybody reads the old side again, at once" in told["fix"]
    told = client.command("step-back", why="complaints").json()
    assert (told["state"], told["done"]) == ("cutting over", True)
    told = client.status()
    assert (told["stage"]["share"], told["stage"]["held"], told["reads"]) == (1.0, True, "old")
    assert "holdfast_share 0.0" in client.get("/metrics").text
    text = next(iter(planned.queries.values()))
    told = client("POST", "/api/search", {"texts": [text]}, token=False).json()
    assert told["reads"] == "old"
    columns = client("POST", "/api/compare", {"text": text}, token=False).json()["columns"]
    assert columns[1]["places"] == columns[0]["places"] != columns[2]["places"]
    refused = client.command("step-back")
    assert (refused.status_code, refused.json()["got"]) == (409, "everybody reads the old side")
    client.command("stage", share=1.0)
    told = client("POST", "/api/search", {"texts": [text]}, token=False).json()
    assert told["reads"] == "new"
    deeds = client.get("/api/audit").json()["deeds"]
    assert ("step back", "ALICE", "complaints") in [(d["what"], d["who"], d["why"]) for d in deeds]


def test_a_breach_stands_among_the_findings_also_after_a_restart(home, opened):
    home.configure(more="[watch]\nshare = 1.0")
    for command in ("build", "plan", "backfill"):
        home.done(command)
    client = opened(home)
    assert client.get("/api/findings").json()["breach"] is None
    ledger = Project(home.config).ledger()
    finding = Finding("agreement", "live@100%", 0.1, 0.0, 0.2, 9, verdict="fail", note="low")
    told = {"why": "agreement 0.100", "finding": finding.to_json(), "did": "told"}
    ledger.event("breach", told)
    ledger.close()
    client.service.office.close()
    again = opened(home)
    assert again.get("/api/findings").json()["breach"]["finding"] == finding.to_json()
    assert again.status()["breach"]["did"] == "told"
    page = again.get("/").text
    assert "agreement 0.100. Nothing was stopped." in page
    assert page.count("✗ fail") == 1
    assert "holdfast_watch_breach 1.0" in again.get("/metrics").text
    again.command("cut-over")
    assert again.get("/api/findings").json()["breach"] is None
    assert "holdfast_watch_breach 0.0" in again.get("/metrics").text


def test_a_holdover_must_pass_before_finish_or_be_waived(home, opened):
    home.configure(more="holdover_hours = 2.0")
    home.done("build")
    home.done("plan")
    client = opened(home)
    client.command("start")
    client.until("ready")
    client.command("cut-over")
    told = client.command("finish")
    assert (told.status_code, told.json()["got"]) == (409, "2.0 of them still to go")
    assert client.command("finish", early=True, why="sure").json()["state"] == "finished"
    last = client.get("/api/audit").json()["deeds"][-1]
    assert (last["what"], last["who"], last["why"]) == ("delete the old store", "ALICE", "sure")


def test_what_is_watched_is_watched_again_after_a_restart(home, opened):
    home.configure(more="[watch]\nshare = 1.0")
    home.done("build")
    client = opened(home)
    assert "Nothing is watched now: that begins with an upgrade." in client.get("/").text
    client.command("plan")
    client.command("start")
    client.until("ready")
    client.service.office.close()
    again = opened(home)
    for number in range(5):
        again.ids(f"w{number} w1")
    end = time.monotonic() + 240
    while "5 searches compared" not in again.get("/").text and time.monotonic() < end:
        time.sleep(0.05)
    assert "5 searches compared" in again.get("/").text
    figures = again.get("/metrics").text
    assert "holdfast_watch_sampled 5.0" in figures
    assert "holdfast_watch_breach 0.0" in figures


@pytest.mark.parametrize("moving", [True, False])
def test_what_was_cut_off_while_it_measured_goes_on_and_what_was_paused_does_not(
    planned, opened, moving
):
    client = opened(planned)
    client.command("throttle", items_per_second=SLOW)
    client.command("start")
    client.until_moved(0.1)
    if not moving:
        client.command("pause")
    client.service.office.close()
    if moving:  # as a measurement at a tenth leaves it: paused, and the process gone
        ledger = Project(planned.config).ledger()
        ledger.set_state("paused", why="reached 20%")
        ledger.event("rate", {"items_per_second": 0.0})
        ledger.close()
    again = opened(planned)
    if moving:
        assert again.until("ready")["todo"] == 0
    else:
        time.sleep(0.3)
        assert (again.status()["state"], again.status()["running"]) == ("paused", False)
