"""A process that writes to Qdrant's local mode and says what was acknowledged, until killed.

    python qdrant_victim.py FOLDER

Row "r<i>" belongs to group i // 10, whose rows are always written together.
"""

import itertools
import sys

import numpy as np

from holdfast.space import Space
from holdfast.store.qdrant import QdrantStore

SPACE = Space("victim", 8, "dot")
GROUPS, WIDTH = 12, 10


def main(folder):
    store = QdrantStore(folder, SPACE)
    first = 1 + max(int(store.revisions(names_of(g)).max()) for g in range(GROUPS))
    say("open", 0, first)
    for step in itertools.count(first):
        group = step % GROUPS
        names = names_of(group)
        verb = ("upsert", "upsert", "hide", "delete", "unhide")[step % 5]
        say("try", verb, group, step)
        if verb == "upsert":
            rows = np.full((WIDTH, 8), step, dtype=np.float32)
            store.upsert(names, rows, [{"step": step}] * WIDTH, [step] * WIDTH)
        else:
            getattr(store, verb)(names)
        say(verb, group, step)


def names_of(group):
    return [f"r{group * WIDTH + i}" for i in range(WIDTH)]


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
