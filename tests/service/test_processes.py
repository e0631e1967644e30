"""The service as a process: stopped, killed and started again in the middle, it loses nothing."""

import contextlib
import json
import os
import signal
import socket
import threading
import time

import httpx
import pytest

from tests.cli.conftest import ITEMS
from tests.service.conftest import PATIENCE, TOKEN, answers, patiently, serve

SLOW = {"items_per_second": 6.0}  # twenty seconds for all of them: there is time to stop
CUT = {"confirm": "read the new side alone", "wait": 60}


@pytest.fixture
def slow(home, monkeypatch):
    """Merged without a map, so that no process has to load what fits one."""
    return _slow(home, monkeypatch, 'merge = "calibrated"')


@pytest.fixture
def fused(home, monkeypatch):
    return _slow(home, monkeypatch, "")


def _slow(home, monkeypatch, more):
    monkeypatch.setenv("TOY_SECONDS", "0.02")
    home.configure(new="slow", more=more)
    home.done("build")
    home.done("plan")
    return home


class Writer:
    """Inserts and deletes all the time; remembers what was acknowledged."""

    def __init__(self, running):
        self._running, self._stop = running, threading.Event()
        self.kept, self.gone, self.failed = {}, set(), []
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self):
        number = 0
        with self._running.client() as client:
            while not self._stop.is_set():
                number += 1
                name = f"written-{number}"
                try:
                    self._write(client, name, f"w{number % 60} w{number % 7}")
                    if number % 3 == 0:
                        self._delete(client, f"written-{number - 1}")
                except httpx.TransportError:
                    return  # the service has gone: what was under way is not acknowledged
                time.sleep(0.01)

    def _write(self, client, name, text):
        told = client.put("/api/items", json={"items": [{"id": name, "content": text}]})
        if told.status_code == 200:
            self.kept[name] = text
        else:
            self.failed.append(told.text)

    def _delete(self, client, name):
        self.kept.pop(name, None)
        told = client.post("/api/items/delete", json={"ids": [name]})
        if told.status_code == 200:
            self.gone.add(name)

    def stop(self):
        self._stop.set()
        self._thread.join()


def started(running):
    throttled(running, **SLOW)
    with running.client() as client:
        assert client.post("/api/commands/start", json={}).status_code == 200


def throttled(running, **rate):
    with running.client() as client:
        assert client.post("/api/commands/throttle", json=rate).status_code == 200


def found(running, k=1000):
    with running.client(token=False) as client:
        told = client.post("/api/search", json={"texts": ["w1 w2"], "k": k}).json()
    return [hit["id"] for hit in told["answers"][0]["hits"]]


def holds(home, running, writer):
    """Everything that was acknowledged is there, once; what was deleted is not."""
    names = found(running)
    assert len(names) == len(set(names))
    there = set(names)
    assert set(home.documents) <= there
    assert set(writer.kept) <= there
    assert not there & writer.gone
    unknown = there - set(home.documents) - set(writer.kept)
    assert len(unknown) <= 2  # one write, one delete that was never answered


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_stopped_in_the_middle_it_goes_on_and_has_lost_nothing(fused, served, number):
    running = served(fused)
    started(running)
    running.until(lambda told: told["state"] == "copying")  # now a write goes to both sides
    writer = Writer(running)
    running.until(lambda told: told["share"] > 0.1 and len(writer.kept) > 5)
    code, _, err = running.stop(number)
    writer.stop()
    assert writer.failed == []
    if number == signal.SIGKILL:
        assert code == -signal.SIGKILL
    else:
        assert (code, err) == (0, "")
        assert fused.data("status")["state"] == "paused"
    before = fused.data("status")
    assert 0 < before["todo"] < before["queued"]

    again = served(fused)  # it goes on by itself
    holds(fused, again, writer)
    throttled(again, items_per_second=0.0)
    told = again.until(lambda told: told["state"] == "ready" and not told["running"])
    assert told["todo"] == 0
    holds(fused, again, writer)
    with again.client() as client:
        told = client.post("/api/commands/cut-over", json=CUT)
        assert told.json().get("state") == "cut over", told.text
        holds(fused, again, writer)
        client.post("/api/commands/roll-back", json={"confirm": "read the old side alone"})
    holds(fused, again, writer)


def test_it_waits_for_a_command_when_told_not_to_resume(slow, served):
    running = served(slow)
    started(running)
    running.until(lambda told: told["share"] > 0.05)
    running.stop()
    again = served(slow, "--no-resume")
    time.sleep(0.3)
    told = again.status()
    assert (told["state"], told["running"]) == ("paused", False)


@pytest.mark.parametrize(("grace", "signals"), [("3", 1), ("900", 2)])
def test_a_model_that_never_answers_does_not_hold_up_the_end(slow, served, grace, signals):
    notes = slow.folder / "notes"
    hung = served(
        slow, "--grace", grace, TOY_HUNG=str(notes.with_name("hung")), TOY_NOTES=str(notes)
    )
    with hung.client() as client:
        items = [{"id": "kept", "content": "w1 w2 w3"}]
        assert client.put("/api/items", json={"items": items}).status_code == 200
    started(hung)
    hung.until(lambda told: 0.0 < told["share"] < 1.0 and told["running"])
    searching = threading.Thread(target=lambda: lost(hung))  # its query hangs as well
    searching.start()
    asked(notes, "w1")
    for _ in range(signals - 1):
        hung.process.send_signal(signal.SIGTERM)
        let_nobody_in(hung)  # two signals at once would be one
        patiently(lambda: slow.data("status")["state"], lambda state: state == "paused")
    code, out, err = hung.stop()  # long before the grace of two signals is over
    searching.join()
    assert (code, out) == (2, "")
    told = json.loads(err)
    assert told["got"] == "a batch of the backfill and 1 request that did not"
    assert (
        told["expected"]
        == f"an end of what is under way, in {grace} seconds and before a second signal"
    )
    status = slow.data("status")
    assert (status["state"], status["running"]) == ("paused", False)

    again = served(slow)  # it goes on by itself
    throttled(again, items_per_second=0.0)
    told = again.until(lambda told: told["state"] == "ready" and not told["running"])
    assert told["todo"] == 0
    names = found(again)
    assert sorted(names) == sorted([*slow.documents, "kept"])


def asked(notes, text):
    """Wait until the model was asked for this text alone."""
    patiently(notes.read_text, lambda lines: f'["{text}"]' in lines.splitlines())


def let_nobody_in(running):
    """Wait until the service has heard that it shall end."""
    patiently(lambda: answers(f"{running.address}/health"), lambda status: status is None)


def lost(running):
    """A search that never comes back."""
    with contextlib.suppress(httpx.TransportError), running.client(token=False) as client:
        client.post("/api/search", json={"texts": ["w1"], "k": 3})


def test_a_request_under_way_is_answered_before_the_end(slow, served):
    gate, notes = slow.folder / "gate", slow.folder / "notes"
    running = served(slow, TOY_GATE=str(gate), TOY_NOTES=str(notes))
    client, told = running.client(), []

    def write():
        items = [{"id": "late", "content": "through the gate"}]
        told.append(client.put("/api/items", json={"items": items}).status_code)

    started(running)
    running.until(lambda told: told["state"] == "copying")
    thread = threading.Thread(target=write)
    thread.start()
    asked(notes, "through the gate")
    running.process.send_signal(signal.SIGTERM)
    let_nobody_in(running)
    assert told == []
    gate.touch()
    _, err = running.process.communicate(timeout=PATIENCE)
    thread.join()
    client.close()
    assert (running.process.returncode, err, told) == (0, "", [200])
    assert "late" in found(served(slow, "--no-resume"))


def test_another_process_looks_on_and_may_pause_it(slow, served):
    running = served(slow)
    started(running)
    running.until(lambda told: told["share"] > 0.05)
    told = slow.data("status")
    assert (told["running"], told["pid"]) == (True, running.process.pid)
    assert slow.data("pause")["state"] == "paused"
    told = running.until(lambda told: not told["running"])
    assert told["state"] == "paused"


def test_a_second_service_says_who_holds_the_gallery(planned, served):
    first = served(planned)
    with pytest.raises(RuntimeError) as caught:
        serve(planned)
    told = json.loads(str(caught.value).splitlines()[-1])
    assert f"process {first.process.pid}" in told["got"]


def test_a_port_that_is_taken_is_named(planned):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = planned.refused("serve", "--port", str(port))
    assert f"127.0.0.1:{port}" in refused


def test_it_says_that_it_is_read_only_without_a_token(planned, served):
    running = served(planned, token=None)
    with running.client(token=False) as client:
        told = client.put("/api/items", json={"items": [{"id": "a", "content": "w1"}]})
    assert told.status_code == 403
    assert "HOLDFAST_TOKEN" in told.json()["fix"]
    assert len(found(running)) == ITEMS
    assert TOKEN not in json.dumps(dict(os.environ))
