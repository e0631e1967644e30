"""Processes that are killed: what was acknowledged is found again, by a process that is new."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.store.faiss_victim import GROUPS, WIDTH, names_of, rows_of

pytest.importorskip("faiss", reason="needs holdfast[faiss]")

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(script: str, *arguments: object) -> dict:
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def write_and_kill(folder: Path, seed: int, lines: int, seconds: float) -> list[list[str]]:
    """What the victim said before it was killed, some time after a line; the first is "open"."""
    victim = subprocess.Popen(
        [sys.executable, str(HERE / "faiss_victim.py"), str(folder), str(seed)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        text=True,
    )
    said = [victim.stdout.readline() for _ in range(lines)]
    reader = threading.Thread(target=lambda: said.extend(victim.stdout))
    reader.start()
    time.sleep(seconds)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    reader.join()
    victim.stdout.close()
    assert said[0] == "open\n"
    return [line.split() for line in said[1:] if line.endswith("\n")]


def after(state, verb: str, step: int):
    """State of a group: None, or (step, hidden)."""
    if verb == "upsert":
        return step, bool(state and state[1])
    if verb == "delete" or state is None:
        return None if verb == "delete" else state
    return {"hide": (state[0], True), "unhide": (state[0], False)}.get(verb, state)


def states_of(found: dict) -> dict[int, tuple[int, bool] | None]:
    """What was found, by group; fails where a group is not whole or a row is not itself."""
    rows = {row[0]: row[1:] for row in found["rows"]}
    assert len(rows) == len(found["rows"]) == found["len"]
    assert found["visible"] == sum(not hidden for _, _, hidden, _, _ in rows.values())
    states = {}
    for group in range(GROUPS):
        names = names_of(group)
        there = [rows.pop(name) for name in names if name in rows]
        assert len(there) in (0, WIDTH), f"half of group {group}"
        if not there:
            states[group] = None
            continue
        (step,) = {row[0] for row in there}
        (hidden,) = {row[2] for row in there}
        assert {row[1] for row in there} == {step}
        assert [row[3] for row in there] == rows_of(group, step).tolist()
        hits = sum(row[4] == name for row, name in zip(there, names, strict=True))
        assert hits == 0 if hidden else hits >= 0.9 * WIDTH  # the index forgets or finds them
        states[group] = (step, hidden)
    assert not rows
    return states


def test_what_was_acknowledged_survives_being_killed(tmp_path):
    states, said = dict.fromkeys(range(GROUPS)), []
    for seed, many in enumerate((160, 180, 60, 220)):
        lines = write_and_kill(tmp_path / "store", seed, many, 0.005 * seed)
        said += lines
        pending = None
        for word, verb, group, step in lines:
            change = (verb, int(group), int(step))
            if word == "done":
                states[change[1]] = after(states[change[1]], verb, change[2])
            pending = change if word == "try" else None
        found = states_of(run("faiss_victim.py", tmp_path / "store"))
        for group, state in states.items():
            allowed = [state]
            if pending and pending[1] == group:
                allowed.append(after(state, pending[0], pending[2]))
            assert found[group] in allowed, (group, pending)
        states = found
    done = {line[1] for line in said if line[0] == "done"}
    assert done == {"upsert", "delete", "hide", "unhide", "tend"}


@pytest.mark.parametrize("operation", ["upsert", "delete", "hide", "compact", "open"])
def test_killed_at_any_line_rows_are_as_before_or_as_after(tmp_path, operation):
    result = run("rows_victim.py", tmp_path, operation)
    assert result["wrong"] is None
    assert result["kills"] > 30
    if operation in ("compact", "open"):
        assert result["same"]
    else:
        assert not result["same"]
        assert result["seen"]["old"] > 10
        assert result["seen"]["new"] > 0
