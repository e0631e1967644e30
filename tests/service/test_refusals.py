"""Refusals where something is wrong with the service itself: going down, slow, or failing late."""

import asyncio
import json
import threading
import time

import pytest

from holdfast.errors import EncoderMisconfigured, StoreError
from holdfast.service import door
from holdfast.service.live import Live
from holdfast.service.tokens import Sessions
from holdfast.upgrade.project import Project
from tests.cli import toys
from tests.service.conftest import BASE, TOKEN, patiently


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("name", ["", "x" * 1001])
def test_a_name_that_cannot_be_in_a_path_is_the_fault_of_who_asks(still, method, name):
    told = still(method, f"/api/items/{name}")
    assert (told.status_code, told.json()["who"]) == (422, "path.name")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            b"{",
            ("body", "JSON", "Expecting property name enclosed in double quotes at character 1"),
        ),
        (b'{"k": 0}', ("body.k", "a value greater than or equal to 1", "0")),
        (b'{"k": 1.5}', ("body.k", "a valid integer", "1.5")),
        (b'{"k": true}', ("body.k", "a valid integer", "True")),
        (b'{"k": "3"}', ("body.k", "a valid integer", "'3'")),
        (b'{"payloads": "no"}', ("body.payloads", "a valid boolean", "'no'")),
        (b'{"vectors": {"a": [[true]]}}', ("body.vectors.a.0.0", "a valid number", "True")),
        (b'{"texts": []}', ("body.texts", "a list of at least 1 item", "[]")),
        (b'{"texts": ["a"], "key": ""}', ("body.key", "text of at least 1 character", "''")),
        (b'{"texts": ["a", " "]}', ("body.texts.1", "a question with words", "' '")),
        (b'{"where": []}', ("body.where", "a JSON object", "[]")),
        (
            b'{"where": {"n": 36893488147419103232}}',
            ("body.where", "whole numbers of at most 64 bits"),
        ),
        (b'{"why": 1}', ("body.why", "a field of this request", "an unknown one")),
        (b"[]", ("body", "a JSON object", "[]")),
        (b"", ("body", "a value", "none")),
    ],
)
def test_what_is_wrong_with_a_request_is_said_in_our_words(still, body, said):
    told = post(still, body, "application/json")
    parts = told["who"], told["expected"], told["got"]
    assert (told["status"], parts[: len(said)]) == (422, said)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("leave_behind_quarantined", "yes", "a valid boolean"),
        ("early", 1, "a valid boolean"),
        ("share", "0.5", "a valid number"),
        ("items_per_second", True, "a valid number"),
        ("wait", "30", "a valid number"),
    ],
)
def test_a_command_takes_no_word_for_a_number_and_no_number_for_a_yes(still, name, value, expected):
    told = still("POST", "/api/commands/pause", {name: value})
    parts = told.json()["who"], told.json()["expected"], told.json()["got"]
    assert (told.status_code, parts) == (422, (f"body.{name}", expected, repr(value)))


def test_a_reason_is_as_short_as_the_description_says(still):
    form = still.get("/openapi.json").json()["components"]["schemas"]["Command"]["properties"]
    assert form["why"]["maxLength"] == 500
    told = still("POST", "/api/commands/pause", {"why": "x" * 501}).json()
    assert (told["who"], told["expected"]) == ("body.why", "text of at most 500 characters")
    kept = still("POST", "/api/commands/pause", {"why": "x" * 500})
    assert kept.status_code == 409, "nothing moves, but the reason is none too long"


def test_a_whole_number_may_be_written_with_a_point(still):
    told = post(still, b'{"texts": ["w1 w2"], "k": 3.0}', "application/json")
    assert len(told["answers"][0]["hits"]) == 3


def test_rows_of_different_lengths_are_refused_by_their_number(still):
    name = still.status()["old"]["name"]
    rows = json.dumps({"vectors": {name: [[1, 2], [1, 2, 3]]}}).encode()
    assert post(still, rows, "application/json")["got"] == "2 in row 0 and 3 in row 1"


def test_a_body_that_does_not_say_that_it_is_json_is_told_to(still):
    """As curl sends it with -d."""
    told = post(still, b'{"texts": ["w1"]}', "application/x-www-form-urlencoded")
    assert (told["got"], told["fix"]) == (
        "17 bytes of another kind",
        "Send the header: Content-Type: application/json",
    )


def post(client, body, kind):
    return client("POST", "/api/search", content=body, headers={"Content-Type": kind}).json()


def test_a_service_that_goes_down_says_so_to_everybody(planned, opened):
    client = opened(planned)
    client.service.office.close()
    asked = [("GET", path) for path in ("/", "/metrics", "/ready", "/api/items/d1")]
    asked += [("GET", f"/api/{name}") for name in ("status", "findings", "audit", "quarantine")]
    asked += [("GET", "/api/commands"), ("POST", "/api/commands/start")]
    for method, path in asked:
        told = client(method, path, {} if method == "POST" else None)
        assert (told.status_code, told.json()["status"]) == (503, 503), path


def test_a_command_that_comes_while_it_goes_down_is_refused(planned, opened):
    client = opened(planned)
    client.service.office._worker.shutdown()
    told = client("POST", "/api/commands/start", {})
    assert (told.status_code, told.json()["fix"]) == (503, "Try again later.")


def test_a_command_that_waits_when_it_goes_down_is_refused(planned, opened, monkeypatch):
    client = opened(planned)
    office, begun, go, told = client.service.office, threading.Event(), threading.Event(), []

    def start(body, who):
        begun.set()
        return str(go.wait(240))

    monkeypatch.setattr(office, "_start", start)
    threads = [
        threading.Thread(
            target=lambda: told.append(client("POST", "/api/commands/start", {}).status_code)
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
        assert begun.wait(240)
    patiently(office._worker._work_queue.qsize, lambda waiting: waiting == 1)
    office._worker.shutdown(wait=False, cancel_futures=True)
    go.set()
    for thread in threads:
        thread.join()
    assert sorted(told) == [200, 503]


def test_a_command_that_timed_out_is_not_under_way(planned, opened, monkeypatch):
    client = opened(planned)

    def start(body, who):
        raise TimeoutError("a model that does not answer")

    monkeypatch.setattr(client.service.office, "_start", start)
    assert client("POST", "/api/commands/start", {}).status_code == 500
    assert client.status()["command"] is None


def test_a_command_that_fails_when_nobody_waits_any_more_is_told(planned, opened, monkeypatch):
    client = opened(planned)
    office, go = client.service.office, threading.Event()
    start = office._start

    def fail(body, who):
        go.wait(240)
        raise StoreError("store", "room", "a full disk <b>")

    monkeypatch.setattr(office, "_start", fail)
    told = client.command("start", wait=0.0).json()
    assert told["done"] is False
    assert client.status()["command"] == "start"
    go.set()
    told = patiently(client.status, lambda told: told["trouble"])
    assert told["trouble"].startswith("Start: store: expected room, got a full disk")
    assert "a full disk &lt;b&gt;" in client.get("/").text
    assert client.command("roll-back").json()["state"] == "rolled back"
    assert client.status()["trouble"] == ""  # which no start could take away any more
    monkeypatch.setattr(office, "_start", start)
    client.command("plan")
    client.command("start")
    assert client.until("ready")["trouble"] == ""


def test_a_rollback_that_goes_on_by_itself_is_shown_as_under_way(planned, opened, monkeypatch):
    planned.done("backfill")
    ledger = Project(planned.config).ledger()
    ledger.set_state("rolling back")
    ledger.close()
    from holdfast.service.office import Office

    go, roll_back = threading.Event(), Office._roll_back

    def wait(self, body, who):
        go.wait(240)
        return roll_back(self, body, who)

    monkeypatch.setattr(Office, "_roll_back", wait)
    client = opened(planned)
    assert client.status()["command"] == "roll-back"
    go.set()
    assert client.until("rolled back")["reads"] == "old"


def test_a_wrong_token_takes_its_time_wherever_it_is_shown(still, monkeypatch):
    monkeypatch.setattr(door, "_WAIT", 0.5)
    for method, path, body, headers in (
        ("POST", "/session", {"token": "wrong-token-of-some-length"}, {}),
        ("POST", "/api/commands/start", {}, {"Authorization": "Bearer wrong"}),
    ):
        begun = time.monotonic()
        told = still(method, path, body, headers=headers, token=False)
        assert (told.status_code, told.headers["www-authenticate"]) == (401, "Bearer")
        assert time.monotonic() - begun >= 0.5


@pytest.mark.parametrize("token", ["ein-schlüssel-für-alle-türen", "la-clé-est-juste-là"])
def test_a_token_of_any_letters_opens_wherever_it_is_shown(planned, opened, token):
    """Of the à, in UTF-8, the second byte alone would be a space."""
    client = opened(planned, tokens={"ALICE": token})
    headers = {b"Authorization": f"Bearer {token}".encode()}
    body = {"ids": ["nobody"]}
    path = "/api/items/delete"
    assert client("POST", path, body, headers=headers, token=False).status_code == 200
    headers = {b"Authorization": f"Bearer {token}".encode("latin-1")}
    assert client("POST", path, body, headers=headers, token=False).status_code == 401
    assert client("POST", "/session", {"token": token}, token=False).status_code == 200


def test_behind_tls_the_cookie_does_not_leave_it(still):
    def cookie(origin):
        headers = {"Origin": origin}
        told = still("POST", "/session", {"token": TOKEN}, headers=headers, token=False)
        return told.headers["set-cookie"]

    assert "Secure" in cookie(BASE.replace("http:", "https:"))
    assert "Secure" not in cookie(BASE)


def test_many_may_sign_in_at_once(monkeypatch):
    monkeypatch.setattr("holdfast.service.tokens._SESSIONS", 8)
    sessions, wrong = Sessions(), []

    def begin():
        try:
            for _ in range(300):
                sessions.begin("alice")
        except (KeyError, RuntimeError) as error:
            wrong.append(error)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(sessions._open) == 8


def test_what_looks_like_a_secret_in_a_reason_is_not_shown(still):
    ledger = Project(still.home.config).ledger()
    ledger.enqueue(["d1"])
    ledger.quarantine({"d1": "401: api_key=abc123"})
    ledger.close()
    page = still.get("/").text
    assert "401: api_key=…" in page
    assert "abc123" not in page


def test_what_looks_like_a_secret_in_a_models_answer_is_not_shown(
    planned, opened, monkeypatch, caplog
):
    def refuses(texts):
        raise EncoderMisconfigured("m at http://host:80/v1", "vectors", "401: api_key=abc123")

    planned.done("backfill", "--until", "10%")
    monkeypatch.setattr(toys, "new", refuses)
    client = opened(planned)
    asked = client("POST", "/api/compare", {"text": "w1"}, token=False).text
    client.command("resume")
    told = patiently(client.status, lambda told: told["trouble"])["trouble"]
    for text in (asked, told, caplog.text):
        assert "m at http://host:80/v1: expected vectors, got 401: api_key=…" in text
        assert "abc123" not in text


def test_a_look_that_fails_does_not_leave_pages_that_never_change():
    looks = iter([{"a": "1"}, OSError("a defect"), {"a": "2"}])

    def look():
        told = next(looks, {"a": "3"})
        if isinstance(told, Exception):
            raise told
        return told

    async def scene():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        live = Live(look, every=0.01)
        first = [message async for message in live.stream()]  # it ends when the look fails
        again = live.stream()
        await anext(again)
        told = await anext(again)
        await again.aclose()
        return first, told

    first, told = asyncio.run(asyncio.wait_for(scene(), 60.0))
    assert len(first) == 2
    assert '"a": "1"' in first[1]
    assert '"a": "2"' in told
