"""A service leaves its cores to searches, and not all of its threads."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdfast.service.limits import Limits
from tests.cli import toys
from tests.service.conftest import PATIENCE, patiently

PROGRAM = """
import json, os, sys
import numpy
from threadpoolctl import threadpool_info
from holdfast.service.threads import share_cores
share_cores()
blas = [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]
print(json.dumps([blas, sys.getswitchinterval(), os.environ["OMP_WAIT_POLICY"]]))
"""


def test_products_of_arrays_take_one_thread_and_turns_are_short():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    blas, turn, _ = json.loads(done.stdout)
    assert blas
    assert set(blas) == {1}
    assert turn == 0.001


@pytest.mark.parametrize(("told", "wanted"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_of_models_do_not_spin_unless_somebody_wants_them_to(told, wanted):
    known = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env=known | ({"OMP_WAIT_POLICY": told} if told else {}),
    )
    assert json.loads(done.stdout)[2] == wanted


def test_a_model_that_hangs_keeps_nobody_from_looking_on_and_rolling_back(
    planned, opened, monkeypatch
):
    let_go, asked, real = threading.Event(), [], toys.old

    def hangs(texts):
        if "hangs" in texts:
            asked.append(threading.get_ident())
            assert let_go.wait(2 * PATIENCE)
        return real(texts)

    monkeypatch.setattr(toys, "old", hangs)
    client = opened(planned)
    body = {"texts": ["hangs"]}
    with ThreadPoolExecutor(60) as pool:
        try:
            found = [pool.submit(client, "POST", "/api/search", body) for _ in range(60)]
            patiently(lambda: len(asked), lambda count: count >= 40)  # all the framework has
            assert client.get("/ready").json() == {"ready": True}
            assert client.status()["state"] == "planned"
            assert client.get("/").status_code == 200
            assert client.command("roll-back").json()["state"] == "rolled back"
            assert not any(each.done() for each in found)
        finally:
            let_go.set()
        assert {each.result().status_code for each in found} == {200}


def test_requests_that_wait_for_a_model_leave_room_for_others():
    async def wait():
        let_go = asyncio.Event()

        async def app(scope, receive, send):
            if scope["path"] == "/api/search":
                await let_go.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        limits = Limits(app, asked=2)

        async def ask(path):
            said = []

            async def receive():
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message):
                said.append(message)

            await limits({"type": "http", "path": path, "headers": []}, receive, send)
            return said[0]["status"], dict(said[0]["headers"]).get(b"retry-after")

        first = [asyncio.create_task(ask("/api/search")) for _ in range(2)]
        while limits._asking < 2:
            await asyncio.sleep(0)
        assert await ask("/api/search") == (503, b"1")
        assert await ask("/api/status") == (200, None)
        let_go.set()
        assert await asyncio.gather(*first) == [(200, None)] * 2
        assert await ask("/api/search") == (200, None)

    asyncio.run(wait())
