"""A process that writes to a faiss store and says what was acknowledged, until it is killed.

    python faiss_victim.py FOLDER SEED        write; a `try` line before, a `done` line after
    python faiss_victim.py FOLDER             read all, and print it as JSON

The rows of a group are always written together.
"""

import json
import random
import sys

import numpy as np

from holdfast.space import Space
from holdfast.store.faiss import FaissStore

SPACE = Space("victim", 8, "euclidean")
GROUPS, WIDTH = 60, 25


def names_of(group):
    return [f"g{group} r{i}" for i in range(WIDTH)]


def rows_of(group, step):
    rows = np.zeros((WIDTH, 8), dtype=np.float32)
    rows[:, 0], rows[:, 1], rows[:, 2] = group, np.arange(WIDTH), step / 1000
    return rows


def open_store(folder):
    return FaissStore(folder, SPACE, index="hnsw", exact_below=1024)


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def write(folder, seed):
    chance, store = random.Random(seed), open_store(folder)
    say("open")
    step = max(int(store.revisions(names_of(group)).max()) for group in range(GROUPS))
    while True:
        step += 1
        group = step if step < GROUPS else chance.randrange(GROUPS)
        verb = chance.choice(["upsert"] * 12 + ["delete", "hide", "unhide", "tend"])
        verb = "upsert" if step < GROUPS else verb
        say("try", verb, group, step)
        if verb == "upsert":
            payloads = [{"step": step}] * WIDTH
            store.upsert(names_of(group), rows_of(group, step), payloads, [step] * WIDTH)
        elif verb == "tend":
            store.tend()
        else:
            getattr(store, verb)(names_of(group))
        say("done", verb, group, step)


def read(folder):
    store = open_store(folder)
    rows = store.scan(None, 10 * GROUPS * WIDTH, vectors=True).rows
    found = store.search(rows.vectors, 1).ids[:, 0].tolist() if len(rows) else []
    table = [
        [name, int(revision), payload["step"], bool(hidden), vector, hit]
        for name, revision, payload, hidden, vector, hit in zip(
            rows.ids,
            rows.revisions,
            rows.payloads,
            rows.hidden,
            rows.vectors.array.tolist(),
            found,
            strict=True,
        )
    ]
    say(json.dumps({"rows": table, "len": len(store), "visible": store.visible}))
    store.close()


if __name__ == "__main__":
    if len(sys.argv) > 2:
        write(sys.argv[1], int(sys.argv[2]))
    else:
        read(sys.argv[1])
