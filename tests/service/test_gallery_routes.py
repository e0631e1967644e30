"""Searching and writing over HTTP answers what the gallery itself answers."""

import json
from urllib.parse import quote

import numpy as np
import pytest

from holdfast import Item
from holdfast.encode.base import as_texts
from holdfast.errors import LedgerError, UnfitContent, UpgradeError
from holdfast.service import problem
from holdfast.upgrade.project import Project
from tests.cli import toys
from tests.service.conftest import patiently

SILENT = "the new model gave no answer: toys:away: expected an answer, got none: token=…"


def brute(documents, model, query, k):
    """Ids by a full matrix product."""
    scores = model([query]) @ model(list(documents.values())).T
    names = list(documents)
    return [names[place] for place in np.argsort(-scores[0], kind="stable")[:k]]


def test_a_batch_of_texts_is_answered_as_brute_force_says(still):
    client, planned = still, still.home
    texts = list(planned.queries.values())[:5]
    told = client("POST", "/api/search", {"texts": texts, "k": 7}, token=False).json()
    assert (told["state"], told["reads"], told["share"]) == ("planned", "old", 0.0)
    for text, answer in zip(texts, told["answers"], strict=True):
        assert [hit["id"] for hit in answer["hits"]] == brute(planned.documents, toys.old, text, 7)
        scores = [hit["score"] for hit in answer["hits"]]
        assert scores == sorted(scores, reverse=True)
        assert {hit["payload"]["lang"] for hit in answer["hits"]} <= {"en", "de"}


def test_vectors_of_the_space_answer_as_their_text_does(still):
    client = still
    rows = toys.old(["w1 w2", "w3"])
    name = client.status()["old"]["name"]
    body = {"vectors": {name: rows.tolist()}, "k": 5, "payloads": False}
    answers = client("POST", "/api/search", body, token=False).json()["answers"]
    for text, answer in zip(["w1 w2", "w3"], answers, strict=True):
        assert [hit["id"] for hit in answer["hits"]] == client.ids(text, 5)
        assert {hit["payload"] for hit in answer["hits"]} == {None}


def test_a_filter_is_kept(still):
    client, planned = still, still.home
    found = client.ids("w1 w2", 200, where={"lang": "de"})
    assert sorted(found) == sorted(n for p, n in enumerate(planned.documents) if p % 3 == 0)


def test_what_is_written_is_found_and_what_is_deleted_is_not(client, planned):
    items = [{"id": "a/b c", "content": "w1 w2 w3", "payload": {"lang": "fr", "n": 1}}]
    assert client("PUT", "/api/items", {"items": items}).json() == {"items": 1}
    assert client.ids("w1 w2 w3", 1) == ["a/b c"]
    assert client.get("/api/items/a%2Fb%20c").json()["payload"] == {"lang": "fr", "n": 1}
    assert client("DELETE", "/api/items/a%2Fb%20c").json() == {"items": 1}
    assert client.get("/api/items/a%2Fb%20c").status_code == 404
    assert "a/b c" not in client.ids("w1 w2 w3", 200)
    assert client("POST", "/api/items/delete", {"ids": ["d0", "d1", "gone"]}).json() == {"items": 3}
    assert sorted(client.ids("w1", 200)) == sorted(set(planned.documents) - {"d0", "d1"})


def test_an_id_may_end_with_a_line_break_and_is_no_other_id(client):
    for name in ("d1\n", "a\nb/c\n"):
        path = f"/api/items/{quote(name, safe='')}"
        assert client("DELETE", path).status_code == 200
        assert client.get("/api/items/d1").status_code == 200
        assert client.get(path).status_code == 404
        body = {"items": [{"id": name, "content": "w1 w2"}]}
        assert client("PUT", "/api/items", body).status_code == 200
        assert client.get(path).json()["id"] == name


def test_an_id_in_other_letters_than_utf8_is_no_other_id(client):
    """As "caf\ufffd" it would mean another item, and a delete would be told as done."""
    item = {"id": "caf\ufffd", "content": "w1"}
    assert client("PUT", "/api/items", {"items": [item]}).status_code == 200
    for method in ("GET", "DELETE"):
        told = client(method, "/api/items/caf%E9")
        assert (told.status_code, told.json()["got"]) == (400, "'/api/items/caf%E9'")
    assert client.get("/api/items/caf%EF%BF%BD").json()["id"] == item["id"]


def test_probes_may_ask_for_the_head_alone(still):
    for path in ("/health", "/ready"):
        assert still("HEAD", path, token=False).status_code == 200
    assert still("HEAD", "/api/status", token=False).status_code == 405


@pytest.mark.parametrize("content", [None, 7, ["w1"], "kelp \ud800"])
def test_a_content_that_no_model_reads_is_the_fault_of_who_sent_it(content):
    with pytest.raises(UnfitContent) as told:
        as_texts(["w1", content], "document", "a model")
    assert problem.of_error(told.value)["status"] == 422


def test_a_ledger_that_cannot_be_written_is_the_machine_s_fault_and_no_state_of_the_upgrade():
    full = LedgerError("ledger.sqlite", "a readable ledger", "a disk that is full", "Make room.")
    assert problem.of_error(full)["status"] == 503
    assert problem.of_error(UpgradeError("finish", "cut over", "planned"))["status"] == 409


def test_a_stored_text_that_was_cut_in_half_does_not_break_answers(home, opened):
    cut = {"id": "cut", "text": "w1 w2 w3", "lang": ["a\ud83d", {"\ude00b": "w\ud83d\ude00"}]}
    with (home.folder / "docs.jsonl").open("a") as file:
        file.write(json.dumps(cut) + "\n")
    home.done("build")
    client = opened(home)
    whole = {"lang": ["a\ufffd", {"\ufffdb": "w\U0001f600"}]}
    found = client("POST", "/api/search", {"texts": ["w1 w2 w3"], "k": 1}, token=False)
    ((hit,),) = [answer["hits"] for answer in found.json()["answers"]]
    assert (hit["id"], hit["payload"]) == ("cut", whole)
    assert client.get("/api/items/cut").json()["payload"] == whole
    compared = client("POST", "/api/compare", {"text": "w1 w2 w3"}, token=False).json()
    assert compared["columns"][1]["places"][0]["payload"] == whole
    assert client("POST", "/compare", {"text": "w1 w2 w3"}, token=False).status_code == 200


def test_a_gallery_that_is_its_own_source_keeps_the_content(home, opened):
    text = home.config.read_text().replace('kind = "jsonl"', 'kind = "store-payload"')
    home.config.write_text(
        text.replace('path = "docs.jsonl"\npayload = ["lang"]', 'field = "body"')
    )
    client = opened(home)
    written = {"id": "x", "content": "w1 w2"}
    assert client("PUT", "/api/items", {"items": [written]}).status_code == 200
    assert client.get("/api/items/x").json()["payload"] == {"body": "w1 w2"}
    wrong = {**written, "payload": {"body": "other"}}
    told = client("PUT", "/api/items", {"items": [wrong]})
    assert told.status_code == 422
    assert "payload.body equal to the content" in told.json()["expected"]


@pytest.mark.parametrize(
    ("body", "who"),
    [
        ({"k": 3}, "search"),
        ({"texts": ["a"], "vectors": {"x": [[1.0]]}}, "search"),
        ({"vectors": {"nobody": [[1.0]]}}, "search: vectors"),
        ({"vectors": {}}, "search: vectors"),
        ({"vectors": {"tests.cli.toys:old": [[1.0, 2.0]]}}, "search: vectors"),
        ({"vectors": {"tests.cli.toys:old": [[0.0] * 16]}}, "search: vectors"),
        ({"texts": ["a"], "where": {"lang": {"near": 1}}}, "where.lang"),
        ({"texts": ["a"], "where": {"and": 3}}, "where.and"),
        ({"texts": ["a"], "k": 0}, "body.k"),
        ({"texts": ["a"], "k": 1001}, "body.k"),
        ({"texts": ["a"] * 257}, "body.texts"),
        ({"texts": []}, "body.texts"),
        ({"texts": ["a"], "query": "b"}, "body.query"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_one_form(still, body, who):
    told = still("POST", "/api/search", body, token=False)
    assert told.status_code == 422
    assert told.headers["content-type"] == "application/problem+json"
    data = told.json()
    assert set(data) == {
        *("type", "title", "status", "detail", "who", "expected", "got", "fix"),
    }
    assert data["who"].startswith(who)
    assert data["expected"]
    assert data["got"]


def test_it_answers_what_the_gallery_itself_answers_while_mixed(planned, opened):
    planned.done("backfill", "--until", "30%")
    client = opened(planned)  # who moves items learns as they move; both learn from the same here
    told = client.status()
    assert (told["state"], told["reads"]) == ("paused", "both")
    assert 0.3 <= told["share"] < 0.4
    texts = list(planned.queries.values())[:8]
    over_http = [client.ids(text, 10) for text in texts]
    client.service.office.close()
    gallery = Project(planned.config).gallery()
    try:
        hits = gallery.search(texts, 10)
        assert [[name for name, _ in hits.row(q)] for q in range(len(texts))] == over_http
        gallery.upsert([Item("later", "w5 w6")])
    finally:
        gallery.close()


def test_while_the_new_model_is_away_the_old_one_answers_alone(home, opened, monkeypatch):
    home.configure(new="away")
    home.done("build")
    home.done("plan")
    home.done("backfill", "--until", "60%")
    client = opened(home)
    assert client("POST", "/api/search", {"texts": ["w1"]}).json()["without"] is None
    assert client.status()["silent"] == {}
    monkeypatch.setenv("TOY_AWAY", "1")
    for _ in range(3):
        told = client("POST", "/api/search", {"texts": ["w1 w2"], "k": 7}, token=False).json()
        assert told["without"] == SILENT
        found = [hit["id"] for hit in told["answers"][0]["hits"]]
        assert found == brute(home.documents, toys.old, "w1 w2", 7)
    assert client.status()["silent"] == {"new": "toys:away: expected an answer, got none: token=…"}
    assert "The new model gives no answer" in client.get("/").text
    assert "holdfast_searches_alone_total 3.0" in client.get("/metrics").text
    monkeypatch.delenv("TOY_AWAY")
    patiently(
        lambda: client("POST", "/api/search", {"texts": ["w1"]}).json()["without"],
        lambda without: without is None,
    )
    assert client.status()["silent"] == {}
    events = [kind for _, kind, _ in client.service.office._steward.ledger.events()]
    assert events[-2:] == ["silent", "answers again"]


def test_a_search_with_payloads_does_not_wait_for_items_that_move(client):
    """A move waits for disks, or for a graph that grows: 60 ms on PostgreSQL."""
    asked = {"texts": ["w1 w2"], "k": 5}
    before = client("POST", "/api/search", asked, token=False).json()["answers"]
    assert all(hit["payload"] for hit in before[0]["hits"])
    with client.service.office._steward.using() as gallery, gallery._gate.moving():
        meanwhile = client("POST", "/api/search", asked, token=False).json()["answers"]
    assert meanwhile == before
