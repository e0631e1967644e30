"""Clients that dawdle are shown out; an address that is taken is named."""

import asyncio
import signal
import socket
import threading

import pytest

from holdfast.errors import ConfigError
from holdfast.service import server
from holdfast.service.server import _Patience, _quietly, bind
from holdfast.service.settings import Settings


class Connection:
    """What stands below: parses whole lines, and remembers what it was told."""

    def __init__(self):
        self.loop = asyncio.get_running_loop()
        self.transport, self.conn = self, self
        self.their_state, self.aborted, self.told = "IDLE", 0, []

    def abort(self):
        self.aborted += 1

    def connection_made(self, transport):
        self.told.append("made")

    def data_received(self, data):
        self.their_state = "IDLE" if data.endswith(b"...") else "DONE"

    def pause_writing(self):
        self.told.append("pause")

    def resume_writing(self):
        self.told.append("resume")

    def connection_lost(self, exc):
        self.told.append("lost")


class Patient(_Patience, Connection):
    pass


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    monkeypatch.setattr(server, "HEADER_SECONDS", 0.05)
    monkeypatch.setattr(server, "READ_SECONDS", 0.05)


def play(*steps):
    """Carry out steps, a tenth of a second apart where None stands; answers the connection."""

    async def scene():
        patient = Patient()
        patient.connection_made(None)
        for step in steps:
            if step is None:
                await asyncio.sleep(0.1)
            else:
                step(patient)
        patient.connection_lost(None)
        await asyncio.sleep(0.1)
        return patient

    return asyncio.run(scene())


def half(patient):
    patient.data_received(b"GET / HTT...")


def whole(patient):
    patient.data_received(b"GET / HTTP/1.1")


def answered(patient):
    patient.their_state = "IDLE"


@pytest.mark.parametrize(
    ("steps", "aborted"),
    [
        ([None], 1),  # says nothing at all
        ([half, None], 1),
        ([half, half, half, None], 1),
        ([whole, None], 0),
        ([whole, None, answered, None], 0),  # an idle connection is uvicorn's to close
        ([whole, answered, half, None], 1),  # the second request counts too
        ([whole, answered, whole, None], 0),
        ([], 0),  # it has gone by itself
    ],
)
def test_headers_are_due(steps, aborted):
    assert play(*steps).aborted == aborted


@pytest.mark.parametrize(
    ("steps", "aborted"),
    [
        ([whole, Patient.pause_writing, None], 1),
        ([whole, Patient.pause_writing, Patient.resume_writing, None], 0),
        ([whole, Patient.pause_writing, Patient.pause_writing, Patient.resume_writing, None], 0),
        ([whole, Patient.pause_writing], 0),
    ],
)
def test_an_answer_is_to_be_read(steps, aborted):
    patient = play(*steps)
    assert patient.aborted == aborted
    assert patient.told[0] == "made"
    assert patient.told[-1] == "lost"
    assert patient.told.count("pause") == steps.count(Patient.pause_writing)


def test_an_address_that_is_taken_is_named():
    with bind(Settings(port=0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}.*Take another port"):
            bind(Settings(port=port))
    with bind(Settings("::1", 0)) as six:
        assert six.family == socket.AF_INET6


def test_a_signal_ends_the_server_and_not_the_process():
    class Server:
        should_exit = False

    one = Server()
    before = signal.getsignal(signal.SIGTERM)
    with _quietly(one):
        signal.raise_signal(signal.SIGTERM)
    assert one.should_exit
    assert signal.getsignal(signal.SIGTERM) is before


def test_beside_the_main_thread_no_signal_is_touched():
    seen = []

    def run():
        with _quietly(None):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
