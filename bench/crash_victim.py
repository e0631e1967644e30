"""The process that is killed: four writers, a reader and an engine over one gallery.

python -m bench.crash_victim FOLDER SEED [STATE] prints "open" once all of them run, and
then each state that the upgrade enters. Where a state is named, it takes the way there.
"""

from __future__ import annotations

import random
import sys
import threading
import time
import traceback
from pathlib import Path

from holdfast.errors import EncoderError, UpgradeError
from holdfast.source.store_payload import StorePayloadSource
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.executor import Inline, Threads
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.sides.stage import Stage

from .crash_world import OUTSIDE, WRITERS, Log, World, item, outside, put

FLAKY = 0.02  # part of the new model's calls that fail
# States behind copying, which takes longest, and how "ready" is left towards them.
FAR = {"ready": "", "cutting over": "stage", "cut over": "cut over"}


class Writer:
    """Inserts, updates and deletes its own ids, and notes every call."""

    def __init__(self, gallery: Gallery, world: World, folder: Path, number: int, seed: int):
        self.gallery, self.log, self.number = gallery, Log(folder, number), number
        self.known, begun, self.version = self.log.read(world.items)
        if begun is not None:
            raise SystemExit("a call is open: check first")
        self.aim = world.items // WRITERS
        self.chance = random.Random(seed)
        self.gone: list[str] = []
        self.fresh = 1 + max([int(n.partition("-")[2]) for n in self.known] or [0])

    def run(self) -> None:
        """Write until the end."""
        while True:
            self.step()
            time.sleep(self.chance.uniform(0.0, 0.004))

    def step(self) -> None:
        """One call."""
        kind, names = self._choose()
        self.version += 1
        self.log.note("B", self.version, kind, names)
        try:
            if kind == "write":
                self.gallery.upsert([item(name, self.version) for name in names])
            else:
                self.gallery.delete(names)
        except EncoderError:
            self.log.note("F", self.version)
            return
        self.log.note("A", self.version)
        for name in names:
            put(self.known, name, self.version if kind == "write" else None)
        if kind == "delete":
            self.gone = [*self.gone, *names][-500:]

    def _choose(self) -> tuple[str, list[str]]:
        count, dice = self.chance.choice((1, 1, 2, 5, 20)), self.chance.random()
        delete = 0.3 if len(self.known) > self.aim else 0.2
        if dice < delete and len(self.known) > count:
            return "delete", self.chance.sample(list(self.known), count)
        if dice < 0.7 and len(self.known) > count:
            return "write", self.chance.sample(list(self.known), count)
        back = [n for n in self.gone if n not in self.known]
        if back and self.chance.random() < 0.5:  # an id that was deleted comes back
            return "write", list(set(self.chance.choices(back, k=count)))
        first, self.fresh = self.fresh, self.fresh + count
        return "write", [f"{self.number}-{n}" for n in range(first, self.fresh)]


def read(gallery: Gallery, writers: list[Writer], chance: random.Random) -> None:
    """Search for what is there; an answer with an id twice is a mistake at any moment."""
    while True:
        known = chance.choice(writers).known
        name = chance.choice(list(known) or ["0-0"])
        text = item(name, known.get(name, 0)).content
        row = [n for n in gallery.search([text], 10).ids[0] if n]
        if len(set(row)) < len(row):
            raise AssertionError(f"an id twice: {row}")
        time.sleep(0.01)


def meddle(engine: Engine, dice: float) -> None:
    """Another thread's command while the engine runs; now and then none."""
    if dice < 0.5:
        return
    try:
        (engine.pause if dice < 0.8 else engine.roll_back)()
    except UpgradeError:
        engine.gallery.ledger.event("refused", {"state": engine.gallery.state})


class Contents:
    """Content of the items that others write, and of those that only the gallery has."""

    def __init__(self, gallery: Gallery, world: World) -> None:
        self._kept = StorePayloadSource(gallery.old.store)
        self._outside = outside(world.content) if world.content else None

    def get(self, ids):
        """As every source."""
        if self._outside is None:
            return self._kept.get(ids)
        apart = [name.startswith(OUTSIDE) for name in ids]
        theirs = iter(self._outside.get([n for n, far in zip(ids, apart, strict=True) if far]))
        ours = iter(self._kept.get([n for n, far in zip(ids, apart, strict=True) if not far]))
        return [next(theirs if far else ours) for far in apart]


def turn(engine: Engine, way: str) -> None:
    """Leave a state in which either side could be read."""
    do = {
        "cut over": engine.cut_over,
        "stage": lambda: engine.stage(Stage(random.choice((0.2, 0.7)))),
        "step back": engine.step_back,
        "roll back": engine.roll_back,
    }
    try:
        do[way]()
    except UpgradeError:  # the scan found items to move, or nothing is staged
        engine.gallery.ledger.event("found more", {})


def rest(state: str | None, aim: str, chance: random.Random) -> None:
    """Stay paused for a while where that is aimed at; else it is left within milliseconds."""
    if aim == state == "paused":
        time.sleep(chance.uniform(0.0, 0.5))


def tell(gallery: Gallery) -> None:
    """Say each state that is entered."""
    said = ""
    while True:
        state = gallery.state or ""
        if state != said:
            said = state
            sys.stdout.write(f"{state}\n")
            sys.stdout.flush()
        time.sleep(0.001)


def upgrade(gallery: Gallery, world: World, chance: random.Random, aim: str) -> None:
    """Go round: copy, pause, copy on, be ready, cut over at once or in stages, roll back, plan
    again.
    """
    source = Contents(gallery, world)
    while True:
        executor = chance.choice((Inline, lambda: Threads(2)))()
        new = gallery.new.encoder if gallery.new else None
        engine = Engine(gallery, ReEmbed(source, new), world.plan, executor)
        state = gallery.state
        rest(state, aim, chance)
        if state in ("planned", "paused", "copying"):
            meddler = threading.Timer(chance.uniform(0.0, 3.0), meddle, (engine, chance.random()))
            meddler.daemon = True
            if aim not in FAR:
                meddler.start()
            try:
                engine.run(1.0 if aim in FAR else chance.choice((0.3, 0.6, 1.0, 1.0)))
            except UpgradeError:
                gallery.ledger.event("refused", {"state": gallery.state})
            meddler.cancel()
            if meddler.ident is not None:
                meddler.join()
        elif state == "ready":
            time.sleep(chance.uniform(0.0, 0.8))
            ways = [FAR[aim]] if FAR.get(aim) else ["cut over", "cut over", "stage", "roll back"]
            turn(engine, chance.choice(ways))
        elif state == "cutting over":
            time.sleep(chance.uniform(0.0, 0.5))
            turn(engine, chance.choice(("cut over", "cut over", "stage", "step back", "roll back")))
        elif state == "cut over":
            time.sleep(chance.uniform(0.0, 2.0))
            engine.roll_back()
        elif state == "rolling back":
            engine.roll_back()
        else:  # rolled back
            time.sleep(chance.uniform(0.0, 0.4))
            with gallery.alone():
                gallery.ledger.begin(world.plan.model_dump(), *world.spaces)
            gallery.recover()
        executor.close()


def main(folder: Path, seed: int, aim: str = "") -> None:
    """Run until killed; a thread that fails says why in `mistakes` and ends the process."""
    world = World.load(folder)
    gallery = world.open(folder, FLAKY)
    chance = random.Random(seed)
    random.seed(seed)
    failed = threading.Event()

    def guarded(work, *given):
        try:
            work(*given)
        except BaseException:  # noqa: BLE001 - whatever it was, the trial has failed
            with (folder / "mistakes").open("a", encoding="utf-8") as file:
                file.write(traceback.format_exc())
            failed.set()

    if gallery.follower is not None:
        gallery.follower.start()
    writers = [Writer(gallery, world, folder, w, chance.randrange(2**31)) for w in range(WRITERS)]
    tasks = [(writer.run,) for writer in writers]
    tasks.append((read, gallery, writers, random.Random(seed + 1)))
    tasks.append((upgrade, gallery, world, random.Random(seed + 2), aim))
    for task in tasks:
        threading.Thread(target=guarded, args=task, daemon=True).start()
    sys.stdout.write("open\n")
    sys.stdout.flush()
    threading.Thread(target=guarded, args=(tell, gallery), daemon=True).start()
    failed.wait()
    raise SystemExit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
