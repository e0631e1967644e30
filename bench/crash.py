"""Kill a process that upgrades a gallery under writes, again and again, and count what is lost.

python -m bench.crash [--store edge|faiss|both|qdrant|pgvector] [--trials 30] [--items 20000]

Without --quick, the rows of stores that are not tried this time are kept as they were written.

Each trial starts `crash_victim` on the gallery the last one left, kills it by SIGKILL and lets
`crash_check`, a new process, compare what it finds with what the writers noted. Kills are aimed
at each state of an upgrade in turn, at a random moment of it, see `crash_aim`; one in each round
falls at any moment, now and then while the process still recovers. ("finished" is not among
them: nothing of an upgrade is left to do then.)

On PostgreSQL another process writes plain SQL into the table that the content of a part of the
items comes from, while the first one is killed and for a while afterwards, until it is killed
too: what was committed there must be in the gallery.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from holdfast.errors import StoreHeld

from .crash_aim import ANYWHERE, STATES, Aims, Seen
from .crash_check import MISTAKES
from .crash_world import WRITERS, Log, World
from .postgres import server
from .record import FOLDER, ROOT, Record, Row, arguments, say, writes

STORES = ("edge", "faiss", "qdrant", "pgvector")
EARLY = 0.5  # part of the kills without an aim that do not wait until the victim is up


UP = 120.0  # seconds for the victim to recover


def _start(module: str, *words: Any, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, words)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


def kill(folder: Path, world: World, seed: int, aims: Aims, chance: random.Random) -> str:
    """Start the victim and kill it; answers "" or what a second opener saw wrong."""
    aim = aims.next()
    outside = _start("bench.crash_outside", world.content, seed) if world.content else None
    victim = _start("bench.crash_victim", folder, seed, aim)
    assert victim.stdout is not None
    refused = ""
    seen = Seen(victim.stdout)
    if aim == ANYWHERE and chance.random() < EARLY:
        time.sleep(chance.uniform(0.2, 1.2))
    elif seen.wait("", UP):
        if seed % 5 == 0:
            refused = second(folder, world, victim.pid)
        aims.wait(seen, aim)
    victim.send_signal(signal.SIGKILL)
    code = victim.wait()
    seen.end()
    aims.learn(seen)
    victim.stdout.close()
    if outside is not None:
        time.sleep(chance.uniform(0.0, 0.5))
        end(outside)
    if code != -signal.SIGKILL:
        raise AssertionError(f"the victim ended by itself: {mistakes(folder) or code}")
    return refused


def end(outside: subprocess.Popen[bytes]) -> None:
    """Kill the writer of plain SQL, in the middle of a transaction or not."""
    outside.send_signal(signal.SIGKILL)
    code = outside.wait()
    if outside.stdout is not None:
        outside.stdout.close()
    if code != -signal.SIGKILL:
        raise AssertionError(f"the writer of plain SQL ended by itself: {code}")


def second(folder: Path, world: World, pid: int) -> str:
    """What is wrong with the error that a second process gets; "" where nothing is."""
    try:
        world.open(folder).close()
    except StoreHeld as error:
        return "" if f"process {pid}" in str(error) else f"does not name the holder: {error}"
    return "opened what another process holds"


def mistakes(folder: Path) -> str:
    """What threads of the victim reported before they gave up."""
    path = folder / "mistakes"
    return path.read_text(encoding="utf-8") if path.exists() else ""


def inspect(folder: Path, seed: int) -> dict[str, Any]:
    """What a fresh process finds."""
    checker = _start("bench.crash_check", folder, seed, stderr=subprocess.PIPE)
    said, complained = checker.communicate()
    if checker.returncode:
        raise AssertionError(f"the gallery cannot be read: {complained.decode()[-3000:]}")
    told: dict[str, Any] = json.loads(said)
    return told


def trials(
    world: World, folder: Path, count: int, span: float = 5.0, seed: int = 0
) -> tuple[Counter[str], list[dict[str, Any]]]:
    """Found a gallery and kill its process `count` times.

    Args:
        world: What is founded.
        folder: Made here; must not exist.
        count: Kills.
        span: Seconds within which a kill without an aim falls, once the process is up.
        seed: Of moments and of what the writers do.
    Returns:
        Mistakes in all, by kind; and what each check told.
    """
    chance = random.Random(seed)
    aims = Aims(chance, span)
    world.found(folder)
    total: Counter[str] = Counter(dict.fromkeys((*MISTAKES, "second opener"), 0))
    told = []
    for number in range(count):
        begun = time.monotonic()
        refused = kill(folder, world, seed + number, aims, chance)
        ran = time.monotonic() - begun
        found = inspect(folder, seed + number)
        told.append(found)
        total["second opener"] += bool(refused)
        total.update({name: found[name] for name in MISTAKES})
        wrong = {name: found[name] for name in MISTAKES if found[name]}
        say(
            f"{world.store} {number + 1}/{count}: killed after {ran:.1f} s, {found['state']} at "
            f"{found['share']:.0%}, {found['items']:,} items, {found['cut off']} calls cut off; "
            f"{wrong or 'nothing wrong'}{' ' + refused if refused else ''}"
        )
    return total, told


def acknowledged(folder: Path) -> int:
    """Calls that returned, in all trials."""
    paths = (Log(folder, number).path for number in range(WRITERS))
    return sum(p.read_text(encoding="utf-8").count('["A"') for p in paths if p.exists())


def measure(record: Record, world: World, count: int, span: float, keep: Path | None) -> None:
    """All trials of one store, as rows."""
    base = keep or Path(tempfile.mkdtemp(prefix="holdfast-crash-"))
    folder = base / f"{world.store}-{int(time.time())}"
    total, told = trials(world, folder, count, span, record.seed)
    cell = f"{world.store}, {world.items:,} items, {count} kills"
    for name in MISTAKES:
        record.add(name, cell, total[name], target="= 0")
    record.add("second opener not refused by pid", cell, total["second opener"], target="= 0")
    record.add("acknowledged calls", cell, acknowledged(folder))
    record.add("calls cut off by a kill", cell, sum(t["cut off"] for t in told))
    if world.content:
        left = sum(t["followed"] for t in told)
        record.add("rows of plain SQL that kills left to take over", cell, left)
    times = Counter(str(t["state"]) for t in told)
    aim = ">= 1" if count >= 2 * len(STATES) else ""  # a few kills cannot meet every state
    for state in STATES:
        record.add(f"kills while {state}", cell, times[state], target=aim)
    searched = sum(t["searched"] for t in told)
    passed = sum(t["passed over"] for t in told)
    record.add("items first for their own text", cell, 1 - passed / searched, target=">= 0.95")
    if keep is None and not any(total.values()):
        shutil.rmtree(base)
    else:
        say(f"the gallery is kept in {folder}")


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--store", choices=[*STORES, "both"], default="both")
    parser.add_argument("--index", default="hnsw", help="of faiss")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--items", type=int)
    parser.add_argument(
        "--span", type=float, help="seconds within which a kill without an aim falls"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder that keeps the galleries")
    options = parser.parse_args()
    count = options.trials or (3 if options.quick else 30)
    items = options.items or (2000 if options.quick else 20_000)
    span = options.span or (2.0 if options.quick else 5.0)
    record = Record(
        "crash",
        "what is lost when the process of an upgrade is killed",
        "items whose vectors follow from their text, 160-d and 192-d, around 200 centres",
        options.seed,
        notes=[
            (
                "One process holds the gallery; four threads insert, update and delete, one "
                "searches, one goes round copying, pausing, cutting over, at once or in stages, "
                "rolling back and planning again. It is killed by SIGKILL and started again on "
                "what is left. Kills are aimed at each state in turn, at a random moment of it; "
                "they are counted by the state that was found afterwards. A tenth of them falls "
                "at any moment, recovery included. On PostgreSQL two connections of another "
                "process change the table that part of the content comes from, by plain SQL. "
                "After each kill a new process reads every row of both stores. "
                "Counts are over all kills."
            )
        ],
    )
    chosen = ("edge", "faiss") if options.store == "both" else (options.store,)
    if writes(options):
        keep_others(record, chosen)
    for store in chosen:
        extra: dict[str, Any] = {"pair": True} if store == "qdrant" else {}
        if store == "faiss":
            extra = {"index": options.index, "exact_below": 2000}
        if store == "pgvector":  # a graph is there, and built, at any number of items
            extra = {"exact_below": 300}
        world = World(store, items, rate=max(items / 2, 1000.0), options=extra)
        with server() if store == "pgvector" else nullcontext():
            if store == "pgvector":
                world = replace(world, content=f"crash_{os.getpid()}_{int(time.time())}")
            measure(record, world, count, span, options.keep)
    return record.finish(writes(options))


def keep_others(record: Record, chosen: tuple[str, ...]) -> None:
    """Keep the rows of stores that are not tried this time, and say when they were."""
    path = FOLDER / f"{record.name}.json"
    if not path.exists():
        return
    told = json.loads(path.read_text(encoding="utf-8"))
    kept = [row for row in told["rows"] if row["cell"].partition(",")[0] not in chosen]
    stores = sorted({row["cell"].partition(",")[0] for row in kept})
    known = [note for note in told["notes"] if note.startswith("Measured at ")]
    fresh = [s for s in stores if not any(f" {s}" in note.partition(":")[2] for note in known)]
    record.rows += [Row(**row) for row in kept]
    record.notes += [note for note in known if any(f" {s}" in note for s in stores)]
    if fresh:
        record.notes.append(
            f"Measured at commit {told['commit']} by `{told['command']}`: {', '.join(fresh)}."
        )


if __name__ == "__main__":
    raise SystemExit(main())
