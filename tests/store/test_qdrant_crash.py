"""A process that is killed while it writes to the local mode of Qdrant.

The local mode writes row by row, so a batch that was cut off may be there in part. What must
hold all the same: whatever was acknowledged is there, every row is one that was written, whole,
and doing the batch again, as the journal of a gallery does, leaves it complete.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from holdfast.store.qdrant import QdrantStore
from tests.store.qdrant_victim import GROUPS, SPACE, WIDTH, names_of

VICTIM = Path(__file__).with_name("qdrant_victim.py")
ROOT = Path(__file__).parents[2]


def run_and_kill(folder, lines):
    """What it said before it was killed, within some milliseconds of a line."""
    child = subprocess.Popen(
        [sys.executable, str(VICTIM), str(folder)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    first = child.stdout.readline()
    assert first.startswith(b"open"), first
    first += b"".join(child.stdout.readline() for _ in range(lines))
    time.sleep(0.002 * (lines % 5))
    child.send_signal(signal.SIGKILL)
    said = (first + child.stdout.read()).decode()
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()
    return [line.split() for line in said.split("\n")[:-1]]


def apply(state, verb, group, step):
    for name in names_of(group):
        if verb == "upsert":
            state[name] = (step, state.get(name, (0, False))[1])
        elif verb == "delete":
            state.pop(name, None)
        elif name in state:
            state[name] = (state[name][0], verb == "hide")


@pytest.mark.slow
def test_killed_again_and_again_no_acknowledged_row_is_lost(tmp_path):
    state, calls = {}, 0
    for trial in range(4):
        cut = None
        for words in run_and_kill(tmp_path / "q", 23 + trial)[1:]:
            if words[0] == "try":
                cut = (words[1], int(words[2]), int(words[3]))
            else:
                apply(state, words[0], int(words[1]), int(words[2]))
                cut, calls = None, calls + 1
        after = dict(state)
        if cut:
            apply(after, *cut)
        store = QdrantStore(tmp_path / "q", SPACE)
        page = store.scan(limit=GROUPS * WIDTH + 1, vectors=True)
        rows, seen = page.rows, {}
        for i, name in enumerate(rows.ids):
            seen[name] = (int(rows.revisions[i]), bool(rows.hidden[i]))
            step = seen[name][0]
            assert rows.payloads[i] == {"step": step}
            assert (rows.vectors.array[i] == np.full(8, step, dtype=np.float32)).all()
        touched = set(names_of(cut[1])) if cut else set()
        for name in {*state, *after, *seen}:
            if name in touched:  # before the call, or after it: row by row
                assert seen.get(name) in (state.get(name), after.get(name))
            else:
                assert seen.get(name) == state.get(name)
        if cut and cut[0] == "upsert":  # done again it is whole
            vectors = np.full((WIDTH, 8), cut[2], dtype=np.float32)
            steps = [cut[2]] * WIDTH
            store.upsert(names_of(cut[1]), vectors, [{"step": cut[2]}] * WIDTH, steps)
            assert store.revisions(names_of(cut[1])).tolist() == steps
            seen.update({name: after[name] for name in touched})
        state = seen
        assert (len(store), store.visible) == (
            len(seen),
            sum(not hidden for _, hidden in seen.values()),
        )
        store.close()
    assert calls >= 44
