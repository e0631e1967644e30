"""A service over a small gallery: in this process through its ASGI face, or in one of its own."""

import asyncio
import contextlib
import json
import os
import queue
import re
import signal
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

TOKEN = "a-token-that-nobody-guesses"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
BASE = "http://127.0.0.1:8111"


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
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result(60)

    def get(self, path, **more):
        return self("GET", path, token=False, **more)

    def command(self, name, **body):
        """Told in the right words, and waited for."""
        needed = {one["name"]: one["confirm"] for one in self.get("/api/commands").json()}
        return self("POST", f"/api/commands/{name}", {"confirm": needed[name], "wait": 60, **body})

    def status(self):
        return self.get("/api/status").json()

    def until(self, *states, seconds=30.0):
        """The status once the upgrade is in one of these states and nothing moves."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            told = self.status()
            if told["state"] in states and not told["running"]:
                return told
            time.sleep(0.02)
        raise TimeoutError(told)

    def ids(self, text, k=10, **more):
        found = self("POST", "/api/search", {"texts": [text], "k": k, **more}, token=False)
        assert found.status_code == 200, found.text
        return [hit["id"] for hit in found.json()["answers"][0]["hits"]]

    def close(self):
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result(10)
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


@dataclass
class Running:
    """`holdfast serve` in a process of its own."""

    process: subprocess.Popen[str]
    address: str
    log: "queue.Queue[str]" = field(default_factory=queue.Queue)

    def client(self, token=True) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers=BEARER if token else {}, timeout=30)

    def status(self):
        return httpx.get(f"{self.address}/api/status", timeout=30).json()

    def until(self, reached, seconds=60.0):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            told = self.status()
            if reached(told):
                return told
            time.sleep(0.05)
        raise TimeoutError(told)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def serve(home, *options, token=TOKEN, **environment) -> Running:  # noqa: F811
    """Start it and wait until it says where."""
    known = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
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
        raise RuntimeError(process.communicate(timeout=60)[1])
    running = Running(process, json.loads(line)["address"].rstrip("/"))
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", running.address)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{running.address}/ready", timeout=5).status_code == 200:
                return running
        time.sleep(0.02)
    raise TimeoutError("not ready")


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
        process.communicate(timeout=60)
