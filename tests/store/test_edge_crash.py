"""Processes that are killed: what was acknowledged is found again, by a process that is new."""

import errno
import json
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from holdfast.errors import StoreError
from holdfast.space import Space
from holdfast.store.base import NO_REVISION
from holdfast.store.edge import EdgeStore
from tests.store.edge_victim import GROUPS, SPACE, WIDTH, names_of, row_of

VICTIM = Path(__file__).with_name("edge_victim.py")
ROOT = Path(__file__).parents[2]
READ = """
import json, sys
from holdfast.store.edge import EdgeStore
from tests.store.edge_victim import GROUPS, SPACE, names_of
store = EdgeStore(sys.argv[1], SPACE)
rows, after = {}, None
while True:
    page = store.scan(after, 64, vectors=True)
    for i, name in enumerate(page.rows.ids):
        assert name not in rows, f"{name} twice"
        r = page.rows
        vector = r.vectors.array[i].tolist()
        rows[name] = [int(r.revisions[i]), r.payloads[i], bool(r.hidden[i]), vector]
    after = page.after
    if after is None:
        break
found = store.search([[1.0] * 8], 1000).ids[0]
found = sorted(name for name in found if name)
print(json.dumps({"rows": rows, "found": found, "len": len(store), "visible": store.visible}))
"""


def run_and_kill(folder, seed, lines, after):
    """What the victim said before it was killed, by SIGKILL, some time after a line."""
    child = subprocess.Popen(
        [sys.executable, str(VICTIM), str(folder), str(seed)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    said = [child.stdout.readline().decode() for _ in range(lines)]
    assert said[0].startswith("open")
    reader = threading.Thread(target=lambda: said.extend(x.decode() for x in child.stdout))
    reader.start()
    time.sleep(after)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    reader.join()
    child.stdout.close()
    return [line.split() for line in said if line.endswith("\n")]


def read_afresh(folder):
    done = subprocess.run(
        [sys.executable, "-c", READ, str(folder)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def apply(state, verb, group, step):
    """The states of rows, name -> (step, hidden), after an acknowledged call."""
    names = names_of(group)
    for i, name in enumerate(names):
        if verb == "upsert":
            state[name] = (step, state.get(name, (0, False))[1])
        elif verb == "delete":
            state.pop(name, None)
        elif name in state and (verb != "part" or i < WIDTH // 2):
            state[name] = (state[name][0], verb != "unhide")


@pytest.mark.slow
def test_killed_again_and_again_nothing_acknowledged_is_lost(tmp_path):
    chance, state = random.Random(5), {}
    calls = 0
    for trial in range(6):
        said = run_and_kill(tmp_path, trial, chance.randrange(60, 120), 0.02 * chance.random())
        open_call = None
        for words in said[1:]:
            if words[0] == "try":
                open_call = (words[1], int(words[2]), int(words[3]))
            else:
                apply(state, words[0], int(words[1]), int(words[2]))
                open_call, calls = None, calls + 1
        other = dict(state)
        if open_call:
            apply(other, *open_call)
        now = read_afresh(tmp_path)
        seen = {name: (row[0], row[2]) for name, row in now["rows"].items()}
        # The call that was cut off happened or did not, for its whole group alike.
        assert seen in (state, other)
        for name, (revision, payload, _, vector) in now["rows"].items():
            assert payload == {"step": revision}
            assert vector == row_of(int(name[1:]) // WIDTH, revision).tolist()
        assert now["found"] == sorted(name for name, (_, hidden) in seen.items() if not hidden)
        assert (now["len"], now["visible"]) == (len(seen), len(now["found"]))
        state = seen
    assert calls > 100
    assert len(state) > GROUPS


class Stop(BaseException):
    """What no code in the store may catch."""


def interrupted(tmp_path, monkeypatch, verb, step):
    """Leave a store as a process does that stops, without a word, between two steps."""
    store = EdgeStore(tmp_path, SPACE)
    names = names_of(1)
    store.upsert(names, np.tile(row_of(1, 1), (WIDTH, 1)), [{"step": 1}] * WIDTH, [1] * WIDTH)
    store.hide(names[:4])

    def stop(*_):
        raise Stop

    part, method = step
    given = (np.tile(row_of(1, 2), (WIDTH, 1)), [{"step": 2}] * WIDTH) if verb == "upsert" else ()
    with monkeypatch.context() as patch:
        patch.setattr(getattr(store, part), method, stop)
        with pytest.raises(Stop):
            getattr(store, verb)(names, *given)
    store.close()
    return names


@pytest.mark.parametrize(
    ("verb", "step"),
    [
        ("upsert", ("_archive", "put")),
        ("upsert", ("_engine", "put")),
        ("delete", ("_engine", "drop")),
        ("delete", ("_archive", "drop")),
        ("hide", ("_archive", "put")),
        ("hide", ("_engine", "drop")),
        ("unhide", ("_engine", "put")),
        ("unhide", ("_engine", "flush")),
        ("unhide", ("_archive", "drop")),
    ],
)
def test_a_call_cut_off_between_engine_and_archive_is_finished_at_the_next_opening(
    tmp_path, monkeypatch, verb, step
):
    names = interrupted(tmp_path, monkeypatch, verb, step)
    assert (tmp_path / "intent").exists()
    store = EdgeStore(tmp_path, SPACE)
    assert not (tmp_path / "intent").exists()
    found = sorted(name for name in store.search([[1.0] * 8], 99).ids[0] if name)
    if verb == "delete":
        assert (len(store), found) == (0, [])
    else:
        hidden = {"upsert": names[:4], "hide": names, "unhide": []}[verb]
        rows = store.get(names)
        step_now = 2 if verb == "upsert" else 1
        assert rows.revisions.tolist() == [step_now] * WIDTH
        np.testing.assert_array_equal(rows.vectors.array, np.tile(row_of(1, step_now), (WIDTH, 1)))
        assert rows.hidden.tolist() == [name in hidden for name in names]
        assert found == sorted(set(names) - set(hidden))
        assert (len(store), store.visible) == (WIDTH, len(found))
    store.close()


def test_a_failure_that_the_process_survives_is_finished_before_the_next_write(
    tmp_path, monkeypatch
):
    store = EdgeStore(tmp_path, SPACE)
    names = names_of(0)
    store.upsert(names, np.tile(row_of(0, 1), (WIDTH, 1)))
    store.hide(names[:5])

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(store._engine, "put", fail)
        with pytest.raises(OSError, match="disk full"):
            store.upsert(names, np.tile(row_of(0, 2), (WIDTH, 1)))
    store.delete(names[:1])
    assert store.revisions(names).tolist() == [-1] + [1] * 9
    store.close()
    store = EdgeStore(tmp_path, SPACE)
    assert store.revisions(names).tolist() == [-1] + [1] * 9
    assert (len(store), store.visible) == (9, 5)
    store.close()


@pytest.mark.parametrize("limit", [1, 3, 10, 99])
def test_a_scan_visits_rows_once_whose_hiding_has_failed_half_way(tmp_path, monkeypatch, limit):
    store = EdgeStore(tmp_path, SPACE)
    names = names_of(0)
    store.upsert(names, np.tile(row_of(0, 1), (WIDTH, 1)))

    def fail(*_):
        raise OSError("disk full")

    def scanned():
        found, after = [], None
        while True:
            page = store.scan(after, limit)
            found += zip(page.rows.ids, page.rows.hidden.tolist(), strict=True)
            after = page.after
            if after is None:
                return sorted(found)

    with monkeypatch.context() as patch:
        patch.setattr(store._engine, "drop", fail)
        with pytest.raises(OSError, match="disk full"):
            store.hide(names[:5])
    assert scanned() == sorted((name, False) for name in names)
    assert (len(store), store.visible) == (WIDTH, WIDTH)
    store.delete(names[9:])
    assert (len(store), store.visible) == (9, 4)
    assert scanned() == sorted((name, name in names[:5]) for name in names[:9])
    store.close()


def test_a_full_disk_is_a_store_error_that_names_the_file(tmp_path, monkeypatch):
    store = EdgeStore(tmp_path, SPACE)
    names = names_of(0)
    store.upsert(names, np.tile(row_of(0, 1), (WIDTH, 1)))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for file, do in (("intent", lambda: store.hide(names[:5])), ("shard.json", store.tend)):
        with monkeypatch.context() as patch:
            patch.setattr("holdfast.artifact.os.fsync", full)
            said = rf"{file}: expected a disk .*got No space left on device\. Make room"
            with pytest.raises(StoreError, match=said):
                do()
        assert (len(store), store.visible) == (WIDTH, WIDTH)
    store.hide(names[:5])
    store.tend()
    assert (len(store), store.visible) == (WIDTH, WIDTH - 5)
    store.close()


def test_an_upsert_that_is_noted_down_may_carry_any_amount_of_text(tmp_path, monkeypatch):
    store = EdgeStore(tmp_path, SPACE)
    names = names_of(0)
    store.upsert(names[:1], [row_of(0, 1)])
    store.hide(names[:1])
    payloads = [{"text": "\u00e9" * 10_000, "of": name} for name in names]

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(store._archive, "put", fail)
        with pytest.raises(OSError, match="disk full"):
            store.upsert(names, np.tile(row_of(0, 2), (WIDTH, 1)), payloads)
    # The format has room for 100 MB of description: what grows with texts must not be in there.
    assert int.from_bytes((tmp_path / "intent").read_bytes()[:8], "little") < 2_000
    store.close()
    store = EdgeStore(tmp_path, SPACE)
    assert list(store.get(names).payloads) == payloads
    store.close()


def test_what_dead_builds_and_creations_left_is_swept_away(tmp_path):
    store = EdgeStore(tmp_path, SPACE)
    store.upsert(["a"], [[1.0] * 8])
    store.close()
    for left in ("shard-1", "shard-7", "new-shard"):
        (tmp_path / left).mkdir()
        (tmp_path / left / "junk").write_text("junk")
    store = EdgeStore(tmp_path, SPACE)
    assert sorted(p.name for p in tmp_path.glob("*shard*")) == ["shard-0", "shard.json"]
    assert store.get(["a"]).vectors.array.tolist() == [[1.0] * 8]
    store.close()


def test_a_creation_that_died_half_way_is_done_again(tmp_path):
    from holdfast.store.edge_pointer import read_pointer

    read_pointer(tmp_path, SPACE)
    (tmp_path / "new-shard").mkdir()
    store = EdgeStore(tmp_path, SPACE)
    assert len(store) == 0
    store.close()


@pytest.mark.slow
def test_killed_while_a_graph_is_built(tmp_path):
    code = """
import sys
import numpy as np
from holdfast.space import Space
from holdfast.store import edge_build
from holdfast.store.edge import EdgeStore
edge_build._CHILD = (
    "import time; from holdfast.store import edge_shard as e;"
    "e._optimise = lambda *a: time.sleep(600); e.rebuild()"
)
store = EdgeStore(sys.argv[1], Space("wide", 512))
store.upsert([f"r{i}" for i in range(6000)], np.random.default_rng(0).normal(size=(6000, 512)))
start = edge_build.Build.wait
def wait(self):
    sys.stdout.write(f"{self._child.pid}\\n")
    sys.stdout.flush()
    return start(self)
edge_build.Build.wait = wait
store.tend()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
    )
    builder = int(child.stdout.readline())
    child.kill()
    child.wait()
    child.stdout.close()
    if sys.platform == "linux":
        end = time.monotonic() + 240
        while Path(f"/proc/{builder}").exists():
            status = Path(f"/proc/{builder}/status").read_text()
            if "State:\tZ" in status:
                break
            assert time.monotonic() < end, "the builder outlives its parent"
            time.sleep(0.05)
    store = EdgeStore(tmp_path, Space("wide", 512))
    assert (len(store), sorted(p.name for p in tmp_path.glob("shard-*"))) == (6000, ["shard-0"])
    store.close()


def test_killed_right_after_a_graph_took_over(tmp_path):
    """What takes over is not flushed: its log must bring back what was carried into it."""
    code = """
import os
import signal
import sys
import numpy as np
from holdfast.space import Space
from holdfast.store import edge_build
from holdfast.store.edge import EdgeStore
rows = np.random.default_rng(0).normal(size=(6300, 512)).astype(np.float32)
store = EdgeStore(sys.argv[1], Space("wide", 512, metric="euclidean"))
names = [f"r{i}" for i in range(6000)]
store.upsert(names, rows[:6000], revisions=[1] * 6000)
store.upsert(names[:100], rows[6000:6100], revisions=[2] * 100)
store.delete(names[100:200])
wait = edge_build.Build.wait
def meanwhile(self):
    store.upsert(names[50:150], rows[6100:6200], revisions=[3] * 100)
    store.upsert([f"late{i}" for i in range(100)], rows[6200:], revisions=[4] * 100)
    store.delete(names[200:300])
    return wait(self)
edge_build.Build.wait = meanwhile
store.tend()
assert [p.name for p in store.folder.glob("shard-*")] == ["shard-1"], "no graph took over"
os.kill(os.getpid(), signal.SIGKILL)
"""
    child = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=False)
    assert child.returncode == -signal.SIGKILL
    rows = np.random.default_rng(0).normal(size=(6300, 512)).astype(np.float32)
    wanted = {f"r{i}": (1, rows[i]) for i in range(300, 6000)}
    wanted |= {f"r{i}": (2, rows[6000 + i]) for i in range(50)}
    wanted |= {f"r{i}": (3, rows[6050 + i]) for i in range(50, 150)}
    wanted |= {f"late{i}": (4, rows[6200 + i]) for i in range(100)}
    store = EdgeStore(tmp_path, Space("wide", 512, metric="euclidean"))
    assert (len(store), store.visible) == (len(wanted), len(wanted))
    found = store.get(list(wanted))
    assert found.revisions.tolist() == [revision for revision, _ in wanted.values()]
    np.testing.assert_array_equal(found.vectors.array, [row for _, row in wanted.values()])
    gone = [f"r{i}" for i in range(150, 300)]
    assert (store.revisions(gone) == NO_REVISION).all()
    nearest = store.search(rows[6200:], 1)  # of what came last, each finds itself
    assert nearest.ids[:, 0].tolist() == [f"late{i}" for i in range(100)]
    store.close()


def test_a_hide_that_the_engine_forgot_with_the_power_leaves_no_row_in_both_parts(tmp_path):
    """The archive is on disk when `hide` returns; what the engine dropped may not be."""
    folder, copy = tmp_path / "store", tmp_path / "copy"
    store = EdgeStore(folder, SPACE, exact=True)
    rows = np.eye(8)[:6]
    store.upsert(list("abcdef"), rows, None, [1] * 6)
    store.close()
    shutil.copytree(folder / "shard-0", copy)
    store = EdgeStore(folder, SPACE, exact=True)
    store.hide(list("abc"))
    store.upsert(["c"], rows[2:3], [{"late": True}], [2])  # into the archive
    store.close()
    shutil.rmtree(folder / "shard-0")
    copy.rename(folder / "shard-0")
    told = json.loads((folder / "shard.json").read_text())
    (folder / "shard.json").write_text(json.dumps({**told, "rows": -1}))  # nobody closed it
    for _ in range(2):
        store = EdgeStore(folder, SPACE, exact=True)
        assert (len(store), store.visible) == (6, 5)  # 9 and 6 of the parts together
        found = store.get(list("abcdef"))
        assert found.hidden.tolist() == [False, False, True, False, False, False]
        assert found.revisions.tolist() == [1, 1, 2, 1, 1, 1]
        assert found.payloads[2] == {"late": True}
        assert sorted(filter(None, store.search(rows[:1], 9).ids[0])) == list("abdef")
        store.close()
