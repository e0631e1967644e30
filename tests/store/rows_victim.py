"""Kill a process at every line of a file of rows, one after the other, and look what is left.

    python rows_victim.py FOLDER OPERATION

Prints one JSON object: at how many lines it was killed, how often the old and the new state
were found, and the first state that is neither.
"""

import json
import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path

import numpy as np

from holdfast.arrays import Vectors
from holdfast.space import Space
from holdfast.store import database, flags, rows, vectorfile
from holdfast.store.rows import RowFile

SPACE = Space("killed", 4, "dot")
WATCHED = {module.__file__ for module in (database, flags, rows, vectorfile)}


def batch(names, value):
    array = np.full((len(names), 4), value, dtype=np.float32)
    return names, Vectors(SPACE, array), [{"v": value}] * len(names), None


def fill(file):
    for turn in range(3):
        file.upsert(*batch([f"{i:02d}" for i in range(20)], turn))
    file.set_hidden(["03", "04"], True)
    file.delete(["05", "06"])


OPERATIONS = {
    "upsert": lambda file: file.upsert(*batch(["01", "03", "30", "31"], 9)),
    "delete": lambda file: file.delete(["01", "03"]),
    "hide": lambda file: file.set_hidden(["01", "02"], True),
    "compact": lambda file: file.compact(),
    "open": None,  # compacts
}


def state(folder):
    file = RowFile(folder, SPACE, tidy=False)
    found = file.scan(None, 100, vectors=True).rows
    rows = {
        name: [
            int(found.revisions[i]),
            found.payloads[i],
            bool(found.hidden[i]),
            *found.vectors.array[i].tolist(),
        ]
        for i, name in enumerate(found.ids)
    }
    counts = [file.total, file.visible]
    file.upsert(*batch(["later"], 7))  # whatever was left, it goes on
    if file.get(["later"]).vectors.array[0, 0] != 7 or file.total != len(rows) + 1:
        counts.append("can not go on")
    again = [file.get([name]).vectors.array[0].tolist() for name in rows]
    if again != [row[3:] for row in rows.values()]:
        counts.append("rows were written over")
    file.close()
    return json.dumps([rows, counts])


def perform(folder, operation):
    file = RowFile(folder, SPACE, tidy=operation is None)
    if operation is not None:
        operation(file)
    file.close()


def die_at(line):
    left = line

    def trace(frame, event, argument):
        nonlocal left
        if frame.f_code.co_filename not in WATCHED:
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def main(folder, name):
    folder, operation = Path(folder), OPERATIONS[name]
    template, trial = folder / "template", folder / "trial"
    template.mkdir()
    file = RowFile(template, SPACE)
    fill(file)
    file.close()
    shutil.copytree(template, trial)
    old = state(trial)
    shutil.rmtree(trial)
    shutil.copytree(template, trial)
    perform(trial, operation)
    new = state(trial)
    seen, wrong, kills = {"old": 0, "new": 0}, None, 0
    for line in count(1):
        shutil.rmtree(trial)
        shutil.copytree(template, trial)
        child = os.fork()
        if child == 0:
            die_at(line)
            perform(trial, operation)
            os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
            break
        kills += 1
        found = state(trial)
        seen["old"] += found == old
        seen["new"] += found == new
        if found not in (old, new):
            wrong = wrong or [line, found]
    sys.stdout.write(json.dumps({"kills": kills, "seen": seen, "wrong": wrong, "same": old == new}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
