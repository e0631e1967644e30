"""Stopping: by a signal, by a command, by death; and looking on from another process."""

import json
import re
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import ITEMS, Home

PATIENCE = 240.0  # seconds: only a failure takes as long
# How long an orderly end may take once a model was given up: this machine may be a busy one.
PATIENT = "from holdfast.cli import wish; wish._LAST = 240.0"
# It waits for a word of ours instead of for so many seconds.
TOLD = """
import os, pathlib, time, types
from holdfast.cli import wish
def wait(seconds, end=time.monotonic() + 600.0):
    while not pathlib.Path(os.environ["MAY_LEAVE"]).exists() and time.monotonic() < end:
        time.sleep(0.02)
wish.time = types.SimpleNamespace(sleep=wait)
"""
QUICK = 'merge = "calibrated"'  # no map is fitted, and no process loads what fits one
BUSY = {"TOY_SECONDS": "1.0"}  # 15 batches of 8 items: on a busy machine, too, it is not done soon


@pytest.fixture
def slow(home, monkeypatch) -> Home:
    """Slow in processes of their own that say so."""
    monkeypatch.setenv("TOY_SECONDS", "0.0")
    home.configure(new="slow", more=QUICK)
    home.done("build")
    home.done("plan")
    return home


def wait_for_items(home, count=8, seconds=PATIENCE):
    """Until that many items have moved; answers the status then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status = home.data("status")
        if status["queued"] and status["queued"] - status["todo"] >= count:
            return status
        time.sleep(0.05)
    raise TimeoutError(status)


def wait_for_file(path, seconds=PATIENCE):
    """Until a model says that it is at what it will not end."""
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.02)


def wait_until_taken(process, number):
    """Until the system has handed a signal over: of two that wait there would be one."""
    status, until = Path(f"/proc/{process.pid}/status"), time.monotonic() + PATIENCE
    if not status.exists():  # not Linux, or it has ended
        time.sleep(0.3)
    while status.exists() and process.poll() is None:
        waiting = re.search(r"^ShdPnd:\s*(\w+)$", status.read_text(), re.M)
        if not int(waiting[1], 16) & 1 << (number - 1):
            return
        assert time.monotonic() < until
        time.sleep(0.01)


def complete(home):
    """All items are found, each once, and the upgrade comes to its end."""
    assert home.data("backfill")["state"] == "ready"
    assert home.data("cutover")["mended"] == {"missing": 0, "stale": 0, "doubled": 0, "deleted": 0}
    found = [name for name, _ in home.found("w1 w2", k=2 * ITEMS)]
    assert sorted(found) == sorted(home.documents)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_pauses_after_the_batch_under_way(slow, number):
    process = slow.process("backfill", "--json", **BUSY)
    wait_for_items(slow)
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    data = json.loads(out)
    assert data["state"] == "paused"
    assert data["paused_by"] == {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}[number]
    assert 0.0 < data["share"] < 1.0
    assert slow.data("status")["state"] == "paused"
    complete(slow)


def test_a_second_signal_stops_at_once(slow, tmp_path):
    stuck = tmp_path / "stuck"  # the second batch outlasts all
    process = slow.process("backfill", first=PATIENT, TOY_STUCK=str(stuck))
    wait_for_file(stuck)
    process.send_signal(signal.SIGINT)
    while "Pausing" not in (line := process.stderr.readline()):  # two at once would be one
        assert line
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)  # the model itself takes longer
    assert (process.returncode, out) == (130, "")
    assert "Interrupted." in err
    assert slow.data("status")["state"] == "paused"
    complete(slow)


def test_a_model_that_hangs_is_given_up_when_the_grace_is_over(slow, tmp_path):
    stuck = tmp_path / "stuck"
    process = slow.process(
        "backfill", "--json", "--grace", "0.5", first=PATIENT, TOY_STUCK=str(stuck)
    )
    wait_for_file(stuck)
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)  # once
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert json.loads(err)["message"] == "Interrupted."
    assert 0.5 < time.monotonic() - begun < PATIENCE  # the model itself takes longer
    assert slow.data("status")["state"] == "paused"
    complete(slow)


@pytest.mark.parametrize(("grace", "signals"), [("0.5", 1), ("900", 2)])
def test_a_model_that_never_answers_does_not_hold_up_the_end(slow, grace, signals, tmp_path):
    hung = tmp_path / "hung"
    process = slow.process("backfill", "--json", "--grace", grace, TOY_HUNG=str(hung))
    wait_for_file(hung)
    for _ in range(signals):
        process.send_signal(signal.SIGINT)
        wait_until_taken(process, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    told = json.loads(err)
    assert told["expected"].startswith(f"an end of the batch under way, in {grace} seconds")
    assert told["fix"] == "It is moved again. To go on: holdfast backfill."
    status = slow.data("status")
    assert (status["state"], status["running"]) == ("copying", False)
    assert "cut off" in slow.done("status")
    complete(slow)


def test_threads_that_hang_do_not_hold_up_the_end(home, tmp_path):
    """The engine ends in good order; the interpreter would wait for its threads for ever."""
    home.configure(new="slow", more=f"workers = 2\n{QUICK}")
    home.done("build")
    home.done("plan")
    hung, may_leave = tmp_path / "hung", tmp_path / "may-leave"
    process = home.process(
        *("backfill", "--json", "--grace", "0.5"),
        first=TOLD,
        TOY_HUNG=str(hung),
        MAY_LEAVE=str(may_leave),
    )
    wait_for_items(home)
    wait_for_file(hung)
    process.send_signal(signal.SIGINT)
    while "Interrupted." not in (line := process.stderr.readline()):
        assert line
    assert process.poll() is None
    may_leave.touch()
    out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (130, "")
    assert home.data("status")["state"] == "paused"
    complete(home)


def test_killed_in_the_middle_and_started_again(slow):
    process = slow.process("backfill", **BUSY)
    wait_for_items(slow)
    process.kill()
    process.communicate(timeout=PATIENCE)
    status = slow.data("status")
    assert (status["state"], status["running"]) == ("copying", False)
    assert "cut off" in slow.done("status")
    assert "is gone" in slow.run("pause").stderr
    found = [name for name, _ in slow.found("w1 w2", k=2 * ITEMS)]
    assert sorted(found) == sorted(slow.documents)
    complete(slow)


def test_others_look_on_ask_for_a_pause_and_are_kept_out(slow):
    process = slow.process("backfill", "--json", **BUSY)
    status = wait_for_items(slow)
    assert (status["state"], status["running"], status["pid"]) == ("copying", True, process.pid)
    assert 0.0 < status["share"] < 1.0

    kept_out = slow.run("search", "w1")
    assert kept_out.exit_code == 2
    assert f"held by process {process.pid}" in kept_out.stderr
    assert f"process {process.pid}" in slow.data("inspect")["stores"]["old"]["problem"]

    assert slow.data("pause") == {"state": "paused", "answered": True}
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert json.loads(out)["state"] == "paused"
    complete(slow)


def test_a_wish_from_before_does_not_stop_a_new_run(planned):
    from holdfast.upgrade.ledger import Ledger

    ledger = Ledger(planned.folder / "gallery" / "ledger.sqlite")
    ledger.ask("pause")
    ledger.close()
    assert planned.data("backfill")["state"] == "ready"
