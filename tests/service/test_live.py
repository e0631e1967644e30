"""The event stream, the figures for Prometheus, latency and tempo."""

import asyncio
import contextlib
import itertools
import json
import re
import threading

import httpx
import numpy as np
import pytest

from holdfast.service.live import Live
from holdfast.service.settings import STREAMS
from holdfast.service.tempo import SIDES, WINDOW, Latency, Tempo
from tests.service.visits import TOKEN


def numbers(client):
    """Name with labels -> value."""
    told = client.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    lines = [line for line in told.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_the_title_of_the_page_says_the_state(still):
    assert "<title>Planned · Holdfast</title>" in still.get("/").text


def test_the_limit_of_the_plan_is_shown_until_another_is_asked_for(home, opened):
    home.configure(more="rate = 0.01")
    home.done("build")
    home.done("plan")
    client = opened(home)
    for limit in (0.01, 0.02, 0.0):
        assert client.status()["rate_limit"] == limit
        page = client.get("/").text
        assert re.search(r'<input id="rate"[^>]* value="([^"]*)"', page)[1] == f"{limit:g}"
        assert (f"{limit:g} a second" in page) == bool(limit)
        client.command("throttle", items_per_second=0.02 if limit == 0.01 else 0.0)


def test_nothing_is_to_move_after_a_rollback(planned, opened):
    planned.done("backfill", "--until", "10%")
    planned.done("rollback")
    client = opened(planned)
    assert client.status()["todo"] == numbers(client)["holdfast_rows_lag"] == 0.0


def test_metrics_are_the_ledgers_and_the_searches_own(client, planned):
    before = numbers(client)
    assert before["holdfast_items"] == 120.0
    assert before["holdfast_share"] == 0.0
    assert before["holdfast_rows_lag"] == client.status()["todo"] == 120  # none is queued yet
    assert before['holdfast_searches_total{side="old"}'] == 0.0
    assert before['holdfast_state{state="planned"}'] == 1.0
    for _ in range(3):
        client("POST", "/api/search", {"texts": ["w1", "w2"]}, token=False)
    client.command("throttle", items_per_second=6.0)  # twenty seconds: there is time to pause
    client.command("start")
    client.until_moved(0.1)
    client.command("pause")
    client.ids("w1")
    told, after = client.status(), numbers(client)
    assert after["holdfast_rows_done"] == 120.0 - told["todo"] > 0.0
    assert after["holdfast_rows_lag"] == told["todo"]
    assert after["holdfast_rows_failed"] == 0.0
    assert after["holdfast_share"] == pytest.approx(told["share"])
    assert after['holdfast_searches_total{side="old"}'] == 3.0
    assert after['holdfast_queries_total{side="old"}'] == 6.0
    assert after['holdfast_searches_total{side="both"}'] == 1.0
    assert after['holdfast_search_seconds_count{side="old"}'] == 3.0
    assert after['holdfast_state{state="paused"}'] == 1.0
    assert sum(v for k, v in after.items() if k.startswith("holdfast_state")) == 1.0
    assert "holdfast_cost_spent" not in after  # no price is known
    client("PUT", "/api/items", {"items": [{"id": "x", "content": "w1"}]})
    client("POST", "/api/items/delete", {"ids": ["x", "y"]})
    assert numbers(client)['holdfast_writes_total{kind="upserted"}'] == 1.0
    assert numbers(client)['holdfast_writes_total{kind="deleted"}'] == 2.0


def test_cost_follows_from_the_table_of_prices(planned, served):
    table = planned.folder / "prices.toml"
    table.write_text('currency = "EUR"\n[models.default]\nper_million_tokens = 2.0\n')
    running = served(planned, "--prices", str(table))
    with running.client() as client:
        client.post("/api/commands/start", json={})
        running.until(lambda told: told["state"] == "ready" and not told["running"])
        text = client.get("/metrics").text
    tokens = float(re.search(r"^holdfast_tokens_spent (\S+)$", text, re.M)[1])
    spent = float(re.search(r"^holdfast_cost_spent (\S+)$", text, re.M)[1])
    first = sorted(planned.documents)[:64]  # the source is looked at from its beginning
    mean = np.mean([len(text) for text in list(planned.documents.values())[:64]])
    assert first
    assert tokens == pytest.approx(120 * mean / 4.0, abs=1.0)
    assert spent == pytest.approx(120 * mean / 4.0 * 2.0 / 1e6)
    assert re.search(r"^holdfast_cost_left 0.0$", text, re.M)


def test_every_part_comes_at_once_and_then_what_changes(planned, served):
    running = served(planned)
    seen, names = {}, []
    with running.client(token=False) as client, client.stream("GET", "/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "event-stream" in stream.headers["content-type"]
        starter = threading.Thread(target=start, args=(running,))
        for line in stream.iter_lines():
            if line.startswith("data: "):
                told = json.loads(line.removeprefix("data: "))
                names.append(sorted(told))
                seen |= told
                if len(names) == 1:
                    starter.start()
                if ">ready<" in seen["head"]:
                    break
        starter.join()
    assert len(names[0]) == 12
    assert "100 %" in seen["progress"]
    assert len(names) > 1
    assert all("quarantine" not in later for later in names[1:])  # it has not changed


def start(running):
    with running.client() as client:
        client.post("/api/commands/start", json={})


def test_a_stop_ends_the_streams(planned, served):
    running = served(planned)
    with running.client(token=False) as client, client.stream("GET", "/events") as stream:
        lines = stream.iter_lines()
        while not next(lines).startswith("data: "):
            pass
        code, _, err = running.stop()
        assert (code, err) == (0, "")  # not given up when its time was over
        with contextlib.suppress(httpx.TransportError):
            assert len(list(lines)) < 10  # it ends


def test_nobody_looks_while_nobody_looks_on():
    looks = []

    def look():
        looks.append(1)
        return {"a": str(len(looks))}

    async def scene():
        live = Live(look, every=0.01)
        stream = live.stream()
        assert await anext(stream) == "retry: 1000\n\n"
        assert json.loads((await anext(stream)).split("data: ")[1]) == {"a": "1"}
        assert json.loads((await anext(stream)).split("data: ")[1]) == {"a": "2"}
        await stream.aclose()
        await asyncio.wait_for(live._task, 60.0)  # the last look is over
        before = len(looks)
        await asyncio.sleep(0.1)
        return before

    assert asyncio.run(scene()) == len(looks)


def test_a_reader_that_does_not_read_is_let_go():
    count = itertools.count()

    def look():
        return {"a": str(next(count))}

    async def scene():
        live = Live(look, every=0.001)
        slow, quick = live.stream(), live.stream()
        await anext(slow)
        await anext(quick)
        for _ in range(60):
            await anext(quick)
        told = [message async for message in slow]
        await quick.aclose()
        return told

    assert asyncio.run(asyncio.wait_for(scene(), 60.0)) == []


def test_who_is_welcome_no_more_is_told_nothing_more():
    count, told = itertools.count(), []

    async def scene():
        live = Live(lambda: {"a": str(next(count))}, every=0.001)
        async for message in live.stream(lambda: len(told) < 5):
            told.append(message)
        return live.full, len(live._readers)

    assert asyncio.run(asyncio.wait_for(scene(), 60.0)) == (False, 0)
    assert len(told) == 5


def test_a_stream_ends_when_its_reader_is_signed_out(planned, served):
    running = served(planned, "--private")
    with running.client(token=False) as client:
        told = client.post("/session", json={"token": TOKEN})
        headers = {"Cookie": told.headers["set-cookie"].split(";")[0], "X-Holdfast": "page"}
        with client.stream("GET", "/events", headers=headers) as stream:
            lines = stream.iter_lines()
            while not next(lines).startswith("data: "):
                pass
            assert client.delete("/session", headers=headers).status_code == 204
            signs = (line for line in lines if line.startswith(":"))  # of life
            assert len(list(itertools.islice(signs, 3))) < 3, "it goes on"
        assert client.get("/events", headers=headers).status_code == 401


def test_there_is_an_end_to_how_many_look_on():
    async def scene():
        live = Live(dict, every=0.01)
        streams = [live.stream() for _ in range(STREAMS)]
        for stream in streams:
            await anext(stream)
        full = live.full
        await streams[0].aclose()
        return full, live.full

    assert asyncio.run(scene()) == (True, False)


def test_latency_is_told_by_side_and_forgets():
    now = [0.0]
    latency = Latency(lambda: now[0])
    took = np.random.default_rng(0).gamma(2.0, 0.01, size=500)
    for seconds in took:
        now[0] += 0.1
        latency.note("both", float(seconds))
    old, both, new = latency.spells()
    assert [spell.side for spell in (old, both, new)] == list(SIDES)
    assert (old.searches, both.searches) == (0, 500)
    assert both.p50 == pytest.approx(np.quantile(took, 0.5))
    assert both.p99 == pytest.approx(np.quantile(took, 0.99))
    ages = [age for age, _ in both.pieces]
    assert ages == sorted(ages, reverse=True)
    now[0] += WINDOW + 0.01
    assert latency.spells()[1].searches == 0


def test_tempo_is_what_moved_over_the_last_seconds():
    now = [0.0]
    tempo = Tempo(lambda: now[0])
    assert tempo.rate == 0.0
    for second in range(100):
        now[0] = float(second)
        tempo.note(10 * second if second < 50 else 500 + 30 * (second - 50))
    assert tempo.rate == pytest.approx(30.0)
    now[0] += 60.0
    assert tempo.rate == 0.0
    tempo.reset()
    assert tempo.rate == 0.0
