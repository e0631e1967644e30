"""Processes that are forked from one that has a store open."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORKED = """
import os, sys
import numpy as np
from holdfast.errors import StoreError, StoreHeld
from holdfast.space import Space
from holdfast.store.registry import open_store

kind, folder, space = sys.argv[1], sys.argv[2], Space("small", 4)
store, rows = open_store(kind, folder, space), np.eye(4, dtype=np.float32)
names = [f"{kind}-{i}" for i in range(40)]
payloads = [{"n": i, "text": "a few words " * i} for i in range(40)]


def write(turn):
    piece = slice(8 * turn, 8 * turn + 8)
    store.upsert(names[piece], rows[np.arange(8) % 4] * (turn + 1), payloads[piece])
    store.hide(names[piece][:2])


def refused(ask, why="forked", kind=StoreError):
    try:
        ask()
    except kind as told:
        if why in str(told):
            return
        print(told, file=sys.stderr)
    os._exit(1)


write(0)
for turn in range(1, 5):
    child = os.fork()
    if not child:
        refused(lambda: store.upsert(["child"], rows[:1]))
        refused(lambda: store.search(rows[:1], 1))
        refused(lambda: store.get(names[:1]))
        if turn == 2:
            store.close()
        if turn == 3:
            refused(lambda: open_store(kind, folder, space), str(os.getppid()), StoreHeld)
        sys.exit(0)  # a process that ends drops what it has
    assert os.waitpid(child, 0)[1] == 0
    write(turn)
store.close()
store = open_store(kind, folder, space)
found = store.get(names)
assert list(found.payloads) == payloads
expected = rows[np.arange(40) % 4] * (np.arange(40) // 8 + 1)[:, None]
assert (found.vectors.array == expected / np.linalg.norm(expected, axis=1, keepdims=True)).all()
assert (len(store), store.visible) == (40, 30)
store.close()
"""


@pytest.mark.parametrize("kind", ["edge", "faiss", "qdrant", "pgvector"])
def test_a_forked_process_reads_and_writes_nothing_not_even_when_it_ends(tmp_path, kind, request):
    if kind == "pgvector":
        request.getfixturevalue("postgres")
    done = subprocess.run(
        [sys.executable, "-c", FORKED, kind, str(tmp_path / "store")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
