"""A process that writes to an embedded store and says what was acknowledged, until it is killed.

    python edge_victim.py FOLDER SEED

Row "r<i>" belongs to group i // 10, whose rows are always written together, with the
group's step in revision, payload and vector. Each line on standard output is one
acknowledged call: `<verb> <group> <step>`; `try` lines announce a call that is about to
begin.
"""

import random
import sys

import numpy as np

from holdfast.space import Space
from holdfast.store.edge import EdgeStore

SPACE = Space("victim", 8, "dot")
GROUPS, WIDTH = 30, 10


def names_of(group):
    return [f"r{group * WIDTH + i}" for i in range(WIDTH)]


def row_of(group, step):
    return np.full(8, group + step / 1000, dtype=np.float32)


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def main(folder, seed):
    chance = random.Random(seed)
    store = EdgeStore(folder, SPACE)
    names = names_of(0)
    step = 1 + max(int(store.revisions(names_of(group)).max()) for group in range(GROUPS))
    say("open", 0, step)
    while True:
        step += 1
        group = chance.randrange(GROUPS)
        names = names_of(group)
        verb = chance.choice(["upsert"] * 4 + ["delete", "hide", "part", "unhide"])
        say("try", verb, group, step)
        if verb == "upsert":
            rows = np.tile(row_of(group, step), (WIDTH, 1))
            store.upsert(names, rows, [{"step": step}] * WIDTH, [step] * WIDTH)
        elif verb == "part":  # so that later batches concern both parts of the store
            store.hide(names[: WIDTH // 2])
        else:
            getattr(store, verb)(names)
        say(verb, group, step)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
