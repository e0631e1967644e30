"""A disk that fills up while items move: nothing is written past the last room."""

import shutil
from collections import namedtuple

import pytest

from holdfast.upgrade.backfill.room import LEAST
from tests.cli.conftest import ITEMS
from tests.service.conftest import patiently

Disk = namedtuple("Disk", "total used free")


@pytest.fixture
def disk(monkeypatch):
    """Room as it is found at each look, and 5 MB when all these have been."""
    looks = []
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: Disk(0, 0, looks.pop(0) if looks else 5_000_000)
    )
    return looks


def test_moving_pauses_before_the_disk_is_full_and_goes_on_when_there_is_room(
    planned, opened, disk
):
    client = opened(planned)
    disk += [LEAST, LEAST, LEAST]  # the start, and two batches of eight
    assert client.command("start").json()["words"] == "Items move."
    told = client.until("paused")
    assert told["queued"] - told["todo"] == 24
    breach = told["breach"]
    assert breach["did"] == "paused"
    folder = planned.folder / "gallery"
    words = (
        f"room: expected 67 MB of room on the disk of {folder}, got 5 MB. Make room, then resume"
    )
    assert breach["why"] == words
    finding = breach["finding"]
    assert (finding["metric"], finding["cell"], finding["value"]) == ("room, MB", "live@20%", 5.0)
    assert (finding["verdict"], finding["note"][:22]) == ("fail", "must be at least 67 MB")
    page = client.get("/").text
    assert f": {words}. The backfill was paused." in page
    assert f"room: expected 67 MB of room on the disk of {folder}" in planned.done("status")
    deed = client.get("/api/audit").json()["deeds"][-1]
    assert (deed["who"], deed["what"], deed["outcome"]) == ("room", "pause", "done")
    figures = client.get("/metrics").text
    assert "holdfast_disk_free_bytes 5e+06" in figures
    assert "holdfast_watch_breach 1.0" in figures
    assert len(client.ids("w1 w2", k=2 * ITEMS)) == ITEMS

    refused = client.command("resume")
    assert refused.status_code == 503
    assert (refused.json()["who"], refused.json()["got"]) == ("backfill", "5 MB")
    assert refused.json()["fix"] == "Make room, then resume."
    told = client.status()
    assert (told["state"], told["todo"], told["breach"]["time"]) == (
        "paused",
        ITEMS - 24,
        breach["time"],
    )

    disk += [LEAST] * (ITEMS // 8 + 10)
    assert client.command("resume").status_code == 200
    told = client.until("ready")
    assert (told["todo"], told["breach"]) == (0, None)
    assert len(client.ids("w1 w2", k=2 * ITEMS)) == ITEMS


def test_without_room_a_service_starts_and_waits(planned, opened, disk):
    disk += [LEAST] * 1_000
    client = opened(planned)
    assert client("POST", "/api/commands/throttle", {"items_per_second": 20.0}).status_code == 200
    client.command("start")
    moved = client.until_moved(0.1)
    assert moved["running"]
    client.service.office.close()
    disk.clear()
    again = opened(planned)
    told = again.status()
    assert (told["state"], told["running"]) == ("paused", False)
    assert told["trouble"].startswith("backfill: expected 67 MB of room on the disk of")
    assert len(again.ids("w1 w2", k=2 * ITEMS)) == ITEMS
    again.service.office.close()
    disk += [LEAST] * 1_000
    last = opened(planned)  # it goes on by itself, as after any stop
    last("POST", "/api/commands/throttle", {"items_per_second": 0.0})
    told = patiently(last.status, lambda told: told["state"] == "ready" and not told["running"])
    assert told["trouble"] == ""
