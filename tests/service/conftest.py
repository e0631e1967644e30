"""A service over a small gallery: in this process through its ASGI face, or in one of its own."""

import asyncio
import contextlib
import json
import os
import queue
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import httpx
import pytest

from holdfast.service.serve import Service, compose
from holdfast.service.settings import Settings
from holdfast.service.tokens import Tokens
from holdfast.upgrade.project import Project
from tests.cli.conftest import home, make_home, planned  # noqa: F401 - fixtures
from tests.house.tree import ROOT
from tests.service.visits import TOKEN, browser, visit  # noqa: F401 - fixtures

BEARER = {"Authorization": f"Bearer {TOKEN}"}
BASE = "http://127.0.0.1:8111"


PATIENCE = 180.0  # seconds: only a failure takes as long, whatever else the machine does


def patiently(ask, reached):
    """What is told, once it is as it should be."""
    end = time.monotonic() + PATIENCE
    while True:
        told = ask()
        if reached(told):
            return told
        if time.monotonic() > end:
            raise TimeoutError(told)
        time.sleep(0.02)


class Client:
    """Asks an app in this process; it lives on an event loop in a thread of its own."""

    def __init__(self, service: Service):
        self.service = service
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        transport = httpx.ASGITransport(service.app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url=BASE)
        service.office.open()

    def __call__(self, method, path, body=None, headers=None, token=True, **more):
        known = {**(BEARER if token else {}), **(headers or {})}
        self._client.cookies.clear()
        asked = self._client.request(method, path, json=body, headers=known, **more)
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(PATIENCE)

    def get(self, path, **more):
        return self("GET", path, token=False, **more)

    def command(self, name, **body):
        """Told in the right words, and waited for."""
        needed = {one["name"]: one["confirm"] for one in self.get("/api/commands").json()}
        return self("POST", f"/api/commands/{name}", {"confirm": needed[name], "wait": 60, **body})

    def status(self):
        return self.get("/api/status").json()

    def until(self, *states):
        """The status once the upgrade is in one of these states and nothing moves."""
        return patiently(self.status, lambda told: told["state"] in states and not told["running"])

    def until_moved(self, share):
        """The status once so much has moved."""
        return patiently(self.status, lambda told: told["share"] >= share)

    def ids(self, text, k=10, **more):
        found = self("POST", "/api/search", {"texts": [text], "k": k, **more}, token=False)
        assert found.status_code == 200, found.text
        return [hit["id"] for hit in found.json()["answers"][0]["hits"]]

    def close(self):
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result(PATIENCE)
        self.service.office.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def opened():
    """Opens clients and closes them at the end."""
    with contextlib.ExitStack() as stack:

        def open_client(home, tokens=None, **settings):
            known = {"ALICE": TOKEN} if tokens is None else tokens
            service = compose(Project(home.config), Settings(tokens=Tokens(known), **settings))
            client = Client(service)
            stack.callback(client.close)
            return client

        yield open_client


@pytest.fixture
def client(planned, opened):  # noqa: F811
    """Over a gallery whose upgrade is planned."""
    return opened(planned)


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    """One for all tests of a file that change nothing."""
    made = make_home(tmp_path_factory.mktemp("still") / "home")
    made.done("build")
    made.done("plan")
    service = compose(Project(made.config), Settings(tokens=Tokens({"ALICE": TOKEN})))
    client = Client(service)
    client.home = made
    yield client
    client.close()


@pytest.fixture(scope="module")
def standing(tmp_path_factory):
    """In a process of its own, for all tests of a file that change nothing."""
    made = make_home(tmp_path_factory.mktemp("standing") / "home")
    made.done("build")
    made.done("plan")
    running = serve(made)
    yield running
    _end(running.process)


@dataclass
class Running:
    """`holdfast serve` in a process of its own."""

    process: subprocess.Popen[str]
    address: str
    log: "queue.Queue[str]" = field(default_factory=queue.Queue)

    def client(self, token=True) -> httpx.Client:
        return httpx.Client(
            base_url=self.address, headers=BEARER if token else {}, timeout=PATIENCE
        )

    def status(self):
        return httpx.get(f"{self.address}/api/status", timeout=PATIENCE).json()

    def until(self, reached):
        return patiently(self.status, reached)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


def quiet_port() -> int:
    """A free port that no connection of this machine is given by chance, to be taken twice."""
    for port in random.Random(os.getpid()).sample(range(20_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port between 20,000 and 30,000")


def serve(home, *options, token=TOKEN, **environment) -> Running:  # noqa: F811
    """Start it and wait until it says where."""
    known = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **environment}
    known.pop("HOLDFAST_TOKEN", None)
    if token:
        known["HOLDFAST_TOKEN"] = token
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast", *home.words("serve", "--port", "0", "--json", *options)],
        env=known,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(process.communicate(timeout=PATIENCE)[1])
    running = Running(process, json.loads(line)["address"].rstrip("/"))
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", running.address)
    patiently(lambda: answers(f"{running.address}/ready"), lambda status: status == 200)
    return running


def answers(address):
    """The status; None while nobody listens."""
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(address, timeout=PATIENCE).status_code


@pytest.fixture
def served():
    """Starts services and sees to it that none is left."""
    with contextlib.ExitStack() as stack:

        def start(*given, **environment):
            running = serve(*given, **environment)
            stack.callback(_end, running.process)
            return running

        yield start


def _end(process):
    if process.poll() is None:
        process.kill()
    with contextlib.suppress(ValueError):
        process.communicate(timeout=PATIENCE)
